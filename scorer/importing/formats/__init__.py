"""One module a format: `NAME`, `recognise` and `read`, as `scorer.importing.foreign.Format` states."""
