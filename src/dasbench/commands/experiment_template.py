"""The text of the experiment file that ``./run new-experiment`` writes."""

TEMPLATE = """\
# Written by `./run new-experiment {name}`; config/README.md explains every key.
# `./run {name} -n` shows the jobs, `./run estimate {name}` the hours, `./run {name}` does it.
title: {title}
seed: 0
data:
  dataset: folder
  path: {path}
{labels}{held_out}  train: {train}             # of {count} pictures; {others}
  size: {size}               # side in pixels; here about {side}
  resize: crop           # or pad, stretch
  background: [255, 255, 255]   # behind transparent pixels
  channels: {channels}            # 1 for grey
{range}  skip_bad: {skip_bad}        # true leaves out files that cannot be read, and lists them
  card:                  # what the report and exported cards say of the pictures
    source: {source}
    licence: not stated
model:
{model}diffusion: {diffusion}
training:                # {training_note}
  epochs: {epochs}
  batch_size: 32
  learning_rate: 0.001
  warmup_steps: {warmup}
  checkpoints: 5
{base}{subsets}queries: {{val: {val}, gen: {gen}, tuning: {tuning}{steps}}}  # {tuning} to tune
outputs: {{timesteps: {outputs}, spacing: quadratic}}
features: {{{few}dimensions: {dimensions}, norms: projected, oversampling: 4, parameters: weights}}
damping: {damping}
methods:                 # config/README.md has the others
{methods}{comparisons}report: {{queries: 6, top: 8}}
"""

COMPARISONS = """\
comparisons:             # fixed before any output exists
  - {a: das, b: dtrak}
  - {a: das_common, b: das}
  - {a: das_common, b: floor, truth: [loss, displacement]}
"""
