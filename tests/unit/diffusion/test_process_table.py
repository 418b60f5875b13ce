"""Which noise process a model was trained with: read from its scheduler, or refused."""

import inspect
import json

import diffusers
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchLCMScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    ScoreSdeVeScheduler,
    UniPCMultistepScheduler,
)

from dasbench.diffusion import process as processes
from dasbench.diffusion import process_table
from dasbench.errors import Note, UserError

X = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
EPS = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
T = torch.tensor([0, 40, 98])
BETAS = {"num_train_timesteps": 100, "beta_start": 0.002, "beta_end": 0.03}
SCHEDULERS = [
    DDPMScheduler,
    DDIMScheduler,
    PNDMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
]


def saved(folder, scheduler, drop=(), **changes):
    """The file of a scheduler, without some keys and with others."""
    scheduler.save_pretrained(folder)
    file = folder / "scheduler_config.json"
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in content.items() if k not in drop}))
    return folder


def noised(process):
    x_t, target = process.pair(X, EPS, T)
    return torch.cat([x_t, target])


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("kind", SCHEDULERS, ids=lambda kind: kind.__name__)
def test_schedulers_of_one_process_noise_alike(kind, prediction, tmp_path):
    """From the file and from the object, by the betas of the file and not by any default."""
    form = {**BETAS, "beta_schedule": "scaled_linear", "prediction_type": prediction}
    expected = noised(processes.Ddpm(DDPMScheduler(**form)))
    scheduler = kind(**form)
    for process in (processes.load(saved(tmp_path, scheduler)), processes.of(scheduler)):
        assert process.total == 100
        assert torch.equal(noised(process), expected)
        assert process.scheduler.config.prediction_type == prediction


def test_the_defaults_of_an_object_are_its_own():
    """Diffusers replaces defaults of one class by those of another; the betas are others then."""
    scheduler = HeunDiscreteScheduler()
    assert scheduler.config.beta_start == 0.00085
    process = processes.of(scheduler)
    assert process.settings["beta_start"] == 0.00085
    torch.testing.assert_close(process.scheduler.alphas_cumprod, scheduler.alphas_cumprod)


@pytest.mark.parametrize(
    "more",
    [
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
        {"trained_betas": [0.01 * (k + 1) for k in range(20)], "num_train_timesteps": 20},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "sigmoid"},
        {"beta_schedule": "laplace"},
    ],
)
def test_betas_of_every_kind_are_read(more, tmp_path):
    scheduler = DDPMScheduler(**more)
    process = processes.load(saved(tmp_path, scheduler))
    assert torch.equal(process.scheduler.alphas_cumprod, scheduler.alphas_cumprod)
    abar = scheduler.alphas_cumprod.double()[[0, 7]][:, None, None, None]
    x_t, _ = process.pair(X[:2], EPS[:2], torch.tensor([0, 7]))
    torch.testing.assert_close(x_t, abar.sqrt() * X[:2] + (1 - abar).sqrt() * EPS[:2])


def test_sampler_keys_do_not_change_the_process(tmp_path):
    """Karras sigmas, spacing, thresholding and clipping belong to sampling."""
    plain = noised(processes.of(DDPMScheduler(**BETAS)))
    keys = {"use_karras_sigmas": True, "timestep_spacing": "trailing", "steps_offset": 1}
    for scheduler in (
        EulerDiscreteScheduler(**BETAS, **keys),
        DDPMScheduler(**BETAS, thresholding=True, clip_sample=False, timestep_spacing="linspace"),
    ):
        assert torch.equal(noised(processes.load(saved(tmp_path, scheduler))), plain)


OTHERS = {
    "EDM": (EDMEulerScheduler(), "continuous noise levels"),
    "other flow": (FlowMatchLCMScheduler(), "another kind of flow, which is not supp"),
    "VE": (ScoreSdeVeScheduler(), "exploding variance"),
    "consistency": (diffusers.CMStochasticIterativeScheduler(), "distillation into few steps"),
    "LCM": (diffusers.LCMScheduler(), "distillation into few steps"),
    "unCLIP": (diffusers.UnCLIPScheduler(), "another noise process"),
    "flow sigmas": (UniPCMultistepScheduler(use_flow_sigmas=True), "flow matching"),
    "flow prediction": (
        DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
        "flow matching",
    ),
    "continuous": (EulerDiscreteScheduler(timestep_type="continuous"), "continuous"),
}


@pytest.mark.parametrize(("scheduler", "told"), OTHERS.values(), ids=OTHERS)
def test_other_processes_are_refused_by_name(scheduler, told, tmp_path):
    for load in (lambda: processes.of(scheduler), lambda: processes.load(tmp_path)):
        saved(tmp_path, scheduler)
        with pytest.raises(UserError, match=told) as caught:
            load()
        assert "other noise would give wrong scores" in str(caught.value)
        assert "DDPMScheduler" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type"]
)
@pytest.mark.parametrize("null", [True, False])
def test_no_entry_is_replaced_by_a_default(key, null, tmp_path):
    drop = () if null else (key,)
    place = saved(tmp_path, DDPMScheduler(), drop, **({key: None} if null else {}))
    with pytest.raises(UserError, match=f"scheduler_config.json does not state {key}, which no"):
        processes.load(place)


def test_the_ends_of_a_cosine_are_not_needed(tmp_path):
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    place = saved(tmp_path, scheduler, ("beta_start", "beta_end"))
    assert torch.equal(processes.load(place).scheduler.alphas_cumprod, scheduler.alphas_cumprod)


def test_old_files_need_no_prediction_type_and_it_is_told(tmp_path):
    """As google/ddpm-cifar10-32; the key is of diffusers 0.9."""
    place = saved(tmp_path, DDPMScheduler(), ("prediction_type",), _diffusers_version="0.1.1")
    with pytest.warns(Note, match=r"no prediction_type; it was written by diffusers 0\.1\.1"):
        process = processes.load(place)
    assert process.scheduler.config.prediction_type == "epsilon"
    for predicts, expected in ((True, "epsilon"), (False, "sample")):
        place = saved(tmp_path, DDPMScheduler(), ("prediction_type",), predict_epsilon=predicts)
        assert processes.load(place).scheduler.config.prediction_type == expected


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"_class_name": None}, "names no _class_name"),
        ({"_class_name": "MineScheduler"}, "is of a MineScheduler, .* not known here; expected"),
        ({"_class_name": ["a", "b"]}, "not known here"),
        ({"num_train_timesteps": "many"}, "num_train_timesteps 'many', expected a whole number"),
        ({"num_train_timesteps": 0}, "num_train_timesteps 0, expected"),
        ({"num_train_timesteps": True}, "num_train_timesteps True, expected"),
        ({"beta_end": 2}, "beta_end 2, expected one between 0 and 1"),
        ({"beta_start": "x"}, "beta_start 'x', expected"),
        ({"beta_schedule": "cosine"}, "the beta_schedule cosine, expected one of linear"),
        ({"prediction_type": "score"}, "the prediction_type score, expected one of epsilon"),
        ({"trained_betas": [0.1] * 7}, "has 7 trained_betas, but num_train_timesteps is 1000"),
        ({"trained_betas": "x"}, "no numbers from 0 to 1"),
    ],
)
def test_impossible_entries_are_told(changes, told, tmp_path):
    with pytest.raises(UserError, match=told):
        processes.load(saved(tmp_path, DDPMScheduler(), **changes))


def test_what_is_no_scheduler_is_told():
    with pytest.raises(UserError, match="the scheduler is a str; expected one of diffusers"):
        processes.of("DDPM")
    with pytest.raises(UserError, match="holds no configuration of a scheduler, but 3"):
        processes.from_config(3, "the file")


def test_a_subclass_keeps_its_betas():
    class Mine(DDPMScheduler):
        pass

    scheduler = Mine()
    scheduler.alphas_cumprod = scheduler.alphas_cumprod**2
    assert processes.of(scheduler).scheduler is scheduler

    class Other(DDIMScheduler):
        pass

    scheduler = Other(**BETAS)
    assert torch.equal(
        noised(processes.of(scheduler)), noised(processes.of(DDPMScheduler(**BETAS)))
    )
    scheduler.alphas_cumprod = scheduler.alphas_cumprod**2
    with pytest.raises(UserError, match="Other, has other alphas_cumprod than its configuration"):
        processes.of(scheduler)


def test_every_scheduler_with_betas_has_a_row():
    """A class without a row is unknown, hence refused."""
    with_betas = set()
    for name in dir(diffusers):
        if name.endswith("Scheduler"):
            kind = getattr(diffusers, name)
            if "trained_betas" in inspect.signature(kind.__init__).parameters:
                with_betas.add(name)
    rows = [s for kind in process_table.PROCESSES.values() for s in kind.schedulers]
    assert len(set(rows)) == len(rows)
    assert len(with_betas) > 20
    assert with_betas <= set(rows)


def test_a_process_of_the_table_has_a_class():
    supported = {name for name, kind in process_table.PROCESSES.items() if kind.read}
    assert set(processes.CLASSES) == supported


@pytest.mark.parametrize(
    ("key", "value", "title"),
    [
        ("shift", 3.0, "flow matching"),
        ("sigma_data", 0.5, "continuous noise levels"),
        ("snr", 0.15, "exploding variance"),
        ("original_inference_steps", 50, "distillation into few steps"),
    ],
)
def test_a_scheduler_that_was_converted_from_another_process_is_refused(
    key, value, title, tmp_path
):
    place = saved(tmp_path, DDPMScheduler(), **{key: value})
    with pytest.raises(UserError, match=rf"a DDPMScheduler and has {key}, an entry of {title}"):
        processes.load(place)


def test_a_flow_with_betas_is_refused():
    betas = DDPMScheduler(beta_schedule="scaled_linear").config
    converted = diffusers.FlowMatchEulerDiscreteScheduler.from_config(betas)
    with pytest.raises(UserError, match="has beta_schedule, an entry of noise by a schedule"):
        processes.of(converted)


def test_betas_that_shrink_are_refused(tmp_path):
    place = saved(tmp_path, DDPMScheduler(), beta_start=0.5)
    with pytest.raises(
        UserError, match=r"beta_start 0\.5 above beta_end 0\.02, expected betas that"
    ):
        processes.load(place)


@pytest.mark.parametrize("total", ["1000", 1000.0, 0])
def test_a_number_of_timesteps_that_is_none_is_shown_as_it_is(total, tmp_path):
    place = saved(tmp_path, DDPMScheduler(), num_train_timesteps=total)
    with pytest.raises(UserError, match=f"num_train_timesteps {total!r}, expected a whole number"):
        processes.load(place)


@pytest.mark.parametrize("schedule", process_table.SCHEDULES)
def test_samples_can_be_drawn_with_every_schedule(schedule):
    scheduler = DDPMScheduler(beta_schedule=schedule)
    sampler = processes.Ddim(scheduler, 10)
    torch.testing.assert_close(sampler._ddim.alphas_cumprod, scheduler.alphas_cumprod)
    x = torch.ones(1, 1, 4, 4)
    assert torch.isfinite(sampler.step(x, sampler.timesteps[-1], x).x).all()
