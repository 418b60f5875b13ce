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
                "{folder}/features/{features}/by_timestep/train.npy",
                folder=folder,
                features=TIMESTEPS[name],
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
        "report": [f"{folder}/report.html"],
    }
    if name in JUDGED:
        phases["tuning"] = f"{folder}/search/tuning.csv"
        tables = ("summary", "table", "by_models")
        phases["lds"] = [f"{folder}/lds/{table}.csv" for table in tables]
        phases["report"].append(f"{folder}/metrics.json")
    if name in REMOVAL:
        phases["removal"] = f"{folder}/removal/summary.csv"
    if name in ABLATIONS:
        phases["effects"] = expand(
            "{folder}/ablation/{table}.csv", folder=folder, table=ABLATION_TABLES
        )
    if name in TIMED:
        phases["costs"] = [f"{folder}/{file}" for file in COST_FILES]
        phases["costs"] += figure_files(name, reported=False)
    if name in OWN_BASES:
        phases["base"] = base_files(name, f"{folder}/models/base")
    if replicates(name):
        phases["replicates"] = [f"{folder}/replicates/{file}.csv" for file in REPLICATE_TABLES]
    if name not in ROOTS:
        return phases
    if name in JUDGED:
        phases |= {
            "tune": shard_masks(name, "tune"),
            "eval": shard_masks(name, "eval"),
            "outputs": [f"{folder}/masks/{use}.npy" for use in USES],
            "grids": [f"{folder}/grids/{table}.csv" for table in GRID_TABLES],
        }
    return phases | {
        "pool": f"data/{experiments.pool_name(e)}/pool.npz",
        "examples": f"{folder}/examples/train.npz",
        "base": base_files(name),
        "queries": f"{folder}/queries/uses.json",
    }


def shard_masks(name, use):
    return expand(
        f"results/{name}/models/{use}/seed-{{seed}}/shard-{{shard}}/masks.npy",
        seed=seeds(name, use),
        shard=shards(name, use),
    )
