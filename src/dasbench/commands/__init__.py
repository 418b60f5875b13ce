"""The subcommands of ``./run``."""
