"""What only diffusers, or a look at files, can tell before a run."""

import json

import numpy as np
import pytest

from dasbench.errors import UserError
from dasbench.planning import preflight
from experiment_files import load, make_repository, raw


@pytest.fixture
def root(tmp_path):
    return make_repository(tmp_path / "root")


def changed(root, **sections):
    data = raw()
    for name, values in sections.items():
        data[name] = {**data[name], **values}
    return load(root, data)


def told(root, experiment):
    with pytest.raises(UserError) as caught:
        preflight.check([experiment], root)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("config/experiments/changed.yaml: ")
    return line


@pytest.mark.parametrize(
    ("key", "value", "others"),
    [
        ("up_block_types", ["UpBlok2D", "UpBlock2D"], {}),
        ("down_block_types", ["DownBlock2D", "Down"], {}),
        ("attention_head_dim", 64, {"up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}),
        ("attn_norm_num_groups", 5, {}),
        ("downsample_padding", 5, {}),
    ],
)
def test_what_diffusers_refuses_is_a_sentence_with_the_key(root, key, value, others):
    line = told(root, changed(root, model={key: value, **others}))
    assert f"model.{key} is " in line
    assert "which diffusers refuses: " in line


def test_a_network_is_built_once(root, monkeypatch):
    experiment = changed(root)
    preflight.check([experiment], root)
    assert len(json.loads((root / preflight.KNOWN).read_text())) == 1
    monkeypatch.setattr(preflight.unet_cost, "by_building", None)
    preflight.check([experiment], root)
    (root / preflight.KNOWN).write_text("[")
    with pytest.raises(UserError):
        preflight.check([experiment], root)


def test_more_images_than_there_are(root):
    line = told(root, changed(root, data={"train": 2000}))
    assert "data.train is 2000, but digits has at most 1797 images for training" in line
    line = told(root, changed(root, data={"train": 1790}))
    assert "data.train is 1790 and queries.val 12, but digits has at most 1797 images" in line
    preflight.check([changed(root, data={"train": 1785})], root)


@pytest.fixture
def pool(root):
    def write(name, **arrays):
        (root / "data" / name).mkdir(parents=True, exist_ok=True)
        np.savez(root / "data" / name / "pool.npz", **arrays)

    return write


def test_the_images_of_a_pool_are_counted(root, pool):
    pool("digits", labels=np.repeat([0, 1, 2], 100))
    preflight.check([changed(root)], root)
    line = told(root, changed(root, data={"classes": [0]}))
    assert "data/digits/pool.npz has 100 images of these classes for training" in line
    assert "queries.val 12" in told(root, changed(root, data={"classes": [0, 1], "train": 190}))
    own = {"dataset": "folder", "path": "pictures", "size": 8, "channels": 1}
    pool("changed", parts=np.repeat([0, 1], [150, 5]))
    assert "queries.val is 12, but data/changed/pool.npz has 5 held-out" in told(
        root, changed(root, data=own)
    )
    pool("changed", parts=np.zeros(100))
    assert "data.train is 120, but data/changed/pool.npz has 100" in told(
        root, changed(root, data=own)
    )


def test_the_pictures_of_a_folder_are_counted_before_there_is_a_pool(root, pool):
    def own(**more):
        data = {"dataset": "folder", "path": "own", "size": 8, "channels": 1, **more}
        return changed(root, data=data)

    preflight.check([own(train=10**6)], root)  # the folder is elsewhere
    for place, count in (("own", 140), ("new", 5)):
        (root / place).mkdir()
        for i in range(count):
            (root / place / f"{i}.png").touch()
    assert "data.train is 1000, but own holds 140 images" in told(root, own(train=1000))
    assert "but own holds 140 images for both" in told(root, own(train=130))
    assert "but own holds 50 images" in told(root, own(limit=50))
    assert "queries.val is 12, but own holds 5 held-out" in told(root, own(held_out="new"))
    preflight.check([own()], root)
    pool("changed", parts=np.zeros(100))
    line = told(root, own())
    assert "data/changed/pool.npz has 100 images" in line
    assert "the folder has more now: remove data/changed/pool.npz to read it again" in line


SHAPE = (120, 12)
WRONG = {
    "has shape (12, 120), expected (120, 12)": np.zeros(SHAPE[::-1], np.float32),
    "has dtype int64, expected a float": np.zeros(SHAPE, np.int64),
    "is not finite at [3, 4]": np.where(np.arange(1440).reshape(SHAPE) == 40, np.nan, 1.0),
    "is no .npy file of numbers": np.array([{}]),
}


def external(root, files):
    data = raw()
    data["methods"]["mine"] = {"scores": files}
    return load(root, data)


@pytest.mark.parametrize("problem", WRONG)
def test_scores_from_elsewhere_are_checked(root, problem, tmp_path):
    file = tmp_path / "gen.npy"  # absolute
    np.save(file, WRONG[problem], allow_pickle=True)
    line = told(root, external(root, {"gen": str(file)}))
    assert f"methods.mine.scores.gen is {file}, which {problem}" in line
    np.save(file, np.zeros(SHAPE, np.float16))
    preflight.check([external(root, {"gen": str(file)})], root)


def test_scores_that_are_not_there(root):
    assert "methods.mine.scores.val is v.npy, which does not exist" in told(
        root, external(root, {"val": "v.npy"})
    )
