"""What everything rests on: files, tables, settings; it knows nothing of diffusion."""
