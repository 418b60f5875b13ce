# Inputs and settings of the rules in workflow/rules/data.smk.


def pool_settings(wildcards):
    return experiments.canonical({"module": registry.DATASETS[wildcards.dataset]})


def pool_code(wildcards):
    return code("prepare_pool", module_file(registry.DATASETS[wildcards.dataset]))


def pool_of(wildcards):
    return f"data/{EXPERIMENTS[wildcards.experiment]['data']['dataset']}/pool.npz"


def examples_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    data = {name: e["data"][name] for name in ("classes", "train")}
    return settings(wildcards.experiment, val=e["queries"]["val"], **data)
