"""The answer page in a browser: what is visible, keys, both themes, phones, print, no requests."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import browser
import hostile
from dasbench.attribution.answer import Picture
from dasbench.reports import answer_page
from example_answers import bare, example

PHONE = {"viewport": {"width": 360, "height": 740}}
VISIBLE = "article.answer:visible"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "answer.html"
    answer_page.render(example(), path, top=5)
    return path


def shown(page):
    """Ids of the visible answers."""
    return [element.get_attribute("id") for element in page.locator(VISIBLE).all()]


def first_images(page):
    """Names in the visible list of the visible answer, in order."""
    return page.locator(f"{VISIBLE} .panel:visible .card .name").all_inner_texts()


def test_one_image_is_visible_and_a_click_chooses_another(opened, page_file):
    with opened(page_file) as page:
        assert shown(page) == ["q1"]
        page.click(".chooser a:nth-child(2)")
        assert shown(page) == ["q2"]
        assert page.locator(".chooser [aria-current]").get_attribute("href") == "#q2"
        assert page.url.endswith("#q2")
        page.go_back()
        assert shown(page) == ["q1"]
        page.click(f"{VISIBLE} >> text=Next")
        page.click(f"{VISIBLE} >> text=Next")
        page.click(f"{VISIBLE} >> text=Next")
        assert shown(page) == ["q1"], "after the last image comes the first"


@pytest.mark.parametrize(
    ("fragment", "expected"), [("#q3", "q3"), ("#q9", "q1"), ("#answers", "q1"), ("#q1>*", "q1")]
)
def test_an_address_leads_to_an_image(opened, page_file, fragment, expected):
    with opened(page_file, fragment) as page:
        assert shown(page) == [expected]


def test_keys_go_through_the_images(opened, page_file):
    with opened(page_file) as page:
        page.keyboard.press("ArrowRight")
        assert shown(page) == ["q2"]
        assert page.locator("[role=status]").inner_text() == "Image 2 of 3"
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert shown(page) == ["q3"]
        page.keyboard.press("Control+ArrowLeft")
        assert shown(page) == ["q3"], "keys of the browser are not taken"
        page.focus(".chooser a:nth-child(3)")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#q1"


def test_focus_is_visible_and_the_first_stop_skips_to_the_answer(opened, page_file):
    with opened(page_file) as page:
        page.keyboard.press("Tab")
        link = page.locator(":focus")
        assert link.inner_text() == "Skip to the answer"
        assert link.bounding_box()["x"] >= 0
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "answers"


def test_another_score_has_another_order_for_every_image(opened, page_file):
    answer = example()
    with opened(page_file, "#q2") as page:
        expected = [answer.training[i].name for i in answer.order(answer.main, 1, 5)]
        assert first_images(page) == expected
        page.click(f"{VISIBLE} >> text=Pixel similarity")
        (pixels,) = answer.others
        expected = [answer.training[i].name for i in answer.order(pixels, 1, 5)]
        assert first_images(page) == expected
        assert page.locator(f"{VISIBLE} [aria-pressed=true]").inner_text() == "Pixel similarity"
        page.keyboard.press("ArrowRight")
        assert first_images(page) == [
            answer.training[i].name for i in answer.order(pixels, 2, 5)
        ], "the next image keeps the chosen score"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE])
@pytest.mark.parametrize("full", [True, False])
def test_axe_finds_nothing(opened, tmp_path, scheme, size, full):
    answer = example()
    long = [Picture(f"train/{i}.png", None, "a long prompt " * 20) for i in range(20)]
    path = tmp_path / "answer.html"
    answer_page.render(replace(answer, training=long) if full else bare(answer), path)
    with opened(path, color_scheme=scheme, **size) as page:
        for summary in page.locator(".facts summary").all():
            summary.click()
        assert browser.violations(page) == []


def test_the_button_changes_the_theme(opened, page_file):
    background = "getComputedStyle(document.body).backgroundColor"
    with opened(page_file, color_scheme="dark") as page:
        dark = page.evaluate(background)
        page.click("button.theme")
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        assert browser.violations(page) == []
        page.click("button.theme")
        assert page.evaluate(background) == dark != "rgb(255, 255, 255)"


def test_a_phone_need_not_scroll_sideways(opened, tmp_path):
    answer = example(queries=12)
    word = "x" * 300
    training = [Picture(word, f"/{word}", word) for _ in answer.training]
    queries = [Picture(word, None, word) for _ in answer.queries]
    path = tmp_path / "answer.html"
    main = replace(answer.main, title=word, explanation=word)
    evidence = replace(answer.evidence, sentences=[word] * 12)
    answer = replace(answer, training=training, queries=queries, main=main, evidence=evidence)
    answer_page.render(replace(answer, facts={word: word}, warnings=[word]), path)
    with opened(path, **PHONE) as page:
        page.click(".facts summary")
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_print_shows_every_image_and_no_controls(opened, page_file):
    with opened(page_file) as page:
        page.click(f"{VISIBLE} >> text=Pixel similarity")
        page.emulate_media(media="print")
        assert shown(page) == ["q1", "q2", "q3"]
        assert page.locator(".panel:visible").count() == 3
        assert page.locator("button:visible, .chooser:visible, .steps a:visible").count() == 0


def test_everything_is_readable_without_javascript(opened, page_file):
    with opened(page_file, java_script_enabled=False) as page:
        assert shown(page) == ["q1", "q2", "q3"]
        assert page.locator(".panel:visible").count() == 6
        assert page.locator("button:visible").count() == 0


def test_every_picture_is_drawn(opened, tmp_path):
    """The first training image is white, the query black: their pixels are in a screenshot."""
    answer = bare(example(count=1, queries=1))
    pixels = np.full((1, 8, 8, 3), 255, np.uint8)
    answer = replace(answer, training_pixels=pixels, query_pixels=0 * pixels)
    path = tmp_path / "answer.html"
    answer_page.render(answer, path)
    with opened(path, color_scheme="dark") as page:
        for place, colour in [(".card .picture", 255), (".asked .picture", 0)]:
            assert set(_pixels(page.locator(place).screenshot())) == {colour}


def _pixels(png):
    """Grey levels of the middle of a screenshot."""
    image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    height, width = image.shape
    return image[height // 4 : -height // 4, width // 4 : -width // 4].ravel().tolist()


def test_text_that_would_run_does_not_run(opened, tmp_path):
    answer = example(count=3, queries=2)
    bad = [Picture(hostile.HTML, f"/{hostile.HTML}", hostile.HTML)] * 3
    path = tmp_path / "answer.html"
    answer_page.render(replace(answer, training=bad, queries=bad[:2]), path)
    with opened(path) as page:
        assert first_images(page) == [hostile.HTML] * 3
        assert page.evaluate("document.scripts.length") == 1


def test_a_script_that_the_page_does_not_know_is_refused(opened, page_file):
    refused = pytest.raises(AssertionError, match="Content Security Policy")
    with refused, opened(page_file) as page:
        page.evaluate(
            "const script = document.createElement('script');"
            "script.textContent = 'window.ran = true'; document.body.append(script)"
        )
        assert page.evaluate("window.ran === undefined")


def test_a_request_to_the_network_is_noticed(opened, tmp_path):
    """The page of the other tests asks for nothing; this one does, and its test would fail."""
    path = tmp_path / "asks.html"
    path.write_text("<img src=http://127.0.0.1:9/a.png>")
    with pytest.raises(AssertionError, match="asks for http"), opened(path):
        pass
