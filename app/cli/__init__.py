"""The `heldout` command, one file a noun."""
