"""Run the command `heldout`."""

from __future__ import annotations

import sys

from heldout_client import commands


def main() -> None:
    """Run one verb and exit with its code."""
    sys.exit(commands.main())


if __name__ == "__main__":
    main()
