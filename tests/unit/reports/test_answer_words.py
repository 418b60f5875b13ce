"""Numbers and sentences of the answer page."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasbench.attribution.answer import SelfCheck
from dasbench.reports import answer_words as words
from example_answers import bare, example


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0312, "0.031"),
        (450.4, "450"),
        (12.34, "12"),
        (0.0, "0"),
        (-0.5, "−0.50"),
        (3.14e-7, "3.1·10⁻⁷"),
        (-3.14e-7, "−3.1·10⁻⁷"),
        (9.96e-4, "0.0010"),
        (2e5, "2.0·10⁵"),
        (math.nan, "–"),
        (-math.inf, "−∞"),
    ],
)
def test_scores_have_two_digits(value, text):
    assert words.score(value) == text


@given(st.floats(-1e12, 1e12))
def test_a_printed_score_is_within_a_twentieth(value):
    text = words.score(value).replace("−", "-").replace(",", "")
    number, _, power = text.partition("·10")
    power = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    assert float(number) * 10.0 ** int(power or 0) == pytest.approx(value, rel=0.051)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "100 %"),
        (0.123, "12 %"),
        (0.0996, "10 %"),
        (0.0123, "1.2 %"),
        (0.0004, "0.04 %"),
        (0.00001, "< 0.01 %"),
        (0.0, "0 %"),
        (math.nan, "–"),
    ],
)
def test_shares(value, text):
    assert words.share(value) == text.replace(" %", "\xa0%")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0005, "< 0.001"),
        (0.0071, "0.008"),
        (0.031, "0.04"),
        (0.05, "0.05"),
        (0.42, "0.4"),
        (1, "1"),
    ],
)
def test_q_values(value, text):
    assert words.q_value(value) == text


@given(st.floats(1e-9, 1))
def test_a_q_value_is_printed_on_the_side_of_the_rate_where_it_lies(value):
    text = words.q_value(value)
    assert (text == "< 0.001" or float(text) <= words.RATE) == (value <= words.RATE)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([0, 0, 1, 5], "mostly at high noise (overall shape)"),
        ([5, 1, 0, 0], "mostly at low noise (detail)"),
        ([1, 1, 1, 1], "spread over the noise levels"),
        ([1], "spread over the noise levels"),
        ([0, 9, 0], "spread over the noise levels"),
        ([0, 0], "absent at every noise level"),
    ],
)
def test_noise_levels_in_words(weights, text):
    assert words.noise(np.array(weights, float)) == text


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=9).filter(any))
def test_the_noisier_half_and_the_other_make_one(weights):
    weights = np.array(weights, float)
    both = words.noisier_half(weights) + words.noisier_half(weights[::-1])
    assert both == pytest.approx(1)


def test_agreement_counts_images_in_both_lists():
    text = words.agreement("pixels", np.array([9, 1, 7]), np.array([1, 2, 3]))
    assert text == "1 of the 3 highest are also among the 3 highest by pixels."
    text = words.agreement("pixels", np.array([3, 1, 7]), np.array([1, 2, 3]))
    assert text.endswith("So most of these are simply the most similar images.")


def test_images_that_stand_out_beside_the_highest_are_counted():
    assert words.further(1, 12) == (
        "1 more training image stands out. Its score is not among the 12 highest."
    )
    assert words.further(50, 12).endswith("Their scores are not among the 12 highest.")
    assert words.further(1250, 12).endswith(
        "The 50 with the lowest q-values are listed; the other 1,200 are in the table (--csv FILE, "
        "or frame() in Python)."
    )


def test_the_self_check_names_what_failed():
    passed = words.self_check(SelfCheck(["a", "b"], np.array([1, 1])))
    assert passed == "2 of 2 training images come out on top of their own answer."
    failed = words.self_check(SelfCheck(["a", "b"], np.array([1, 1200])))
    assert failed.endswith(
        "1 of 2 training images come out on top of their own answer: b has rank 1,200."
    )


def test_the_comparison_is_a_share_of_pairs():
    assert "in 51\xa0% of all pairs; 50\xa0% is right." in words.comparison(0.508)


def test_few_decoys_cannot_show_a_single_image():
    assert words.reach(0.02) == "The smallest q-value that one image can reach is 0.02."
    assert words.reach(7.5).endswith("its q-value is 1 at best.")


def test_the_overview_counts_queries_with_images_that_stand_out():
    answer = example()
    assert words.overview(answer).startswith("For 3 of 3 images, training images stand out")
    answer.evidence.q[:, 0] = 0.2
    assert words.overview(answer).startswith("For 2 of 3 images")
    answer.evidence.q[:] = 0.2
    assert words.overview(answer).startswith("For all 3 images, no training image stands out")
    assert "Without decoys" in words.overview(bare(answer))


def test_the_overview_does_not_say_none_where_decoys_are_too_few():
    answer = example()
    answer.evidence.q[:] = 0.4
    answer.evidence.smallest[:] = 0.4
    assert words.overview(answer).startswith("There are too few decoys, which are images that the")
    answer.evidence.smallest[:2] = 0.01
    told = words.overview(answer)
    assert told.startswith("For 2 of 3 images, no training image stands out from decoys")
    assert told.endswith(" For 1, there are too few decoys to tell.")
    answer.evidence.q[:, 0] = 0.01
    told = words.overview(answer)
    assert told.startswith("For 1 of 3 images, training images stand out")
    assert told.endswith(" For 1, there are too few decoys to tell.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two  words\nhere", "Two words here."),
        ("Done.", "Done."),
        ("why?", "Why?"),
        ("", "."),
        ("at 5 %", "At 5\xa0%."),
    ],
)
def test_sentences_have_a_capital_and_an_end(text, expected):
    assert words.sentence(text) == expected


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1 image"), (0, "0 images"), (60000, "60,000 images")]
)
def test_counts(number, text):
    assert words.count(number, "image") == text
