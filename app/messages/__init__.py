"""Messages of a competition and of the installation: announcements, questions and their answers."""
