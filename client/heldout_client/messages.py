"""The verbs about announcements."""

from __future__ import annotations

from typing import Any

from heldout_client.verbs import Argument, Verb


def minute(time: str) -> str:
    """Return a time of the API as people read it."""
    return f"{time[:16].replace('T', ' ')} UTC"


def _announcements(session: Any) -> int:
    options, participant = session.options, session.participant()
    found = participant.announcements(options.competition)
    if options.mark_read:
        participant.read_announcements(options.competition)
    blocks = []
    for one in found["announcements"]:
        marks = ["new"] * one["is_new"] + ["edited"] * bool(one["edited_at"])
        about = ", ".join([minute(one["publish_at"]) if one["publish_at"] else one["state"], *marks])
        blocks.append(f"{one['title']}  ({about})\n{one['text']}")
    session.show(found, "\n\n".join(blocks) or "There are none yet.")
    return 0


VERBS = (
    Verb(
        "announcements",
        "List the announcements of a competition, or of the server, newest first.",
        _announcements,
        (
            Argument(("competition",), "Its name; without one, those of the server.", nargs="?"),
            Argument(("--mark-read",), "Mark them as read.", is_flag=True),
        ),
    ),
)
