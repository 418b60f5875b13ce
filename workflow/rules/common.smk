# What all rules share. Snakemake 9.27 runs a file as often as it is included; this one runs once.

if "EXPERIMENTS" not in globals():

    include: "../functions/start.smk"
