"""Start a job's program on a machine with several devices, or as several processes.

If a run is configured with ``devices`` or ``processes``, ``workflow/functions/resources.smk`` puts
this module before every ``python scripts/...``. The outputs and the dependencies of a job stay the
same.

* ``DAS_DEVICES=0,1,2,3``: a job that runs networks locks a free device until it ends, and sees only
  this device, through ``CUDA_VISIBLE_DEVICES``.
* ``DAS_PROCESSES=4``: four processes train the base model, or compute a set of features, together.
  They start as with `accelerate launch --multi_gpu`. Each handles every fourth image of each batch,
  or every fourth chunk of the features. Without a GPU they communicate over gloo.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dasbench.errors import UserError

# scripts that run networks; the others need no device
NETWORKS = (
    "encode_latents",
    "embed_prompts",
    "train_base",
    "train_subsets",
    "finetune_halves",
    "train_removal",
    "make_queries",
    "compute_features",
    "compute_timesteps",
    "compute_journeys",
    "compute_embeddings",
    "embed_removals",
    "compute_residuals",
    "time_methods",
    "compute_ekfac",
    "compute_unlearning",
    "compute_influence",
    "compute_member",
    "explore_member",
    "train_replay",
    "compute_magic",
    "measure_outputs",
    "measure_grids",
    "measure_trajectory",
    "measure_removal",
    "measure_adaptation",
)
# scripts whose work several processes can share
PARALLEL = ("train_base", "compute_features")
LOCKS = ".snakemake/devices"
# By default, glibc returns freed memory to the system after nearly every tensor, then requests it
# again, which takes 5 % of a training step. So a job keeps up to 256 MB, for tensors up to 32 MB.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
_WORKER = "--worker"


def command(script: str, arguments: Sequence[str], processes: int) -> list[str]:
    """The command line of a script, with torch's launcher for several processes."""
    if processes == 1 or Path(script).stem not in PARALLEL:
        return [sys.executable, script, *arguments]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    worker = ["-m", "dasbench.sharing.launch", _WORKER, str(processes), script]
    return [sys.executable, *launcher, *worker, *arguments]


def take_devices(devices: Sequence[str], count: int, patience: float = 0.5) -> list[str]:
    """Wait until ``count`` devices are free, and hold them for the life of this process.

    The locks stay open across ``exec``, so the program that replaces this process holds them. The
    system releases them when that program ends, also if it is killed.

    Args:
        devices: Names as ``CUDA_VISIBLE_DEVICES`` takes them.
        count: Number of devices to take.
        patience: Seconds between two attempts.

    Returns:
        Names of the devices.

    Raises:
        UserError: If ``devices`` has fewer than ``count`` names.
    """
    if count > len(devices):
        raise UserError(
            f"{count} processes need as many devices, but devices are {','.join(devices)}; name "
            "more devices or start fewer processes"
        )
    Path(LOCKS).mkdir(parents=True, exist_ok=True)
    while True:
        taken = {}
        for device in devices:
            descriptor = os.open(f"{LOCKS}/{device}", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            taken[device] = descriptor
            if len(taken) == count:
                for held in taken.values():
                    os.set_inheritable(held, True)
                return list(taken)
        # all or nothing, so that two jobs cannot wait for each other
        for held in taken.values():
            os.close(held)
        time.sleep(patience)


def work(processes: int, script: str, arguments: Sequence[str]) -> None:
    """Check that all processes are connected, then run a script as one of them.

    Raises:
        UserError: If Accelerate sees another number of processes: each would then train the whole
            model alone and overwrite the others'.
    """
    import torch
    from accelerate import PartialState

    # on a CPU, Accelerate connects the processes only with cpu=True
    state = PartialState(cpu=os.environ.get("DAS_DEVICE") == "cpu" or not torch.cuda.is_available())
    if state.num_processes != processes:
        raise UserError(
            f"{processes} processes were asked for, but Accelerate sees {state.num_processes}; "
            "start the run without processes="
        )
    if state.is_main_process:
        print(f"{processes} processes over {state.backend}", flush=True)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
        state.wait_for_everyone()
    finally:
        state.destroy_process_group()


def main(words: Sequence[str]) -> None:
    """``python -m dasbench.sharing.launch SCRIPT [ARGUMENTS]``."""
    if words[0] == _WORKER:
        work(int(words[1]), words[2], words[3:])
        return
    script, arguments = words[0], words[1:]
    processes = int(os.environ.get("DAS_PROCESSES") or 1)
    devices = [name for name in os.environ.get("DAS_DEVICES", "").split(",") if name]
    stem = Path(script).stem
    if devices and stem in NETWORKS:
        count = processes if stem in PARALLEL else 1
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(take_devices(devices, count))
    line = command(script, arguments, processes)
    sys.stdout.flush()
    os.execv(line[0], line)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
