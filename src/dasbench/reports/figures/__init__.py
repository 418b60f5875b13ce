"""Figures of the report, one module per family; they take tables and arrays and return figures.

Vocabulary: a *look* is the colour, dash and marker of a method, a function of its name alone, so
that a method looks the same in every figure of every experiment. A *panel* is one pair of axes for
one kind of query (``val``: held-out images, ``gen``: images sampled from the base model).

No module here reads or chooses files, except ``style.save``, which writes a finished figure with
equal bytes for equal content.
"""
