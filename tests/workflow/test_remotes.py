"""Artifacts really move: every kind of remote, bundles, partial pulls, exports.

A directory as remote: test_reruns.py and test_story.py; pulls that fail: faults/test_pulls.py.
"""

import contextlib
import csv
import hashlib
import http.server
import json
import re
import shutil
import threading

import boto3
import numpy as np
import pytest
import yaml

from clones import cloned, stored
from dasbench.experiments import config

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

TABLES = ("scores", "lds", "removal", "figures", "report.html", "metrics.json")
HEAVY = ("models", "features", "examples", "queries", "outputs", "masks", "residuals")


@pytest.fixture
def clone(made, tmp_path):
    return cloned(made.folder, tmp_path / "clone")


@contextlib.contextmanager
def serving(folder):
    """Address of a static web server, which allows reading only."""
    asked = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=folder, **kwargs)

        def log_message(self, *args):
            asked.append(self.command)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    assert "GET" in asked


@pytest.fixture(scope="module")
def served(made):
    """The directory remote, over HTTP."""
    with serving(made.folder.parent / "store") as address:
        yield address


@pytest.fixture(scope="module")
def pulled(made, served, tmp_path_factory):
    """A clone that pulled all of smoke over HTTP; not to be changed."""
    clone = cloned(made.folder, tmp_path_factory.mktemp("pulled") / "clone")
    clone.add_remote("web", served)
    clone.run("pull", "smoke", "-r", "web")
    return clone


def test_a_web_server_is_a_remote_to_read_from(pulled, made):
    assert pulled.has_all_of(made)


def test_a_web_server_takes_nothing(pulled, made, served, tmp_path):
    copy = cloned(made.folder, tmp_path / "clone")
    shutil.copytree(pulled.folder / ".dvc/cache", copy.folder / ".dvc/cache")
    copy.add_remote("web", f"{served}/elsewhere")
    failed = copy.run("push", "smoke", "-r", "web", check=False)
    assert failed.returncode == 1
    assert "the remote must allow writing" in failed.stderr.splitlines()[-1]
    assert not (made.folder.parent / "store/elsewhere").exists()


def test_s3(made, pulled, clone, s3, tmp_path):
    sender = cloned(made.folder, tmp_path / "sender")
    shutil.copytree(pulled.folder / ".dvc/cache", sender.folder / ".dvc/cache")
    for person in (sender, clone):
        person.add_remote("cloud", "s3://lab/das", endpointurl=s3)
    sender.run("push", "smoke", "-r", "cloud")
    listed = boto3.client("s3", endpoint_url=s3).list_objects_v2(Bucket="lab", Prefix="das/")
    objects = {item["Key"].removeprefix("das/") for item in listed["Contents"]}
    store = made.folder.parent / "store"  # other tests may have pushed more there
    assert objects <= {str(path.relative_to(store)) for path in stored(store)}
    clone.run("pull", "smoke", "-r", "cloud")
    assert clone.has_all_of(made)


def test_one_file(made, clone, tmp_path):
    file = tmp_path / "smoke.tar"
    made.run("bundle", "smoke", "--output", file)
    shutil.rmtree(clone.folder / ".dvc/cache", ignore_errors=True)
    clone.run("pull", "--bundle", file)
    assert clone.plan() == {}
    assert clone.hashes() == made.hashes()
    clone.run("verify", "smoke")
    clone.run("save", "smoke")  # a bundle does not fill DVC's cache
    assert clone.clean()


def test_first_the_tables_then_the_rest(made, clone):
    home = clone.folder / "results/smoke"
    clone.run("pull", "smoke", "--only", "tables")
    assert all((home / name).exists() for name in TABLES)
    assert not any((home / name).exists() for name in HEAVY)
    assert clone.plan() == {}
    assert clone.run("smoke").returncode == 0
    assert not any((home / name).exists() for name in HEAVY)
    refused = clone.run("save", "smoke", check=False)
    assert refused.returncode == 1
    assert "`./run pull smoke` fetches what a partial pull left out" in refused.stderr
    clone.run("pull", "smoke", "--only", "models/base")
    assert sorted(path.name for path in (home / "models").iterdir()) == ["base"]
    assert clone.plan() == {}
    clone.run("pull", "smoke")
    assert clone.has_all_of(made)


def test_an_unknown_remote_or_out_is_one_sentence(clone):
    (line,) = clone.run("pull", "smoke", "-r", "stor", check=False).stderr.splitlines()
    assert "stor is no DVC remote; known: store" in line
    (line,) = clone.run("pull", "smoke", "--only", "tabels", check=False).stderr.splitlines()
    assert "--only tabels is nothing that smoke has; expected tables, or one of" in line
    assert "did you mean tables?" in line


@pytest.fixture
def liar(clone, made, tmp_path):
    """A copy of the store that a test may change, the clone's remote `liar`."""
    shutil.copytree(made.folder.parent / "store", tmp_path / "liar")
    clone.add_remote("liar", tmp_path / "liar")
    return tmp_path / "liar/files/md5"


def lie(store, name, content):
    """Other bytes under an object's name; DVC takes what cannot be written for checked."""
    place = store / name[:2] / name[2:]
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.write_bytes(content)
    place.chmod(0o444)


def refused(clone, remote, *names):
    """The sentence by which a pull is refused; nothing is kept of it."""
    failed = clone.run("pull", "smoke", "-r", remote, check=False)
    assert failed.returncode == 1
    assert not (clone.folder / "results/smoke").exists()
    assert not any((clone.folder / ".dvc/cache/files/md5" / n[:2] / n[2:]).exists() for n in names)
    assert not list(clone.folder.parent.rglob("evil*"))
    return failed.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["directory", "http"])
def test_other_bytes_are_refused(clone, made, liar, kind):
    """Of a file of its own, and of one in a folder; from an honest remote the pull goes on."""
    page = clone.recorded()["results/smoke/report.html"]
    table = hashlib.md5((made.folder / "results/smoke/lds/summary.csv").read_bytes()).hexdigest()
    for name in (page, table):
        lie(liar, name, b"<script>alert(1)</script>")
    with contextlib.ExitStack() as stack:
        remote = "liar"
        if kind == "http":
            remote = "web"
            clone.add_remote(remote, stack.enter_context(serving(liar.parents[1])))
        told = refused(clone, remote, page, table)
    assert re.match(r"run: results/smoke/\S+ and 1 more refused: \w{32} in DVC's cache or on", told)
    clone.run("pull", "smoke")
    assert clone.hashes() == made.hashes()


def leading_out(known, folder):
    """Lists that lead out, with an object that is there."""
    entries = [
        {"md5": known, "relpath": "../../../../evil"},
        {"md5": known, "relpath": f"{folder}/evil"},
        {"md5": "../../../../../evil", "relpath": "evil"},
    ]
    return [json.dumps([entry]).encode() for entry in entries]


def test_a_folder_that_leads_out_is_refused(clone, made, liar, tmp_path):
    """Under the name that dvc.lock has, and if dvc.lock lies too, so that every MD5 is right."""
    recorded = clone.recorded()
    name = recorded["results/smoke/lds"]
    out = "    outs:\n    - path: results/smoke/lds\n      hash: md5\n      md5: "
    for content in leading_out(recorded["results/smoke/report.html"], tmp_path):
        lie(liar, name, content)
        told = refused(clone, "liar", name)
        assert f"run: results/smoke/lds refused: {name} in DVC's cache" in told
        own = f"{hashlib.md5(content).hexdigest()}.dir"
        lie(liar, own, content)
        clone.edit("dvc.lock", out + name, out + own)
        told = refused(clone, "liar", own)
        assert f"run: results/smoke/lds is refused: dvc.lock names the list {own} for it" in told
        clone.call("git", "checkout", "-q", "dvc.lock")
    clone.run("pull", "smoke")
    assert clone.hashes() == made.hashes()


def test_what_lay_in_the_cache_is_looked_at_too(clone, made):
    """A bare `dvc fetch` does not look at it."""
    recorded = clone.recorded()
    for name in (recorded["results/smoke/lds"], recorded["results/smoke/report.html"]):
        (clone.folder / ".dvc/cache/files/md5").mkdir(parents=True, exist_ok=True)
        lie(clone.folder / ".dvc/cache/files/md5", name, b"[]")
        failed = clone.run("pull", "smoke", check=False)
        assert f"refused: {name} in DVC's cache" in failed.stderr.splitlines()[-1]
        assert not (clone.folder / "results/smoke").exists()
    clone.run("pull", "smoke")
    assert clone.hashes() == made.hashes()


def test_flags_of_a_pull(clone, made):
    """Those that would bring in what is not looked at are refused."""
    (line,) = clone.run("pull", "smoke", "--all-commits", check=False).stderr.splitlines()
    assert "--all-commits is not understood here; ./run pull takes -r NAME, -j N, --force" in line
    clone.run("pull", "smoke", "--only", "lds", "-j", "2", "-q", "-r", "store")
    table = clone.folder / "results/smoke/lds/summary.csv"
    table.write_text("mine")
    kept = clone.run("pull", "smoke", check=False)
    assert "dropped by `./run pull --force`" in kept.stderr.splitlines()[-1]
    assert table.read_text() == "mine"
    clone.run("pull", "smoke", "-f")
    assert clone.has_all_of(made)


def test_dvc_has_experiments_diffs_and_plots(copy):
    """``dvc exp run -S`` is a third door: it reruns what Snakemake finds, and can be undone."""
    before = copy.hashes()
    setting = "config/experiments/smoke.yaml:+methods.das_l1.leverage=false"
    told = copy.call("dvc", "exp", "run", "--name", "no-leverage", "-S", setting, "report@smoke")
    assert "Stage 'eval@smoke' didn't change, skipping" in told.stdout
    assert copy.plan() == {}
    assert config.load("smoke", copy.folder)["methods"]["das_l1"] == {"leverage": False}
    changed = {path for path, digest in copy.hashes().items() if before[path] != digest}
    assert "results/smoke/scores/das_l1/gen.npy" in changed
    scores = {path.split("/")[3] for path in changed if path.startswith("results/smoke/scores/")}
    assert scores == {"das_l1"}
    assert "no-leverage" in copy.call("dvc", "exp", "list").stdout
    assert re.search(r"das_l1\.leverage +- +False", copy.call("dvc", "params", "diff").stdout)
    only = ["--targets", "results/smoke/metrics.json"]
    metrics = copy.call("dvc", "metrics", "diff", "--md", *only).stdout
    assert set(re.findall(r"lds\.\w+\.\w+\.(\w+)", metrics)) == {"das_l1"}
    copy.call("dvc", "plots", "diff", "HEAD")
    page = (copy.folder / "dvc_plots/index.html").read_text()
    assert "vega" in page
    assert "LDS of smoke" in page
    assert '"das_l1"' in page
    copy.call("git", "restore", ".")
    copy.run("pull", "smoke")
    assert copy.hashes() == before
    assert copy.plan() == {}
    assert copy.clean()


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in stored(folder)
    }


def test_an_export_is_a_model_with_its_scores(made, pulled, tmp_path):
    """The same bytes from whoever has the results, and diffusers loads the folder."""
    from diffusers import DDPMPipeline

    made.run("export", "smoke", "--out", tmp_path / "one")
    pulled.run("export", "smoke", "--out", tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "one")
    (image,) = pipeline(batch_size=1, num_inference_steps=2).images
    assert image.size == (8, 8)
    scores = np.load(tmp_path / "one/attribution/scores/das/gen.npy", allow_pickle=False)
    recorded = made.folder / "results/smoke/scores/das/gen.npy"
    np.testing.assert_array_equal(scores, np.load(recorded))
    assert clean_text(tmp_path / "one", made.folder)
    for card in ("README.md", "attribution/README.md"):
        assert_card(tmp_path / "one" / card, made.folder)
    full = made.run("export", "smoke", "--out", tmp_path / "two", check=False)
    assert "is there already; name another folder with --out" in full.stderr


def assert_card(path, home):
    """Licence, data, a setting and a number, as they stand in the results."""
    _, front, body = path.read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-4.0"
    data = json.loads((home / "data/digits/card.json").read_text())
    assert data["licence"] == "CC BY 4.0"
    assert f"* data set: {data['name']}\n" in body
    if path.parent.name == "attribution":
        return  # the data card refers to the tables
    epochs = config.load("smoke", home)["training"]["epochs"]
    assert f"| `epochs` | {epochs} |\n" in body
    cells = {row["queries"]: shown(row) for row in own_lds(home, "das")}
    row = re.search(r"^\| `das` \| \w+ \| (.+) \| (.+) \|$", body, flags=re.M)
    assert row.groups() == (cells["val"], cells["gen"])


def own_lds(home, method):
    """Rows of summary.csv that judge a method as it would be used, for the target loss."""
    wanted = {"method": method, "target": "loss", "own": "True", "selection": "held_out"}
    with (home / "results/smoke/lds/summary.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if wanted.items() <= row.items()]


def shown(row):
    value, low, high = (f"{100 * float(row[name]):.1f}" for name in ("lds", "lo", "hi"))
    return f"{value} ({low} to {high})"


def clean_text(folder, home):
    """No machine path in any file."""
    return not any(str(home.parent).encode() in path.read_bytes() for path in stored(folder))
