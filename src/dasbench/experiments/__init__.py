"""Experiment files: what they say, what follows from it, and whether it is sound."""
