"""Data sets: one file each; an experiment chooses from what they give, its pool.

Two forms (``dasbench.registry``):

* ``DATASETS``, which come with a package: ``pool() -> Examples`` and a ``CARD``.
* ``SOURCES``, which are read from files: ``read(options) -> Source``, where options are the
  experiment's ``data`` section. What they are (source, licence, digests) is in
  ``data/registry.yaml``; their pool is the experiment's own, because size and classes are.
"""
