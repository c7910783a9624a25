"""What a board may show of a score, and what that gives away."""
