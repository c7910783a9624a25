"""The data audit: leakage checks of a challenge's own data.

From the ground up; a module imports only modules above it in this list:

frame.py, target.py     a public table by column; one column of truth
material.py             the public tables and the hidden labels, lined up
statistics.py           statistics that several checks use
pool.py, sampled.py     train and test as one table; samples drawn once
twins.py                equal rows and their number by chance
sample_submission.py    what the sample submission shows
files/                  everything published files hold, archives included
check.py                what a check is, and the register of checks
column_power.py, row_orders.py, separation.py    measures of several checks
checks/                 the checks, one file a family
audit.py                runs all checks and ranks the findings
"""
