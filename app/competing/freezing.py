"""Freeze the board: from a time until the final results it shows the files that arrived before.

All that shows others the public board reads the standings of `table`: pages, API, board on other sites,
badge, position, Kaggle clients. A team still sees the scores of its own files. Once private scores are shown,
the board is the ordinary one again.
"""

from __future__ import annotations

from datetime import datetime

from app.base.models import Competition, Standing
from app.base.models_frozen import FrozenStanding

Row = Standing | FrozenStanding
Table = type[Standing] | type[FrozenStanding]


def is_frozen(competition: Competition, now: datetime) -> bool:
    """Return whether others see the frozen board now."""
    frozen_at = competition.board_frozen_at
    return frozen_at is not None and now >= frozen_at and not competition.is_settled(now)


def table(competition: Competition, now: datetime) -> Table:
    """Return the standings that viewers may see."""
    return FrozenStanding if is_frozen(competition, now) else Standing
