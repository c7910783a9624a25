"""Pages and files for other sites: calendars, embedded boards, badges, certificates."""
