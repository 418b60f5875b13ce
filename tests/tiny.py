"""A problem that the oracle's loops can solve in milliseconds; `conftest` makes fixtures of it."""

import numpy as np

import oracle
from dasbench import seeds
from dasbench.diffusion.families import pixel

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
        self.unet, self.process = pixel.build(MODEL, DIFFUSION, SHAPE, (*AXES, "base", 0, 0))
        self.unet = self.unet.double().eval()
        self.model = oracle.Sample(self.unet)
        # the scheduler's own float32 products: the oracle's differ from them by float32 rounding
        self.abar = self.process.scheduler.alphas_cumprod.double().numpy()
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
                rng = seeds.generator(*axes, stream, "batch", t, draw)
                return rng.standard_normal((16, *SHAPE), np.float32)[i % 16]
            return rng.standard_normal(SHAPE, np.float32)

        return one
