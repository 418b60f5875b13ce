# Targets: `<experiment>` makes everything, `<phase>_<experiment>` one part, named as in dvc.yaml.


include: "common.smk"


from dasbench.experiments.files import phases

for name, e in EXPERIMENTS.items():
    parts = phases.phase_files(e, EXPERIMENTS)
    if BROKEN:  # one of them may be a replicate
        parts.pop("replicates", None)
    for phase, files in parts.items():

        rule:
            name:
                f"{phase}_{name}"
            input:
                files,
            localrule: True

    rule:
        name:
            name
        input:
            parts["report"],
            parts["scores"],
            parts.get("costs", []),
            parts.get("replay", []),
            parts.get("rules", []),
            parts.get("left_out", []),
            parts.get("truths", []),
            parts.get("ranking", []),
            parts.get("bound", []),
            parts.get("retrieval", []),
            parts.get("trajectory", []),
            parts.get("adaptation", []),
        localrule: True
