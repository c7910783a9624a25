"""Pages of cases, close reports and train files."""
