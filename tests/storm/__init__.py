"""What kills and what runs at length: `make test-storm`."""
