"""Pages and API: all of HTTP, and nothing else."""
