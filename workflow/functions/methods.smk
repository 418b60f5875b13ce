# Input files of a method, and the command line options that name them.

import functools

from dasbench.attribution import method_files
from dasbench.experiments.files import dampings, inherited


@functools.cache
def files_by_option(experiment, method):
    """Option name on the command line -> file or files."""
    e = EXPERIMENTS[experiment]
    files = method_files.files(method, e, e.methods[method])
    return {
        option: inherited.path(e, of) if isinstance(of, str) else inherited.paths(e, of)
        for option, of in files.items()
    }


def method_inputs(wildcards):
    """Input function: the files of a method, as a flat list."""
    return method_files.paths(files_by_option(wildcards.experiment, wildcards.method))


def method_flags(wildcards):
    """Params function: the files of a method as command line options."""
    return method_files.flags(files_by_option(wildcards.experiment, wildcards.method))


def twin_files(wildcards):
    """Option name on the command line -> file or files of the method's twin."""
    name = dampings.twin(EXPERIMENTS[wildcards.experiment], wildcards.method)
    return files_by_option(wildcards.experiment, name)


def twin_inputs(wildcards):
    """Input function: the files of the method's twin, as a flat list."""
    return method_files.paths(twin_files(wildcards))


def twin_flags(wildcards):
    """Params function: the files of the method's twin as command line options."""
    return method_files.flags(twin_files(wildcards))
