"""Attribution methods, one file per family.

A family module has ``path(inputs, options, damping)``, which yields (damping, scores [N, Q]) for
each damping of the grid, or once (None, scores) if the method has none. Scores are float64, higher
= training on example n lowers query q's loss more; unsigned methods say "more influential". They
are of the identity transform: ``dasbench.transforms`` does the rest. ``dasbench.registry`` says
which family and options a name stands for.
"""
