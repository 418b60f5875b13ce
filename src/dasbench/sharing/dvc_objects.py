"""Check dvc.lock, and the objects that a remote sends, before their use.

An *out* is a file or folder that a stage of dvc.yaml makes and DVC stores. An *object* is a file in
DVC's cache and on its remotes, named by its MD5. The object of a folder is a *list*,
``[{"md5": ..., "relpath": ...}]``, and its name ends in ``.dir``.

DVC trusts a remote: it uses the paths in lists without a check, and does not hash files from a web
server. So ``fetch_lists`` checks each list before it is stored. Then DVC fetches only the objects
that the lists name. ``check`` hashes all objects before any of them is checked out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dasbench.core.writing import write_text
from dasbench.errors import UserError
from dasbench.sharing import records
from dasbench.sharing.remote import Remote

LIST = ".dir"
_FILE = re.compile(r"[0-9a-f]{32}")
_OBJECT = re.compile(rf"{_FILE.pattern}({re.escape(LIST)})?")
# fields of an out from `./run save`; others of DVC, such as `files`, could name unchecked objects
_OUT = {"path", "hash", "md5", "size", "nfiles", "isexec"}


def read(path: Path) -> dict[str, Any]:
    """The content of dvc.yaml or dvc.lock, with its ``stages``.

    Raises:
        UserError: If the file can't be read, or is not a mapping that has stages.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise damaged(path.name, f"line {line}: {error.problem}") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise damaged(path.name, " ".join(str(error).split())) from error
    for mapping in (content, content.get("stages") if isinstance(content, dict) else None):
        if not isinstance(mapping, dict):
            raise damaged(path.name, "it is no mapping that has stages")
    return content


def damaged(name: str, reason: str) -> UserError:
    """The error for a broken dvc.yaml or dvc.lock."""
    return UserError(
        f"{name} is damaged ({reason}); resolve its merge conflict if it has one (`git diff "
        f"{name}`), or take the committed one: `git checkout {name}`"
    )


def outs(root: Path, stage: str, body: Any) -> dict[str, str]:
    """Outs of a stage in dvc.lock: out -> object.

    Args:
        root: Folder of the repository.
        stage: Name of the stage.
        body: Content of dvc.lock for this stage.

    Raises:
        UserError: If the stage has no outs, or an out is not a plain path with an MD5.
    """
    listed = body.get("outs") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise damaged("dvc.lock", f"{stage} has no outs")
    objects = {}
    for out in listed:
        path, name = (out.get("path"), out.get("md5")) if isinstance(out, dict) else (None, None)
        known = path and set(out) <= _OUT and out.get("hash") == "md5"
        if not known or not _OBJECT.fullmatch(str(name)):
            raise damaged("dvc.lock", f"an out of {stage} is not a path with an MD5: {out!r}")
        if _leads_out(root, str(path)):
            raise damaged("dvc.lock", f"{stage} has the out {path!r}, not one in results/ or data/")
        objects[str(path)] = str(name)
    return objects


def _leads_out(root: Path, path: str) -> bool:
    if records.partition_of(path) is None or not records.is_plain(path):
        return True
    # results/ itself may be a link of the user to another disk
    home = (root / path.split("/")[0]).resolve()
    return not (root / path).parent.resolve().is_relative_to(home)


class Supply(NamedTuple):
    """Which outs a cache and a remote have together.

    Attributes:
        cache: Folder of the cache.
        lacking: out -> the first file that neither has.
    """

    cache: Path
    lacking: dict[str, str]


def fetch_lists(root: Path, remote: Remote, named: Mapping[str, str]) -> Supply:
    """Fetch the lists that are not in the cache, check every list, and ask for the files in them.

    Args:
        root: Folder of the repository.
        remote: Source of the lists.
        named: out -> object.

    Returns:
        The cache, and the outs that the remote lacks.

    Raises:
        UserError: If a list is refused (then it is not in the cache), or the remote gives nothing.
    """
    wanted: dict[str, dict[str, str]] = {}  # out -> file -> object that is not in the cache
    lacking = {}
    with _open(root) as repo:
        repo.drop_data_index()  # may hold unchecked lists from a bare `dvc fetch`
        cache = Path(repo.cache.local.path)
        try:
            store = repo.cloud.get_remote_odb(remote.name, "pull")
        except Exception as error:  # each kind of remote raises other classes
            raise _not_given(remote, error) from error
        for out, name in named.items():
            files = {out: name}
            if name.endswith(LIST):
                files = _fetch_list(root, cache, store, remote, out, name)
            if files is None:
                lacking[out] = out
            else:
                there = {
                    file: md5 for file, md5 in files.items() if not place_of(cache, md5).is_file()
                }
                wanted[out] = there
        given = _given(store, remote, {md5 for files in wanted.values() for md5 in files.values()})
    for out, files in wanted.items():
        absent = [file for file, md5 in files.items() if md5 not in given]
        lacking |= {out: absent[0]} if absent else {}
    return Supply(cache, lacking)


def cached(root: Path, named: Mapping[str, str]) -> Supply:
    """As ``fetch_lists``, for the cache alone: what can be sent to a remote.

    Raises:
        UserError: If DVC cannot open the repository, or a list in the cache is refused.
    """
    lacking = {}
    with _open(root) as repo:
        cache = Path(repo.cache.local.path)
    for out, name in named.items():
        files = {out: name}
        place = place_of(cache, name)
        if name.endswith(LIST) and place.is_file():
            files |= _files(root, out, name, place.read_bytes())
        absent = [file for file, md5 in files.items() if not place_of(cache, md5).is_file()]
        lacking |= {out: absent[0]} if absent else {}
    return Supply(cache, lacking)


def _open(root: Path) -> Any:
    """The repository as DVC sees it.

    Raises:
        UserError: With DVC's reason, if it cannot be opened.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        return Repo(str(root.resolve()))
    except DvcException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"DVC cannot open this repository: {reason}") from error


def _fetch_list(
    root: Path, cache: Path, store: Any, remote: Remote, out: str, name: str
) -> dict[str, str] | None:
    """Files of a list, which is then in the cache; None if the remote does not have it."""
    place = place_of(cache, name)
    try:
        known = place.is_file()
        content = place.read_bytes() if known else _download(store, remote, name)
        if content is None:
            return None
        files = _files(root, out, name, content)
    except UserError:
        place.unlink(missing_ok=True)
        raise
    if not known:
        write_text(place, content.decode())
    return files


def _given(store: Any, remote: Remote, names: Collection[str]) -> set[str]:
    """Those of the objects that the remote has."""
    if not names:
        return set()
    try:
        return set(store.oids_exist(sorted(names)))
    except Exception as error:  # each kind of remote raises other classes
        raise _not_given(remote, error) from error


def place_of(store: Path, name: str) -> Path:
    """Path of an object in the cache, or in a remote that is a directory."""
    return store / name[:2] / name[2:]


def _download(store: Any, remote: Remote, name: str) -> bytes | None:
    try:
        return store.fs.cat_file(store.oid_to_path(name))
    except FileNotFoundError:
        return None
    except Exception as error:
        raise _not_given(remote, error) from error


def _not_given(remote: Remote, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(
        f"the remote {remote} gives nothing: {reason}; check its settings (`dvc remote list`) and "
        "your rights, or use another remote (-r NAME) or a file (`./run pull --bundle FILE`)"
    )


def _absent(remote: Remote, files: list[str]) -> UserError:
    return UserError(
        f"the remote {remote} does not have {_first(files)}; files that the remote does not have "
        "must be sent with `./run push` by whoever has them, and `./run pull` goes on from there"
    )


def _first(files: list[str]) -> str:
    return files[0] + (f" and {len(files) - 1} more" if len(files) > 1 else "")


def _files(root: Path, out: str, name: str, content: bytes) -> dict[str, str]:
    """Files of a list: file -> object.

    Raises:
        UserError: If its bytes do not match its name, or an entry is not a plain path and an MD5.
    """
    if hashlib.md5(content, usedforsecurity=False).hexdigest() + LIST != name:
        raise _other_bytes({out: name})
    try:
        listed = json.loads(content.decode())
    except (ValueError, RecursionError):
        listed = None
    entries = listed if isinstance(listed, list) else [listed]
    for entry in entries:
        if not _is_sound(root, out, entry):
            raise UserError(
                f"{out} is refused: dvc.lock names the list {name} for it, with the entry "
                f"{str(entry)[:200]}, where a plain path below {out} and an MD5 are expected; "
                "nothing was written, and dvc.lock should come from a commit that you trust "
                "(`git log dvc.lock`)"
            )
    return {f"{out}/{entry['relpath']}": entry["md5"] for entry in entries}


def _is_sound(root: Path, out: str, entry: Any) -> bool:
    match entry:
        case {"md5": str(digest), "relpath": str(path), **rest} if not rest:
            return bool(_FILE.fullmatch(digest)) and not _leads_out(root, f"{out}/{path}")
    return False


def _other_bytes(refused: Mapping[str, str]) -> UserError:
    name = next(iter(refused.values()))
    return UserError(
        f"{_first(list(refused))} refused: {name} in DVC's cache or on the remote has other bytes "
        "than this MD5 from dvc.lock says; it is not kept and no result was changed, so "
        "`./run pull` again, and if that says the same, use another remote (-r NAME), or have "
        f"files/md5/{name[:2]}/{name[2:]} deleted there and sent again with `./run push`"
    )


def check(root: Path, cache: Path, remote: Remote, named: Mapping[str, str]) -> None:
    """Hash all objects of outs in the cache, and delete those that do not match their MD5.

    Args:
        root: Folder of the repository.
        cache: As ``fetch_lists`` returned it.
        remote: Source of the objects.
        named: out -> object; all lists must be in the cache.

    Raises:
        UserError: If an object was deleted, or is not in the cache.
    """
    files = {}
    for out, name in named.items():
        files[name] = out
        if name.endswith(LIST):
            listed = _files(root, out, name, place_of(cache, name).read_bytes())
            files |= {digest: file for file, digest in listed.items()}
    absent, refused = [], {}
    for name, file in files.items():
        place = place_of(cache, name)
        if not place.is_file():
            absent.append(file)
        elif _md5(place) != name.removesuffix(LIST):
            place.unlink()
            refused[file] = name
    if refused:
        raise _other_bytes(refused)
    if absent:
        raise _absent(remote, absent)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
