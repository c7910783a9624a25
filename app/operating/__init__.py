"""Running an installation: serve, backup, doctor, verification, health, statistics."""
