"""The terms of a competition that publishing its challenge again does not change.

They are copied from challenge.yaml when a competition opens, and belong to it from then on, because
participants rely on them. `app.competing.changes` changes them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from app.base.models import Competition
from app.competing.changes import CHANGEABLE, value
from app.competing.term_words import word


def kept(competition: Competition, manifest: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each term that a new manifest changes and the competition keeps."""
    old, new = ({"title": m["title"], **m["competition"]} for m in (competition.version.manifest, manifest))
    return [
        f"{'closes_at' if name == 'duration_days' else name} stays {word(now)}, although challenge.yaml "
        f"now has {name} {word(wished)}. {_way(competition, name, wished)}"
        for name, wished in new.items()
        if wished not in (old.get(name), now := value(competition, name))
    ]


def _way(competition: Competition, name: str, wished: Any) -> str:
    """Return how to give a competition a term of challenge.yaml."""
    option = f"--{name.replace('_', '-')} {shlex.quote(word(wished))}"
    if name == "duration_days" or (name == "closes_at" and wished is None):
        option = "--closes-at TIME"
    elif name in ("mark_agents", "late_submissions"):
        option = f"--{'' if wished else 'no-'}{name.replace('_', '-')}"
    elif name in ("total_limit", "entry_closes_at", "teams_close_at") and wished is None:
        option = f"--no-{name.replace('_', '-')}"
    elif name not in CHANGEABLE or wished is None:
        challenge = competition.version.challenge.slug
        return f"Only another competition can have it: heldout competition open {challenge} --slug NAME"
    return f"To change it: heldout competition change {competition.slug} {option}"
