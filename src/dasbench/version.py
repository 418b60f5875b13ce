"""The version of the package; in no job's code."""

__version__ = "0.1.0"
