"""What an index tells before and during long work: prediction, refusal, progress; and its GPU."""

import itertools
import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import dasbench
from dasbench.commands import index_features, index_manifest, index_work, subject
from dasbench.errors import UserError
from tiny_index import MORE, PIXELS, build, network_and_process


@pytest.fixture(scope="module")
def model():
    return network_and_process()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(index_manifest, "CHUNK", 8)


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_manifest, "CHUNK", 8)
        build(model, place)
    return place


def cut(made, place):
    """A copy of an index that lacks one chunk."""
    shutil.copytree(made, place)
    next(place.glob("slabs/001/train/000000008-*")).unlink()
    return place


def test_the_missing_work_alone_is_predicted(model, made, tmp_path, capsys, monkeypatch):
    copy = cut(made, tmp_path / "copy")
    manifest = index_manifest.load(copy)
    assert index_work.missing(copy, manifest, [], None) == (8, 1, 8 * 64 * 2)
    assert index_work.missing(copy, manifest, [], index_work.Share(1, 3)) == (0, 0, 0)
    build(model, copy)
    assert capsys.readouterr().err.startswith("the rest of the index needs about 1 second, ")
    build(model, copy)
    assert capsys.readouterr().err == ""
    clock = iter([0, 300])  # seconds before and after a measurement
    monkeypatch.setattr(index_features, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(index_features, "PART", 1)  # the 7 new images at both timesteps
    dasbench.Index.open(copy, model).add(MORE)
    assert capsys.readouterr().err.startswith("the rest of the index needs about 5 minutes, ")


def test_the_work_of_a_share_is_predicted(model, tmp_path, capsys):
    build(model, tmp_path, shard="2/3")
    assert capsys.readouterr().err.startswith("share 2/3 of the index needs about ")


def test_a_share_opens_its_model_on_its_own_gpu(model, tmp_path, monkeypatch):
    taken, opened = [], []

    @contextmanager
    def device(number):
        taken.append(number)
        yield
        taken.clear()

    monkeypatch.delenv("DAS_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "device", device)
    of = subject.of
    monkeypatch.setattr(subject, "of", lambda *args: opened.append([*taken]) or of(*args))
    build(model, tmp_path, shard="2/3")
    assert opened == [[1]]


@pytest.mark.parametrize("scarce", ["memory", "disk"])
def test_a_rest_that_does_not_fit_is_refused_before_it_begins(
    model, made, tmp_path, monkeypatch, scarce
):
    part, whole = cut(made, tmp_path / "part"), tmp_path / "whole"
    shutil.copytree(made, whole)
    index = dasbench.Index.open(whole, model)
    if scarce == "memory":
        monkeypatch.setattr(index_work, "memory_limit", lambda: 9)
    else:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))
    before = sorted(tmp_path.rglob("*"))
    for run in (lambda: build(model, part), lambda: index.add(MORE)):
        with pytest.raises(UserError, match="the index needs .* GB .*, but"):
            run()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_long_question_and_self_check_show_progress(model, tmp_path, capsys, monkeypatch):
    build(model, tmp_path).ask(PIXELS[:1])
    assert "index:" not in capsys.readouterr().err
    (tmp_path / "checked.json").unlink()
    clock = itertools.count(0, 40)
    monkeypatch.setattr(index_work, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    build(model, tmp_path)
    assert "index: self-check 2 of 2, image 16 of 16" in capsys.readouterr().err
    dasbench.Index.open(tmp_path, model).ask(PIXELS[:1])
    assert "index: query features 2 of 2, image 1 of 1" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["das_stepwise", "das_common"])
def test_features_of_queries_do_not_depend_on_the_batch(model, tmp_path, method):
    index = build(model, tmp_path, method=method)
    whole = index.query_features(index.training)
    for engine in index.model.tried.values():
        engine.batch = 3
    parts = index.query_features(index.training)
    np.testing.assert_allclose(parts, whole, rtol=1e-3, atol=1e-5 * np.abs(whole).max())
