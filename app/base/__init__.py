"""The ground: settings, database, queue, storage, vault, log, errors. It knows no rule of a competition."""
