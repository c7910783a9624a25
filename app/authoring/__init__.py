"""Challenges, their publication and their baselines."""
