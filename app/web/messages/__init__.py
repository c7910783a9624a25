"""Pages of announcements and questions."""
