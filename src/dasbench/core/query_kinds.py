"""Names of files that both the rules and the package must know; standard library only."""

KINDS = ("val", "gen")
TARGETS = ("loss", "displacement")
QUERIES = (
    "val.npy",
    "val_labels.npy",
    "gen.npy",
    "gen_labels.npy",
    "gen_noise.npy",
    "uses.json",
)
SPECTRUM = ("eigenvalues", "eigenvectors")
COMPUTED = ("dampings", *KINDS)  # files of scores that need the network, at all their dampings
