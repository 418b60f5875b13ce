"""Data sets: one file each; an experiment chooses from what they give, its pool.

Each has an entry in ``DATASETS`` of ``dasbench.registry``. There are two forms:

* With ``files: False`` it comes with a package: ``pool() -> Examples`` and a ``CARD``.
* With ``files: True`` it is read from files: ``read(options) -> Source``, where options are the
  experiment's ``data`` section. What they are (source, licence, digests) is in
  ``data/registry.yaml``; their pool is the experiment's own, because size and classes are.
"""
