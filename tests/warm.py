"""A warm interpreter: a server that has imported the libraries and forks for every job.

A job of the workflow spends 4 seconds on the import of torch and diffusers; most jobs of the tests
compute for less. ``folder()`` goes first on the PATH of a clone. Its ``python``, ``snakemake`` and
``dvc`` (``shims/warm_client.py``) hand their words, folder, environment and open files to the
server. The server forks a child, which runs them as ``__main__``. The server has imported nothing
of this repository, because each clone has its own package, and has started no thread.

Signals reach the child; if the client is killed, the server kills the child's process group. The
process that runs the job is not the client, so a test that looks at a job's process, or stops it,
uses a cold clone. ``workflow/test_warm.py`` proves that both make the same bytes.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import resource
import runpy
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import types
from contextlib import suppress
from pathlib import Path

CLIENT = Path(__file__).parent / "shims/warm_client.py"
PRELOADED = """
    accelerate diffusers diffusers.models.unets.unet_2d diffusers.optimization
    diffusers.pipelines.ddpm.pipeline_ddpm diffusers.schedulers.scheduling_deis_multistep
    diffusers.schedulers.scheduling_dpmsolver_singlestep diffusers.schedulers.scheduling_edm_euler
    diffusers.schedulers.scheduling_flow_match_euler_discrete
    diffusers.schedulers.scheduling_k_dpm_2_ancestral_discrete
    diffusers.schedulers.scheduling_k_dpm_2_discrete diffusers.schedulers.scheduling_unipc_multistep
    diffusers.training_utils jinja2 jsonschema matplotlib.backends.backend_agg
    matplotlib.backends.backend_svg matplotlib.figure matplotlib.style numpy pandas
    pandas.core.arrays.arrow.extension_types pandas.io.formats.csvs peft PIL.Image
    PIL.JpegImagePlugin PIL.PngImagePlugin platformdirs.unix pyarrow.dataset pyarrow.pandas_compat
    pyarrow.parquet ruamel.yaml safetensors.torch scipy.linalg scipy.stats sklearn.datasets torch
    transformers yaml
    dvc.cli.parser dvc.dirs dvc.lock dvc.repo dvc.repo.index dvc.repo.open_repo dvc.rwlock dvc.scm
    dvc.utils.strictyaml dvc_data.hashfile.db.local dvc_data.hashfile.status
    dvc_data.index.checkout flatten_dict fsspec.implementations.memory
    snakemake.cli snakemake.profiles snakemake.workflow snakemake_executor_plugin_kubernetes
    snakemake_executor_plugin_slurm snakemake_executor_plugin_slurm_jobstep
    snakemake_storage_plugin_s3 yte.process
""".split()
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's allocator
}


@functools.cache
def folder():
    """A folder for PATH whose programs run in this process's server, which is started."""
    from dasbench.sharing import launch  # not in the server, which this file is, too

    home = Path(tempfile.mkdtemp(prefix="dasbench-warm-"))
    address = str(home / "socket")
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "TMPDIR"}}
    server = subprocess.Popen(
        [sys.executable, "-P", __file__, address],
        env=environment | launch.MEMORY | ONE_THREAD,
        stdin=subprocess.PIPE,  # its end tells the server that this process has ended
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    if server.stdout.readline() != b"ready\n":
        raise RuntimeError("the warm interpreter did not start; its message stands above")
    sys.path.insert(0, str(CLIENT.parent))
    settings = json.dumps(importlib.import_module(CLIENT.stem).settings(os.environ))
    sys.path.pop(0)
    text = CLIENT.read_text().replace("@ADDRESS@", address).replace("@REAL@", sys.executable)
    text = f"#!{sys.executable} -IS\n{text.replace('@SETTINGS@', settings)}"
    (home / "bin").mkdir()
    for name in ("python", "snakemake", "dvc"):
        (home / "bin" / name).write_text(text)
        (home / "bin" / name).chmod(0o755)
    return home / "bin"


class Become(BaseException):
    """A job turns into another program of Python, which may stay in its process."""


class Server:
    """Accepts requests, one child each; runs until the process that started it has ended."""

    def __init__(self, address):
        self.base = list(sys.path)
        self.address = address
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen(64)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self.stop)
        self.children = {}  # connection -> (process, pidfd)

    def serve(self):
        """Returns a request in the child that is to run it, never in the server."""
        while True:
            for key, _ in self.selector.select():
                if request := key.data(key.fileobj):
                    return request

    def stop(self, _):
        for process, _ in self.children.values():
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
        shutil.rmtree(Path(self.address).parent, ignore_errors=True)
        os._exit(0)

    def accept(self, listener):
        """Fork: the request in the child, None in the server."""
        connection, _ = listener.accept()
        header, files, _, _ = socket.recv_fds(connection, 4, 3)
        if len(header) < 4:
            connection.close()
            return None
        (length,) = struct.unpack("!I", header)
        content = connection.recv(length, socket.MSG_WAITALL)
        if process := os.fork():
            with suppress(PermissionError, ProcessLookupError):
                os.setpgid(process, process)  # in the child too: whichever comes first
            for file in files:
                os.close(file)
            pidfd = os.pidfd_open(process)
            self.children[connection] = (process, pidfd)
            self.selector.register(connection, selectors.EVENT_READ, self.hear)
            self.selector.register(pidfd, selectors.EVENT_READ, lambda _: self.end(connection))
            return None
        os.setpgid(0, 0)
        self.leave(connection)
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        return json.loads(content)

    def leave(self, connection):
        """In a child: close what belongs to the server."""
        self.listener.close()
        self.selector.close()
        for other, (_, pidfd) in self.children.items():
            other.close()
            os.close(pidfd)
        connection.close()

    def hear(self, connection):
        """Pass on the signals that a client was sent; end the job of one that was killed."""
        process, _ = self.children[connection]
        received = connection.recv(16)
        for number in received or [signal.SIGKILL]:
            with suppress(ProcessLookupError):
                os.killpg(process, number)
        if not received:
            self.selector.unregister(connection)

    def end(self, connection):
        """Tell a client how its job has ended."""
        process, pidfd = self.children.pop(connection)
        _, status = os.waitpid(process, 0)
        with suppress(KeyError, ValueError):
            self.selector.unregister(connection)
        self.selector.unregister(pidfd)
        os.close(pidfd)
        with suppress(OSError):
            connection.sendall(struct.pack("!I", status))
        connection.close()


def run(request, base, python):
    """Run the words of a request as Python would, in this process."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(request["umask"])
    resource.setrlimit(resource.RLIMIT_FSIZE, request["file_size"])
    tempfile.tempdir = None
    set_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count()))
    sys.executable = python
    os.execv = become
    words = request["words"]
    while words:
        try:
            execute(words, base)
            words = None
        except Become as other:
            (words,) = other.args


def become(program, words):
    """``os.execv`` of a job: Python's modules that are preloaded stay in this process."""
    if program == sys.executable and words[1:3] == ["-m", "snakemake"]:
        raise Become(words[1:])
    os.execve(program, words, os.environ)


def execute(words, base):
    """``python words...``."""
    sys.orig_argv = [sys.executable, *words]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if words[0] == "-m":
        sys.path[:] = [os.getcwd(), *paths, *base]
        sys.argv = ["-m", *words[2:]]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[:] = [str(Path(words[0]).resolve().parent), *paths, *base]
        sys.argv = words
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        main.__file__ = os.path.abspath(words[0])
        exec(compile(Path(words[0]).read_bytes(), main.__file__, "exec"), vars(main))


def end(job):
    """Run a job and end the process as Python would, but leave its memory to the system.

    To take the modules of torch apart costs more than most jobs.
    """
    status = 1
    try:
        job()
        status = 0
    except SystemExit as exit:
        status = exit.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit((status or 0) & 255)


def set_threads(number):
    """What OMP_NUM_THREADS says to libraries that read it when they are loaded."""
    if number > 1:
        import threadpoolctl
        import torch

        torch.set_num_threads(number)
        threadpoolctl.threadpool_limits(number, user_api="blas")


if __name__ == "__main__":
    server = Server(sys.argv[1])
    for module in PRELOADED:
        importlib.import_module(module)
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        sys.exit(f"the warm interpreter has {threads} threads, expected one before it forks")
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    received = server.serve()
    program = str(Path(server.address).parent / "bin/python")
    end(lambda: run(received, server.base, program))
