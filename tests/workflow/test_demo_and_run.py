"""``./run demo`` makes the page with the workflow's own base model, which the full run keeps."""

import pytest
import yaml
from test_model_families import COMMON, PAPER, UNET

from clones import RECORDED, checkout

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def test_the_full_run_keeps_what_the_demo_made(tmp_path):
    clone = checkout(tmp_path, experiments=RECORDED)
    content = {"title": "tiny", **COMMON, "model": UNET, "training": PAPER}
    (clone.folder / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(content))
    before = clone.plan("tiny")
    told = clone.run("demo", "tiny", "--no-browser").stdout
    assert "the page is demo/tiny/answer.html" in told
    page = (clone.folder / "demo/tiny/answer.html").read_text()
    assert page.count("<article") == 8
    after = clone.plan("tiny")
    done = {rule for rule in before if rule not in after}
    assert "train_base_tiny" in done
    assert {rule: n for rule, n in before.items() if rule not in done} == after
