"""A challenge: its document, its task, its solution, and the folder they come from."""
