"""Findings about submissions, teams and a whole board; the safe release of public scores."""
