"""The order of the includes does not matter, and what all rule files include runs once."""

import re

import pytest

from clones import checkout

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def jobs(clone):
    """Every job of a plan and its command, without the times of day and Snakemake's numbers."""
    text = clone.run("smoke", "-n", "--forceall", "-p").stdout
    assert text.count("start.smk has run") == 1
    text = re.sub(r"^(\[.*\]|    jobid: .*)\n", "", text, flags=re.M)
    return sorted(part for part in text.split("\n\n") if re.match(r"(local)?rule ", part))


def test_the_reverse_order_plans_the_same(tmp_path):
    clone = checkout(tmp_path / "clone")
    with (clone.folder / "workflow/functions/start.smk").open("a") as start:
        start.write('\nprint("start.smk has run")\n')
    usual, file = jobs(clone), clone.folder / "Snakefile"
    text = file.read_text()
    lines = re.findall(r"^include: .*\n", text, flags=re.M)
    assert len(lines) > 20
    before, after = text.split("".join(lines))
    file.write_text(before + "".join(reversed(lines)) + after)
    assert len(usual) > 100
    assert sum("Shell command: python scripts/train_subsets.py" in job for job in usual) == 5
    assert jobs(clone) == usual
