"""The checks; audit.py imports every module here."""
