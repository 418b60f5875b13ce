"""``./run`` makes its environment once, follows the lock, repairs what broke; no pip is called."""

import shutil
import subprocess
import sys

import pytest

from launcher import ROOT, start, stood_in, usual_tools


@pytest.fixture
def repository(tmp_path):
    return stood_in(tmp_path)


@pytest.fixture
def tools(tmp_path):
    return usual_tools(tmp_path)


@pytest.fixture
def fake_venv(repository, tools):
    """A Python 3.11 whose ``-m venv`` and ``-m pip`` only note that they were called."""
    python = tools / "python3.11"
    python.write_text(
        f"""#!/bin/sh
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo venv >> {repository}/calls ;;
  "-m pip install "*) echo pip >> {repository}/calls; sleep 0.3; test ! -e {repository}/broken ;;
  "-m pip "*) ;;
  *) exec {sys.executable} "$@" ;;
esac
"""
    )
    python.chmod(0o755)
    for tool in ("mkdir", "cp", "sleep", "test", "echo"):
        (tools / tool).symlink_to(shutil.which(tool))
    # dasbench.commands.environment starts sys.executable, so let it be the stand-in
    (repository / "src/sitecustomize.py").write_text(
        f"import sys; sys.executable = {str(python)!r}"
    )
    return tools


def calls(repository):
    return (repository / "calls").read_text().split()


def test_uv_installs_and_compiles_where_it_is(repository, fake_venv):
    """Without bytecode each command would compile all that it imports, if it may write none."""
    uv = fake_venv / "uv"
    uv.write_text(
        f"""#!/bin/sh
echo "uv $*" >> {repository}/uv-calls
if test "$1" = venv; then mkdir -p .venv/bin && cp {fake_venv}/python3.11 .venv/bin/python; fi
"""
    )
    uv.chmod(0o755)
    make_environment(repository, fake_venv)
    assert (repository / ".venv/.done").is_file()
    assert not (repository / "calls").exists()  # neither venv nor pip
    made, installed = (repository / "uv-calls").read_text().splitlines()
    assert made.startswith("uv venv ")
    assert installed.startswith("uv pip install --no-deps --compile-bytecode --python ")


def make_environment(repository, tools):
    return start(repository, "help-me", path=tools)


def test_environment_is_made_once(repository, fake_venv):
    first = make_environment(repository, fake_venv)
    assert "making .venv from requirements.lock" in first.stderr
    assert calls(repository) == ["venv", "pip"]
    second = make_environment(repository, fake_venv)
    assert "making" not in second.stderr
    assert calls(repository) == ["venv", "pip"]


def test_environment_follows_the_lock(repository, fake_venv):
    make_environment(repository, fake_venv)
    with (repository / "requirements.lock").open("a") as lock:
        lock.write("new==1\n")
    make_environment(repository, fake_venv)
    assert calls(repository) == ["venv", "pip", "pip"]


def test_broken_environment_is_repaired(repository, fake_venv):
    (repository / "broken").touch()
    done = make_environment(repository, fake_venv)
    assert done.returncode == 1
    assert "could not be installed" in done.stderr
    (repository / "broken").unlink()
    make_environment(repository, fake_venv)
    assert calls(repository) == ["venv", "pip", "pip"]
    (repository / ".venv/.done").unlink()
    (repository / ".venv/bin/python").unlink()
    make_environment(repository, fake_venv)
    assert calls(repository) == ["venv", "pip", "pip", "venv", "pip"]


def test_two_runs_make_one_environment(repository, fake_venv):
    command = [str(repository / "run"), "help-me"]
    environment = {"PATH": str(fake_venv), "HOME": str(repository)}
    both = [
        subprocess.Popen(command, env=environment, cwd=repository, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        process.communicate(timeout=60)
    assert calls(repository) == ["venv", "pip"]


def test_a_checkout_with_other_line_ends_starts(repository, tmp_path):
    """Git with ``core.autocrlf``, usual on Windows, would give bash a script that it refuses."""
    shutil.copy(ROOT / ".gitattributes", repository)
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for words in (["init", "-q"], ["add", "run", ".gitattributes"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "-q", "-c", "core.autocrlf=true", repository, clone], check=True
    )
    assert b"\r" not in (clone / "run").read_bytes()
    shown = subprocess.run([clone / "run", "help"], capture_output=True, text=True, check=True)
    assert "./run help" in shown.stdout
