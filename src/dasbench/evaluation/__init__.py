"""What scores are worth: LDS, removal, intervals, comparisons, ablations."""
