"""Challenges: folder, document, tasks and solution."""
