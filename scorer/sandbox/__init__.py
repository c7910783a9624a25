"""Untrusted code in isolation: own metrics, file parsers, baselines."""
