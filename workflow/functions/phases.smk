# Inputs and settings of the rules in workflow/rules/phases.smk.


def phase_files(name):
    """phase -> what it makes, for one experiment; a child has no phases of its parent's."""
    e, folder = EXPERIMENTS[name], f"results/{name}"
    phases = {
        "features": [
            expand(
                "{folder}/features/{features}/train.npy", folder=folder, features=FEATURES[name]
            ),
            expand(
                "{folder}/features/{features}/spectrum/{file}.npy",
                folder=folder,
                features=spectra(name),
                file=SPECTRUM,
            ),
            expand("{folder}/features/{name}/journey.npy", folder=folder, name=journeys(name)),
            [f"{folder}/features/embeddings/train.npy"] * embedded(name),
            expand("{folder}/residuals/{name}.npy", folder=folder, name=residual_sets(name)),
            expand(
                "{folder}/network/{method}/{file}.npy",
                folder=folder,
                method=[m for m, o in METHODS[name].items() if "computed" in o],
                file=COMPUTED,
            ),
        ],
        "scores": score_files(name),
        "lds": f"{folder}/lds/summary.csv",
        "report": [f"{folder}/report.html", f"{folder}/metrics.json"],
    }
    if name in REMOVAL:
        phases["removal"] = f"{folder}/removal/summary.csv"
    if name not in ROOTS:
        return phases
    return phases | {
        "pool": f"data/{e['data']['dataset']}/pool.npz",
        "examples": f"{folder}/examples/train.npz",
        "base": pipeline(f"{folder}/models/base"),
        "queries": f"{folder}/queries/uses.json",
        "tune": shard_masks(name, "tune"),
        "eval": shard_masks(name, "eval"),
        "outputs": [f"{folder}/masks/{use}.npy" for use in USES],
    }


def shard_masks(name, use):
    return expand(
        f"results/{name}/models/{use}/seed-{{seed}}/shard-{{shard}}/masks.npy",
        seed=seeds(name, use),
        shard=shards(name, use),
    )
