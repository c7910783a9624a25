"""Accounts, rate limits and the first organiser."""
