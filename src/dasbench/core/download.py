"""Fetch a file by https, and accept it only if it has the expected SHA-256.

A file is fetched once and kept. The URLs and digests of data sets are in ``data/registry.yaml``.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from dasbench.core.writing import file_mode
from dasbench.errors import UserError, first_line

SECONDS = 30  # longest wait for a byte from the server
_CHUNK = 1 << 20  # bytes
_DIGEST = re.compile(r"[0-9a-f]{64}")


def fetch(url: str, sha256: str, path: str | Path) -> Path:
    """Fetch a file unless ``path`` already has the expected SHA-256.

    Args:
        url: ``https://...``; a redirect to any other scheme is refused too.
        sha256: 64 hexadecimal digits.
        path: Target; it is written whole or not at all.

    Returns:
        ``path``.

    Raises:
        UserError: If the URL is not https, the digest is not one, the file cannot be fetched, or
            the file has another digest.
    """
    import pooch  # takes 0.2 s with requests, and no other function needs it

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
    # pooch raises ValueError if the digest differs; errors of requests are OSErrors
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} could not be fetched from {url} ({first_line(error)}): try again, or put a "
            f"file with the SHA-256 {sha256} there"
        ) from error
    return path


def download(url: str, target: str, _pooch: object = None) -> None:
    """Write the content of a URL to a file, over https only; pooch calls it.

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
