"""The answer page as its reader gets it: names, order, numbers, links; nothing runs or loads."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

import hostile
from dasbench.attribution.answer import Picture
from dasbench.errors import UserError
from dasbench.reports import answer_page
from example_answers import bare, example, unlisted


class Page(HTMLParser):
    """Cards by query and score, as texts by class; tags; addresses; ids."""

    def __init__(self, text):
        super().__init__()
        self.cards, self.tags, self.addresses, self.ids = {}, [], [], []
        self.attributes, self.text = [], ""
        self._query = self._key = None
        self._open, self._skipped = [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.attributes += attributes
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[key] for key in ("href", "src") if key in values]
        if tag == "article":
            self._query = values["id"]
        if "data-key" in values:
            self._key = values["data-key"]
        if tag == "li" and "card" in values.get("class", "").split():
            self.cards.setdefault((self._query, self._key), []).append({"class": values["class"]})
        if tag not in ("meta", "use", "wbr", "path", "line", "image"):
            self._open.append(values.get("class") or tag)

    def handle_endtag(self, tag):
        if self._open:
            self._open.pop()
        if tag in ("article", "section"):
            self._key = None

    def handle_data(self, data):
        if self._open and self._open[-1] in ("script", "style"):
            return
        self.text += data
        if self._key and self._open:
            card = self.cards.get((self._query, self._key), [{}])[-1]
            for place in ("name", "q", "b", "label", "rank"):
                if place in self._open:
                    card[place] = card.get(place, "") + data


def rendered(answer, folder, **options):
    path = folder / "answer.html"
    answer_page.render(answer, path, **options)
    return path.read_text("utf-8")


def texts(page, query, key, place):
    return [card.get(place, "").strip() for card in page.cards[query, key]]


def test_each_score_lists_its_highest_images_for_each_query(tmp_path):
    answer = example()
    page = Page(rendered(answer, tmp_path, top=7))
    for j in range(3):
        for score in answer.all_scores:
            expected = [answer.training[i].name for i in answer.order(score, j, 7)]
            assert texts(page, f"q{j + 1}", score.key, "name") == expected
            assert texts(page, f"q{j + 1}", score.key, "label") == ["boot"] * 7


def test_shares_and_q_values_stand_beside_the_image_they_belong_to(tmp_path):
    answer = example()
    page = Page(rendered(answer, tmp_path))
    share = answer.share(answer.main)
    for j in range(3):
        assert texts(page, f"q{j + 1}", "das_stepwise", "q")[:2] == ["q\xa00.04", "q\xa01"]
        assert texts(page, f"q{j + 1}", "das_stepwise", "b")[0] == f"{100 * share[j, j]:.0f}\xa0%"
        stands_out = [card["class"] for card in page.cards[f"q{j + 1}", "das_stepwise"]]
        assert stands_out == ["card stands-out", *["card"] * 11]
    assert "q" not in page.cards["q1", "pixel_cosine_power"][0], "q-values are of one score"


def test_the_page_says_the_answer_first(tmp_path):
    text = " ".join(Page(rendered(example(), tmp_path)).text.split())
    assert "1 training image stands out at a false discovery rate of 5 %." in text
    assert "train/0.png ranks first, with " in text
    assert "12 of the 12 highest are also among the 12 highest by Pixel similarity" in text
    assert "mostly at low noise (detail)" in text
    assert "For 3 of 3 images, training images stand out" in text
    assert "3 of 4 training images come out on top of their own answer: train/2.png" in text
    assert "Warning. A check failed." in text
    assert "models/base" in text
    assert "not copying" in text


def plain(answer, folder):
    """The text of the page in one line."""
    return " ".join(Page(rendered(answer, folder)).text.split())


def test_each_image_that_stands_out_is_on_the_page(tmp_path):
    answer = unlisted(example())
    page = Page(rendered(answer, tmp_path, top=5))
    for j in range(3):
        cards = page.cards[f"q{j + 1}", "das_stepwise"]
        flagged = [card["name"] for card in cards if "stands-out" in card["class"]]
        out = np.flatnonzero(answer.evidence.q[:, j] <= 0.05)
        assert sorted(flagged) == sorted(answer.training[i].name for i in out)
        assert [card["rank"].split()[-1] for card in cards[5:]] == ["20", "19", "18", "17"]
        assert len(page.cards[f"q{j + 1}", "pixel_cosine_power"]) == 5
    assert page.text.count("5 training images stand out at a false discovery rate") == 3
    told = "4 more training images stand out. Their scores are not among the 5 highest."
    assert page.text.count(told) == 3
    assert "The 9 listed ones" in page.text
    assert "The sum over the 5 images with the highest scores" in page.text
    assert {f"#t{i}" for i in out} <= set(page.addresses)


def test_a_page_lists_no_more_than_fifty_of_the_images_that_stand_out_beside_the_highest(tmp_path):
    page = Page(rendered(unlisted(example(count=200), 60), tmp_path))
    assert len(page.cards["q1", "das_stepwise"]) == 12 + 50
    assert "the other 10 are in the table (--csv FILE" in page.text


def test_the_page_says_that_nobody_has_measured_the_scores_of_this_model(tmp_path):
    text = plain(bare(example()), tmp_path)
    assert "measured for small models of small images, which can be retrained." in text
    assert "Nobody has measured it for this model, unless" in text


def test_the_page_says_what_the_q_values_compare_with(tmp_path):
    answer = example()
    pooled = replace(answer, evidence=replace(answer.evidence, pooled=11))
    text = plain(pooled, tmp_path)
    told = "The q-values compare with the decoys’ matches for 11 held-out images together."
    assert text.count(told) == 3, "beside the histogram of each query"
    assert "for a generated query, the calibration has not been measured" in text
    assert "held-out images together" not in plain(answer, tmp_path)


def test_without_decoys_the_page_says_how_to_get_them(tmp_path):
    page = Page(rendered(bare(example()), tmp_path))
    assert "--decoys FOLDER" in page.text
    assert not any("q" in card for card in page.cards["q1", "das_stepwise"])
    assert page.tags.count("button") == 1, "one score needs no switch"


def test_decoys_that_do_not_compare_are_a_warning_and_a_failed_check(tmp_path):
    answer = example()
    evidence = replace(answer.evidence, auc=0.58, warning="training images score too high")
    fair = rendered(answer, tmp_path)
    unfair = rendered(replace(answer, evidence=evidence), tmp_path)
    assert [text.count('class="warning"') for text in (fair, unfair)] == [1, 2]
    assert [text.count('class="failed"') for text in (fair, unfair)] == [1, 2]
    told = [*answer.warnings, evidence.warning]  # as of an index
    twice = rendered(replace(answer, evidence=evidence, warnings=told), tmp_path)
    assert twice.count('class="warning"') == 2
    assert "Training images score too high." in unfair
    assert "58\xa0% of all pairs" in unfair


def test_noise_levels_of_the_listed_images_are_enough(tmp_path):
    answer = example()
    listed = np.unique(np.concatenate([answer.order(answer.main, j, 12) for j in range(3)]))
    some = answer.by_timestep[:, listed]
    few = replace(answer, by_timestep=None, listed=listed, listed_by_timestep=some)
    assert rendered(few, tmp_path) == rendered(answer, tmp_path)
    assert "noisier half" in rendered(unlisted(few), tmp_path)
    without = Page(rendered(replace(answer, by_timestep=None), tmp_path))
    assert "noisier half" not in without.text


def test_scores_that_are_no_numbers_are_not_drawn(tmp_path):
    answer = example()
    answer.evidence.training[3] = np.nan
    answer.evidence.decoys[:, 1] = np.nan
    page = Page(rendered(answer, tmp_path))
    assert page.text.count("highest decoy") == 2
    assert not any("nan" in (value or "") for _, value in page.attributes)


def test_one_query_has_no_list_to_choose_from(tmp_path):
    page = Page(rendered(example(queries=1), tmp_path))
    assert "nav" not in page.tags
    assert "this image" in page.text


def test_fewer_images_than_the_list_has_places(tmp_path):
    page = Page(rendered(example(count=3), tmp_path))
    assert len(page.cards["q2", "das_stepwise"]) == 3


@pytest.mark.parametrize("change", ["zero", "nan", "negative", "equal"])
def test_scores_of_any_kind_have_a_page(tmp_path, change):
    answer = example()
    values = answer.scores.copy()
    values[:] = {"zero": 0, "nan": values, "negative": -values, "equal": 2.5}[change]
    if change == "nan":
        values[4] = np.nan
    answer = replace(answer, main=replace(answer.main, values=values))
    page = Page(rendered(answer, tmp_path))
    shares = texts(page, "q1", "das_stepwise", "b")
    assert len(shares) == 12 + (change == "negative")  # the lowest image stands out
    assert not any("nan" in share for share in shares)


def test_equal_answers_make_equal_bytes_and_each_picture_is_there_once(tmp_path):
    (tmp_path / "b").mkdir()
    first = rendered(example(), tmp_path)
    assert first == rendered(example(), tmp_path / "b")
    uris = re.findall(r'href="(data:[^"]+)"', first)
    listed = {
        i for j in range(3) for score in example().all_scores for i in example().order(score, j, 12)
    }
    assert len(uris) == len(listed) + 3
    assert Page(first).tags.count("image") == len(uris)


def test_every_picture_that_is_drawn_exists_and_ids_are_unique(tmp_path):
    page = Page(rendered(example(), tmp_path))
    inside = [address[1:] for address in page.addresses if address.startswith("#")]
    assert inside
    assert set(inside) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_nothing_is_loaded(tmp_path):
    page = Page(rendered(example(), tmp_path))
    for address in page.addresses:
        assert address.startswith(("#", "data:image/", "file:///data/")), address
    assert not {"link", "iframe", "object", "img"} & set(page.tags)


NASTY = [
    hostile.HTML,
    "</script><script>alert(1)</script>",
    "' onclick='alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "a\u202egnp.exe",
    "two\nlines\ttab\x00zero",
    "\udcff not UTF-8",
    "#?&%41",
]


@pytest.mark.parametrize("text", NASTY)
def test_text_of_the_user_does_nothing(tmp_path, text):
    answer = example(count=2, queries=2)
    picture = Picture(text, str(tmp_path / text.replace("/", "_")), text)
    score = replace(answer.main, title=text, explanation=text)
    evidence = replace(answer.evidence, sentences=[text] * 2)
    raw = rendered(
        replace(
            answer,
            main=score,
            training=[picture] * 2,
            queries=[picture] * 2,
            evidence=evidence,
            checks=replace(answer.checks, names=[text] * 4),
            facts={text: text},
            warnings=[text],
        ),
        tmp_path,
    )
    page, plain = Page(raw), Page(rendered(example(count=2, queries=2), tmp_path))
    assert page.tags.count("script") == plain.tags.count("script") == 1
    assert "img" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert not re.search("[\u202e\x00\udcff]", raw)
    for address in page.addresses:
        assert not re.match(r"\w+:", address) or address.startswith("data:image/png;")


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("/home/a/data/1.png", "/home/a", "data/1.png"),
        ("/home/a/data/1.png", "/home/a/pages", "../data/1.png"),
        ("/data/1 #?.png", "/home/a", "file:///data/1%20%23%3F.png"),
        ("/data/1.png", "/", "file:///data/1.png"),
        ("/home/a/javascript:x", "/home/a", "javascript%3Ax"),
    ],
)
def test_links_are_relative_where_page_and_file_share_a_folder(path, folder, expected):
    assert answer_page.link(path, Path(folder)) == expected


def test_a_link_leads_to_the_file_whatever_its_name(tmp_path):
    path = tmp_path / "100% #1?.png"
    address = answer_page.link(str(path), tmp_path / "pages")
    assert (tmp_path / "pages" / unquote(address)).resolve() == path


@pytest.mark.slow
def test_a_hundred_queries_fit_in_fifteen_megabytes(tmp_path):
    """Noise in colour, which no format shrinks, and every list has its own images."""
    text = rendered(example(count=1500, queries=100, levels=20, side=64), tmp_path)
    assert len(text.encode()) < 15e6
    assert text.count("<article") == 100


def test_pictures_get_the_room_that_the_text_leaves(tmp_path, monkeypatch):
    answer = example(count=300, queries=40, side=64)
    page = rendered(answer, tmp_path)
    whole = len(page.encode())
    pictures = sum(map(len, re.findall(r'"(data:[^"]+)"', page)))
    for room in (pictures, pictures // 2, pictures // 4):
        monkeypatch.setattr(answer_page, "LIMIT", whole - pictures + room)
        size = len(rendered(answer, tmp_path).encode())
        assert room / 3 < size - (whole - pictures) <= room


@pytest.mark.parametrize("room", [-100_000, 20_000], ids=["for the text", "for the pictures"])
def test_a_page_without_enough_room_is_refused(tmp_path, tmp_path_factory, monkeypatch, room):
    answer = example(count=60, queries=40)
    page = rendered(answer, tmp_path_factory.mktemp("whole"))
    text = len(re.sub(r'"data:[^"]+"', "", page).encode())
    monkeypatch.setattr(answer_page, "LIMIT", text + room)
    told = (
        r"^the page would have at least [\d.]+ MB, expected at most [\d.]+ MB; ask about fewer "
        r"images at once than 40, or list fewer training images than 12 by --top .*; --csv FILE .* "
        r"writes a table of any size$"
    )
    with pytest.raises(UserError, match=told):
        rendered(answer, tmp_path)
    assert not (tmp_path / "answer.html").exists()


@pytest.mark.parametrize("top", [0, -1])
def test_a_list_has_at_least_one_place(tmp_path, top):
    with pytest.raises(UserError, match=f"top is {top}, expected a whole number of at least 1"):
        answer_page.render(example(), tmp_path / "answer.html", top=top)


def test_an_answer_to_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="0 images to ask about"):
        answer_page.render(replace(example(), queries=[]), tmp_path / "answer.html")
