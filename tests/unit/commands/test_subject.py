"""The model behind an index: its hash, and the classes that it takes."""

import copy
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from dasbench.commands import attributed_model, subject
from dasbench.diffusion import process as processes
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from tiny import DIFFUSION, MODEL


@pytest.fixture(scope="module")
def pair():
    unet, process = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("attribution", 0))
    return unet.eval(), process


def test_the_hash_is_of_weights_and_process(pair, tmp_path):
    unet, process = pair
    pixel.save(tmp_path / "pipeline", unet, process)
    whole = subject.of(pair)
    read = subject.of(tmp_path / "pipeline")
    assert whole.digest == read.digest
    assert (whole.place, read.place) == (None, tmp_path / "pipeline")
    assert read.name.startswith(str(tmp_path))
    changed = copy.deepcopy(unet)
    with torch.no_grad():
        next(changed.parameters()).view(-1)[0] += 1e-6
    other = processes.build({**DIFFUSION, "prediction_type": "sample"})
    digests = {
        whole.digest,
        subject.of((changed, process)).digest,
        subject.of((unet, other)).digest,
    }
    assert len(digests) == 3


def test_flows_with_other_sigmas_are_other_models(pair):
    """They have none of the betas of a DDPM, and are told apart all the same."""
    schedulers = (
        FlowMatchEulerDiscreteScheduler(shift=1.0),
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        FlowMatchEulerDiscreteScheduler(num_train_timesteps=500),
    )
    digests = {subject.of((pair[0], scheduler)).digest for scheduler in schedulers}
    assert len(digests | {subject.of(pair).digest}) == 4


def test_classes_are_names_or_numbers(pair):
    unet, process = pixel.build({**MODEL, "num_class_embeds": 3}, DIFFUSION, (1, 8, 8), ("c", 0))
    taken = subject.of((unet.eval(), process))
    assert taken.classes == 3
    assert taken.numbers(["dog", "cat", 2, "1"], ["cat", "dog"]).tolist() == [1, 0, 2, 1]
    condition = taken.condition(np.array([2, 0]))
    assert condition.arguments()["class_labels"].tolist() == [2, 0]
    for labels in (None, ["cat", None], [""]):
        with pytest.raises(UserError, match="the model takes classes, and images without a class"):
            taken.numbers(labels, ["cat"])
    for label in (3, -1, "owl", 1.5, True):
        with pytest.raises(UserError, match="is no class of the model, expected .* from 0 to 2"):
            taken.numbers([label], None)
    with pytest.raises(UserError, match="takes classes, expected an unconditional one"):
        attributed_model.check_unconditional(taken.opened, "it")
    plain = subject.of(pair)
    assert plain.numbers(["cat"], None) is plain.condition(None) is None


def of_classes(count, names=()):
    """A subject that takes classes, as far as their numbers matter."""
    opened = SimpleNamespace(classes=count, names=names, takes="classes")
    return subject.Subject(None, None, (1, 8, 8), opened)


def test_names_of_classes_get_the_numbers_of_the_alphabet_if_none_is_missing():
    pets = of_classes(2)
    names = pets.class_names(["dog", "cat", "dog", None])
    assert names == ["cat", "dog"]
    assert pets.numbers(["dog", "cat", "1", 0], names).tolist() == [1, 0, 1, 0]
    with pytest.raises(UserError, match=r"are 2 \(cat, dog\), but the model has 10 classes"):
        of_classes(10).class_names(["dog", "cat"])
    with pytest.raises(UserError, match=r"are 1 \(-1\), but the model has 2 classes"):
        of_classes(2).class_names(["-1", "1"][:1])


def test_numbers_stay_numbers_also_as_names_of_folders():
    digits = of_classes(10)
    for labels in (["7", "3", "7"], [7, 3, 7]):
        assert digits.class_names(labels) is None
        assert digits.numbers(labels, None).tolist() == [7, 3, 7]
    assert digits.class_names(None) is None


def test_a_pipeline_states_the_numbers_of_its_names():
    birds = of_classes(3, ("cock, rooster", "hen", "ostrich"))
    names = birds.class_names(["ostrich", "hen"])
    assert birds.numbers(["ostrich", "rooster", "hen"], names).tolist() == [2, 0, 1]
    with pytest.raises(UserError, match="'owl' is no class of the model"):
        birds.numbers(["owl"], names)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_tool_computes_on_as_many_cores_as_omp_num_threads_says(threads):
    code = "from dasbench.commands import subject; subject.use_cores(); import torch; "
    code += "print(torch.get_num_threads())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == f"{threads}\n"
