"""Data sets: one file each, with ``pool() -> Examples`` and a ``CARD`` that says what it is.

A pool is everything that the source has, in the source's order; an experiment chooses from it.
"""
