"""The files of an experiment and the settings of its jobs, for the rules of the workflow.

A function takes an experiment (``resolved.Resolved``) and the wildcards of a rule, by their names.
It returns paths relative to the repository, or the *string* of a job: its settings as canonical
JSON. Snakemake records the string, and runs the job again when the string changes.

Nothing here imports Snakemake or torch.
"""
