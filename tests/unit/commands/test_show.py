"""The text of an answer, and what it says of decoys."""

import numpy as np

from dasbench.commands import tool
from example_answers import bare, example, unlisted
from tiny_index import MORE, build, network_and_process


def test_a_line_has_ranks_score_share_q_value_and_name(capsys):
    answer = example()
    tool.show(answer, 2)
    head, query, found, first, _, agreement, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["rank", "by", "similarity", "score", "share", "q-value", "image"]
    assert (query, found.strip()) == ("asked 0 (class 0)", answer.evidence.sentences[0])
    share = f"{100 * answer.share(answer.main)[0, 0]:.0f}"
    score = f"{answer.scores[0, 0]:.4g}"
    assert first.split() == ["1", "1", score, share, "%", "0.04", "train/0.png", "(boot)"]
    assert agreement.strip().startswith("2 of the 2 highest are also among the 2 highest by Pixel")


def test_there_is_one_head_and_nothing_of_decoys_without_decoys(capsys):
    tool.show(bare(example()), 2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "share", "image"]
    assert len(lines) == 1 + 3 * (1 + 2)


def test_each_image_that_stands_out_is_named(capsys):
    answer = unlisted(example())
    tool.show(answer, 3)
    parts = capsys.readouterr().out.split("asked ")[1:]
    for j, part in enumerate(parts):
        out = np.flatnonzero(answer.evidence.q[:, j] <= 0.05)
        assert all(f"  {answer.training[i].name} " in part for i in out)
        assert "4 more training images stand out. Their scores are not among the 3 highest." in part


def test_the_text_lists_no_more_than_fifty_beside_the_highest(capsys):
    tool.show(unlisted(example(count=200, queries=1), 60), 3)
    told = capsys.readouterr().out
    assert told.count("train/") == 3 + 50
    assert "the other 10 are in the table" in told


def test_the_facts_say_over_how_many_held_out_images_decoys_are_pooled(tmp_path):
    decoys = np.random.default_rng(2).integers(0, 256, (20, 8, 8, 1)).astype(np.uint8)
    model = network_and_process()
    answer = build(model, tmp_path / "20", decoys=decoys).ask(MORE[:1])
    assert answer.evidence.pooled == 5
    assert answer.facts["Decoys"] == "20, pooled over 5 held-out images"
    few = build(model, tmp_path / "3", decoys=decoys[:3]).ask(MORE[:1])
    assert (few.evidence.pooled, few.facts["Decoys"]) == (0, "3")
    none = build(model, tmp_path / "0").ask(MORE[:1])
    assert (none.evidence, none.facts["Decoys"]) == (None, "0")
