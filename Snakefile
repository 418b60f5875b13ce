"""DAS-Bench: which attribution method knows the training images behind a diffusion model's output?

`snakemake -- digits` brings one experiment up to date; `snakemake -- <phase>_digits` a part of it.
Every file in config/experiments/ is an experiment.
"""

from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/import.smk"
include: "workflow/rules/query.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/residuals.smk"
include: "workflow/rules/network.smk"
include: "workflow/rules/influence.smk"
include: "workflow/rules/ensembles.smk"
include: "workflow/rules/ensemble_study.smk"
include: "workflow/rules/timesteps.smk"
include: "workflow/rules/embeddings.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/not_judged.smk"
include: "workflow/rules/outputs.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/retrain.smk"
include: "workflow/rules/removal.smk"
include: "workflow/rules/removal_embeddings.smk"
include: "workflow/rules/ablation.smk"
include: "workflow/rules/acceleration.smk"
include: "workflow/rules/replicates.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/curves.smk"
include: "workflow/rules/grids.smk"
include: "workflow/rules/replay.smk"
include: "workflow/rules/magic.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/dampings.smk"
include: "workflow/rules/groups.smk"
include: "workflow/rules/truths.smk"
include: "workflow/rules/retrieval.smk"
include: "workflow/rules/trajectory.smk"
include: "workflow/rules/adaptation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/phases.smk"


default_target: "digits"
