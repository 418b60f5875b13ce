# Targets: `<experiment>` makes everything; `<phase>_<experiment>` a part, as dvc.yaml names them.


include: "../functions/phases.smk"


for name in EXPERIMENTS:
    for phase, files in phase_files(name).items():

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
            phase_files(name)["report"],
            phase_files(name)["scores"],
            phase_files(name).get("costs", []),
        localrule: True
