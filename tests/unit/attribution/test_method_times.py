import numpy as np
import pytest

from dasbench.attribution import decomposition, method_times
from dasbench.evaluation import cost_quality
from dasbench.gradients import features

SETTINGS = {
    "readout": "loss",
    "normalise": False,
    "noise": "common",
    "timesteps": 3,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 128,
    "parameters": "weights",
    "projection": "kronecker",
    "candidates": None,
}


@pytest.mark.parametrize(("kernel", "kernels"), [("averaged", 1), ("per_t", 3)])
def test_every_kernel_of_a_method_is_made_of_its_own_features(tiny, kernel, kernels, monkeypatch):
    seen, decompose = [], decomposition.decompose
    monkeypatch.setattr(
        decomposition, "decompose", lambda phi: [seen.append(phi), decompose(phi)][1]
    )
    images = {split: tiny.images[split] for split in ("train", "val", "gen")}
    own = {"kernel": kernel, "features": SETTINGS, "residuals": None}
    cost = method_times.method(tiny.unet, tiny.process, images, own, tiny.axes)
    assert set(cost) == {*cost_quality.PARTS, "P"}
    assert cost["P"] == 128
    extractor = features.Extractor(tiny.unet, tiny.process, SETTINGS, tiny.axes)
    ids = np.arange(len(images["train"]))
    (apart,) = extractor.by_timestep(images["train"], ids, "train")
    expected = apart if kernel == "per_t" else apart.mean(0, keepdims=True)
    assert len(seen) == kernels
    np.testing.assert_allclose(np.stack(seen), expected, rtol=1e-4, atol=1e-6)
