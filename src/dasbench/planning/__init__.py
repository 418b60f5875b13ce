"""Predictions of a run: jobs, hours, memory, storage."""
