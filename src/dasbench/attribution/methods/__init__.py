"""Attribution methods, one file per family.

A family module lists in ``needs`` the inputs that its methods may use, by their names in
``dasbench.attribution.method_inputs``. Its function ``grid(options, dampings)`` lists the points of
a method's parameters, of which tuning data select one (see ``dasbench.attribution.parameters``); a
family without this function has no parameters. Its function ``path(inputs, options, points)``
yields (point, scores [N, Q]) for each of these points, in their order. Scores are float64. A higher
score means that training on example n lowers the loss of query q more; for unsigned methods, that n
is more influential. A family returns scores without a transform;
``dasbench.attribution.transforms`` applies it. ``dasbench.registry`` maps the name of a method to
its family and options.

A family receives one block of queries at a time, so that memory does not grow with Q. The scores of
a query must not depend on the other queries in ``inputs``. A family with a kernel of features uses
``inputs.spectrum``, which all methods with these features share.

A score may be a mean over *parts*, such as timesteps, each of which is transformed by itself. The
function ``parts(inputs, options)`` of such a family lists functions that return the inputs of one
part each, and ``path`` is called for one part at a time. A family with a single part may use it to
compute what serves all queries, such as a decomposed kernel.
"""
