# Input files of a method, and the command line options that name them.

import functools

from dasbench.attribution import method_files


@functools.cache
def files_by_option(experiment, method):
    """Option name on the command line -> file or files."""
    e = EXPERIMENTS[experiment]
    return method_files.files(method, e, e.methods[method])


def method_inputs(wildcards):
    """Input function: the files of a method, as a flat list."""
    return method_files.paths(files_by_option(wildcards.experiment, wildcards.method))


def method_flags(wildcards):
    """Params function: the files of a method as command line options."""
    return method_files.flags(files_by_option(wildcards.experiment, wildcards.method))
