"""Problems that several test modules share: small enough for the oracle's loops."""

import numpy as np
import pytest
import torch

import oracle
from dasbench import diffusion, features, models, seeds

SHAPE = (2, 4, 6)  # C, H, W all different: a transposed axis cannot go unseen
AXES = ("tests", 3)
IDS = {"train": [11, 4, 29, 7, 16], "val": [0, 1, 2], "gen": [0, 1, 2]}
MODEL = {
    "block_out_channels": [4, 8],
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 2,
}
DIFFUSION = {"timesteps": 1000, "beta_schedule": "linear", "prediction_type": "epsilon"}


class TinyProblem:
    """A float64 UNet, images of three splits, and the same things in the oracle's terms."""

    def __init__(self):
        self.shape, self.axes, self.ids = SHAPE, AXES, IDS
        self.unet, self.scheduler = models.build(MODEL, DIFFUSION, SHAPE, (*AXES, "base", 0, 0))
        self.unet = self.unet.double().eval()
        self.model = oracle.Sample(self.unet)
        # the scheduler's own float32 products: the oracle's differ from them by float32 rounding
        self.abar = self.scheduler.alphas_cumprod.double().numpy()
        self.parameters = sum(p.numel() for p in self.unet.parameters())
        self.images = {
            split: np.random.default_rng(k).uniform(-1, 1, (len(IDS[split]), *SHAPE)).astype("f4")
            for k, split in enumerate(IDS)
        }

    def noise(self, stream, policy="keyed", axes=AXES):
        """The oracle's noise function of a policy, with the names of the draws spelled out."""

        def one(split, i, t, draw):
            if policy == "common":
                rng = seeds.generator(*axes, stream, "common", t, draw)
            elif policy == "keyed":
                rng = seeds.generator(*axes, stream, "keyed", split, IDS[split][i], t, draw)
            else:
                rng = seeds.generator(*axes, stream, "batch", split, t, draw)
                return rng.standard_normal((16, *SHAPE), np.float32)[i % 16]
            return rng.standard_normal(SHAPE, np.float32)

        return one


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
        phi = torch.cat(kept).numpy()
        assert phi.dtype == np.float64
        np.testing.assert_array_equal(returned, phi.astype(np.float32))
        return phi

    monkeypatch.setattr(features, "Projection", Recording)
    return compute


@pytest.fixture(scope="session")
def digits():
    """Labels and images of 24 digits, in the model's range."""
    from dasbench.datasets import digits as source

    pool = source.pool()
    return pool.labels[:24], diffusion.to_model(pool.images[:24])


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
    }
    return {"model": model, "diffusion": DIFFUSION, "training": training}
