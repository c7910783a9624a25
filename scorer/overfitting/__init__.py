"""Findings about submissions, teams and whole boards."""
