"""Names of files that both the rules and the package must know; standard library only."""

KINDS = ("val", "gen")
TARGETS = ("loss", "displacement")
