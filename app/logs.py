"""How a process speaks to its operator: one line an event, on stderr."""

from __future__ import annotations

import logging


def begin(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # Alembic announces itself at every look at the schema.
    logging.getLogger("alembic").setLevel(logging.WARNING)
