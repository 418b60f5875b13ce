"""A repository with three recorded jobs, as Snakemake would leave them, and a clone of it."""

import json
import os
import shutil

from dasbench.sharing import provenance, records

POOL, TRAIN, SCORES = "data/toy/pool.npz", "results/toy/train.npz", "results/toy/scores/das.npy"


def make(root, output, content, inputs=(), span=(1000.0, 1010.0)):
    """Do what Snakemake does for one job with one output."""
    path = root / output
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (span[1], span[1]))
    record = {
        "rule": "rule",
        "code": "cat",
        "params": ["{}"],
        "shellcmd": "cat",
        "input": list(inputs),
        "input_checksums": {name: records.sha256(root / name) for name in inputs},
        "log": [f"logs/toy/{path.stem}.log"],
        "software_stack_hash": "",
        "record_format_version": 6,
        "job_hash": 7,
        "incomplete": False,
        "starttime": span[0],
        "endtime": span[1],
    }
    place = records.record_path(root, output)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(record))


def toy(folder):
    """A repository in which three jobs have run and been saved."""
    make(folder, POOL, "pool")
    make(folder, TRAIN, "train", [POOL], (1010.0, 1020.0))
    make(folder, SCORES, "scores", [TRAIN], (1020.0, 1030.5))
    benchmark = folder / "logs/benchmark/toy/das.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\tmax_rss\n10.5\t0:00:10\t123.5\n")
    provenance.save(folder)
    return folder


def pulled(root, folder):
    """What another person has after pulling: bytes and manifests, nothing of Snakemake's."""
    for kind in ("data", "results"):
        shutil.copytree(root / kind, folder / kind, copy_function=shutil.copyfile)
    return folder


def content(root, name):
    return json.loads((root / name).read_text())
