"""The list of subcommands of ``./run``; this module imports nothing of the package.

``dasbench.commands.cli`` has a function for each subcommand, and the head of ``./run`` a line of
help. No experiment may have one of these names: ``./run NAME`` would never reach it.
"""

SUBCOMMANDS = (
    "test",
    "save",
    "push",
    "pull",
    "verify",
    "prune",
    "bundle",
    "export",
    "attribute",
    "index",
    "ask",
    "demo",
    "bench",
    "estimate",
    "new-experiment",
    "judge",
    "docs",
    "help",  # ./run answers it itself, before the environment exists
)
