"""Everything that published files hold, archives included."""
