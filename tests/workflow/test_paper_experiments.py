"""The papers' experiments in miniature, from archives in the official form.

Two of them, one of each family, go to the report, the others to the base model and a plan;
`./run test --deep` makes all of them.
One clone holds tiny archives in the place of the official ones, with their digests in its registry.
Every class, block type and switch is the large experiment's (``dasbench.experiments.debug_size``).
"""

import hashlib
import html

import judged
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import sources as made_of
import tiny_pipelines
from clones import checkout
from dasbench.core import artifacts, tables
from dasbench.data import celeba
from dasbench.data.artbench import STYLES

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PIPELINE = "lambdalabs/miniSD-diffusers"
CIFAR = "cifar-10-binary.tar.gz"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with tiny archives of the data sets, a tiny Stable Diffusion, and nothing made."""
    clone = checkout(tmp_path_factory.mktemp("datasets") / "clone")
    home = clone.folder / "data/sources"
    archive = made_of.cifar_binary(home / "cifar10" / CIFAR, made_of.cifar_batches(30))
    made_of.celeba(home / "celeba", "0" * 24 + "1" + "2" * 8)
    made_of.artbench(home / "artbench/artbench-10-imagefolder-split.tar", STYLES, 14, 4)
    tiny_pipelines.stable_diffusion(clone.folder / "data/pretrained" / PIPELINE, channels=3)
    registry = clone.folder / "data/registry.yaml"
    facts = yaml.safe_load(registry.read_text())
    facts["cifar10"]["files"][CIFAR]["sha256"] = hashlib.sha256(archive.read_bytes()).hexdigest()
    partition = (home / "celeba" / celeba.PARTITION).read_bytes()
    facts["celeba"]["files"][celeba.PARTITION]["sha256"] = hashlib.sha256(partition).hexdigest()
    registry.write_text(yaml.safe_dump(facts))
    for name, removal in (("artbench5", REMOVAL), ("debug_artbench5", REMOVAL | FEW)):
        with (clone.folder / f"config/experiments/{name}.yaml").open("a") as file:
            file.write(yaml.safe_dump({"removal": removal}))
    # with the large experiment's rate, adapters of one epoch are nearly alike
    large, small = (f"config/experiments/{name}.yaml" for name in ("artbench5", "debug_artbench5"))
    clone.edit(large, "learning_rate: 0.0003", "learning_rate: 0.01")
    clone.edit(small, "das_released: {}", "das_released: {}, das_common: {}")
    return clone


# neither artbench5 nor its miniature removes anything; here both do, so that adapters are removed
REMOVAL = {"methods": ["das"], "k": [6], "queries": 2, "random_sets": 1, "null_models": 1}
FEW = {"queries": 1}


DATASETS = {
    "cifar2": "cifar10",
    "cifar10": "cifar10",
    "celeba": "celeba",
    "artbench2": "artbench",
    "artbench5": "artbench",
}


# of each family together: every readout, noise and residual of the large experiments but das_l1's
METHODS = {
    "cifar2": {"pixel_cosine", "pixel_rbf", "nearest", "floor", "trak", "dtrak", "das"},
    "cifar10": {"pixel_cosine", "dtrak", "das", "das_common"},
    "celeba": {"pixel_cosine", "dtrak", "das", "das_released"},
    "artbench2": {"pixel_cosine", "trak", "dtrak_common", "das_common"},
    "artbench5": {"pixel_cosine", "dtrak", "das", "das_released", "das_common"},
}
STYLES_OF = {"artbench2": ["post impressionism", "ukiyo e"]}
STYLES_OF["artbench5"] = [*STYLES_OF["artbench2"], "baroque", "renaissance", "romanticism"]
TO_REPORT = ("cifar2", "artbench5")
OTHERS = [name for name in DATASETS if name not in TO_REPORT]


@pytest.mark.parametrize("name", OTHERS)
def test_a_papers_experiment_is_planned_and_its_base_model_trained(clone, name):
    clone.run("--", f"base_debug_{name}")
    home = clone.folder / f"results/debug_{name}"
    assert len(np.load(home / "examples/train.npz", allow_pickle=False)["labels"]) == 24
    assert list((home / "models/base").rglob("*.safetensors"))
    assert_told_styles(clone, name)
    plan = clone.plan(f"debug_{name}")
    assert plan["evaluate_lds"] == plan["score"] == len(METHODS[name])
    assert plan[f"train_subsets_eval_debug_{name}"] == 2  # of four models each
    assert plan["render_report"] == 1
    assert not [rule for rule in plan if rule.startswith(("read_", "split_", "train_base"))]


def assert_told_styles(clone, name):
    """Paintings are told by their styles, and only by those of the experiment."""
    if name not in STYLES_OF:
        return
    home = clone.folder / f"results/debug_{name}"
    texts = artifacts.load_json(home / "prompts/texts.json")
    paintings = {f"a {style} painting" for style in STYLES_OF[name]}
    assert paintings < set(texts)
    assert texts[-1] == ""  # the prompt without guidance
    train = np.load(home / "examples/train.npz", allow_pickle=False)
    assert {texts[label] for label in train["labels"]} <= paintings


@pytest.mark.parametrize(
    "name", [*TO_REPORT, *(pytest.param(name, marks=pytest.mark.deep) for name in OTHERS)]
)
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
    assert_told_styles(clone, name)
    if name.startswith("artbench"):
        weights = {f.read_bytes() for f in (home / "models/eval").rglob("*.safetensors")}
        assert len(weights) == 4 * 2


@pytest.fixture(scope="module")
def artbench5(clone):
    """The clone, once debug_artbench5 is made in it."""
    clone.run("debug_artbench5")
    return clone


def test_every_adapter_differs_and_is_judged(artbench5):
    judged.assert_every_model_differs(artbench5, "debug_artbench5", (2, 4, 6))
    judged.assert_latents_are_seen(artbench5, "debug_artbench5", (6, 3, 16, 16), (6, 4, 8, 8))
    home = artbench5.folder / "results/debug_artbench5"
    removed = tables.load_table(home / "removal/per_query.parquet")
    assert removed["image_l2"].max() > 0
    assert removed["embedding_cosine"].isna().all()
    adapters = list((home / "models").rglob("*.safetensors"))
    assert {f.name for f in adapters} == {"pytorch_lora_weights.safetensors"}
    assert all(".lora." in key or "lora_" in key for f in adapters for key in load_file(f))


def test_an_export_runs_as_its_card_says(artbench5, tmp_path, monkeypatch):
    monkeypatch.chdir(artbench5.folder / "data/pretrained")  # where the card's pipeline is
    made = judged.exported(artbench5, "debug_artbench5", tmp_path / "export")
    assert {image.size for image in made["images"]} == {(16, 16)}
    judged.assert_frozen(tmp_path / "export", artbench5.folder / "data/pretrained" / PIPELINE)


def test_other_frozen_weights_change_what_is_built_on_them_and_an_absent_one_is_told(artbench5):
    text = (artbench5.folder / "config/experiments/artbench5.yaml").read_text()
    artbench5.edit("config/experiments/artbench5.yaml", PIPELINE, "nobody/nothing")
    assert "encode_latents_debug_artbench5" in artbench5.plan("debug_artbench5")
    until = ("--until", "encode_latents_debug_artbench5")
    failed = artbench5.run("debug_artbench5", *until, check=False)
    assert failed.returncode
    told = failed.stdout + failed.stderr
    assert "hf download nobody/nothing" in told
    assert "Traceback" not in told
    (artbench5.folder / "config/experiments/artbench5.yaml").write_text(text)


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
    assert "no evaluation models" in clone.run(*made).stdout
    plan = clone.plan("own")
    assert not [rule for rule in plan if "subsets" in rule or "lds" in rule or "train" in rule]
    file = clone.folder / "config/experiments/own.yaml"
    text = file.read_text().replace("dimensions: 4096", "timesteps: 2, dimensions: 512")
    file.write_text(text.replace("tuning: 4}", "tuning: 4, sampling_steps: 3}"))
    clone.run("own")
    home = clone.folder / "results/own"
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (home / "models/base" / weights).read_bytes() == (checkpoint / weights).read_bytes()
    assert np.load(home / "scores/das/gen.npy", allow_pickle=False).shape == (60, 12)
    page = (home / "report.html").read_text()
    assert "no model was retrained" in page
    assert "figure-neighbours-gen" in page
    assert clone.plan("own") == {}
