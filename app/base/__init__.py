"""Settings, errors, log, database, queue, storage and vault.

Nothing here knows a rule of a competition.
"""
