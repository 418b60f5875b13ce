"""Bytes that change under the same time stamp: what was made from them is told, and mended."""

import io
import os

import numpy as np
import pytest

from campaign import refusals

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

# of a method that nothing is removed by, so that little is made again
SCORES = "results/smoke/scores/trak/gen.npy"
CURVES = "results/smoke/lds/by_models.csv"


def rewrite(file, content):
    """Other bytes under the old time stamp, as a failing disk or a restored backup leaves them."""
    stamp = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def doubled(content):
    """Another array of the same shape and type."""
    buffer = io.BytesIO()
    np.save(buffer, 2 * np.load(io.BytesIO(content)))
    return buffer.getvalue()


def make_curves_from_other_scores(clone):
    """Change scores unseen and make the curves from them, which a run tells and does not pass."""
    file = clone.folder / SCORES
    rewrite(file, doubled(file.read_bytes()))
    assert clone.plan() == {}  # nobody can see it without hashing everything
    told = clone.run("smoke", "--forcerun", CURVES, check=False)
    assert told.returncode == 1
    again = f"`./run smoke --forcerun {SCORES}` makes it again"
    assert f"error: {CURVES} was made from another {SCORES}; {again}" in refusals(told.stderr)


def problems(clone):
    """What ``./run verify`` says, its count left out."""
    shown = clone.run("verify", "smoke", check=False)
    *found, count = shown.stdout.splitlines()
    assert count.endswith(f" {len(found)} problems")
    assert shown.returncode == bool(found)
    return found


def test_what_is_made_from_changed_bytes_is_told_and_mended(copy, made):
    make_curves_from_other_scores(copy)
    again = f"`./run smoke --forcerun {SCORES}` makes it again"
    sentence = f"{SCORES} is damaged: its bytes are not the recorded ones; {again}"
    assert sentence in problems(copy)
    refused = copy.run("save", "smoke", check=False)
    assert refused.returncode == 1
    assert sentence in refused.stdout
    copy.run("smoke", "--forcerun", SCORES)
    assert problems(copy) == []
    assert copy.hashes() == made.hashes()


def test_it_is_told_too_when_the_bytes_have_come_back(copy, made):
    """Then all that can be seen is that an output was made from something else."""
    sound = (copy.folder / SCORES).read_bytes()
    make_curves_from_other_scores(copy)
    rewrite(copy.folder / SCORES, sound)
    again = f"`./run smoke --forcerun {CURVES}` makes it again"
    assert f"{CURVES} was made from another {SCORES}; {again}" in problems(copy)
    copy.run("smoke", "--forcerun", CURVES)
    assert problems(copy) == []
    assert copy.hashes() == made.hashes()
