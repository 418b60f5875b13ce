"""Which files an experiment has, and which settings each of its jobs gets: what the rules ask for.

A function takes an experiment (``resolved.Resolved``) and, by their names, wildcards of a rule. It
returns paths relative to the repository, or one canonical string of settings. Snakemake records
these strings: a job runs again when its string changes.

Nothing here imports Snakemake or torch.
"""
