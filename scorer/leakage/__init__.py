"""The data audit: leakage checks of a challenge's own data.

material.py    the public tables and the hidden labels
statistics.py  statistics that several checks use
pool.py        train and test as one table
sampled.py     samples of the tables, drawn once
files/         everything published files hold, archives included
check.py       what a check is, and the register of checks
checks/        the checks, one file a family
audit.py       runs all checks and ranks the findings
"""
