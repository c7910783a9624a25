"""A competition and what happens in it: teams, submissions, evaluations, the board."""
