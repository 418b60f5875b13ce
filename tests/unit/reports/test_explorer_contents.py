"""Lists of training images: against sorting by hand; what the explorer holds of them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dasbench.core.artifacts import Examples
from dasbench.reports.explorer import contents, extremes


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 10**6))
def test_lists_are_the_ends_of_the_sorted_scores(n: int, distinct: int, seed: int) -> None:
    """Ties by id; nothing twice; with few images the list of the lowest is shorter."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, distinct + 1, (n, 3)).astype(np.float32)
    ids = rng.permutation(1000)[:n]
    found = extremes.table(scores, ids, [2, 0])
    for query in (2, 0):
        order = sorted(range(n), key=lambda i: (-scores[i, query], ids[i]))
        rows = found[found["query"] == query]
        high = min(n, extremes.HIGHEST)
        low = min(n - high, extremes.LOWEST)
        assert rows["row"].tolist() == order[:high] + order[n - low :]
        assert rows["place"].tolist() == [*range(1, high + 1), *range(-low, 0)]
        assert rows["score"].tolist() == scores[rows["row"], query].tolist()


def _listed(lines: dict[tuple[str, str], list[list[int]]]) -> pd.DataFrame:
    parts = [
        {
            "queries": kind,
            "method": method,
            "query": 50 + i,
            "place": p,
            "row": row,
            "score": 1.0 / p,
        }
        for (kind, method), queries in lines.items()
        for i, rows in enumerate(queries)
        for p, row in enumerate(rows, 1)
    ]
    return pd.DataFrame(parts)


def test_a_page_keeps_the_queries_that_it_has_room_for() -> None:
    """The first queries of every kind, until one more would need too many pictures."""
    listed = _listed(
        {("val", "a"): [[0, 1], [1, 2], [3, 4]], ("gen", "a"): [[0, 1], [5, 6], [0, 1]]}
    )
    for images, queries in ((1, 1), (2, 1), (4, 1), (5, 2), (6, 2), (7, 3), (99, 3)):
        kept = extremes.fitting(listed, images)
        assert kept.groupby("queries")["query"].nunique().to_dict() == {
            "val": queries,
            "gen": queries,
        }
        assert kept["row"].nunique() <= max(images, 2)


@pytest.fixture
def gathered() -> dict:
    rng = np.random.default_rng(0)
    training = Examples(
        rng.integers(0, 256, (9, 4, 4, 1), np.uint8), np.arange(9) % 3, np.arange(100, 109)
    )
    made = rng.uniform(-1, 1, (60, 1, 4, 4)).astype(np.float32)
    queries = {
        "val": contents.Queries(made, np.arange(60) % 3),
        "gen": contents.Queries(made[::-1], np.arange(60) % 2),
    }
    listed = _listed({("val", "a"): [[8, 2], [2, 0]], ("gen", "a"): [[4, 8], [8, 4]]})
    rows = [
        {"method": "a", "queries": "val", "target": target, "selection": selection}
        | {"query": 50 + i, "lds": lds}
        for target, selection, value in (
            ("loss", "held_out", 0.25),
            ("loss", "oracle", 9.0),
            ("displacement", "held_out", 9.0),
        )
        for i, lds in enumerate((value, np.nan))
    ]
    removed = pd.DataFrame(
        {
            "method": ["a", "random", "random", "null", "bottom-a"],
            "k": [3, 3, 3, np.nan, 3],
            "query": [51, 51, 51, 51, 51],
            "loss_change": [0.5, 0.1, 0.3, 7.0, 7.0],
            "image_l2": [2.0, 1.0, 1.0, 7.0, 7.0],
        }
    )
    return contents.contents(listed, training, queries, pd.DataFrame(rows), removed)


def test_positions_count_the_pictures_of_the_page(gathered: dict) -> None:
    training = gathered["training"]
    assert training["ids"] == [100, 102, 104, 108]
    assert training["labels"] == [0, 2, 1, 2]
    assert len(set(training["pictures"])) == 4
    val, gen = gathered["kinds"]["val"], gathered["kinds"]["gen"]
    assert val["queries"] == gen["queries"] == [50, 51]
    assert val["labels"] == [2, 0]
    assert gen["labels"] == [0, 1]
    assert val["lists"]["a"] == {"rows": [[3, 1], [1, 0]], "scores": [[1.0, 0.5], [1.0, 0.5]]}
    assert gathered["highest"] == 2


def _pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_each_picture_is_that_of_its_image(gathered: dict) -> None:
    """Training images by row, queries by kind and position."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 4, 4, 1), np.uint8)
    made = rng.uniform(-1, 1, (60, 1, 4, 4)).astype(np.float32)
    for row, uri in zip((0, 2, 4, 8), gathered["training"]["pictures"], strict=True):
        np.testing.assert_array_equal(_pixels(uri), images[row, ..., 0])
    for kind, of in (("val", made), ("gen", made[::-1])):
        for query, uri in zip((50, 51), gathered["kinds"][kind]["pictures"], strict=True):
            expected = np.rint((of[query, 0] + 1) * 127.5)
            np.testing.assert_array_equal(_pixels(uri), expected)


def test_images_without_a_score_are_in_no_list() -> None:
    """A method with candidates scores a few training images for each query."""
    scores = np.full((30, 2), -np.inf, np.float32)
    scores[[3, 5, 7], 0] = [0.5, -1.0, 2.0]
    scores[[1, 2, 3], 1] = [1.0, 2.0, 3.0]
    found = extremes.table(scores, np.arange(30), [0, 1])
    assert found[found["query"] == 0]["row"].tolist() == [7, 3, 5]
    assert found["place"].tolist() == [1, 2, 3, 1, 2, 3]


def test_judgements_are_those_of_the_query(gathered: dict) -> None:
    """The correlation for the loss at the held-out parameters; removal beside random sets."""
    val, gen = gathered["kinds"]["val"], gathered["kinds"]["gen"]
    assert val["lds"] == {"a": [25.0, None]}
    row = {"method": "a", "k": 3, "loss_change": [0.5, 0.2], "image_l2": [2.0, 1.0]}
    assert gen["removal"] == {"51": [row]}
    assert val["removal"] == {}


def test_noise_is_told_from_images() -> None:
    """Copies of training images lie at 0, noise at 1, whatever the size of the images."""
    rng = np.random.default_rng(1)
    smooth = rng.uniform(-1, 1, (300, 1, 2, 2)).repeat(4, 2).repeat(4, 3)
    training = np.rint((smooth + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    others = rng.uniform(-1, 1, (50, 1, 2, 2)).repeat(4, 2).repeat(4, 3)
    assert abs(contents.noisiness(others, training)) < 0.15
    assert abs(contents.noisiness(rng.normal(size=(50, 1, 8, 8)), training) - 1) < 0.1
    assert np.isnan(contents.noisiness(others, np.zeros_like(training)[:1]))
    large = training.repeat(8, 1).repeat(8, 2)
    assert abs(contents.noisiness(others.repeat(8, 2).repeat(8, 3), large)) < 0.15
