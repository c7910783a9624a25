"""Submissions: from bytes to columns aligned with the solution."""
