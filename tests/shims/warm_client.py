"""Stand-in for ``python``, ``snakemake`` and ``dvc``: lets the warm interpreter run what it can.

``tests/warm.py`` writes it into a folder for PATH, behind a line that names the real Python, with
the two constants below. Standard library only, and few of its modules: it starts in 15 ms.
"""

import array
import json
import os
import resource
import signal
import socket
import struct
import sys

ADDRESS = "@ADDRESS@"
REAL = "@REAL@"
# read once, when a library is loaded: a job that sets another value starts cold
LIBRARIES = ("HF_", "TRANSFORMERS_", "DIFFUSERS_", "TORCH_", "MKL_", "OPENBLAS_", "MPL", "LD_")
LIBRARIES += ("PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONOPTIMIZE")
# what Snakemake sets to a job's threads; a job that sets them differently starts cold
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MODULES = ("dasbench.commands.cli", "dasbench.sharing.dvc_once", "snakemake", "dvc")
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def settings(environment):
    """The variables that the preloaded libraries have read, but for one number of threads."""
    numbers = {name: environment[name] for name in THREADS if name in environment}
    read = {name: value for name, value in environment.items() if name.startswith(LIBRARIES)}
    if len(set(numbers.values())) > 1:
        return read | numbers
    return {name: value for name, value in read.items() if name not in THREADS}


def is_warm(words):
    """Whether this is a script of the workflow or one of the modules that are preloaded."""
    if words[:1] == ["-m"]:
        return words[1:2] != [] and words[1] in MODULES
    return words != [] and words[0].startswith("scripts/") and words[0].endswith(".py")


def ask(words):
    """Let the server run the words with this process's files; returns the wait status."""
    mask = os.umask(0)
    os.umask(mask)
    request = {
        "words": words,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": mask,
        "file_size": resource.getrlimit(resource.RLIMIT_FSIZE),
    }
    content = json.dumps(request).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(ADDRESS)
    for number in PASSED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda received, _: connection.send(bytes([received])))
    files = array.array("i", [0, 1, 2])
    header = struct.pack("!I", len(content))
    connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    connection.sendall(content)
    answer = connection.recv(4)
    return struct.unpack("!I", answer)[0] if len(answer) == 4 else signal.SIGKILL


def main():
    """Become the real Python, or end as the job in the server has ended."""
    words, name = sys.argv[1:], os.path.basename(sys.argv[0])
    if name in MODULES:
        words = ["-m", name, *words]
    if not is_warm(words) or settings(os.environ) != json.loads("""@SETTINGS@"""):
        os.execv(REAL, [REAL, *words])
    status = ask(words)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
