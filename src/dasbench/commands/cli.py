"""The command line of ``./run``, after its environment exists: subcommands, else Snakemake.

Words without ``-`` name experiments, see ``split``. Flags go to the called program. The module runs
in the root of the repository.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dasbench.commands import running
from dasbench.core.yaml_schema import suggestion
from dasbench.errors import UserError, print_notes
from dasbench.experiments import config
from dasbench.experiments.files import phases, resolved
from dasbench.reports import cost_page, index_page
from dasbench.sharing import bundle, provenance, records, remotes, runlock, stopping

DEFAULT = running.DEFAULT
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
NOTHING = "Nothing to be done"
FAULTS = "tests/faults"
TWO_PROCESSES = ("-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder")

# flags of ``dvc push`` and ``dvc pull`` with a value
_VALUED = frozenset({"-r", "--remote", "-j", "--jobs"})

ROOT = Path()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand, or Snakemake; a user's mistake is one sentence and status 1."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    print_notes()
    # with a default profile, --workflow-profile replaces single keys and keeps the others
    os.environ.setdefault("SNAKEMAKE_PROFILE", "profiles/default")
    stopping.install()
    try:
        if words and words[0] in COMMANDS:
            status = COMMANDS[words[0]](words[1:])
            sys.stdout.flush()
            return status
        return running.run(words, COMMANDS)
    except UserError as error:
        print(*(f"run: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        command = shlex.join(["./run", *words])
        print(f"run: {stopping.sentence(command)}", file=sys.stderr)
        return 128 + (stopping.received() or signal.SIGINT)
    except BrokenPipeError:  # such as `| head`; closed output would raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def split(arguments: Sequence[str], valued: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """Split the words of a subcommand into experiments and flags, in any order.

    Args:
        arguments: The words.
        valued: Flags whose next word is their value.

    Raises:
        UserError: If a word is no experiment.
    """
    names, flags = [], []
    for before, word in zip(["", *arguments], arguments, strict=False):
        is_flag = word.startswith("-") or before in valued
        (flags if is_flag else names).append(word)
    return _known(names), flags


def _known(words: Iterable[str]) -> list[str]:
    """The words, each once.

    Raises:
        UserError: If one is no experiment.
    """
    words, known = list(dict.fromkeys(words)), config.names(ROOT)
    for word in words:
        if word not in known:
            hint = suggestion(word, [*known, *COMMANDS])
            raise UserError(
                f"{word} is not an experiment; known: {', '.join(known)}{hint} (./run help lists "
                "the subcommands)"
            )
    return words


def become(command: Sequence[str]) -> NoReturn:
    """Replace this process, so that the program gets signals and sets the exit status."""
    sys.stdout.flush()
    os.execv(command[0], list(command))


def test(arguments: Sequence[str]) -> NoReturn:
    """``test [--fast | --faults | --deep] [pytest's arguments]``."""
    rest = [word for word in arguments if word not in {"--fast", "--faults", "--deep"}]
    options = [word for word in ("--faults", "--deep") if word in arguments]
    options += ["-m", "not slow"] if "--fast" in arguments else []
    if not any(Path(word.partition("::")[0]).exists() for word in rest):  # no file: all tests
        options += [FAULTS] if "--faults" in arguments else TWO_PROCESSES
    become([sys.executable, "-m", "pytest", *options, *rest])


def _module(name: str, *words: str) -> Callable[[Sequence[str]], NoReturn]:
    """A subcommand that is a module, with paths relative to the user's folder."""

    def run(arguments: Sequence[str]) -> NoReturn:
        os.chdir(os.environ.get("DASBENCH_CALLER_FOLDER", "."))
        become([sys.executable, "-m", name, *words, *arguments])

    return run


def docs(arguments: Sequence[str]) -> NoReturn:
    """``docs [--out FOLDER]``: the documentation as a site."""
    become([sys.executable, "-m", "dasbench.commands.site", *arguments])


def demo(arguments: Sequence[str]) -> int:
    """``demo [E]``: a first answer page, from the base model that the workflow trains."""
    from dasbench.commands import demo as demonstration

    args = demonstration.parser().parse_args(arguments)
    if args.experiment not in config.names(ROOT):
        raise UserError(
            f"{args.experiment} is no experiment; expected one of {', '.join(config.names(ROOT))}"
        )
    if status := running.run(["--", *demonstration.targets(args.experiment)]):
        return status
    become([sys.executable, "-m", "dasbench.commands.demo", *arguments])


def bench(arguments: Sequence[str]) -> NoReturn:
    """``bench [NAME...] [--repeats R] [--quick]``."""
    become([sys.executable, "-m", "benchmarks", *arguments])


def estimate(arguments: Sequence[str]) -> int:
    """``estimate [E | FILE...] [--gpu] [--tflops X]``: predicted jobs, hours and storage."""
    from dasbench.planning import estimate as page

    return page.main(arguments, ROOT)


def new_experiment(arguments: Sequence[str]) -> int:
    """``new-experiment NAME --images DIR``: an experiment file for the user's pictures."""
    from dasbench.commands import new_experiment as writing

    return writing.main(arguments, ROOT)


def save(arguments: Sequence[str]) -> int:
    """Record results in ``dvc.lock``.

    Raises:
        UserError: If results are incomplete, outdated or damaged.
    """
    names, flags = split(arguments)
    _refuse(flags)
    names = names or [DEFAULT]
    stages = remotes.stages(ROOT, names)
    runlock.hold(ROOT)
    _need_empty_plan(names)
    absent = remotes.missing(ROOT, names)
    if absent:
        raise UserError(
            f"{absent[0]} is recorded, but not here; `./run pull {' '.join(names)}` fetches what a "
            "partial pull left out"
        )
    _record()
    if provenance.tell(provenance.verify(ROOT, names)):
        raise UserError("nothing was recorded, because results are damaged; see above")
    remotes.commit(stages)
    print(f"recorded {len(stages)} stages in dvc.lock; `git commit` it, share with `./run push`")
    return 0


def push(arguments: Sequence[str]) -> int:
    """Send recorded results to the remote; flags go to ``dvc push``."""
    names, flags = split(arguments, _VALUED)
    return _left_out(remotes.push(ROOT, names, flags), names)


def pull(arguments: Sequence[str]) -> int:
    """Fetch recorded results from the remote, or from a bundle; flags go to ``dvc pull``."""
    parser = argparse.ArgumentParser(prog="./run pull", add_help=False, allow_abbrev=False)
    parser.add_argument("--bundle", type=_from_caller)
    parser.add_argument("--only", action="append", default=[])
    args, rest = parser.parse_known_args(arguments)
    names, flags = split(rest, _VALUED)
    runlock.hold(ROOT)
    if args.bundle is None:
        absent = remotes.pull(ROOT, names, args.only, flags)
        index_page.write(ROOT)
        return _left_out(absent, names)
    force = "--force" in flags or "-f" in flags
    _refuse([flag for flag in flags if flag not in {"--force", "-f"}])
    _refuse(["--only beside --bundle"] if args.only else [])
    if not args.bundle.is_file():
        raise UserError(f"{args.bundle} does not exist; expected a file made by ./run bundle")
    before = _runtimes()
    print(f"{bundle.unpack(ROOT, args.bundle, force)} outputs unpacked")
    _draw_costs(before)
    return 0


def _left_out(sentences: Sequence[str], names: Sequence[str]) -> int:
    """Print what was not transferred; the status is 1 if an experiment of the user lacks it."""
    for sentence in sentences:
        print(f"run: {sentence}", file=sys.stderr)
    return 1 if sentences and names else 0


def verify(arguments: Sequence[str]) -> int:
    """Hash all results again; with ``--tolerance`` compare the LDS with the reference instead."""
    names, flags = split(arguments)
    _refuse([flag for flag in flags if flag != "--tolerance"])
    if not flags:
        # a killed run has not recorded its outputs
        runlock.hold(ROOT)
        _record(complete=False)
        known = records.partitions(ROOT)
        for name in names or ([] if known else [DEFAULT]):
            if f"results/{name}" not in known:
                raise UserError(
                    f"nothing is recorded for {name}; make it with ./run {name} or fetch it with "
                    "./run pull"
                )
        return provenance.tell(provenance.verify(ROOT, names or None))
    from dasbench.reports import reference

    problems = [p for name in names or [DEFAULT] for p in reference.verify(ROOT, name)]
    print("\n".join([*problems, f"{len(problems)} numbers outside the reference's intervals"]))
    return 1 if problems else 0


def prune(arguments: Sequence[str]) -> int:
    """List or delete outputs that the workflow no longer makes."""
    names, flags = split(arguments)
    yes = "--yes" in flags
    _refuse([flag for flag in flags if flag != "--yes"])
    if yes:
        runlock.hold(ROOT)
    targets = _with_phases(_with_children(names) if names else config.names(ROOT))
    summary = _capture([*SNAKEMAKE, "--summary", "--", *targets], errors=False)
    outputs = {line.split("\t")[0] for line in summary.splitlines()[1:]}
    stale = provenance.prune(ROOT, outputs, names or None, yes)
    for output in stale:
        print(output)
    if stale and not yes:
        print(f"{len(stale)} outputs that nothing makes any more; --yes deletes them")
    else:
        print(f"{len(stale)} outputs deleted" if stale else "nothing to prune")
    return 0


def pack(arguments: Sequence[str]) -> int:
    """``bundle E [--output F]``."""
    parser = argparse.ArgumentParser(prog="./run bundle", allow_abbrev=False)
    parser.add_argument("experiment", nargs="?", default=DEFAULT)
    parser.add_argument("--output", type=_from_caller)
    args = parser.parse_args(arguments)
    split([args.experiment])
    runlock.hold(ROOT)
    _record()
    target = args.output or _from_caller(f"{args.experiment}.tar")
    count = bundle.create(ROOT, args.experiment, target)
    print(
        f"{count} outputs in {target}; `./run pull --bundle {shlex.quote(str(target))}` unpacks it"
    )
    return 0


def export(arguments: Sequence[str]) -> int:
    """``export E [--out DIR]``: the base model and the scores as a folder to publish."""
    parser = argparse.ArgumentParser(prog="./run export", allow_abbrev=False)
    parser.add_argument("experiment", nargs="?", default=DEFAULT)
    parser.add_argument("--out", type=_from_caller)
    args = parser.parse_args(arguments)
    split([args.experiment])
    runlock.hold(ROOT)
    _need_empty_plan([args.experiment])
    from dasbench.reports import export as exporting

    target = args.out or _from_caller(f"{args.experiment}-export")
    count = exporting.create(ROOT, args.experiment, target)
    print(f"{count} files in {target}; its README.md is the model card")
    return 0


def _need_empty_plan(names: Sequence[str]) -> None:
    if NOTHING not in _capture([*SNAKEMAKE, "--dry-run", "--", *names]):
        raise UserError(
            f"{' and '.join(names)} not complete or not up to date; `./run {' '.join(names)}` first"
        )


def _record(complete: bool = True) -> None:
    """Record new outputs and their costs. Hold the lock during the call."""
    before = _runtimes()
    provenance.save(ROOT)
    _draw_costs(before, complete)


def _runtimes() -> dict[Path, bytes]:
    """Content of the runtimes.json of every experiment."""
    files = [ROOT / folder / records.RUNTIMES for folder in records.partitions(ROOT)]
    shown = [file for file in files if file.parts[-3] == "results" and file.is_file()]
    return {file: file.read_bytes() for file in shown}


def _draw_costs(before: dict[Path, bytes], complete: bool = True) -> None:
    """Write the pages that no job makes: costs, and the index of all experiments.

    Outdated pages are written again; with ``complete``, missing pages of costs, too.
    """
    for file, content in _runtimes().items():
        folder = file.parent
        if content == before.get(file) and not (complete and cost_page.missing(folder)):
            continue
        entries, times = records.load(ROOT, folder.relative_to(ROOT).as_posix())
        cost_page.write(folder, folder.name, {o: _names(e) for o, e in entries.items()}, times)
    index_page.write(ROOT)


def _names(entry: dict[str, Any]) -> dict[str, Any]:
    """Rule and log of an entry as texts; an entry from somebody else may hold other types."""
    log = entry["log"] if isinstance(entry["log"], list) else []
    return {"rule": str(entry["rule"]), "log": [str(name) for name in log]}


def _from_caller(path: str) -> Path:
    """A path relative to the user's folder."""
    return Path(os.environ.get("DASBENCH_CALLER_FOLDER", "."), path)


def _refuse(flags: Iterable[str]) -> None:
    for flag in flags:
        raise UserError(f"{flag} is not understood here; see ./run help")


def _capture(command: Sequence[str], errors: bool = True) -> str:
    """Output of Snakemake, with ``errors`` including its messages (standard error)."""
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise UserError(
            f"Snakemake cannot plan: {process.stderr.strip() or process.stdout.strip()}"
        )
    return process.stdout + (process.stderr if errors else "")


def _with_children(names: Sequence[str]) -> list[str]:
    """These experiments, and all that use their results."""
    known = config.names(ROOT)
    chains = {name: {e["name"] for e in remotes.with_parents(ROOT, name)} for name in known}
    return [name for name, chain in chains.items() if chain & set(names)]


def _with_phases(names: Iterable[str]) -> list[str]:
    """Targets for all files of these experiments; a run without targets makes no studies."""
    experiments = resolved.load_all(ROOT)  # all: outputs of a broken file would seem stale
    parts = {name: phases.phase_files(experiments[name], experiments) for name in names}
    return [*parts, *(f"{phase}_{name}" for name, files in parts.items() for phase in files)]


# every name of dasbench.core.subcommands except `help`, which ./run answers itself
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "test": test,
    "save": save,
    "push": push,
    "pull": pull,
    "verify": verify,
    "prune": prune,
    "bundle": pack,
    "export": export,
    "attribute": _module("dasbench.commands.attribute"),
    "index": _module("dasbench", "index"),
    "ask": _module("dasbench", "ask"),
    "demo": demo,
    "bench": bench,
    "estimate": estimate,
    "new-experiment": new_experiment,
    "judge": _module("dasbench.commands.judge"),
    "docs": docs,
}

if __name__ == "__main__":
    sys.exit(main())
