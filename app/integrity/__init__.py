"""Checks of submissions and boards: scans, close reports, cases, training files."""
