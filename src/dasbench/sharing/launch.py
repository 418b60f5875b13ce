"""Start a job's program on a machine with several devices, or as several processes.

``workflow/functions/resources.smk`` puts this before every ``python scripts/...`` where the run is
configured with ``devices`` or ``processes``; what a job computes and depends on stays the same.

* ``DAS_DEVICES=0,1,2,3``: a job that runs networks takes a device that no other job has (a lock
  that ends with the job) and sees it alone, through ``CUDA_VISIBLE_DEVICES``.
* ``DAS_PROCESSES=4``: the base model and the features are made by four processes each, as
  `accelerate launch --multi_gpu` would start them: each has every fourth image of each batch, or
  every fourth chunk of a set of features. Without a GPU they talk over gloo.
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

# what runs networks; the other scripts need no device
NETWORKS = (
    "encode_latents",
    "embed_prompts",
    "train_base",
    "train_subsets",
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
    "measure_outputs",
    "measure_grids",
    "measure_removal",
)
# what several processes can share
PARALLEL = ("train_base", "compute_features")
LOCKS = ".snakemake/devices"
# glibc gives freed memory back to the system after nearly every tensor and asks for it again, a
# twentieth of a training step; a job keeps up to 256 MB, and tensors up to 32 MB are part of it
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
_WORKER = "--worker"


def command(script: str, arguments: Sequence[str], processes: int) -> list[str]:
    """The command line of a script, with a launcher where it runs as several processes."""
    if processes == 1 or Path(script).stem not in PARALLEL:
        return [sys.executable, script, *arguments]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    worker = ["-m", "dasbench.sharing.launch", _WORKER, str(processes), script]
    return [sys.executable, *launcher, *worker, *arguments]


def take_devices(devices: Sequence[str], count: int, patience: float = 0.5) -> list[str]:
    """Wait until ``count`` devices are free, and hold them for the life of this process.

    The locks stay open across ``exec``, so that the program that this process turns into holds
    them, and the system lets go of them when it ends, however it does.

    Args:
        devices: Names as ``CUDA_VISIBLE_DEVICES`` takes them.
        count: How many.
        patience: Seconds between two attempts.

    Raises:
        UserError: If there are not that many.
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
    """Run a script as one of several processes, once it is certain that they found each other.

    Raises:
        UserError: If Accelerate sees another number of processes: each would then train the whole
            model alone and overwrite the others'.
    """
    import torch
    from accelerate import PartialState

    # unless it is told that there is only the CPU, Accelerate takes a process there to be alone
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
