"""The audit of a challenge's own data, before anybody competes on it.

material.py    the public tables and the hidden labels, read once and lined up
checks.py      what a check is: one pure function behind one decorator
statistics.py  what many checks compute
rows.py groups.py features.py splits.py files.py power.py    the checks
audit.py       runs them all and ranks what they found
"""

from scorer.leakage.audit import Audit, audit

__all__ = ["Audit", "audit"]
