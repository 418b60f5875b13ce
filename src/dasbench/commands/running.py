"""``./run [E...] [flags]``: run Snakemake in this process.

Snakemake gets its flags first, then ``--`` and the experiments: ``--forcerun x smoke`` would take
``smoke`` as another rule to run. The process holds the lock of the run, and handles its signals.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from dasbench.core.yaml_schema import suggestion
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.planning import preflight
from dasbench.sharing import disk_space, remotes, runlock, stopping

DEFAULT = "digits"

# flags with which Snakemake runs no job, so that they are allowed during a run
DRY = frozenset({"--dry-run", "--dryrun"})
PLANNING = DRY | frozenset(
    "--summary -S --detailed-summary -D --dag --rulegraph --filegraph --d3dag"
    " --list -l --list-rules --list-target-rules --lint --help -h --version -v".split()
)
# flags with which the user gets Snakemake's messages
SPOKEN = frozenset("--logger --verbose --printshellcmds -p --debug-dag --quiet -q".split())
# flags that no experiment can be a value of
_WITHOUT_NAMES = (
    PLANNING
    | SPOKEN - {"--logger"}
    | frozenset(
        "-c --cores -j --jobs --local-cores -f --force -F --forceall -k --keep-going -t --touch"
        " --keep-incomplete --unlock --nolock --rerun-incomplete --ri --ignore-incomplete --ii"
        " --notemp --nt --no-hooks --nocolor --show-failed-logs --debug".split()
    )
)
# flags whose values may be any number of names
_WITH_NAMES = frozenset(
    "--forcerun -R --until -U --omit-from -O --allowed-rules --target-jobs --config -C --configfile"
    " --configfiles --prioritize -P --consider-ancient --resources --res --default-resources"
    " --default-res --set-threads --set-resources --set-scatter --rerun-triggers --quiet-rules"
    " --cleanup-metadata --cm --wrapper-prefix --envvars --conda-cleanup-pkgs --batch".split()
)
_LETTERS = re.compile(r"-[nprFkft]+")


def arrange(
    arguments: Sequence[str], subcommands: Iterable[str] = ()
) -> tuple[list[str], list[str]]:
    """Split the words of a run into experiments and flags of Snakemake, with their values.

    Experiments stand first, or after any flag that does not take names itself.

    Args:
        arguments: The words.
        subcommands: Names for the hint at a misspelled word.

    Raises:
        UserError: If a word that must be an experiment is none.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    known = config.names(Path())
    names: list[str] = []
    flags: list[str] = []
    flag, values = "", 0
    for word in arguments[:end]:
        if word.startswith("-"):
            flag, values = word, 0
            flags.append(word)
            continue
        if _is_target(flag, values, word in known):
            names.append(word)
            if word not in known:
                hint = suggestion(word, [*known, *subcommands])
                raise UserError(
                    f"{word} is not an experiment; known: {', '.join(known)}{hint} (./run help "
                    "lists the subcommands)"
                )
        else:
            flags.append(word)
        values += 1
    return list(dict.fromkeys(names)), [*flags, *arguments[end:]]


def _is_target(flag: str, values: int, is_experiment: bool) -> bool:
    """Whether a word is a target.

    Args:
        flag: The last flag before the word; empty if there is none.
        values: Number of words between the two.
        is_experiment: Whether an experiment has this name.
    """
    if not flag or _is_dry(flag):
        return True
    if flag in _WITH_NAMES or not is_experiment:
        return False
    alone = flag in _WITHOUT_NAMES or "=" in flag or re.fullmatch(r"-[a-zA-Z]+\d*", flag)
    return bool(alone) or values > 0


def _is_dry(flag: str) -> bool:
    return flag in DRY or bool(_LETTERS.fullmatch(flag) and "n" in flag)


def run(arguments: Sequence[str], subcommands: Iterable[str] = ()) -> int:
    """Run ``snakemake <flags> -- <experiments>``; returns the exit status.

    Raises:
        UserError: If an experiment file is broken, the disk is full or read-only, or another run is
            under way.
    """
    names, flags = arrange(arguments, subcommands)
    need_sound([*names, *flags[flags.index("--") + 1 :]] if "--" in flags else names or [DEFAULT])
    if "--" in flags:
        targets = names  # the flags already end in targets of the user
    else:
        names = names or [DEFAULT]
        targets = ["--", *names]
    own = [flag for flag in flags if not _is_dry(flag)]
    os.environ["DASBENCH_COMMAND"] = again = shlex.join(
        ["./run", *arguments]
        if own == flags
        else ["./run", *(names if "--" not in own else ()), *own]
    )
    if not any(flag in PLANNING or _is_dry(flag) for flag in flags):
        if shortage := disk_space.shortage(Path()):
            raise UserError(shortage)
        runlock.hold(Path())
        _need_writable(names)
    spoken = any(
        flag.partition("=")[0] in SPOKEN or re.fullmatch(r"-\w*p\w*", flag) for flag in flags
    )
    answers = any(flag in PLANNING - DRY for flag in flags)  # Snakemake prints something else
    display = [] if spoken or answers else ["--logger", "dasbench"]
    return snakemake([*display, *flags, *targets], again)


def need_sound(targets: Iterable[str]) -> None:
    """Check the files of all experiments that targets belong to; Snakemake would hide a sentence.

    Args:
        targets: Experiments, or any targets of Snakemake.

    Raises:
        UserError: If such a file is broken, or a check of ``dasbench.planning.preflight`` fails.
    """
    asked = [name for name in config.names(Path()) if any(_is_of(t, name) for t in targets)]
    experiments: dict[str, config.Experiment] = {}
    for name in asked:
        for experiment in remotes.with_parents(Path(), name):
            experiments[experiment["name"]] = experiment
    preflight.check(experiments.values(), Path())


def _is_of(target: str, name: str) -> bool:
    """Whether a target is an experiment, a phase of it, or a file of it."""
    return target == name or target.endswith(f"_{name}") or f"results/{name}/" in target


def snakemake(arguments: Sequence[str], again: str) -> int:
    """Run Snakemake in this process.

    Args:
        arguments: Its words.
        again: The command of the user, for the message after Ctrl-C.
    """
    sys.stdout.flush()
    sys.argv = ["snakemake", *arguments]
    status: object = 0
    try:
        runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        pass
    if number := stopping.received():
        print(f"run: {stopping.sentence(again)}", file=sys.stderr, flush=True)
        return 128 + number
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
        return 1
    return status or 0


def _need_writable(names: Iterable[str]) -> None:
    """Refuse a read-only folder: Snakemake would end with a traceback in it."""
    for name in names:
        candidates = (Path("results") / name, Path("results"), Path())
        folder = next(folder for folder in candidates if folder.is_dir())
        if not os.access(folder, os.W_OK):
            raise UserError(
                f"{folder} may not be written to, and a run needs that: mend its permissions, or "
                "clone the repository elsewhere"
            )
