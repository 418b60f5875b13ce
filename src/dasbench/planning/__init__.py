"""What a run will cost: jobs, hours, memory, storage."""
