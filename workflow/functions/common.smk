# Call functions of dasbench.experiments.files, which take experiments, with wildcards of rules.

import inspect

from dasbench.experiments.files import models


def where(test):
    """The experiments that pass a test: name -> experiment."""
    return {name: e for name, e in EXPERIMENTS.items() if test(e)}


def only(names):
    """Wildcard constraint: these names; without names, a pattern that matches nothing."""
    return "|".join(names) or "(?!)"


def except_for(names):
    """Wildcard constraint: the other experiments."""
    return only([name for name in EXPERIMENTS if name not in names])


def of(function, **values):
    """Input or params function: call `function` with `values`, and with wildcards for the rest."""
    names = [name for name in inspect.signature(function).parameters if name not in values]

    def call(wildcards):
        given = {name: wildcards[name] for name in names if name in wildcards.keys()}
        if "experiment" in given:
            given["experiment"] = EXPERIMENTS[given["experiment"]]
        return function(**given, **values)

    return call


def shared(*paths):
    """Input function: files of the experiment, or of the parent whose models it uses."""
    return of(models.shared, paths=paths)


def literally(text):
    """Params function: a text without wildcards; braces such as {class} in a prompt stay."""
    return lambda wildcards: text


def filled(template):
    """Params function: a path with the wildcards filled in."""
    return lambda wildcards: template.format(**dict(wildcards.items()))
