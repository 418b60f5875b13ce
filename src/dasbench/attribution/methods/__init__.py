"""Attribution methods, one file per family.

A family module lists in ``needs`` the inputs that its methods may have, by their names in
``dasbench.attribution.method_inputs``. It has ``path(inputs, options, damping)``, which yields
(damping, scores [N, Q]) for each damping of the grid, or once (None, scores) if the method has
none. Scores are float64, higher = training on example n lowers query q's loss more; unsigned
methods say "more influential". They are of the identity transform:
``dasbench.attribution.transforms`` does the rest. ``dasbench.registry`` says which family and
options a name stands for.

A family is asked about a block of queries at a time, so that memory does not grow with Q: a query's
scores must not depend on the other queries in ``inputs``. A family with the kernel of its features
uses ``inputs.spectrum``, which its whole feature set shares.
"""
