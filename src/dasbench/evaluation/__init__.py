"""The quality of scores: LDS, removal, intervals, comparisons, ablations."""
