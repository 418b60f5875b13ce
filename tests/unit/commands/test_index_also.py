"""Scores of other methods beside that of an index."""

import numpy as np
import pytest

import dasbench
from dasbench.errors import UserError
from tiny_index import MORE, PIXELS, build, network_and_process


def alone(tmp_path, method, images=PIXELS):
    """The scores of an index of one method."""
    place = tmp_path / f"{method}-{len(images)}"
    return build(network_and_process(), place, images, method=method).ask(MORE[:2]).scores


def test_another_score_is_that_of_an_index_of_its_own(tmp_path):
    build(network_and_process(), tmp_path / "index", also=["dtrak", "das"])
    index = dasbench.Index.open(tmp_path / "index", network_and_process())
    answer = index.ask(MORE[:2])
    assert [score.key for score in answer.others] == ["pixel_cosine_power", "das", "dtrak"]
    np.testing.assert_array_equal(answer.scores, alone(tmp_path, "das_stepwise"))
    for score in answer.others[1:]:
        np.testing.assert_array_equal(score.values, alone(tmp_path, score.key))
    assert "rank_dtrak" in answer.frame()
    answer.page(tmp_path / "answer.html")
    assert "influence by dtrak" in (tmp_path / "answer.html").read_text()


def test_added_images_get_every_score_and_lie_on_the_disk_once(tmp_path):
    index = build(network_and_process(), tmp_path / "index", also="dtrak").add(MORE[2:])
    score = index.ask(MORE[:2]).others[-1]
    both = np.concatenate([PIXELS, MORE[2:]])
    assert score.values.shape == (len(both), 2)
    np.testing.assert_allclose(score.values, alone(tmp_path, "dtrak", both), rtol=0.02, atol=1e-4)
    names = index.manifest.files.values()
    (pixels,) = [name for name in names if name.startswith("pixels-")]
    assert (tmp_path / "index" / pixels).samefile(tmp_path / "index/also/dtrak" / pixels)


def test_damage_of_another_score_is_found_and_mended(tmp_path):
    model = network_and_process()
    build(model, tmp_path / "index", also="dtrak")
    expected = dasbench.Index.open(tmp_path / "index", model).ask(MORE[:1]).others[-1].values
    file = next((tmp_path / "index/also/dtrak/slabs").rglob("*.npy"))
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(UserError, match="missing or damaged"):
        dasbench.Index.open(tmp_path / "index", model).ask(MORE[:1])
    build(model, tmp_path / "index", also="dtrak")
    again = dasbench.Index.open(tmp_path / "index", model).ask(MORE[:1]).others[-1].values
    np.testing.assert_array_equal(again, expected)


def test_an_addition_that_was_stopped_between_two_scores_goes_on(tmp_path, monkeypatch):
    model = network_and_process()
    index = build(model, tmp_path / "index", also="dtrak")
    extend = dasbench.Index._extend

    def killed(self, more, stopped):
        if self.manifest.method == "dtrak":
            raise KeyboardInterrupt
        extend(self, more, stopped)

    with monkeypatch.context() as patched:
        patched.setattr(dasbench.Index, "_extend", killed)
        with pytest.raises(KeyboardInterrupt):
            index.add(MORE)
    answer = dasbench.Index.open(tmp_path / "index", model).add(MORE).ask(MORE[:1])
    assert answer.scores.argmax() == len(PIXELS)  # the query itself
    assert answer.scores.shape == answer.others[-1].values.shape == (len(PIXELS) + len(MORE), 1)


@pytest.mark.parametrize(
    ("also", "told"),
    [
        ("das_stepwise", "also is das_stepwise, the method of the index; leave it out"),
        (["dtrak", "nothing"], "method 'nothing' cannot be used here"),
    ],
)
def test_a_method_that_cannot_stand_beside_it_is_refused_before_any_work(tmp_path, also, told):
    with pytest.raises(UserError, match=told):
        build(network_and_process(), tmp_path / "index", also=also)
    assert not (tmp_path / "index").exists()
