"""Files and settings of the measurement of fine-tuning."""

import json

from dasbench.experiments.files import adaptation, phases, resolved
from experiment_files import ROOT

ALL = resolved.load_all(ROOT)


def test_an_adapter_of_another_experiment_is_measured():
    e = ALL["adapter"]
    assert adaptation.has_adaptation(e)
    assert adaptation.own_queries(e) == "results/adapter_base/queries"
    inputs = adaptation.adaptation_inputs(e)
    assert "results/adapter/queries/val.npy" in inputs
    assert "results/adapter_base/queries/val_labels.npy" in inputs
    assert any(file.startswith("results/adapter/models/base/") for file in inputs)
    assert phases.phase_files(e, ALL)["adaptation"] == ["results/adapter/adaptation.csv"]
    values = json.loads(adaptation.adaptation_settings(e))
    assert (values["axes"], values["grid"]["count"]) == (["adapter", 0], e["outputs"]["timesteps"])


def test_other_models_are_not():
    """A LoRA of a pipeline has no experiment whose own images could be measured."""
    assert [name for name, e in ALL.items() if adaptation.has_adaptation(e)] == ["adapter"]
