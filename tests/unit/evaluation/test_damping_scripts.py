"""The scripts of the study of dampings: what fine-tuned models share, and that all fit together."""

import importlib
import json
import shlex

import numpy as np
import pytest

from dasbench.attribution import decomposition, method_files
from dasbench.core import artifacts, tables
from dasbench.data import digits
from dasbench.diffusion import denoiser, model_inputs
from dasbench.evaluation import damping_rules
from dasbench.experiments import subsets
from dasbench.experiments.files import dampings
from dasbench.experiments.files.models import base_settings
from experiment_files import resolved

N, Q, P = 120, 12, 30
METHODS = {"das": {}, "other": {"like": "das", "features": {"draw": 1}}}
STUDY = {
    "twins": {"das": "other"},
    "fixed": [0.01],
    "finetuned": {"models": 4, "models_per_job": 2, "epochs": 1, "learning_rate": 0.01},
}


class Home:
    """Examples, queries and a base model of smoke, in a folder of its own."""

    def __init__(self, root, folder, monkeypatch):
        self.e = resolved(root, dampings=STUDY, methods=METHODS, comparisons=[], removal={})
        self.folder, self.patch = folder / self.e.folder, monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setenv("DAS_DEVICE", "cpu")
        pool, queries = digits.pool(), self.folder / "queries"
        examples = self.folder / "examples/train.npz"
        artifacts.save_examples(examples, pool.images[:N], pool.labels[:N], np.arange(N))
        uses = {"tuning": [0, 1, 2, 3], "evaluation": list(range(4, Q))}
        artifacts.save_json(queries / "uses.json", {"val": uses, "gen": uses})
        for start, kind in ((200, "val"), (300, "gen")):
            rows = slice(start, start + Q)
            artifacts.save_array(queries / f"{kind}.npy", denoiser.to_model(pool.images[rows]))
            artifacts.save_array(queries / f"{kind}_labels.npy", pool.labels[rows])
        settings = json.loads(base_settings(self.e))
        model = model_inputs.open(settings, 1)
        model.save(self.base, *model.build((1, 8, 8), ("tests", 0, "base", 0, 0)))

    @property
    def base(self):
        return self.folder / "models/base"

    def call(self, script, settings, *words, **options):
        flags = [f"--{key}={value}" for key, value in options.items()]
        self.patch.setattr("sys.argv", [script, "--settings", settings, *flags, *words])
        importlib.import_module(script).run()

    def finetune(self):
        """Weights of all fine-tuned models, in order."""
        for shard in dampings.shards(self.e):
            out = self.folder / f"models/finetuned/shard-{shard}"
            given = {"examples": self.folder / "examples/train.npz", "base": self.base}
            settings = dampings.finetune_settings(self.e)
            self.call("finetune_halves", settings, **given, shard=int(shard), out=out)
        return [f.read_bytes() for f in sorted(self.folder.rglob("finetuned/**/*.safetensors"))]


@pytest.fixture
def home(blank, tmp_path, monkeypatch):
    return Home(blank, tmp_path, monkeypatch)


def test_fine_tuned_models_differ_by_their_masks_alone(home, monkeypatch):
    models = home.finetune()
    assert len(set(models)) == len(models) == 4
    masks = [np.load(file) for file in dampings.finetuned_masks(home.e)]
    assert np.concatenate(masks).sum(1).tolist() == [N // 2] * 4
    assert len(np.unique(np.concatenate(masks), axis=0)) == 4
    assert models == home.finetune()
    half = np.arange(N) < N // 2
    monkeypatch.setattr(subsets, "draw_mask", lambda *_: half)
    same = home.finetune()
    assert len(set(same)) == 1
    (base,) = home.base.rglob("*.safetensors")
    assert same[0] != base.read_bytes()


def random_inputs(home, rng):
    """Features of both draws with their kernels, residuals, masks and outputs of subset models."""
    folder = home.folder
    for name in home.e.features:
        for split, rows in (("train", N), ("val", Q), ("gen", Q)):
            array = rng.standard_normal((rows, P)).astype(np.float32)
            artifacts.save_array(folder / f"features/{name}/{split}.npy", array)
        train = np.load(folder / f"features/{name}/train.npy")
        decomposition.save(folder / f"features/{name}/spectrum", decomposition.decompose(train))
    residuals = rng.uniform(1, 2, N).astype(np.float32)
    artifacts.save_array(folder / "residuals/scalar.npy", residuals)
    for use, models, seeds in (("tune", 4, 1), ("eval", 8, 2)):
        masks = rng.integers(0, 2, (models, N)).astype(bool)
        artifacts.save_array(folder / f"masks/{use}.npy", masks)
        for kind in ("val", "gen"):
            for target in ("loss", "displacement"):
                array = rng.standard_normal((seeds, models, Q)).astype(np.float32)
                artifacts.save_array(folder / f"outputs/{use}/{target}-{kind}.npy", array)


@pytest.mark.slow
def test_the_scripts_of_the_study_fit_together(home):
    """From examples and queries to the figure, each with the string that its rule gives it."""
    e, folder = home.e, home.folder
    random_inputs(home, np.random.default_rng(0))
    home.finetune()
    models, measured = folder / "models/finetuned", folder / "dampings/outputs"
    given = {"base": home.base, "models": models, "queries": folder / "queries"}
    home.call("measure_outputs", dampings.measure_settings(e), **given, out=measured)
    first, other = (
        shlex.split(method_files.flags(method_files.files(name, e))) for name in METHODS
    )
    given = {"home": folder, "finetuned": models, "measured": measured}
    given |= {"y": dampings.residual_file(e, "das"), "out": folder / "dampings/methods/das"}
    flags = [f"--{key}={value}" for key, value in given.items()]
    home.call(
        "compare_dampings", dampings.curve_settings(e, "das"), *first, *flags, "--twin", *other
    )
    settings = dampings.summary_settings(e, {e["name"]: e})
    home.call("summarise_dampings", settings, results="results", out=folder / "dampings")
    figure = {"rules": folder / "dampings/rules.csv"}
    home.call("plot_dampings", "{}", *"--damping-rules a.svg a.png".split(), **figure)
    curve, rules, overall = (tables.load_table(f) for f in dampings.rule_files(e)[:3])
    grid = 27
    assert len(curve) == 3 * 2 * 2 * grid
    assert (curve.groupby(damping_rules.POINT)["damping"].nunique() == grid).all()
    assert set(rules["rule"]) == {*damping_rules.CRITERIA, "fixed_0.01", "oracle"}
    assert (rules["damping"][rules["rule"] == "fixed_0.01"] == 0.01).all()
    # with a single method, the mean over methods is its own transform's loss
    own = rules[rules["own"]].merge(overall, on=["queries", "target", "rule"])
    assert set(own["transform"]) == {"square"}
    np.testing.assert_allclose(
        own[["lost_x", "lost_lo_x"]], own[["lost_y", "lost_lo_y"]], atol=1e-7
    )
