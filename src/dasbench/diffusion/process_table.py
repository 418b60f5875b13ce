"""Which noise process a scheduler of diffusers stands for, and which processes are supported.

A scheduler's file says how a model was trained: its noise process and, for a process with betas,
their schedule. Every command and function that takes somebody's model asks this table. An unknown
scheduler, an unsupported process and a missing entry are refused; no default replaces them.

To add a process, give its row a reader in ``PROCESSES``, and add its class to ``CLASSES`` in
``dasbench.diffusion.process``. This module loads no torch, so that commands start at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dasbench.errors import UserError, say

SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace")
_WITHOUT_ENDS = ("squaredcos_cap_v2", "laplace")  # these schedules have no first and last beta
PREDICTIONS = ("epsilon", "v_prediction", "sample")
# entries of a scheduler's configuration that say how a model was trained; others are for sampling
TRAINING_KEYS = """num_train_timesteps beta_schedule beta_start beta_end prediction_type
    trained_betas rescale_betas_zero_snr""".split()
Config = dict[str, Any]
_LONGEST = 60  # characters of a value in a sentence


class Kind(NamedTuple):
    """A noise process.

    Attributes:
        title: Its name for people.
        schedulers: Classes of diffusers that sample from models trained with this process.
        read: Function of (configuration of a scheduler, words for its place) that returns the
            configuration for the class of the process, complete and checked; None if the process
            is not supported.
        section: Function of (a configuration from ``read``, words for its place, allowed values of
            the keys) that returns the section ``diffusion`` of an experiment; None if no experiment
            can state the process.
    """

    title: str
    schedulers: tuple[str, ...]
    read: Callable[[Config, str], Config] | None = None
    section: Callable[[Config, str, Mapping[str, Any]], Config] | None = None


class Found(NamedTuple):
    """A supported process.

    Attributes:
        process: Name of the process, a key of ``PROCESSES``.
        config: The checked configuration, without entries that start with ``_``.
    """

    process: str
    config: Config


def kind_of(scheduler: Any) -> str | None:
    """Name of the process of a class of schedulers; None if the class is unknown."""
    return next((name for name, kind in PROCESSES.items() if scheduler in kind.schedulers), None)


def resolve(config: Any, where: str) -> Found:
    """The process that a scheduler's configuration states.

    Args:
        config: Content of ``scheduler_config.json``, or the configuration of a scheduler.
        where: Words for the place of the configuration, which start the sentence of an error.

    Raises:
        UserError: If the process is unknown or not supported, or an entry is missing or impossible.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"{where} holds no configuration of a scheduler, but {_short(config)}")
    config = dict(config)
    scheduler = config.get("_class_name")
    name = kind_of(scheduler)
    if scheduler is None:
        raise UserError(
            f"{where} names no _class_name, so its noise process is not known; write the "
            f"class of the scheduler of its training, such as {PROCESSES['ddpm'].schedulers[0]}"
        )
    if name is None:
        raise UserError(
            f"{where} is of a {_short(scheduler)}, a scheduler whose noise process is not known "
            f"here; expected one of {', '.join(supported())}"
        )
    kind = PROCESSES[name]
    if kind.read is None:
        raise _unsupported(where, f"a {scheduler}", kind)
    _check_traces(config, name, where)
    settled = kind.read(config, where)
    return Found(name, {k: v for k, v in settled.items() if not k.startswith("_")})


def section(config: Any, where: str, schema: Mapping[str, Any]) -> Config:
    """The section ``diffusion`` of an experiment with the process of a scheduler.

    Args:
        config: See ``resolve``.
        where: See ``resolve``.
        schema: Key of the section -> its schema.

    Raises:
        UserError: As from ``resolve``, or if an experiment cannot state this process.
    """
    found = resolve(config, where)
    stated = PROCESSES[found.process].section
    if stated is None:
        raise UserError(
            f"{where} has the process {PROCESSES[found.process].title}, which an experiment cannot "
            f"state; {ASK}"
        )
    return stated(found.config, where, schema)


def supported() -> list[str]:
    """Classes of schedulers whose process is supported."""
    return [s for kind in PROCESSES.values() if kind.read for s in kind.schedulers]


ASK = "ask with `./run attribute IMAGE --model DIR --data DIR`, which takes the model as it is"


# entries of one process alone; from_config of diffusers carries them over, unless they are defaults
_TRACES = {
    "shift": "flow",
    "sigma_data": "edm",
    "snr": "ve",
    "original_inference_steps": "distilled",
    "beta_schedule": "ddpm",
}


def _check_traces(config: Config, name: str, where: str) -> None:
    """Refuse a scheduler that was converted from one of another process."""
    for key, other in _TRACES.items():
        if other != name and config.get(key) is not None:
            raise UserError(
                f"{where} is of a {config['_class_name']} and has {key}, an entry of "
                f"{PROCESSES[other].title}: it was converted, and one of the two noise processes "
                "is not that of the model; give the scheduler that the model was trained with"
            )


def _unsupported(where: str, what: str, kind: Kind) -> UserError:
    usable = "; ".join(
        f"{known.title}: {', '.join(known.schedulers[:5])} and their relatives"
        for known in PROCESSES.values()
        if known.read
    )
    return UserError(
        f"{where} is of {what}: the model was trained with {kind.title}, which is not supported "
        f"({usable}), and other noise would give wrong scores"
    )


def _read_ddpm(config: Config, where: str) -> Config:
    """Check the betas, the number of timesteps and the prediction type."""
    if config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction":
        raise _unsupported(where, "a scheduler with flow sigmas", PROCESSES["other_flow"])
    if config.get("timestep_type") == "continuous":
        raise _unsupported(where, "a scheduler with continuous timesteps", PROCESSES["edm"])
    total = _needed(config, "num_train_timesteps", where)
    if not _whole(total) or total < 1:
        raise UserError(
            f"{where} has num_train_timesteps {total!r:.60}, expected a whole number from 1"
        )
    if config.get("trained_betas") is not None:
        _check_betas(config["trained_betas"], total, where)
    else:
        schedule = _needed(config, "beta_schedule", where)
        if schedule not in SCHEDULES:
            raise UserError(
                f"{where} has the beta_schedule {_short(schedule)}, expected one of "
                f"{', '.join(SCHEDULES)}: this model cannot be used"
            )
        for key in () if schedule in _WITHOUT_ENDS else ("beta_start", "beta_end"):
            value = _needed(config, key, where)
            if not _number(value) or not 0 < value < 1:
                raise UserError(f"{where} has {key} {value!r:.60}, expected one between 0 and 1")
        if schedule not in _WITHOUT_ENDS and config["beta_start"] > config["beta_end"]:
            raise UserError(
                f"{where} has beta_start {config['beta_start']} above beta_end "
                f"{config['beta_end']}, expected betas that grow with the timestep"
            )
    return {**config, "prediction_type": _prediction(config, where)}


def _prediction(config: Config, where: str) -> str:
    """The prediction type; files from before diffusers 0.9 need not name it."""
    prediction = config.get("prediction_type")
    if prediction is None:
        prediction = _old_prediction(config, where)
    if prediction not in PREDICTIONS:
        raise UserError(
            f"{where} has the prediction_type {_short(prediction)}, expected one of "
            f"{', '.join(PREDICTIONS)}: this model cannot be used"
        )
    return prediction


def _old_prediction(config: Config, where: str) -> str:
    predicts = config.get("predict_epsilon")
    if isinstance(predicts, bool):  # a key of diffusers 0.3 to 0.9
        return "epsilon" if predicts else "sample"
    version = re.match(r"(\d+)\.(\d+)", str(config.get("_diffusers_version", "")))
    if version and (int(version[1]), int(version[2])) < (0, 10):
        say(
            f"{where} names no prediction_type; it was written by diffusers "
            f"{config['_diffusers_version']}, whose models predict epsilon"
        )
        return "epsilon"
    raise _missing("prediction_type", where)


def _check_betas(betas: Any, total: int, where: str) -> None:
    try:
        values = [float(beta) for beta in betas]
    except (TypeError, ValueError):
        values = [math.nan]
    if not all(0 <= beta <= 1 for beta in values):
        raise UserError(f"{where} has trained_betas that are no numbers from 0 to 1")
    if len(values) != total:
        raise UserError(
            f"{where} has {len(values)} trained_betas, but num_train_timesteps is {total}; "
            "expected as many"
        )


def _ddpm_section(config: Config, where: str, schema: Mapping[str, Any]) -> Config:
    """The section ``diffusion`` of an experiment with this DDPM."""
    for key in ("trained_betas", "rescale_betas_zero_snr"):
        value = config.get(key)
        if value is not None and value is not False:
            raise UserError(
                f"{where} has {key}, expected betas that beta_schedule, beta_start and beta_end "
                f"give: an experiment can state no others; {ASK}"
            )
    for key in ("beta_schedule", "prediction_type"):
        allowed = schema.get(key, {}).get("enum", [config[key]])
        if config[key] not in allowed:
            raise UserError(
                f"{where} has the {key} {config[key]}, expected one of {', '.join(allowed)}: an "
                f"experiment can state no other; {ASK}"
            )
    ends = {
        key: float(config[key]) for key in ("beta_start", "beta_end") if _number(config.get(key))
    }
    stated = {key: config[key] for key in ("beta_schedule", "prediction_type")}
    clip = {"clip_sample": False} if config.get("clip_sample") is False else {}
    return {"timesteps": config["num_train_timesteps"], **stated, **ends, **clip}


def check_path(config: Mapping[str, Any], where: str) -> None:
    """Refuse a scheduler of flow matching whose samples do not follow the path of training.

    Raises:
        UserError: If it inverts its sigmas, or adds noise to its steps.
    """
    for key in ("invert_sigmas", "stochastic_sampling"):
        if config.get(key):
            raise UserError(
                f"{where} has {key}: {config[key]}, expected false: samples must follow from their "
                "initial noise along the path of training"
            )


def _read_flow(config: Config, where: str) -> Config:
    """Check the number of timesteps and the shift of the sigmas."""
    total = _needed(config, "num_train_timesteps", where)
    if not _whole(total) or total < 1:
        raise UserError(
            f"{where} has num_train_timesteps {total!r:.60}, expected a whole number from 1"
        )
    shift = _needed(config, "shift", where)
    if not _number(shift) or shift <= 0:
        raise UserError(f"{where} has shift {shift!r:.60}, expected a number above 0; 1 is none")
    check_path(config, where)
    return config


def _flow_section(config: Config, where: str, schema: Mapping[str, Any]) -> Config:
    """The section ``diffusion`` of an experiment with this flow."""
    if config.get("use_dynamic_shifting"):
        raise UserError(
            f"{where} has use_dynamic_shifting, expected a fixed shift: an experiment can state no "
            f"other; {ASK}"
        )
    shift = float(config["shift"])
    return {"process": "flow", "timesteps": config["num_train_timesteps"], "shift": shift}


def _needed(config: Config, key: str, where: str) -> Any:
    if config.get(key) is None:
        raise _missing(key, where)
    return config[key]


def _missing(key: str, where: str) -> UserError:
    return UserError(
        f"{where} does not state {key}, which no default may replace: other noise would give wrong "
        f"scores; write the {key} that the model was trained with"
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


PROCESSES: dict[str, Kind] = {
    "ddpm": Kind(
        "noise by a schedule of betas (DDPM)",
        (
            "DDPMScheduler",
            "DDIMScheduler",
            "PNDMScheduler",
            "DPMSolverMultistepScheduler",
            "EulerDiscreteScheduler",
            "EulerAncestralDiscreteScheduler",
            "DDPMParallelScheduler",
            "DDIMParallelScheduler",
            "DDIMInverseScheduler",
            "DEISMultistepScheduler",
            "DPMSolverMultistepInverseScheduler",
            "DPMSolverSDEScheduler",
            "DPMSolverSinglestepScheduler",
            "HeunDiscreteScheduler",
            "KDPM2AncestralDiscreteScheduler",
            "KDPM2DiscreteScheduler",
            "LMSDiscreteScheduler",
            "SASolverScheduler",
            "UniPCMultistepScheduler",
        ),
        _read_ddpm,
        _ddpm_section,
    ),
    "flow": Kind(
        "flow matching",
        ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"),
        _read_flow,
        _flow_section,
    ),
    "other_flow": Kind(
        "another kind of flow",
        (
            "FlowMatchLCMScheduler",
            "FlowMapEulerDiscreteScheduler",
            "LTXEulerAncestralRFScheduler",
            "PiflowScheduler",
        ),
    ),
    "edm": Kind(
        "continuous noise levels (EDM)",
        (
            "EDMEulerScheduler",
            "EDMDPMSolverMultistepScheduler",
            "CosineDPMSolverMultistepScheduler",
            "KarrasVeScheduler",
        ),
    ),
    "ve": Kind("exploding variance (score SDE)", ("ScoreSdeVeScheduler",)),
    "vp": Kind("a continuous variance-preserving SDE", ("ScoreSdeVpScheduler",)),
    "distilled": Kind(
        "distillation into few steps, which is no denoising loss",
        (
            "CMStochasticIterativeScheduler",
            "ConsistencyDecoderScheduler",
            "LCMScheduler",
            "TCDScheduler",
            "SCMScheduler",
        ),
    ),
    "other": Kind(
        "another noise process",
        (
            "CogVideoXDDIMScheduler",
            "CogVideoXDPMScheduler",
            "DDPMWuerstchenScheduler",
            "IPNDMScheduler",
            "RePaintScheduler",
            "UnCLIPScheduler",
        ),
    ),
    "tokens": Kind("noise of discrete tokens", ("AmusedScheduler", "VQDiffusionScheduler")),
}
