"""What is known of the data sets, and what the scripts make of their files."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml

import sources as made
from dasbench.core import artifacts
from dasbench.core.yaml_schema import schema_problems
from dasbench.data import artbench, cards, celeba, cifar10, digits, digits_moved, fashion, photos
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.registry import DATASETS
from experiment_files import ROOT


def test_every_data_set_has_an_entry_and_every_entry_a_data_set():
    assert set(cards.load(ROOT)) == {*DATASETS, "emoji"}


def test_what_is_to_be_fetched_has_a_size():
    fetched = {name for name, of in DATASETS.items() if of["files"] and "planted" not in of}
    for name in fetched - {"folder"}:
        assert re.search(r"\d+ ?[MG]B", cards.load(ROOT)[name]["size"]), name


@pytest.mark.parametrize("module", [digits, digits_moved])
def test_the_registry_says_of_digits_what_its_module_says(module):
    entry = cards.load(ROOT)[module.__name__.rpartition(".")[2]]
    assert {key: entry[key] for key in module.CARD} == module.CARD


def test_the_registry_says_of_emoji_what_the_experiment_says():
    entry, data = cards.load(ROOT)["emoji"], config.load("emoji", ROOT)["data"]
    assert {key: entry[key] for key in data["card"]} == data["card"]
    assert set(entry) - {"classes"} == set(data["card"])
    rows = (ROOT / data["labels"]).read_text().splitlines()[1:]
    assert entry["classes"] == sorted({row.split(",")[1] for row in rows})


def test_the_registry_names_the_classes_as_the_modules_do():
    named = {name: entry["classes"] for name, entry in cards.load(ROOT).items()}
    assert len(named["digits"]) == 10
    assert named["fashion"] == list(fashion.CLASSES)
    assert named["cifar10"] == list(cifar10.CLASSES)
    assert named["artbench"] == [style.replace("_", " ") for style in artbench.STYLES]
    assert named["photos"] == [photograph.name for photograph in photos.PHOTOGRAPHS]
    shown = cards.of(config.load("digits", ROOT), ROOT)["classes"]
    assert (shown["0"], shown["9"]) == ("zero", "nine")


def test_files_with_digests_are_those_that_are_read():
    known = {name: set(entry.get("files", {})) for name, entry in cards.load(ROOT).items()}
    assert known["cifar10"] == {cifar10.ARCHIVE}
    assert known["celeba"] == {celeba.IMAGES[1], celeba.PARTITION}
    assert known["photos"] == {f"{photograph.name}.jpg" for photograph in photos.PHOTOGRAPHS}
    assert len(known["fashion"]) == 4
    assert all("unzipped_sha256" in f for f in cards.load(ROOT)["fashion"]["files"].values())
    for word in (celeba.PARTITION, celeba.IMAGES[1]):
        assert word in cards.load(ROOT)["celeba"]["fetch"]


@pytest.mark.parametrize("name", config.names(ROOT))
def test_every_experiment_has_a_card(name):
    shown = cards.of(config.load(name, ROOT), ROOT)
    assert {"name", "source", "licence", "content", "known"} <= set(shown)
    assert not {"files", "md5"} & set(shown)


def test_a_broken_registry_is_told(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / cards.FILE).write_text("x: {name: 1}\n")
    (tmp_path / cards.SCHEMA).parent.mkdir(parents=True)
    (tmp_path / cards.SCHEMA).write_text((ROOT / cards.SCHEMA).read_text())
    with pytest.raises(UserError, match=r"data/registry\.yaml: x"):
        cards.load(tmp_path)
    schema = yaml.safe_load((ROOT / cards.SCHEMA).read_text())
    bad = {"x": {**cards.load(ROOT)["digits"], "files": {"../a": {"sha256": "0" * 64}}}}
    assert list(schema_problems(bad, schema))


def script(name, *words):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *map(str, words)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_from_files_to_examples(tmp_path):
    made.fashion(tmp_path / "files", 20)
    file = tmp_path / "toy.yaml"
    file.write_text("data: {card: {licence: mine}}\n")
    data = {"dataset": "fashion", "path": str(tmp_path / "files"), "classes": [2, 3], "limit": None}
    data |= {"size": 7, "resize": "crop"}
    settings = {"module": DATASETS["fashion"]["module"], "data": data, "files": {}}
    pool, card = tmp_path / "pool.npz", tmp_path / "card.json"
    words = ["--registry", ROOT / cards.FILE, "--experiment", file, "--pool", pool, "--card", card]
    code, said = script("read_images.py", "--settings", json.dumps(settings), *words)
    assert code == 0, said
    measured = artifacts.load_json(card)
    assert (measured["images"], measured["held_out"], measured["shape"]) == (8, 4, [7, 7, 1])
    assert measured["classes"] == {"2": "pullover", "3": "dress"}
    first = pool.read_bytes()
    assert script("read_images.py", "--settings", json.dumps(settings), *words)[0] == 0
    assert pool.read_bytes() == first

    def split(train, val):
        wanted = json.dumps({"axes": ["toy", 0], "train": train, "val": val})
        out = ["--train", tmp_path / "train.npz", "--val", tmp_path / "val.npz"]
        return script("split_examples.py", "--settings", wanted, "--pool", pool, *out)

    assert split(3, 2)[0] == 0
    train, val = (artifacts.load_examples(tmp_path / f"{part}.npz") for part in ("train", "val"))
    assert len(train.ids) == 3
    assert set(train.ids) < set(range(4))  # the official training part
    assert set(val.ids) == set(range(4, 8))
    code, said = split(5, 2)
    assert (code, said.startswith("error: data.train asks for 5 images")) == (1, True)
    absent = {**settings, "data": {**data, "path": str(tmp_path / "none")}}
    code, said = script("read_images.py", "--settings", json.dumps(absent), *words)
    assert code == 1
    assert "licence: mine" in said


def test_a_pool_without_a_held_out_part_gives_both(tmp_path):
    arrays = {"images": np.zeros((9, 4, 4, 3), np.uint8), "parts": np.zeros(9, np.uint8)}
    arrays |= {"labels": np.zeros(9, np.int64), "ids": np.arange(9)}
    np.savez(tmp_path / "pool.npz", **arrays)
    out = ["--train", tmp_path / "train.npz", "--val", tmp_path / "val.npz"]
    settings = json.dumps({"axes": ["toy", 0], "train": 5, "val": 4})
    words = ["--settings", settings, "--pool", tmp_path / "pool.npz", *out]
    assert script("split_examples.py", *words)[0] == 0
    ids = [artifacts.load_examples(tmp_path / f"{part}.npz").ids for part in ("train", "val")]
    assert sorted(np.concatenate(ids)) == list(range(9))


def test_the_page_of_data_sets_shows_the_registry():
    page = (ROOT / "docs/datasets.md").read_text()
    shown = page.split("<!-- facts:begin -->")[1].split("<!-- facts:end -->")[0]
    assert shown.strip() == cards.table(cards.load(ROOT))
    for name in set(DATASETS) - {"digits"}:
        assert f"`{name}`" in page.split("<!-- facts:end -->")[1]


def test_the_page_of_data_sets_names_the_author_of_every_photograph():
    page = (ROOT / "docs/datasets.md").read_text()
    for label, of in enumerate(photos.PHOTOGRAPHS):
        assert f"| {label} | {of.name} | {of.author} | `{of.package}` |" in page


def test_the_page_of_data_sets_fetches_what_the_experiments_name():
    page = (ROOT / "docs/datasets.md").read_text()
    for name in ("artbench2", "artbench5"):
        model = config.load(name, ROOT)["model"]
        wanted = f"{model['pretrained']} --revision {model['revision']} --local-dir data/pretrained"
        assert f"hf download {wanted}/{model['pretrained']}" in page
