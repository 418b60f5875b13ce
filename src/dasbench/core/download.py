"""Fetch a file by https, and believe it only if its SHA-256 is the expected one.

A dataset module names URL and digest in its code; the file is kept in the folder that it is asked
for and fetched once.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from dasbench.core.writing import file_mode
from dasbench.errors import UserError, first_line

SECONDS = 30  # without a byte from the server
_CHUNK = 1 << 20  # bytes
_DIGEST = re.compile(r"[0-9a-f]{64}")


def fetch(url: str, sha256: str, path: str | Path) -> Path:
    """Fetch a file unless it is here already with the expected bytes.

    Args:
        url: ``https://...``; redirects to anything but https are refused too.
        sha256: 64 hexadecimal digits.
        path: Where the file goes; written whole or not at all.

    Returns:
        ``path``.

    Raises:
        UserError: If the URL is not https, no digest is given, the file cannot be fetched, or its
            bytes are not the expected ones.
    """
    import pooch  # with requests, 0.2 s that nothing else needs

    path = Path(path)
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise UserError(f"{url!r} is not fetched: expected a URL that starts with https://")
    if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
        raise UserError(
            f"{url} is not fetched: its SHA-256 is {sha256!r}, expected 64 hexadecimal digits"
        )
    try:
        pooch.retrieve(
            url, f"sha256:{sha256}", path.name, path.parent, downloader=download, progressbar=False
        )
        path.chmod(file_mode())
    # pooch says ValueError for other bytes; requests' errors are OSErrors
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} could not be fetched from {url} ({first_line(error)}): try again, or put a "
            f"file with the SHA-256 {sha256} there"
        ) from error
    return path


def download(url: str, target: str, _pooch: object = None) -> None:
    """Write what a URL gives to a file, by https alone (the form that pooch calls).

    Raises:
        OSError: If the server or the file system fails, or redirects to anything but https.
    """
    import requests

    with requests.Session() as session:
        del session.adapters["http://"]
        with session.get(url, stream=True, timeout=SECONDS) as response:
            response.raise_for_status()
            with Path(target).open("wb") as file:
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
