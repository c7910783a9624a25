"""Fifteen challenges for teaching: their data, split and metric, and the trap that each one sets.

Values in, a folder out, by `scorer.authoring`. Data come from packages of the registry, from scikit-learn, or
from simulators whose seed is secret, so that labels cannot be looked up.
"""
