"""Make a challenge from a table: read, profile, propose, split, describe, write.

Values in, a folder out: no database, no web, no clock.
"""
