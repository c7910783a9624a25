"""People: accounts, sign-in limits, the first organiser."""
