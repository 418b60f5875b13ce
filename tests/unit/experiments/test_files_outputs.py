"""Files and settings of measured outputs."""

import json

import pytest

from dasbench.experiments.files import models, outputs
from experiment_files import raw, resolved

KINDS = ("loss-val", "loss-gen", "displacement-val", "displacement-gen")


@pytest.fixture(scope="module")
def five(blank):
    """Five evaluation shards, measured two a job."""
    subsets = {**raw()["subsets"], "eval": {"models": 20, "seeds": 2}}
    return resolved(blank, subsets=subsets)


def test_jobs_measure_every_shard_once(five):
    jobs = outputs.measuring_jobs(five, "eval")
    assert jobs == {"000": ["000", "001"], "001": ["002", "003"], "002": ["004"]}
    assert outputs.measuring_jobs(five, "tune") == {"000": ["000"]}
    assert json.loads(outputs.measure_settings(five, "eval", "002"))["shards"] == ["004"]


def test_a_job_reads_the_models_of_its_shards_without_masks(five):
    files = outputs.measured_models(five, "eval", "1", "001")
    of_shards = [
        file for shard in ("002", "003") for file in models.shard_files(five, "eval", 1, shard)
    ]
    assert files == [file for file in of_shards if not file.endswith("masks.npy")]
    assert len(files) == 2 * 4 * 4  # shards, models, files


def test_more_models_leave_full_jobs_as_they_are(blank, five):
    more = resolved(blank, subsets={**five["subsets"], "eval": {"models": 24, "seeds": 2}})
    for job in ("000", "001"):
        old, new = (outputs.measure_settings(e, "eval", job) for e in (five, more))
        assert old == new
    assert outputs.measuring_jobs(more, "eval")["002"] == ["004", "005"]


def test_every_job_of_every_seed_gives_every_output(five):
    assert outputs.measured_files(five, "eval") == [
        f"results/changed/outputs/eval/seed-{seed}/job-00{job}/{kind}.npy"
        for seed in range(2)
        for job in range(3)
        for kind in KINDS
    ]
    counts = json.loads(outputs.gather_settings(five, "eval"))
    assert (counts["shards"], counts["jobs"], counts["seeds"]) == (5, 3, 2)
