"""Challenges on their way into the vault, and the competitions and baselines made from them."""
