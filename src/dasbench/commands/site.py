"""``./run docs``: build the documentation as a site, in ``site/``.

Sphinx and its theme are pinned in ``requirements-docs.lock``. They are installed without
dependencies in ``.docs/packages``, so that they change nothing of the environment. The site loads
nothing from the network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dasbench.core import script_main
from dasbench.errors import UserError

LOCK, FOLDER = "requirements-docs.lock", ".docs"


def build(root: Path, out: Path) -> None:
    """Build the site; a warning, such as a link into nowhere, is an error.

    Args:
        root: Folder of the repository.
        out: Folder of the site; files of an earlier build are replaced.

    Raises:
        UserError: If packages cannot be installed or a page has an error.
    """
    packages = installed(root)
    if (out / "searchindex.js").is_file():  # an earlier site: pages may have gone
        shutil.rmtree(out)
    # all pages are read anew, because warnings of pages that Sphinx keeps are not repeated
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    command += ["--fresh-env", "--write-all", "-d", str(root / FOLDER / "doctrees")]
    places = [str(packages), str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run([*command, str(root / "docs"), str(out)], env=variables, check=False)
    if done.returncode:
        raise UserError("the pages have the errors above; correct them and try again")


def installed(root: Path) -> Path:
    """The folder with Sphinx; it is made if ``requirements-docs.lock`` has changed.

    Raises:
        UserError: If packages cannot be installed.
    """
    packages, lock = root / FOLDER / "packages", root / LOCK
    done = packages / ".done"
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return packages
    shutil.rmtree(packages, ignore_errors=True)
    uv = shutil.which("uv")
    tool = [uv, "pip", "install", "--python", sys.executable]
    if uv is None:
        tool = [sys.executable, "-m", "pip", "install"]
    command = [*tool, "--quiet", "--no-deps", "--target", str(packages), "-r", str(lock)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        reason = (made.stderr.strip().splitlines() or [""])[-1]
        raise UserError(
            f"the packages of {LOCK} could not be installed ({reason}); check the network and try "
            "again"
        )
    done.write_bytes(lock.read_bytes())
    return packages


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the documentation as a site."""
    parser = argparse.ArgumentParser(prog="./run docs", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("site"), help="folder of the site")
    args = parser.parse_args(arguments)
    build(Path.cwd(), args.out)
    print(f"the documentation is {args.out / 'index.html'}")


if __name__ == "__main__":
    script_main.main(main)
