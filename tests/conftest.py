"""Fixtures that several test modules share, among them a clone in which `smoke` has been made."""

import fcntl
import json
import logging
import os
import urllib.request

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch are loaded

import numpy as np
import pytest
import torch

from clones import PAPERS, RECORDED, Clone, checkout, copied
from dasbench.diffusion import denoiser
from dasbench.gradients import features
from experiment_files import make_repository
from tiny import DIFFUSION, MODEL, TinyProblem

pytest_plugins = ["order", "browser"]


def pytest_addoption(parser):
    parser.addoption("--faults", action="store_true", help="the whole campaign of tests/faults")
    parser.addoption("--deep", action="store_true", help="everything, that campaign included")


@pytest.fixture(scope="session")
def deep(pytestconfig):
    """Whether this is ``./run test --deep``: tests that sample try all that they know."""
    return pytestconfig.getoption("--deep")


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads sum in another order, and are slower on models of this size."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny():
    return TinyProblem()


@pytest.fixture
def features64(monkeypatch):
    """``features.compute`` before its last step, the cast to float32."""
    kept = []

    class Recording(features.Projection):
        def __call__(self, gradients):
            kept.append(super().__call__(gradients))
            return kept[-1]

    def compute(*args, **options):
        kept.clear()
        returned = features.compute(*args, **options)
        # several readouts, one batch each, stand side by side
        wide = len(returned) < sum(map(len, kept))
        phi = torch.cat(kept, dim=1 if wide else 0).numpy()
        assert phi.dtype == np.float64
        np.testing.assert_array_equal(returned, phi.astype(np.float32))
        return phi

    monkeypatch.setattr(features, "Projection", Recording)
    return compute


@pytest.fixture(scope="session")
def digits():
    """Labels and images of 24 digits, in the model's range."""
    from dasbench.data import digits as source

    pool = source.pool()
    return pool.labels[:24], denoiser.to_model(pool.images[:24])


@pytest.fixture(scope="session")
def recipe():
    """Sections of an experiment file for a training run of a second."""
    model = {**MODEL, "block_out_channels": [8, 16], "norm_num_groups": 4}
    training = {
        "epochs": 3,
        "batch_size": 5,
        "learning_rate": 0.003,
        "betas": [0.9, 0.999],
        "weight_decay": 0.01,
        "warmup_steps": 2,
        "schedule": "cosine",
        "ema_decay": 0.9,
        "clip_norm": 1.0,
        "flip": False,
        "mixed_precision": "no",
    }
    return {"model": model, "diffusion": DIFFUSION, "training": training}


def make_smoke(base):
    """Make smoke in a checkout, record it and push it to the directory ``store``."""
    clone = checkout(base / "clone", experiments=(*RECORDED, *PAPERS))
    clone.lock_smoke_alone()
    clone.run("smoke")
    clone.call("dvc", "remote", "add", "-d", "store", base / "store")
    clone.run("save", "smoke")
    clone.call("git", "add", "-A")
    clone.call("git", "commit", "-qm", "smoke recorded")
    clone.run("push", "smoke")
    (base / "log.json").write_text(json.dumps([(list(map(str, c)), out) for c, out in clone.log]))


@pytest.fixture(scope="session")
def made(tmp_path_factory, worker_id):
    """A checkout with smoke made, recorded and pushed to a directory; not to be changed.

    The first of the processes of a test run that needs it makes it, the others copy it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder = shared / "made"
    with (shared / "made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            make_smoke(shared / "making")
            (shared / "making").rename(folder)
    copied(folder, base / "copied")
    clone = Clone(base / "copied/clone")
    clone.call("dvc", "remote", "modify", "store", "url", base / "copied/store")
    clone.call("git", "commit", "-qam", "the store of this copy")
    text = (folder / "log.json").read_text().replace(str(shared / "making"), str(base / "copied"))
    clone.log = [(tuple(command), output) for command, output in json.loads(text)]
    return clone


@pytest.fixture
def fresh(made, tmp_path):
    """A copy of `made` that a test may change."""
    return Clone(copied(made.folder, tmp_path / "clone"))


@pytest.fixture
def copy(fresh):
    """The same, unless a file of tests means `draft` by it."""
    return fresh


@pytest.fixture(scope="module")
def copy_of_module(made, tmp_path_factory):
    return Clone(copied(made.folder, tmp_path_factory.mktemp("copy") / "clone"))


@pytest.fixture
def draft(copy_of_module):
    """A copy of `made` in which a test may plan and change what git has, but no results."""
    yield copy_of_module
    copy_of_module.call("git", "checkout", "-q", "--", ".")
    copy_of_module.call("git", "clean", "-fdq")


@pytest.fixture(scope="session")
def blank(tmp_path_factory):
    """A repository with the smoke experiment only."""
    return make_repository(tmp_path_factory.mktemp("repository") / "root")


@pytest.fixture
def s3(monkeypatch):
    """A bucket `lab`, empty, of an S3 service in this process: its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="lab")
    yield endpoint
    # All services of a process share their buckets: the next one finds none.
    reset = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    server.stop()
