"""Pictures and models of one's own: what is planned, and which changes elsewhere are seen."""

import json
import re

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import sources as made_of
from clones import RECORDED, checkout
from dasbench.core import tables
from dasbench.diffusion.families import pixel
from dasbench.experiments import config
from tiny import DIFFUSION, MODEL

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

EXAMPLES = ("own", "--until", "split_examples")


@pytest.fixture
def clone(tmp_path):
    """A checkout with an experiment on 60 pictures and a table of labels beside them."""
    clone = checkout(tmp_path / "clone", experiments=RECORDED)
    rows = ["file,label\n"]
    for i in range(60):
        place = tmp_path / f"pictures/{i:02d}.jpg"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(made_of.jpeg(i, (40, 32)))
        rows.append(f"{place.name},{'ab'[i % 2]}\n")
    (tmp_path / "own labels.csv").write_text("".join(rows))
    own = ("--images", tmp_path / "pictures", "--labels", tmp_path / "own labels.csv")
    clone.run("new-experiment", "own", *own)
    return clone


def test_what_changes_outside_of_the_repository(clone, tmp_path):
    """A table of labels is an input; changed pictures are read when asked, as the docs say."""
    clone.run(*EXAMPLES)
    table = tmp_path / "own labels.csv"
    table.touch()
    assert "read_images" not in clone.plan("own")
    table.write_text(table.read_text().replace(",b", ",c"))
    assert clone.plan("own")["read_images"] == 1
    examples = clone.folder / "results/own/examples/train.npz"
    before = np.load(examples, allow_pickle=False)["images"]
    for i in range(60):
        (tmp_path / f"pictures/{i:02d}.jpg").write_bytes(made_of.jpeg(100 + i, (40, 32)))
    clone.run(*EXAMPLES, "--forcerun", "read_images")
    assert (np.load(examples, allow_pickle=False)["images"] != before).any()
    assert "read_images" not in clone.plan("own")


def test_ones_own_checkpoint_is_judged_when_asked(clone, tmp_path):
    """By as many subset models as the file says; the base model is the checkpoint."""
    pixel.save(tmp_path / "pipeline", *pixel.build(MODEL, DIFFUSION, (3, 8, 8), ("test", 0)))
    pictures, labels = tmp_path / "pictures", tmp_path / "own labels.csv"
    own = ("--images", pictures, "--labels", labels, "--checkpoint", tmp_path / "pipeline")
    clone.run("new-experiment", "judged", *own, "--lds")
    made, plan = config.load("judged", clone.folder), clone.plan("judged")
    for use in ("tune", "eval"):
        models = made["subsets"][use]["models"] * made["subsets"][use]["seeds"]
        assert plan[f"train_subsets_{use}_judged"] * made["subsets"]["models_per_job"] == models
    assert plan["import_base_judged"] == plan["summarise_lds"] == 1
    assert plan["evaluate_lds"] == len(made["methods"])
    assert "train_base_judged" not in plan
    shrunk(clone.folder / "config/experiments/judged.yaml")
    clone.run("judged")
    examples = np.load(clone.folder / "results/judged/examples/train.npz", allow_pickle=False)
    assert len(examples["ids"]) == 60  # every picture that the checkpoint may have seen
    assert held_out_files(clone.folder / "results/judged") == []
    weights = "unet/diffusion_pytorch_model.safetensors"
    given = load_file(tmp_path / "pipeline" / weights)
    taken = load_file(clone.folder / "results/judged/models/base" / weights)
    assert given.keys() == taken.keys()
    assert all(np.array_equal(given[name], taken[name]) for name in given)
    summary = tables.load_table(clone.folder / "results/judged/lds/summary.csv")
    assert set(summary.method) == {"pixel_cosine", "das"}
    assert summary.lds.notna().all()
    assert set(summary.queries) == {"gen"}
    absent = tables.load_table(clone.folder / "results/judged/lds/inapplicable.csv")
    assert set(absent.queries) == {"val"}
    assert set(absent.reason) == {"no held-out images"}
    page = (clone.folder / "results/judged/report.html").read_text()
    assert "does not apply: no held-out images" in " ".join(page.split())
    assert clone.plan("judged") == {}


def held_out_files(folder):
    """Files of the kind val."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return [name for name in found if re.search(r"(^|[/_-])val([._-]|$)", name)]


def test_a_checkpoint_s_two_pictures_are_attributed(clone, tmp_path):
    """All of them are candidates; the page says that there are no held-out images."""
    pixel.save(tmp_path / "pipeline", *pixel.build(MODEL, DIFFUSION, (3, 8, 8), ("test", 0)))
    for i in range(2):
        place = tmp_path / f"two/{i}.jpg"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(made_of.jpeg(i, (40, 32)))
    given = ("--images", tmp_path / "two", "--checkpoint", tmp_path / "pipeline", "--quick")
    clone.run("new-experiment", "two", *given)
    clone.run("two")
    home = clone.folder / "results/two"
    assert held_out_files(home) == []
    assert np.load(home / "scores/das_common/gen.npy").shape == (2, 4)
    page = " ".join((home / "report.html").read_text().split())
    assert "does not apply: no held-out images" in page
    assert json.loads((home / "scores/das_common/self_check.json").read_text())["ids"] == [0, 1]
    assert "Some training images were asked about themselves" in page
    assert clone.plan("two") == {}


def test_held_out_pictures_are_queries_of_a_checkpoint(clone, tmp_path):
    """They come from their folder and are no candidates."""
    pixel.save(tmp_path / "pipeline", *pixel.build(MODEL, DIFFUSION, (3, 8, 8), ("test", 0)))
    place = tmp_path / "new"
    place.mkdir()
    for i in range(3):
        (place / f"{i}.jpg").write_bytes(made_of.jpeg(100 + i, (40, 32)))
    given = ("--images", tmp_path / "pictures", "--checkpoint", tmp_path / "pipeline")
    clone.run("new-experiment", "held", *given, "--held-out", place)
    clone.run("held", "--until", "split_examples")
    home = clone.folder / "results/held/examples"
    parts = {s: np.load(home / f"{s}.npz", allow_pickle=False)["ids"] for s in ("train", "val")}
    assert sorted(parts["train"]) == list(range(60))
    assert sorted(parts["val"]) == [60, 61, 62]
    assert clone.plan("held")["score"] == 8


@pytest.mark.parametrize("name", ["smoke", "digits"])
def test_every_part_of_an_experiment_is_planned_without_held_out_images(clone, name):
    """Every method, study and figure: nothing asks for a file of the kind val."""
    file = clone.folder / f"config/experiments/{name}.yaml"
    made = yaml.safe_load(file.read_text())
    whole = clone.plan(name)
    made["queries"]["val"] = 0
    made.pop("acceleration", None)
    (clone.folder / "config/experiments/alone.yaml").write_text(yaml.safe_dump(made))
    plan = clone.plan("alone")
    assert plan["score_gen"] == whole["score"] + whole.get("score_kind", 0)
    assert plan["select_damping"] == whole["select_damping"]
    assert plan["plot_neighbours"] == 1


def shrunk(file):
    """Smaller numbers and two of the methods, in an experiment file that was made for us."""
    made = yaml.safe_load(file.read_text())
    made["training"] |= {"epochs": 1, "warmup_steps": 0}
    made["subsets"] |= {
        "models_per_job": 4,
        "eval": {"models": 4, "seeds": 2},
        "tune": {"models": 4},
    }
    made["queries"] = {"val": 0, "gen": 6, "tuning": 2, "sampling_steps": 3}
    made |= {"outputs": {"timesteps": 2}, "features": {"timesteps": 2, "dimensions": 256}}
    made |= {"methods": {"pixel_cosine": {}, "das": {}}, "lds": {"draws": 100}}
    made |= {"report": {"queries": 2, "top": 3}}
    made.pop("comparisons", None)
    made.pop("removal", None)
    file.write_text(yaml.safe_dump(made, sort_keys=False))
