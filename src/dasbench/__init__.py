"""DAS-Bench: which training images stand behind a generated one, and how well does a score know it.

The package holds the mathematics; ``scripts/`` move files; ``workflow/rules/`` state dependencies.

Letters, the same everywhere: N training examples, Q queries, M subset models, R retraining seeds,
T timesteps, E noise draws per timestep, P feature dimensions, D = C * H * W numbers in one image,
B bootstrap draws. Images are float32 in [-1, 1] unless a docstring says uint8.
"""

# where a name of the package is defined; by text, so that no job depends on it
_LATER = {"attribute": "dasbench.attribution", "__version__": "dasbench.version"}


def __getattr__(name: str):
    """Import a name only when it is asked for: most users of the package need no torch."""
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'dasbench' has no attribute {name!r}")
