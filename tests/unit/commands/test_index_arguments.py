"""Arguments of another kind at the doors of an index, and images that no check can tell apart."""

import numpy as np
import pytest

import dasbench
from dasbench.commands import tool
from dasbench.errors import UserError
from tiny_index import MORE, PIXELS, build, network_and_process


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """The answer of a small index."""
    return build(network_and_process(), tmp_path_factory.mktemp("index") / "index").ask(MORE[:1])


@pytest.mark.parametrize(
    "options",
    [
        {"out": 3},
        {"out": None},
        {"shard": 2},
        {"shard": (1, 2)},
        {"seed": "x"},
        {"seed": 1.5},
        {"seed": -1},
        {"reading": ["resize"]},
    ],
    ids=str,
)
def test_building(tmp_path, options):
    ((name, _),) = options.items()
    with pytest.raises(UserError, match=f"^{name} is "):
        build(network_and_process(), **{"out": tmp_path / "index", **options})
    assert not (tmp_path / "index").exists()


def test_opening_a_number():
    with pytest.raises(UserError, match="folder is 3, expected the path"):
        dasbench.Index.open(3)


@pytest.mark.parametrize("top", [-1, 0, 2.5, "x", True])
def test_reading_an_answer(answer, top, tmp_path):
    for read in (lambda: answer.frame(top), lambda: answer.page(tmp_path / "a.html", top=top)):
        with pytest.raises(UserError, match="^top is .*, expected a whole number of at least 1$"):
            read()
    with pytest.raises(UserError, match="path is 3, expected the path of a file"):
        answer.page(3)


@pytest.mark.parametrize("images", [PIXELS[:1], np.repeat(PIXELS[:1], 4, axis=0)])
def test_equal_images_say_that_no_check_is_possible(tmp_path, images):
    answer = build(network_and_process(), tmp_path / "index", images).ask(MORE[:1])
    assert answer.checks is None
    assert any(line.startswith("no check: all training images") for line in answer.warnings)
    assert tool.check_line(answer).startswith("no check")
    answer.page(tmp_path / "answer.html")
    page = (tmp_path / "answer.html").read_text()
    assert "No check: all training images have the same pixels" in page
    assert "come out on top" not in page
