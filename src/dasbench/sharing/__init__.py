"""What made each file, and how results travel between collaborators."""
