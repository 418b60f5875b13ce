"""Find the DVC remote of a transfer, and check that it answers."""

from __future__ import annotations

import argparse
import http.client
import re
import shlex
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from dasbench.errors import UserError

DVC = [sys.executable, "-m", "dvc"]
_SECONDS_TO_ANSWER = 10


class Remote(NamedTuple):
    """A place that DVC moves results to and from.

    Attributes:
        name: As in ``dvc remote list``.
        url: A directory, or an address such as ``s3://bucket/path``.
        address: The address that answers requests: ``url``, or the endpoint of the service.
    """

    name: str
    url: str
    address: str

    @property
    def folder(self) -> Path | None:
        """The url as a directory, if it is one."""
        return None if urlsplit(self.url).scheme else Path(self.url)

    def __str__(self) -> str:
        """Name and url, without a password."""
        return f"{self.name} ({re.sub(r'//[^/@]*@', '//', self.url)})"


def find_remote(flags: Sequence[str], remedy: str) -> Remote:
    """Find the remote that the flags or the configuration name, and check that it answers.

    Args:
        flags: Those of ``dvc push`` or ``dvc pull``; ``-r NAME`` among them names the remote.
        remedy: End of the message if no remote is set: a sentence on how to go on.

    Raises:
        UserError: If no remote is set, its name is unknown, or it does not answer.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--remote")
    settings = _settings()
    name = parser.parse_known_args(list(flags))[0].remote or settings.get("core.remote")
    urls = {
        key[7:-4]: url for key, url in settings.items() if re.fullmatch(r"remote\..+\.url", key)
    }
    known = ", ".join(sorted(urls))
    if name is None:
        which = f" as default ({known} can be named with -r)" if known else ""
        raise UserError(f"no DVC remote is set{which}; {remedy}")
    if name not in urls:
        raise UserError(
            f"{name} is no DVC remote; known: {known or 'none'}; "
            f"`dvc remote add {shlex.quote(name)} URL` makes it one"
        )
    remote = Remote(name, urls[name], settings.get(f"remote.{name}.endpointurl", urls[name]))
    _reach(remote)
    return remote


def _settings() -> dict[str, str]:
    """DVC's configuration, the user's and the machine's included.

    Raises:
        UserError: With DVC's reason, if it refuses the configuration.
    """
    command = [*DVC, "config", "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and done.stderr.strip():
        reason = " ".join(done.stderr.split()).removeprefix("ERROR: ")
        raise UserError(f"DVC refuses its configuration (.dvc/config, .dvc/config.local): {reason}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _reach(remote: Remote) -> None:
    """Check that a web address or an S3 endpoint answers, through the proxy if there is one.

    DVC does not tell a web server that is down from a server without the files.

    Raises:
        UserError: If nothing answers.
    """
    if urlsplit(remote.address).scheme not in {"http", "https"}:
        return
    request = urllib.request.Request(remote.address, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER).close()
    except (urllib.error.HTTPError, http.client.HTTPException):
        pass  # it answers; DVC finds out whether it has the files
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):
            raise out_of_reach(remote, getattr(reason, "strerror", None) or str(reason)) from error


def out_of_reach(remote: Remote, reason: str) -> UserError:
    """The error for a remote that does not answer."""
    return UserError(
        f"the remote {remote} cannot be reached: {reason}; check the address "
        "(`dvc remote list`) and the connection, or use another remote (-r NAME) or a file "
        "(`./run bundle`, `./run pull --bundle FILE`)"
    )
