"""The tools: the verbs of the participants' client, each one or two requests of the API."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import current_app

from app.base.models import State
from app.integrity.file_checks import CheckState
from app.web.mcp import arguments as given
from app.web.mcp import calls
from app.web.mcp.calls import Json, RefusedByApi

WAITING = "heldout.mcp_waiting"
"""Key of the application's extensions: how many calls may wait for a result at a time."""
_ENDS = tuple(state.value for state in State if state.is_final)
_ENDS_OF_CHECK = (CheckState.ACCEPTED.value, CheckState.REJECTED.value, CheckState.FAILED.value)

_A = TypeVar("_A", bound=given.Arguments)


@dataclass(frozen=True)
class Tool:
    name: str
    says: str
    arguments: type[given.Arguments]
    run: Callable[[Any], Json]
    is_reading: bool


TOOLS: dict[str, Tool] = {}


def _tool(
    arguments: type[_A], *, is_reading: bool = False
) -> Callable[[Callable[[_A], Json]], Callable[[_A], Json]]:
    """Register a tool under the name of its function; the docstring says what it does."""

    def register(run: Callable[[_A], Json]) -> Callable[[_A], Json]:
        says = " ".join((run.__doc__ or "").split())
        TOOLS[run.__name__] = Tool(run.__name__, says, arguments, run, is_reading)
        return run

    return register


def waiting_room() -> threading.Semaphore:
    """Return the places for calls that wait, each of which holds a thread."""
    room: threading.Semaphore = current_app.extensions[WAITING]
    return room


@_tool(given.Nothing, is_reading=True)
def list_competitions(_: given.Nothing) -> Json:
    """List all competitions with phase, close and metric."""
    return calls.get("/competitions")


@_tool(given.OfCompetition, is_reading=True)
def describe_competition(asked: given.OfCompetition) -> Json:
    """Get the task, the rules, the metric, the limits and your team of a competition."""
    return calls.get(f"/competitions/{asked.competition}")


@_tool(given.OfCompetition, is_reading=True)
def submission_format(asked: given.OfCompetition) -> Json:
    """Get what a file of predictions must look like: header, ids, type and range of each column."""
    return calls.get(f"/competitions/{asked.competition}/schema")


@_tool(given.OfCompetition, is_reading=True)
def rules(asked: given.OfCompetition) -> Json:
    """Get the rules of a competition, their version, and when the user accepted it. Some have none."""
    return calls.get(f"/competitions/{asked.competition}/rules")


@_tool(given.AcceptRules)
def accept_rules(asked: given.AcceptRules) -> Json:
    """Accept the newest rules for the user. Show them to the user and ask first."""
    return calls.post(f"/competitions/{asked.competition}/rules", {"version": asked.version})


@_tool(given.Join)
def join_competition(asked: given.Join) -> Json:
    """Take part in a competition as a team of one, under its rules. Joining twice changes nothing."""
    read = {} if asked.accept_rules is None else {"accept_rules": str(asked.accept_rules)}
    return calls.post(f"/competitions/{asked.competition}/join", query=read)


@_tool(given.OfCompetition, is_reading=True)
def list_files(asked: given.OfCompetition) -> Json:
    """List the public files with size, sha256, columns, and an address to download each from.

    The address needs no token and is valid for an hour. For a small file or a first look use read_file.
    """
    return calls.get(f"/competitions/{asked.competition}/files")


@_tool(given.ReadFile, is_reading=True)
def read_file(asked: given.ReadFile) -> Json:
    """Read a part of a public file as text, in whole lines where they fit."""
    path = f"/competitions/{asked.competition}/files/{asked.name}"
    content, size = calls.get_part(path, offset=asked.offset, most_bytes=asked.max_bytes)
    if asked.offset + len(content) < size:
        content = content[: content.rfind(b"\n") + 1] or content
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(content)
    except UnicodeDecodeError:
        raise _refusal(f"{asked.name} is no text here: download it from its address in list_files.") from None
    end = asked.offset + len(content) - len(decoder.getstate()[0])  # without a character that is cut
    if end == asked.offset and end < size:
        raise _refusal(f"No character of {asked.name} fits: set max_bytes to 4 or more.")
    return {
        "name": asked.name,
        "text": text,
        "offset": asked.offset,
        "next_offset": end if end < size else None,
        "size_bytes": size,
    }


@_tool(given.CheckFile)
def check_file(asked: given.CheckFile) -> Json:
    """Check a file without submitting it; nothing is charged. Every problem is listed with its place."""
    check = calls.post_file(
        f"/competitions/{asked.competition}/check", asked.content.encode(), filename=asked.filename
    )
    try:
        return _result(f"/checks/{check['id']}", asked.wait_seconds, _ENDS_OF_CHECK)
    except RefusedByApi:  # it was accepted, and its id would be lost
        return check


@_tool(given.CheckResult, is_reading=True)
def check_result(asked: given.CheckResult) -> Json:
    """Get the answer of a check that had not ended."""
    return _result(f"/checks/{asked.check}", asked.wait_seconds, _ENDS_OF_CHECK)


@_tool(given.BeginUpload)
def begin_upload(asked: given.BeginUpload) -> Json:
    """Get an address for a file that is too large for `content`.

    Send its bytes there once with the method PUT, for instance `curl -T FILE ADDRESS`; it needs no token.
    Then call submit with `upload`. Nothing is charged until then.
    """
    body = {"filename": asked.filename, "size_bytes": asked.size_bytes}
    return calls.post(f"/competitions/{asked.competition}/uploads", body)


@_tool(given.Submit)
def submit(asked: given.Submit) -> Json:
    """Submit a file of predictions, from `content` or `upload`. It uses one of your uploads of the day.

    Check it first with check_file. The answer is the receipt, with `result` if you wait for it.
    """
    path = f"/competitions/{asked.competition}"
    if (asked.content is None) == (asked.upload is None):
        raise _refusal("Give either `content` or `upload`.")
    if asked.content is not None:
        receipt = calls.post_file(
            f"{path}/submissions",
            asked.content.encode(),
            filename=asked.filename,
            message=asked.message,
            key=asked.idempotency_key,
            **({"sandbox": "true"} if asked.sandbox else {}),
        )
    else:
        body = {"upload": asked.upload, "message": asked.message, "sandbox": asked.sandbox}
        receipt = calls.post(f"{path}/uploads/submit", body)
    if asked.wait_seconds:
        # Its receipt must not be lost with the wait: an agent that sees an error sends the file again.
        with suppress(RefusedByApi):
            receipt["result"] = _result(f"/submissions/{receipt['id']}", asked.wait_seconds, _ENDS)
    return receipt


@_tool(given.Result, is_reading=True)
def submission(asked: given.Result) -> Json:
    """Get a submission of your team: state, place in the queue, scores, or every problem of its file."""
    return _result(f"/submissions/{asked.submission}", asked.wait_seconds, _ENDS)


@_tool(given.Submissions, is_reading=True)
def list_submissions(asked: given.Submissions) -> Json:
    """List your team's submissions, newest first."""
    path = f"/competitions/{asked.competition}/submissions"
    return calls.get(path, limit=asked.limit, cursor=asked.cursor)


@_tool(given.OneSubmission)
def cancel_submission(asked: given.OneSubmission) -> Json:
    """Cancel a submission that still waits; its upload is given back."""
    return calls.post(f"/submissions/{asked.submission}/cancel")


@_tool(given.OneSubmission)
def withdraw_submission(asked: given.OneSubmission) -> Json:
    """Withdraw a scored submission: it counts for no board, its upload stays used. It cannot be undone."""
    return calls.post(f"/submissions/{asked.submission}/withdraw")


@_tool(given.Pick)
def pick_submission(asked: given.Pick) -> Json:
    """Choose a scored submission for the private board, or take the choice back."""
    return calls.post(f"/submissions/{asked.submission}/pick", {"picked": asked.picked})


@_tool(given.OfCompetition, is_reading=True)
def quota(asked: given.OfCompetition) -> Json:
    """Get how many uploads your team has left, and when the next day begins."""
    return calls.get(f"/competitions/{asked.competition}/quota")


@_tool(given.Board, is_reading=True)
def leaderboard(asked: given.Board) -> Json:
    """Get a page of the leaderboard, and your team's own row."""
    return calls.get(
        f"/competitions/{asked.competition}/leaderboard",
        page_size=asked.page_size,
        cursor=asked.cursor,
        search=asked.search or None,
        sort=asked.sort,
    )


@_tool(given.OfCompetition, is_reading=True)
def team(asked: given.OfCompetition) -> Json:
    """Get your team: its name, members, invites, offers to merge and final picks."""
    return calls.get(f"/competitions/{asked.competition}/team")


@_tool(given.Rename)
def rename_team(asked: given.Rename) -> Json:
    """Rename your team, before the close."""
    return calls.post(f"/competitions/{asked.competition}/team", {"name": asked.name})


@_tool(given.ChangeTeam)
def change_team(asked: given.ChangeTeam) -> Json:
    """Change your team: invite, join, leave, remove a member, hand over, merge. Ask the user first.

    Members leave only before the team's first submission, and a merge cannot be undone.
    """
    path, target = f"/competitions/{asked.competition}/team", asked.target
    match asked.change:
        case "invite":
            return calls.post(f"{path}/invites", {"uses": asked.uses, "days": asked.days})
        case "join":
            return calls.post(f"{path}/join", {"link": target})
        case "leave":
            return calls.post(f"{path}/leave")
        case "remove" | "captain":
            return calls.post(f"{path}/{asked.change}", {"member": target})
        case "method":
            return calls.post(f"{path}/method", {"text": target, "link": asked.link})
        case "offer_merge":
            return calls.post(f"{path}/offers", {"team": target})
    if not (target.isascii() and target.isdigit() and len(target) < 19):
        raise _refusal(f"{asked.change} needs a number as `target`; team lists invites and offers.")
    if asked.change == "accept_merge":
        return calls.post(f"{path}/offers/{target}/accept")
    return calls.delete(f"{path}/{'invites' if asked.change == 'revoke' else 'offers'}/{target}")


def _result(path: str, seconds: float, ends: tuple[str, ...]) -> Json:
    with _place_to_wait() as has_place:
        return calls.wait_for(path, seconds=seconds if has_place else 0, final=ends)


@contextmanager
def _place_to_wait() -> Iterator[bool]:
    """Take a place to wait, or none if all are taken: the caller then gets the state of now."""
    has_place = waiting_room().acquire(blocking=False)
    try:
        yield has_place
    finally:
        if has_place:
            waiting_room().release()


def _refusal(words: str) -> RefusedByApi:
    return RefusedByApi({"status": 422, "detail": words, "errors": []})


def places(threads: int) -> threading.Semaphore:
    """Return the places to wait of one web process: a quarter of its threads."""
    return threading.Semaphore(max(1, threads // 4))
