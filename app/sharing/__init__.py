"""What leaves the site: calendars, badges and certificates."""
