"""`python -m app` is the `heldout` command."""

from app.cli import main

main()
