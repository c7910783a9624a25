"""Release of public scores, and what it reveals of the labels."""
