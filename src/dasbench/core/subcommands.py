"""The list of subcommands of ``./run``; this module imports nothing of the package.

``dasbench.commands.cli`` has a function for each, the head of ``./run`` a line of help, and no
experiment
may bear one of these names: ``./run NAME`` would never reach it.
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
    "bench",
    "estimate",
    "new-experiment",
    "help",  # by ./run itself, before the environment exists
)

# not subcommands yet, but no experiment may take their names meanwhile
PLANNED = ("demo", "judge", "docs", "index", "ask")
