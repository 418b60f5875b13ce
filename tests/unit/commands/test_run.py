"""What ``./run`` says and calls; Snakemake, DVC and pip are stand-ins that print arguments."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dasbench.experiments import config
from dasbench.sharing import remotes
from launcher import ROOT, STAND_IN, active, start, stood_in, usual_tools

TWO_PROCESSES = "-n 2 --dist loadgroup --no-loadscope-reorder"
# a plan of one job of the experiment that is named last
PLANNER = """\
import json, sys
print(json.dumps({"rule": "score", "wildcards": {"experiment": sys.argv[-1]}}))
"""


@pytest.fixture
def repository(tmp_path):
    return stood_in(tmp_path)


@pytest.fixture
def tools(tmp_path):
    return usual_tools(tmp_path)


def only_line(text):
    (line,) = text.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        ([], "snakemake --logger dasbench -- digits"),
        (["smoke"], "snakemake --logger dasbench -- smoke"),
        (["-n"], "snakemake --logger dasbench -n -- digits"),
        (["-n", "-p"], "snakemake -n -p -- digits"),
        (["-np", "smoke"], "snakemake -np -- smoke"),
        (["--cores", "1", "smoke"], "snakemake --logger dasbench --cores 1 -- smoke"),
        (["-k", "smoke", "-j1"], "snakemake --logger dasbench -k -j1 -- smoke"),
        (["-q", "rules", "smoke"], "snakemake -q rules -- smoke"),
        (["--logger", "x", "smoke"], "snakemake --logger x -- smoke"),
        (["--forcerun", "smoke"], "snakemake --logger dasbench --forcerun smoke -- digits"),
        (["digits", "--summary"], "snakemake --summary -- digits"),
        (["smoke", "digits", "-j1"], "snakemake --logger dasbench -j1 -- smoke digits"),
        (["smoke", "--forcerun", "x"], "snakemake --logger dasbench --forcerun x -- smoke"),
        (["smoke", "--verbose"], "snakemake --verbose -- smoke"),
        (["--logger", "other"], "snakemake --logger other -- digits"),
        (["--quiet=rules"], "snakemake --quiet=rules -- digits"),
        (["-n", "--", "lds_smoke"], "snakemake --logger dasbench -n -- lds_smoke"),
        (["test", "src", "-x"], "pytest src -x"),
        (
            ["test", "src/dasbench/commands/cli.py::test"],
            "pytest src/dasbench/commands/cli.py::test",
        ),
        (["test"], f"pytest {TWO_PROCESSES}"),
        (["test", "--fast", "-x"], f"pytest -m not slow {TWO_PROCESSES} -x"),
        (["test", "--deep"], f"pytest --deep {TWO_PROCESSES}"),
        (["bench", "features", "--quick"], "benchmarks features --quick"),
        (["test", "--faults"], "pytest --faults tests/faults"),
        (["test", "--faults", "src"], "pytest --faults src"),
    ],
)
def test_what_is_called(repository, arguments, called):
    done = active(repository, *arguments)
    assert (done.stdout.strip(), done.stderr) == (called, "")


@pytest.mark.parametrize("flag", ["-n", "--dry-run"])
def test_to_plan_may_stand_before_the_experiments(repository, flag):
    shown = active(repository, flag, "smoke", "--cores", "1").stdout.strip()
    called = f"snakemake --logger dasbench {flag}"
    assert shown == f"{called} --cores 1 -- smoke"
    assert active(repository, flag).stdout.strip() == f"{called} -- digits"
    assert active(repository, flag, "--cores", "1").stdout.strip().endswith("-- digits")
    assert "smok is not an experiment" in active(repository, flag, "smok").stderr


def test_works_from_another_folder(repository, tmp_path):
    done = start(repository, "smoke", folder=tmp_path, DAS_ENV="active")
    assert done.stdout.strip() == "snakemake --logger dasbench -- smoke"


def test_status_is_snakemakes(repository):
    (repository / "src/snakemake.py").write_text("raise SystemExit(7)")
    assert active(repository).returncode == 7


def test_default_profile_can_be_replaced(repository):
    show = "import os; print(os.environ['SNAKEMAKE_PROFILE'])"
    (repository / "src/snakemake.py").write_text(show)
    assert active(repository).stdout == "profiles/default\n"
    assert active(repository, SNAKEMAKE_PROFILE="mine").stdout == "mine\n"


def test_unknown_experiment_lists_the_known_ones(repository):
    done = active(repository, "smok")
    line = only_line(done.stderr)
    assert "smok is not an experiment; known: " in line
    assert "digits" in line
    assert "did you mean smoke?" in line
    assert (done.returncode, done.stdout) == (1, "")


def test_a_broken_experiment_file_is_told_before_snakemake_starts(repository):
    file = repository / "config/experiments/smoke.yaml"
    file.write_text(file.read_text().replace("epochs: 2", "epoch: 2"))
    (repository / "reference").mkdir()
    shutil.copy(ROOT / "reference/rates.json", repository / "reference")
    for words in (["smoke"], ["estimate", "smoke"]):
        done = active(repository, *words)
        told = done.stderr.splitlines()
        beginning = "run: config/experiments/smoke.yaml: training.ep"
        assert all(line.startswith(beginning) for line in told)
        assert len(told) == 2  # one is unknown, the other is missing
        assert (done.returncode, done.stdout) == (1, "")
    assert active(repository, "digits").returncode == 0


def test_help_needs_no_environment(repository, tools):
    done = start(repository, "help", path=tools)
    assert done.returncode == 0
    assert "./run help" in done.stdout
    assert "set -e" not in done.stdout


def test_no_python_is_one_sentence(repository, tools):
    done = start(repository, path=tools)
    assert done.returncode == 1
    assert "Python 3.11 was not found" in only_line(done.stderr)
    assert not (repository / ".venv").exists()


def test_another_python_is_not_used(repository, tools):
    other = tools / "python3"
    other.write_text("#!/bin/sh\nexit 1\n")  # what the check of the version gives
    other.chmod(0o755)
    assert "Python 3.11 was not found" in only_line(start(repository, path=tools).stderr)
    done = start(repository, path=tools, PYTHON=str(other))
    assert f"looked for {other}" in only_line(done.stderr)


def test_das_env_is_checked(repository, tools):
    done = start(repository, DAS_ENV="conda")
    assert only_line(done.stderr) == "run: DAS_ENV is conda; expected active, or nothing"
    done = start(repository, path=tools, DAS_ENV="active")
    assert "no python is on PATH" in only_line(done.stderr)
    other = tools / "python"
    other.write_text("#!/bin/sh\nexit 1\n")  # what the check of the version gives
    other.chmod(0o755)
    done = start(repository, path=tools, DAS_ENV="active")
    assert f"{other} is not Python 3.11" in only_line(done.stderr)
    assert done.returncode == 1


def test_an_active_environment_without_packages_is_named(repository, tools):
    """Also one that has some of them, such as that of another project."""
    bare = tools / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    bare.chmod(0o755)
    done = start(repository, path=tools, DAS_ENV="active")
    line = only_line(done.stderr)
    assert f"the active environment ({bare}) lacks " in line
    assert "yaml" in line
    assert "pip install --no-deps -r requirements.lock" in line
    assert "conda env update -f environment.yml" in line
    assert done.returncode == 1
    assert "lacks" not in active(repository, "-n").stderr


def test_the_display_knows_what_was_typed(repository):
    show = "import os; print(os.environ.get('DASBENCH_COMMAND'))"
    (repository / "src/snakemake.py").write_text(show)
    assert active(repository, "smoke", "--forcerun", "a b").stdout == (
        "./run smoke --forcerun 'a b'\n"
    )
    assert active(repository, "smoke", "-n").stdout == "./run smoke\n"
    assert active(repository, "-n", "smoke", "-k").stdout == "./run smoke -k\n"
    assert active(repository, "-n", "--", "lds_smoke").stdout == "./run -- lds_smoke\n"


def test_estimate_is_answered_here(repository):
    (repository / "reference").mkdir()
    shutil.copy(ROOT / "reference/rates.json", repository / "reference")
    (repository / "src/snakemake.py").write_text(PLANNER)
    done = active(repository, "estimate", "smoke")
    assert done.stdout.startswith("`smoke`: **1 jobs**")
    assert only_line(active(repository, "estimate", "smok").stderr).startswith("run: smok is not")


def test_a_reader_may_leave_early(repository):
    (repository / "reference").mkdir()
    shutil.copy(ROOT / "reference/rates.json", repository / "reference")
    (repository / "src/snakemake.py").write_text(PLANNER)
    reader, writer = os.pipe()
    os.close(reader)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DAS_ENV": "active",
    }
    command = [repository / "run", "estimate", "smoke"]
    done = subprocess.run(
        command, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_second_run_is_told(repository):
    (repository / "src/snakemake.py").write_text(
        "import sys; print('up', flush=True); sys.stdin.read()"
    )
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DAS_ENV": "active",
    }
    first = subprocess.Popen(
        [str(repository / "run")],
        env=environment,
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert first.stdout.readline() == b"up\n"
    (repository / ".snakemake/locks").mkdir()
    (repository / "src/snakemake.py").write_text(STAND_IN.format(name="snakemake"))
    second = active(repository)
    assert only_line(second.stderr) == (
        f"run: another run is under way here (process {first.pid}); wait until it has ended, or "
        "stop it"
    )
    assert (repository / ".snakemake/locks").exists()
    assert active(repository, "-n").returncode == 0
    assert active(repository, "-np").returncode == 0
    first.kill()
    first.wait()
    first.stdin.close()
    first.stdout.close()
    assert active(repository).returncode == 0
    assert not (repository / ".snakemake/locks").exists()


def test_lock_survives_becoming_snakemake(repository):
    """The workflow asks for the lock again, in the process that ``./run`` turned into."""
    (repository / "src/snakemake.py").write_text(
        "from dasbench.sharing import runlock\nrunlock.hold('.')\nprint('held')"
    )
    assert active(repository).stdout == "held\n"


def test_save_wants_an_empty_plan(repository):
    done = active(repository, "save", "smoke")
    assert only_line(done.stderr) == (
        "run: smoke not complete or not up to date; `./run smoke` first"
    )
    assert not (repository / "dvc.lock").exists()


def test_save_wants_a_recorded_experiment(repository):
    shutil.copy(
        repository / "config/experiments/smoke.yaml", repository / "config/experiments/mine.yaml"
    )
    done = active(repository, "save", "mine")
    assert "mine is not recorded (smoke, digits, fashion, emoji, digits_moved are)" in only_line(
        done.stderr
    )


def test_stages_of_an_experiment(repository, monkeypatch):
    monkeypatch.chdir(repository)
    stages = remotes.stages(ROOT, ["smoke"])
    assert "pool@digits" in stages
    unrecorded = {"tuning", "effects", "costs", "replicates"}  # of studies, which have no stages
    assert {stage.partition("@")[0] for stage in stages} == set(config.PHASES) - unrecorded
    assert all(stage.endswith("@smoke") for stage in stages if stage != "pool@digits")


def stages():
    """Bodies of the stages in dvc.yaml: name -> (deps, params, outs)."""
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    for name, group in content["stages"].items():
        body = group["do"]
        params = [p for file in body.get("params", []) for p in next(iter(file.values())) or ["*"]]
        outs = [next(iter(out)) for out in [*body["outs"], *body.get("metrics", [])]]
        yield name, (body["deps"], params, outs)


def test_dvc_knows_what_each_stage_depends_on():
    """So that ``dvc repro`` never skips a stage that Snakemake would run."""
    known = dict(stages())
    outs = {out.replace("${item}", "X") for _, _, made in known.values() for out in made}
    for name, (deps, _, _) in known.items():
        assert {"src/dasbench", "scripts", "workflow"} <= set(deps), name
        for dep in deps[3:]:
            assert dep.replace("data/${item}", "data/X") in outs, f"{name}: nothing makes {dep}"
    inputs = {
        name: {dep.split("}/")[-1] for dep in deps[3:]} for name, (deps, _, _) in known.items()
    }
    assert inputs["examples"] == {"pool.npz"}
    assert {"examples", "queries", "masks", "outputs"} <= inputs["scores"] & inputs["lds"]
    assert "card.json" in inputs["report"]
    params = {name: set(params) for name, (_, params, _) in known.items()}
    assert {"seed", "methods", "features", "damping"} <= params["scores"] & params["lds"]
    assert {"outputs", "queries", "lds"} <= params["removal"]
    assert params["report"] == {"*"}


def test_dvc_knows_the_dataset_of_each_experiment():
    recorded, pools = yaml.safe_load((ROOT / "dvc.yaml").read_text())["vars"][0].values()
    for name, dataset in recorded.items():
        assert config.pool_name(config.load(name, ROOT)) == dataset
        assert dataset in pools


@pytest.mark.parametrize("name", ["smoke", "digits", "fashion", "emoji"])
def test_an_experiment_has_what_its_stages_store(name):
    """``dvc commit`` refuses a stage whose params or outs are not there."""
    written = yaml.safe_load((ROOT / f"config/experiments/{name}.yaml").read_text())
    params = {key for _, keys, _ in dict(stages()).values() for key in keys} - {"*"}
    assert params <= set(written)
    experiment = config.load(name, ROOT)
    assert experiment["removal"]["methods"]
    assert any("computed" in options for options in config.methods(experiment).values())


def test_pull_of_what_was_never_saved(repository):
    (repository / "src/dvc.py").write_text("print('store')")
    done = active(repository, "pull", "smoke")
    assert "no results of smoke are recorded in dvc.lock" in only_line(done.stderr)


@pytest.mark.parametrize(
    ("command", "remedy"), [("pull", "./run smoke"), ("push", "dvc remote add")]
)
def test_no_remote_is_said(repository, command, remedy):
    (repository / "src/dvc.py").write_text("raise SystemExit(251)")
    (repository / "dvc.lock").write_text(json.dumps({"stages": {"report@smoke": {"outs": []}}}))
    done = active(repository, command, "smoke")
    assert "no DVC remote is set" in only_line(done.stderr)
    assert remedy in done.stderr


def test_experiments_may_stand_after_flags(repository):
    """The words that follow are those of a user who thinks of the flag first."""
    assert "nothing is recorded for smok" not in active(repository, "verify", "smok").stderr
    for words in (["verify", "--tolerance", "smok"], ["prune", "--yes", "smok"]):
        assert "smok is not an experiment" in only_line(active(repository, *words).stderr)
    (repository / "dvc.lock").write_text(json.dumps({"stages": {"report@smoke": {"outs": []}}}))
    (repository / "src/dvc.py").write_text("print('remote.there.url=/there')")
    for command in ("push", "pull"):
        done = active(repository, command, "-r", "store", "-j", "2", "smoke")
        assert "store is no DVC remote; known: there" in only_line(done.stderr)
        assert "digits" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on(repository, number):
    (repository / "src/snakemake.py").write_text(
        "import subprocess, time\n"
        "job = subprocess.Popen(['sleep', '1000'])\n"
        "try:\n    print(job.pid, flush=True)\n    time.sleep(1000)\n"
        "finally:\n    print('ended by', -job.wait())\n"
    )
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.Popen(
        [str(repository / "run"), "smoke", "-k"],
        env=environment | {"DAS_ENV": "active"},
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run.stdout.readline()
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert (out, err) == (
        f"ended by {signal.SIGTERM.value}\n",
        "run: stopped; `./run smoke -k` goes on from here\n",
    )
    assert run.returncode == 128 + number


@pytest.mark.parametrize("command", ["save", "verify", "prune"])
def test_flags_that_mean_nothing_are_refused(repository, command):
    done = active(repository, command, "--what")
    assert "--what is not understood here" in only_line(done.stderr)
