"""What dvc.lock and lists may name; workflow/test_remotes.py pulls from stores that lie."""

import hashlib
import json

import pytest

from dasbench.commands import cli
from dasbench.errors import UserError
from dasbench.sharing import dvc_objects, remotes
from dasbench.sharing.remote import Remote
from experiment_files import ROOT, make_repository

OUT = "results/toy/lds"
FILE = "0a" * 16


def named(content):
    return hashlib.md5(content).hexdigest()


def put(cache, name, content):
    place = dvc_objects.place_of(cache, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def files(root, entries, **encoding):
    content = json.dumps(entries).encode(**encoding)
    return dvc_objects._files(root, OUT, named(content) + ".dir", content)


def test_a_list_names_files_below_its_out(tmp_path):
    entries = [{"md5": FILE, "relpath": "a/b.csv"}, {"md5": FILE, "relpath": "..c"}]
    assert files(tmp_path, entries) == {f"{OUT}/a/b.csv": FILE, f"{OUT}/..c": FILE}


PATHS = ["../evil", "a/../../evil", "/tmp/evil", "", ".", "a//b", "a/./b", "a\nb", "\x1b[2J", 1]
OBJECTS = ["../../evil", FILE.upper() + "A", f"{FILE}.dir", FILE[1:], f"{FILE}\n", None]
STRANGE = [
    *({"md5": FILE, "relpath": path} for path in PATHS),
    *({"md5": name, "relpath": "a"} for name in OBJECTS),
    {"md5": FILE, "relpath": "a", "isdir": True},
    {"relpath": "a"},
    [],
    "a",
    None,
]


@pytest.mark.parametrize("entry", STRANGE, ids=str)
def test_what_else_a_list_names_is_refused(tmp_path, entry):
    """Also if dvc.lock names this very list, so that its MD5 is right."""
    with pytest.raises(UserError, match=f"{OUT} is refused: dvc.lock names the list .* a plain"):
        files(tmp_path, [{"md5": FILE, "relpath": "a"}, entry])


@pytest.mark.parametrize(
    "content", [b"{}", b"1", b"[", b"\xff", "[]".encode("utf-16"), b"[" * 10**5]
)
def test_what_is_no_list_is_refused(tmp_path, content):
    with pytest.raises(UserError, match="is refused: dvc.lock names the list"):
        dvc_objects._files(tmp_path, OUT, named(content) + ".dir", content)


def test_a_list_with_other_bytes_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"{OUT} refused: {FILE}.dir .* has other bytes"):
        dvc_objects._files(tmp_path, OUT, f"{FILE}.dir", b"[]")


def test_a_link_that_leads_out_is_not_followed(tmp_path):
    (tmp_path / OUT).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / OUT / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="link/evil"):
        files(tmp_path, [{"md5": FILE, "relpath": "link/evil"}])


def test_results_may_lie_elsewhere(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    assert files(tmp_path, [{"md5": FILE, "relpath": "a/b"}]) == {f"{OUT}/a/b": FILE}


def test_objects_with_other_bytes_are_deleted(tmp_path):
    remote = Remote("far", "/far", "/far")
    listed = json.dumps([{"md5": named(b"a"), "relpath": "a"}, {"md5": FILE, "relpath": "b"}])
    outs = {OUT: named(listed.encode()) + ".dir", "results/toy/c": named(b"c")}
    kept = [
        put(tmp_path, n, c) for n, c in zip(outs.values(), (listed.encode(), b"c"), strict=True)
    ]
    kept.append(put(tmp_path, named(b"a"), b"a"))
    evil = put(tmp_path, FILE, b"evil")
    with pytest.raises(UserError, match=rf"^{OUT}/b refused: {FILE} in DVC's cache") as caught:
        dvc_objects.check(tmp_path, tmp_path, remote, outs)
    assert f"files/md5/0a/{FILE[2:]} deleted there" in str(caught.value)
    assert not evil.exists()
    with pytest.raises(UserError, match=rf"far \(/far\) does not have {OUT}/b; files that the"):
        dvc_objects.check(tmp_path, tmp_path, remote, outs)
    assert all(place.exists() for place in kept)
    dvc_objects.check(tmp_path, tmp_path, remote, {"results/toy/c": named(b"c")})


LOCK = f"""\
schema: '2.0'
stages:
  report@smoke:
    cmd: snakemake -- smoke
    deps:
    - path: scripts
      hash: md5
      md5: {FILE}.dir
    outs:
    - path: results/smoke/report.html
      hash: md5
      md5: {FILE}
"""
BROKEN = {
    "tag": LOCK.replace("snakemake --", "!!python/object/apply:os.system"),
    "conflict": LOCK.replace("    outs", "<<<<<<< HEAD\n    outs"),
    "list": "- stages\n",
    "text": "stages",
    "empty": "",
    "stages": "stages: []\n",
    "bytes": "\x00",
    "cut at a stage": LOCK.split("    cmd")[0],
    "cut in its deps": LOCK.split("    outs")[0],
    "cut in its outs": LOCK.split("      hash: md5\n      md5: 0a")[0],
    "cut in an object": LOCK[:-3],
}
OUTWARD = [
    "../evil",
    "/tmp/evil",
    "results/../evil",
    "results/smoke/../../evil",
    "src/evil",
    "evil",
]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with smoke's stages, and nothing that would be started."""
    root = make_repository(tmp_path / "root")
    (root / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    monkeypatch.chdir(root)
    monkeypatch.setattr(cli, "_need_empty_plan", lambda names: None)
    return root


@pytest.mark.parametrize("command", ["push", "pull", "save"])
@pytest.mark.parametrize("file", ["dvc.lock", "dvc.yaml"])
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_of_dvc_is_one_sentence(repository, capsys, command, file, how):
    if file == "dvc.yaml" and how.startswith("cut"):
        return  # then stages are missing, which is another mistake
    (repository / file).write_text(BROKEN[how])
    assert cli.main([command, "smoke"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"run: {file} is damaged (")
    assert line.endswith(f"or take the committed one: `git checkout {file}`")


@pytest.mark.parametrize("command", ["push", "pull", "save"])
@pytest.mark.parametrize("path", OUTWARD)
def test_an_out_elsewhere_is_refused(repository, capsys, command, path):
    (repository / "dvc.lock").write_text(LOCK.replace("results/smoke/report.html", path))
    assert cli.main([command, "smoke"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"report@smoke has the out '{path}', not one in results/ or data/" in line


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hash: md5", "hash: md5-dos2unix"),
        (f"md5: {FILE}\n", "md5: ../../evil\n"),
        (f"md5: {FILE}\n", f"md5: {FILE}\n      files: []\n"),
    ],
)
def test_an_out_has_an_md5_and_nothing_unseen(repository, old, new):
    before, outs = LOCK.split("    outs")
    (repository / "dvc.lock").write_text(f"{before}    outs{outs.replace(old, new)}")
    with pytest.raises(UserError, match="an out of report@smoke is not a path with an MD5"):
        remotes.locked(repository, ["smoke"])


@pytest.mark.parametrize("content", ["stages: {}", "{vars: [a.yaml], stages: {}}"])
def test_a_dvc_yaml_of_another_shape_is_one_sentence(repository, content):
    (repository / "dvc.yaml").write_text(content)
    with pytest.raises(UserError, match=r"dvc.yaml is damaged \(its vars or a stage"):
        remotes.stages(repository, ["smoke"])
