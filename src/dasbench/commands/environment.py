"""Make ``.venv`` from ``requirements.lock``; ``./run`` calls this when the two do not match.

The module runs under the user's Python 3.11 without any package: standard library only. At the end
it copies the lock to ``.venv/.done``. If the copy is missing or differs, the environment was
interrupted or its lock has changed, and packages are installed in place. If its Python is broken,
it is made again. A file lock keeps two ``./run`` from making it at once.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dasbench.errors import UserError

LOCK, FOLDER, DONE = "requirements.lock", ".venv", ".done"


def make(root: Path) -> None:
    """Bring ``root/.venv`` in step with ``root/requirements.lock``.

    Raises:
        UserError: If a tool is missing or packages cannot be installed.
    """
    with (root / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another ./run is making the environment; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock_bytes = lock.read()
        done = root / FOLDER / DONE
        if done.is_file() and done.read_bytes() == lock_bytes:
            return
        done.unlink(missing_ok=True)
        say(
            f"making {FOLDER} from {LOCK}; the first time this downloads packages and takes minutes"
        )
        uv = shutil.which("uv")
        if not _works(root / FOLDER):
            shutil.rmtree(root / FOLDER, ignore_errors=True)
            _create(root / FOLDER, uv)
        _install(root, uv)
        done.write_bytes(lock_bytes)


def say(sentence: str) -> None:
    """Print a sentence to standard error, because standard output belongs to the commands."""
    print(f"run: {sentence}", file=sys.stderr, flush=True)


def _works(folder: Path) -> bool:
    """Whether the environment's Python starts, is 3.11, and can install packages."""
    check = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
    try:
        done = subprocess.run(
            [folder / "bin/python", "-c", check], capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def _create(folder: Path, uv: str | None) -> None:
    if uv and _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)]):
        return
    if any(importlib.util.find_spec(module) is None for module in ("venv", "ensurepip")):
        raise UserError(
            f"{sys.executable} has no module venv; install it (Debian and Ubuntu: apt install "
            "python3.11-venv), or install uv"
        )
    if not _run([sys.executable, "-m", "venv", str(folder)]):
        raise UserError(f"{sys.executable} -m venv {folder} failed; its message stands above")


def _install(root: Path, uv: str | None) -> None:
    python = str(root / FOLDER / "bin/python")
    # compiled here: where Python may write no bytecode, each start would compile all it imports
    install = ["install", "--no-deps", "--compile-bytecode", "--python", python]
    if uv and _run([uv, "pip", *install, "-r", str(root / LOCK)], _pip_settings()):
        return
    pip = [python, "-m", "pip"]
    if not _run([*pip, "--version"], quiet=True) and not _run(
        [python, "-m", "ensurepip"], quiet=True
    ):
        raise UserError(f"{python} has no pip; delete {FOLDER} and run the same command again")
    # the lock lists all dependencies; compileall below uses all cores, pip only one
    install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    if not _run([*pip, *install, "-r", str(root / LOCK)]):
        raise UserError(
            f"the packages of {LOCK} could not be installed; the reason stands above; ./run tries "
            "again from where it stopped"
        )
    _run([python, "-m", "compileall", "-q", "-j", "0", str(root / FOLDER / "lib")], quiet=True)


def _pip_settings() -> dict[str, str]:
    """The user's package sources of pip as settings of uv, which does not read pip's."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    words = {"find-links": "UV_FIND_LINKS", "index-url": "UV_DEFAULT_INDEX"}
    settings = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        variable = words.get(name.rpartition(".")[2])
        if variable and variable not in os.environ:
            settings[variable] = ",".join(value.strip("'\"").split())
    return settings


def _run(command: Sequence[str], extra: dict[str, str] | None = None, quiet: bool = False) -> bool:
    """Run a command; its output goes to standard error. True if it succeeded."""
    output = subprocess.DEVNULL if quiet else sys.stderr
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        command, stdout=output, stderr=output, env={**environment, **(extra or {})}, check=False
    )
    return done.returncode == 0


if __name__ == "__main__":
    try:
        make(Path.cwd())
    except (UserError, OSError) as error:
        sys.exit(f"run: {error}")
