# Params with a hash of a job's code: the script, all its imports, and the modules that it loads by
# their names in the registry.

import functools
import hashlib

from dasbench import registry
from dasbench.experiments.files import features, scores
from dasbench.sharing.kept_hashes import KeptHashes

CODE = KeptHashes(ROOT, ROOT / ".snakemake/code_hashes.json")


@functools.cache
def code(script, *modules):
    """Hash of a script with its imports; `modules` are files that it loads by name."""
    return CODE.code_hash(f"scripts/{script}.py", *modules)


def module_file(folder, name):
    """File of a module that a script loads by its name."""
    return f"{folder}/{name}.py"


def model_code(script, experiment):
    """Hash of a script and of the module of the model's family."""
    return code(script, module_file(registry.FAMILY_FOLDER, experiment.family["module"]))


def family_code(script):
    """Params function: hash of a script and of the module of the model's family."""
    return of(lambda experiment: model_code(script, experiment))


def method_code(script):
    """Params function: hash of a script and of the module of the method's family."""

    def params(experiment, method):
        name = scores.method_module(experiment, method)
        return code(script, module_file(registry.METHOD_FOLDER, name))

    return of(params)


def influence_code(experiment, method):
    """Hash of compute_influence, of the model's family and of the module that computes the scores."""
    modules = [
        module_file(registry.FAMILY_FOLDER, experiment.family["module"]),
        module_file(registry.GRADIENT_FOLDER, features.influence_module(experiment, method)),
    ]
    return code("compute_influence", *modules)


def dataset_code(script, dataset):
    """Hash of a script and of the data set's module."""
    name = registry.DATASETS[dataset]["module"]
    return code(script, module_file(registry.DATASET_FOLDER, name))


def pool_code(wildcards):
    return dataset_code("prepare_pool", wildcards.dataset)


def truth_code(script):
    """Params function: hash of a script and of the data set's module, which knows what is planted."""

    def params(wildcards):
        return dataset_code(script, EXPERIMENTS[wildcards.experiment]["data"]["dataset"])

    return params


def read_code(wildcards):
    return dataset_code("read_images", EXPERIMENTS[wildcards.experiment]["data"]["dataset"])


def templates(*patterns):
    """Hash of files beside the reports' modules: templates, scripts, styles, texts."""
    folder = ROOT / "src/dasbench/reports"
    files = sorted(file for pattern in patterns for file in folder.glob(pattern) if file.is_file())
    return "".join(hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files)
