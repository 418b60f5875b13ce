"""Provenance of every file, and transfer of results between collaborators."""
