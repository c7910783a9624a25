"""Pages of competitions, teams, submissions and the leaderboard."""
