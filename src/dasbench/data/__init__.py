"""Data sets: one module each.

A data set gives a *pool* of images, from which an experiment chooses its examples. Its entry in
``DATASETS`` of ``dasbench.registry`` says which of two forms it has:

* ``files: False``: it comes with a package. Its module has ``pool() -> Examples`` and a ``CARD``.
* ``files: True``: it is read from files. Its module has ``read(options) -> Source``; options are
  the experiment's ``data`` section. ``data/registry.yaml`` has its source, licence and digests.
  Each root experiment has a pool of its own, because its options decide size and classes.
"""
