"""The verbs about announcements and questions."""

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


def _questions(session: Any) -> int:
    options, participant = session.options, session.participant()
    found = participant.questions(options.competition)
    if options.mark_read:
        participant.read_answers(options.competition)
    session.show(found, "\n\n".join(map(_question, found["questions"])) or "There are none yet.")
    return 0


def _ask(session: Any) -> int:
    options = session.options
    is_public = not options.private
    found = session.participant().ask(options.competition, options.title, options.text, is_public=is_public)
    session.show(found, f"Your question is with {'all' if is_public else 'the organisers'}.")
    return 0


def _question(one: dict[str, Any]) -> str:
    asker = "you" if one["is_own"] else one["author"] or "a participant"
    marks = ["private"] * (not one["is_public"]) + ["hidden"] * (one["hidden_why"] is not None)
    marks += ["new answer"] * (one["is_new"] and one["is_own"])
    about = ", ".join([f"{asker}, {minute(one['at'])}", *marks])
    lines = [f"{one['title']}  ({about})", *filter(None, [one["text"]])]
    lines.append(f"Answer: {one['answer']}" if one["answer"] else "No answer yet.")
    return "\n".join(lines)


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
    Verb(
        "questions",
        "List the questions of a competition that you may see, with their answers.",
        _questions,
        (
            Argument(("competition",), "Name of the competition, the last part of its address."),
            Argument(("--mark-read",), "Mark the answers to your questions as read.", is_flag=True),
        ),
    ),
    Verb(
        "ask",
        "Ask a question about a competition.",
        _ask,
        (
            Argument(("competition",), "Name of the competition, the last part of its address."),
            Argument(("title",), "The question, in one line."),
            Argument(("--text",), "More about it.", default="", metavar="TEXT"),
            Argument(("--private",), "Only you and the organisers see it, not even your team.", is_flag=True),
        ),
    ),
)
