"""DAS-Bench: which training images stand behind a generated one, and how well does a score know it.

The package holds the mathematics; ``scripts/`` move files; ``workflow/rules/`` state dependencies.

Letters, the same everywhere: N training examples, Q queries, M subset models, R retraining seeds,
T timesteps, E noise draws per timestep, P feature dimensions, D = C * H * W numbers in one image,
B bootstrap draws. Images are float32 in [-1, 1] unless a docstring says uint8.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    """Import ``attribute`` only when it is asked for: most users of the package need no torch."""
    if name == "attribute":
        import importlib

        return importlib.import_module("dasbench.attribution").attribute
    raise AttributeError(f"module 'dasbench' has no attribute {name!r}")
