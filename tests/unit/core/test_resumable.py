"""Chunks of features: kept, found again, shared by processes, and never mistaken for others."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import compute_features
from dasbench.attribution import candidates
from dasbench.core import artifacts, resumable
from dasbench.core.blocks import blocks
from dasbench.diffusion import denoiser
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from dasbench.gradients import features
from tiny import DIFFUSION, MODEL

SPLITS = ("train", "val", "gen")
FORM = {
    "readout": "loss",
    "normalise": True,
    "norms": "projected",
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 64,
    "projection": "kronecker",
    "oversampling": 2,
    "parameters": "weights",
    "dtype": "float32",
    "candidates": None,
}


def test_fingerprints_tell_contents_and_borders_apart(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"x")
    two.write_bytes(b"y")
    marks = [
        resumable.fingerprint("ab"),
        resumable.fingerprint("a", "b"),
        resumable.fingerprint("b", "a"),
        resumable.fingerprint("ab", ""),
        resumable.fingerprint("ab", one),
        resumable.fingerprint("ab", two),
        resumable.fingerprint("ab", one, two),
        resumable.fingerprint("ab", two, one),
    ]
    assert len(set(marks)) == len(marks)
    assert resumable.fingerprint("ab", one) == resumable.fingerprint("ab", one)
    two.write_bytes(b"x")
    assert resumable.fingerprint("ab", two) == resumable.fingerprint("ab", one)
    with pytest.raises(OSError, match="nowhere"):
        resumable.fingerprint(tmp_path / "nowhere")


def test_two_stores_share_a_folder(tmp_path):
    whole = np.random.default_rng(0).standard_normal((11, 5)).astype(np.float32)
    first, second = resumable.Store(tmp_path, "mark"), resumable.Store(tmp_path, "mark")
    rows = blocks(11, 3)
    for store, mine in ((first, rows[0::2]), (second, rows[1::2])):
        for one in mine:
            assert not store.has("train", one)
            store.save("train", one, whole[one])
    assert all(store.has("train", one) for one in rows for store in (first, second))
    assert not first.has("val", rows[0])
    first.join("train", rows, (11, 5))
    artifacts.save_array(tmp_path / "expected.npy", whole)
    assert (tmp_path / "train.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    first.clear()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["expected.npy", "train.npy"]


@pytest.mark.parametrize("harm", ["missing", "cut short", "another shape", "not finite"])
def test_what_is_missing_or_damaged_is_not_joined(harm, tmp_path):
    store, rows = resumable.Store(tmp_path, "mark"), blocks(8, 4)
    for one in rows:
        store.save("val", one, np.ones((4, 2), np.float32))
    (file,) = store.parts.glob("val-*4.npy")
    if harm == "missing":
        file.unlink()
    elif harm == "cut short":
        file.write_bytes(file.read_bytes()[:-3])
    elif harm == "another shape":
        store.save("val", rows[1], np.ones((3, 2), np.float32))
    else:
        store.save("val", rows[1], np.full((4, 2), np.nan, np.float32))
    with pytest.raises(UserError, match=file.name):
        store.join("val", rows, (8, 2))
    assert not (tmp_path / "val.npy").exists()


def test_sweeping_removes_others_alone(tmp_path):
    mine, other = resumable.Store(tmp_path, "mine"), resumable.Store(tmp_path, "other")
    for store in (mine, other):
        store.save("val", slice(0, 1), np.zeros((1, 2), np.float32))
    (tmp_path / "val.npy").write_bytes(b"an array")
    mine.sweep()
    assert mine.has("val", slice(0, 1))
    assert not other.parts.exists()
    assert (tmp_path / "val.npy").exists()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Examples, queries and a model in files, as the script takes them."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (11, 8, 8, 1), dtype=np.uint8)
    ids = rng.permutation(50)[:11]
    artifacts.save_examples(folder / "train.npz", train, np.zeros(11), ids)
    for kind, count in (("val", 3), ("gen", 5)):
        queries = rng.uniform(-1, 1, (count, 1, 8, 8)).astype(np.float32)
        artifacts.save_array(folder / f"queries/{kind}.npy", queries)
        artifacts.save_array(folder / f"queries/{kind}_labels.npy", np.zeros(count, np.int64))
    unet, process = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("tests", 0))
    pixel.save(folder / "model", unet, process)
    return folder


@pytest.fixture
def script(inputs, monkeypatch, tmp_path):
    """Run the script here, with chunks of four images; what was computed is in ``calls``."""
    monkeypatch.setattr(compute_features, "CHUNK", 4)
    monkeypatch.setenv("DAS_DEVICE", "cpu")
    calls, plain = [], features.Extractor.__call__

    def run(out, form=FORM, process=0, of=1, fail_after=None, source=inputs):
        calls.clear()
        waited = []

        def counted(self, images, examples, split, condition):
            if len(calls) == fail_after:
                raise KeyboardInterrupt
            calls.append((split, [int(i) for i in examples]))
            return plain(self, images, examples, split, condition)

        state = SimpleNamespace(
            process_index=process,
            num_processes=of,
            is_main_process=process == 0,
            device="cpu",
            wait_for_everyone=lambda: waited.append(1),
        )
        settings = {"features": form, "axes": ["tests", 0], "model": MODEL}
        words = ["--settings", json.dumps({**settings, "family": "pixel"})]
        for name, path in {
            "examples": source / "train.npz",
            "queries": source / "queries",
            "model": source / "model",
            "out": tmp_path / out,
        }.items():
            words += [f"--{name}", str(path)]
        with monkeypatch.context() as patch:
            patch.setattr(features.Extractor, "__call__", counted)
            patch.setattr(compute_features, "PartialState", lambda **_: state)
            patch.setattr(sys, "argv", ["compute_features.py", *words])
            compute_features.run()
        assert waited == [1]
        return tmp_path / out

    run.calls = calls
    return run


def contents(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["gen.npy", "train.npy", "val.npy"]
    return {name: (folder / f"{name}.npy").read_bytes() for name in SPLITS}


def test_chunks_change_nothing_but_rounding(script, inputs, monkeypatch):
    folder = script("chunked")
    assert [len(who) for _, who in script.calls] == [4, 4, 3, 3, 4, 1]
    train = artifacts.load_examples(inputs / "train.npz")
    unet, process = pixel.load(inputs / "model")
    whole = features.compute(
        unet, process, denoiser.to_model(train.images), train.ids, "train", FORM, ("tests", 0)
    )
    found = artifacts.load_array(folder / "train.npy", (11, 64), np.float32)
    assert np.abs(found - whole).max() < 1e-5 * np.abs(whole).max()
    assert contents(script("again")) == contents(folder)


def test_two_processes_write_the_same_bytes(script):
    alone = contents(script("alone"))
    everything = sorted(script.calls)
    # the second ends first: the main one waits for it, then joins
    second = script("shared", process=1, of=2)
    shares = list(script.calls)
    assert not list(second.glob("*.npy"))
    assert contents(script("shared", process=0, of=2)) == alone
    assert sorted(shares + script.calls) == everything
    assert min(len(shares), len(script.calls)) > 0


@pytest.mark.parametrize("finished", [1, 3, 5])
def test_a_kill_costs_one_chunk(script, finished, tmp_path):
    undisturbed = contents(script("undisturbed"))
    everything = list(script.calls)
    with pytest.raises(KeyboardInterrupt):
        script("killed", fail_after=finished)
    assert script.calls == everything[:finished]
    assert not list((tmp_path / "killed").glob("*.npy"))
    assert contents(script("killed")) == undisturbed
    assert script.calls == everything[finished:]


def test_chunks_of_other_settings_models_and_images_are_not_used(script, inputs, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(inputs, changed)
    unet, process = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("tests", 1))
    pixel.save(changed / "model", unet, process)
    queries = tmp_path / "other queries"
    shutil.copytree(inputs, queries)
    gen = artifacts.load_array(queries / "queries/gen.npy")
    artifacts.save_array(queries / "queries/gen.npy", gen[::-1])
    others = [{"form": {**FORM, "readout": "l2"}}, {"source": changed}, {"source": queries}]
    undisturbed = contents(script("undisturbed"))
    for k, other in enumerate(others):
        with pytest.raises(KeyboardInterrupt):
            script(f"killed {k}", fail_after=4, **other)
        (parts,) = (tmp_path / f"killed {k}").iterdir()
        assert len(list(parts.iterdir())) == 4
        assert contents(script(f"killed {k}")) == undisturbed
        assert len(script.calls) == 6


def test_images_that_are_no_candidates_are_not_computed(script, inputs):
    everything = script("everything")
    folder = script("few", {**FORM, "candidates": 1})
    train = artifacts.load_examples(inputs / "train.npz")
    queries = np.concatenate(
        [artifacts.load_array(inputs / f"queries/{k}.npy") for k in ("val", "gen")]
    )
    near = candidates.nearest(denoiser.to_model(train.images), queries, 1).any(axis=1)
    assert 0 < near.sum() < 11
    seen = [i for split, who in script.calls if split == "train" for i in who]
    assert seen == train.ids[near].tolist()
    full, some = (artifacts.load_array(f / "train.npy") for f in (everything, folder))
    assert not some[~near].any()
    assert np.abs(some[near] - full[near]).max() < 1e-5 * np.abs(full).max()
    for kind in ("val", "gen"):
        assert contents(folder)[kind] == contents(everything)[kind]
