"""DAS-Bench: compare scores of how much each training image influences a generated image.

The package holds the mathematics; ``scripts/`` move files; ``workflow/rules/`` state dependencies.

Letters, the same everywhere: N training examples, Q queries, M subset models, R retraining seeds,
T timesteps, E noise draws per timestep, P feature dimensions, D = C * H * W numbers in one image,
B bootstrap draws. Images are float32 in [-1, 1] unless a docstring says uint8.
"""

# public name -> the module that defines it; imported at first use, so `import dasbench` is fast
_PUBLIC = {
    "Index": "dasbench.commands.index",
    "attribute": "dasbench.commands.attribute",
    "UserError": "dasbench.errors",
    "__version__": "dasbench.version",
}
__all__ = ["Index", "UserError", "__version__", "attribute"]


def __getattr__(name: str):
    """Import a public name from the module that defines it."""
    if name in _PUBLIC:
        import importlib

        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'dasbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_PUBLIC)
