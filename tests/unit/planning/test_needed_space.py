"""Before a run the disk is compared with its plan: missing files count, others do not."""

import shutil
from collections import namedtuple

import pytest

from dasbench.experiments.files import phases, resolved
from dasbench.experiments.image_shapes import shape_for
from dasbench.planning import needed_space, storage
from dasbench.planning.workload import Workload
from experiment_files import ROOT, make_repository

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def root(tmp_path):
    return make_repository(tmp_path / "root")


@pytest.fixture
def experiments():
    return resolved.load_all(ROOT)


def test_what_is_here_needs_no_room(root, experiments):
    sizes = storage.folders(Workload(experiments["smoke"], (1, 8, 8)), 0)
    files = phases.compared_files(experiments["smoke"])
    features = [file for file in files if "/features/" in file]
    whole = needed_space.needed(features, experiments, root)
    assert whole == pytest.approx(sizes["features"])
    for file in features:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    assert needed_space.needed(features, experiments, root) == 0
    (root / features[0]).unlink()
    share = needed_space.needed(features, experiments, root)
    assert share == pytest.approx(sizes["features"] / len(features))


def test_models_count_by_their_parameters(root, experiments):
    work = Workload(experiments["digits"], shape_for(experiments["digits"], ROOT))
    folder = "results/digits/models/eval/seed-0/shard-000/00/unet"
    files = [f"{folder}/config.json", f"{folder}/diffusion_pytorch_model.safetensors"]
    needed = needed_space.needed(files, experiments, root)
    assert needed == pytest.approx(4 * work.model.parameters, rel=0.1)
    others = ["data/digits/pool.npz", "results/unknown/models/x.safetensors", "results/digits/x"]
    assert needed_space.needed(others, experiments, root) == 0


def test_a_disk_that_will_be_full_is_named(root, experiments, monkeypatch):
    files = phases.compared_files(experiments["cifar2"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10**9))
    sentence = needed_space.shortage(files, experiments, root)
    assert sentence.startswith(f"the disk of {root} has 1.00 GB free, and this run is predicted")
    assert "--config disk=0" in sentence
    assert needed_space.shortage(files[:0], experiments, root) is None
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10**13))
    assert needed_space.shortage(files, experiments, root) is None
