"""Figures of the report, one module per kind of figure; functions from tables to figures.

Vocabulary: a *look* is the colour, dash and marker of a method. It follows from the name of the
method, so a method looks the same in all figures. A *panel* is one pair of axes for one kind of
query (``val``: held-out images, ``gen``: images sampled from the base model).

No module reads files. Only ``style.save`` writes them, with equal bytes for equal figures.
"""
