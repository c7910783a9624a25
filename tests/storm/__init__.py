"""Long tests and tests that kill processes: `make test-storm`."""
