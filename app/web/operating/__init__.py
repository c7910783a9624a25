"""Pages that show the state of the installation."""
