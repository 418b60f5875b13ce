"""The papers' experiments in miniature, from archives in the official form to the report.

One clone holds tiny archives in the place of the official ones, with their digests in its registry.
Every class, block type and switch is the large experiment's (``dasbench.experiments.debug_size``).
"""

import hashlib
import html

import numpy as np
import pytest
import yaml

import sources as made_of
import tiny_pipelines
from clones import checkout
from dasbench.core import artifacts, tables
from dasbench.data import celeba
from dasbench.data.artbench import STYLES

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

CIFAR = "cifar-10-binary.tar.gz"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with tiny archives of the data sets, a tiny Stable Diffusion, and nothing made."""
    clone = checkout(tmp_path_factory.mktemp("datasets") / "clone")
    home = clone.folder / "data/sources"
    archive = made_of.cifar_binary(home / "cifar10" / CIFAR, made_of.cifar_batches(30))
    made_of.celeba(home / "celeba", "0" * 24 + "1" + "2" * 8)
    made_of.artbench(home / "artbench/artbench-10-imagefolder-split.tar", STYLES, 14, 4)
    tiny_pipelines.stable_diffusion(
        clone.folder / "data/pretrained/lambdalabs/miniSD-diffusers", channels=3
    )
    registry = clone.folder / "data/registry.yaml"
    facts = yaml.safe_load(registry.read_text())
    facts["cifar10"]["files"][CIFAR]["sha256"] = hashlib.sha256(archive.read_bytes()).hexdigest()
    partition = (home / "celeba" / celeba.PARTITION).read_bytes()
    facts["celeba"]["files"][celeba.PARTITION]["sha256"] = hashlib.sha256(partition).hexdigest()
    registry.write_text(yaml.safe_dump(facts))
    return clone


DATASETS = {
    "cifar2": "cifar10",
    "cifar10": "cifar10",
    "celeba": "celeba",
    "artbench2": "artbench",
    "artbench5": "artbench",
}


# of each family together: every readout, noise and residual of the large experiments but das_l1's
METHODS = {
    "cifar2": {"pixel_cosine", "trak", "dtrak", "das"},
    "cifar10": {"pixel_cosine", "dtrak", "das", "das_common"},
    "celeba": {"pixel_cosine", "dtrak", "das", "das_released"},
    "artbench2": {"pixel_cosine", "trak", "dtrak_common", "das_common"},
    "artbench5": {"pixel_cosine", "dtrak", "das", "das_released"},
}


@pytest.mark.parametrize("name", DATASETS)
def test_a_papers_experiment_runs_in_miniature(clone, name):
    clone.run(f"debug_{name}")
    home = clone.folder / f"results/debug_{name}"
    summary = tables.load_table(home / "lds/summary.csv")
    assert set(summary.method) == METHODS[name]
    for method in METHODS[name]:
        scores = np.load(home / f"scores/{method}/gen.npy", allow_pickle=False)
        assert scores.shape == (24, 6), method
        assert np.ptp(scores) > 0, method
    page = (home / "report.html").read_text()
    assert clone.plan(f"debug_{name}") == {}
    about = yaml.safe_load((clone.folder / "data/registry.yaml").read_text())
    assert about[DATASETS[name]]["licence"] in html.unescape(page)
    if name == "cifar2":
        train = np.load(home / "examples/train.npz", allow_pickle=False)
        assert set(train["labels"]) == {1, 7}
        assert "automobile" in page
    if name.startswith("artbench"):
        styles = ["post impressionism", "ukiyo e"]
        if name == "artbench5":
            styles += ["baroque", "renaissance", "romanticism"]
        texts = artifacts.load_json(home / "prompts/texts.json")
        assert {f"a {style} painting" for style in styles} < set(texts)
        train = np.load(home / "examples/train.npz", allow_pickle=False)
        assert {texts[label] for label in train["labels"]} <= {f"a {s} painting" for s in styles}
        weights = {f.read_bytes() for f in (home / "models/eval").rglob("*.safetensors")}
        assert len(weights) == 4 * 2


def test_absent_data_is_told_in_one_sentence(clone):
    hidden = clone.folder / "data/sources/cifar10" / CIFAR
    hidden.rename(hidden.with_suffix(".away"))
    done = clone.run("debug_cifar2", "--forcerun", "read_images", check=False)
    hidden.with_suffix(".away").rename(hidden)
    assert done.returncode
    (line,) = {x.strip(" |") for x in done.stderr.splitlines() if "CIFAR-10 is not here" in x}
    for part in ("170 MB", "licence: none stated", "data/sources/cifar10", "kriz/cifar-10-binary"):
        assert part in line


def test_ones_own_checkpoint_is_attributed_without_retraining(clone):
    pictures = clone.folder.parent / "pictures"
    for i in range(60):
        place = pictures / "ab"[i % 2] / f"{i}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(made_of.jpeg(i, (40, 32)))
    checkpoint = clone.folder / "results/debug_cifar2/models/base"
    made = ("new-experiment", "own", "--images", pictures, "--checkpoint", checkpoint)
    assert "0 evaluation models" in clone.run(*made).stdout
    plan = clone.plan("own")
    assert not [rule for rule in plan if "subsets" in rule or "lds" in rule or "train" in rule]
    file = clone.folder / "config/experiments/own.yaml"
    text = file.read_text().replace("dimensions: 4096", "timesteps: 2, dimensions: 512")
    file.write_text(text.replace("tuning: 4}", "tuning: 4, sampling_steps: 3}"))
    clone.run("own")
    home = clone.folder / "results/own"
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (home / "models/base" / weights).read_bytes() == (checkpoint / weights).read_bytes()
    assert np.load(home / "scores/das/gen.npy", allow_pickle=False).shape == (48, 12)
    page = (home / "report.html").read_text()
    assert "no model was retrained" in page
    assert "figure-neighbours-gen" in page
    assert clone.plan("own") == {}
