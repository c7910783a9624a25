"""Resampling of a score: standard errors, benchmarks, units, engines."""
