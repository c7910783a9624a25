"""JSON in the forms that stock Kaggle clients read.

Times are UTC with milliseconds, scores are texts, keys are camelCase, and the states of a submission are
PENDING, COMPLETE and ERROR: clients fail on any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, g, jsonify, request, url_for

from app.base.models import Competition, Phase, State
from app.competing import hosts, late
from app.competing.leaderboard import Row
from app.competing.statuses import Status
from scorer.report import Problem

STATES = {State.SCORED: "COMPLETE", State.REJECTED: "ERROR", State.FAILED: "ERROR"}
FAILED = (
    "The evaluation failed for a reason that is not the file's. It was not charged; the organiser sees why."
)
_ONLY_READS_200 = "kaggle-api/v1.7"


def blueprint(name: str) -> Blueprint:
    """Return a blueprint whose refusals have the clients' form, also those of checks before its views."""
    made = Blueprint(name, __name__, url_prefix="/api/v1")

    @made.url_value_preprocessor
    def refuse_in_their_form(_endpoint: str | None, _values: dict[str, Any] | None) -> None:
        g.refusal_form = refusal

    return made


def refusal(status: int, message: str, problems: Sequence[Problem] = ()) -> Response:
    """Return the body whose message the clients print.

    They add advice about kaggle.com to 403 and 404, and print a help text instead of the message for 401. So
    every refusal of a request is 400, except a missing object and a missing token. kaggle 1.7
    prints only messages of answers with status 200.
    """
    text = "\n".join([message, *(problem_line(problem.as_dict()) for problem in problems)])
    if 400 <= status < 500 and status not in (401, 404):
        status = 400
    response = jsonify(code=status, message=text)
    is_version_7 = request.headers.get("User-Agent", "").startswith(_ONLY_READS_200)
    response.status_code = 200 if is_version_7 else status
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def page(slug: str) -> str:
    """Return a competition's address without the host: clients that reach us as a proxy name another."""
    return url_for("competitions.show", slug=slug)


def moment(at: datetime | None) -> str | None:
    """Return a time as `2026-11-02T10:00:00.123Z`."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def score(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def competition_json(
    competition: Competition, *, n_teams: int, has_entered: bool, rank: int | None, now: datetime
) -> dict[str, Any]:
    manifest = competition.version.manifest
    deadline = moment(competition.closes_at)
    return _without_empty(
        {
            "id": competition.id,
            "ref": competition.slug,
            "url": page(competition.slug),
            "title": competition.title,
            "description": competition.summary,
            "organizationName": "",
            "category": "Community",
            "reward": "Kudos",
            "tags": [],
            "deadline": deadline,
            "teamCount": n_teams,
            "userHasEntered": has_entered,
            "userRank": rank,
            "enabledDate": moment(competition.opens_at),
            "dateCreated": moment(competition.created_at),
            "maxDailySubmissions": competition.daily_limit,
            "maxTeamSize": competition.max_team_size,
            "mergerDeadline": moment(competition.teams_close_at),
            "newEntrantDeadline": moment(competition.entry_closes_at),
            "evaluationMetric": manifest["metric"].get("title", manifest["metric"]["name"]),
            "submissionsDisabled": not competition.takes_late(now)
            and (competition.is_paused or competition.phase(now) is not Phase.OPEN),
        }
    )


def file_json(file: Mapping[str, Any], published_at: datetime) -> dict[str, Any]:
    return {
        "ref": file["name"],
        "name": file["name"],
        "totalBytes": file["size"],
        "creationDate": moment(published_at),
    }


def submission_json(entry: Status, submitted_by: str) -> dict[str, Any]:
    """Return one submission; a refused one names each located problem."""
    return _without_empty(
        {
            "ref": entry.id,
            "fileName": entry.filename,
            "date": moment(entry.received_at),
            "description": entry.message if entry.is_ranked else _marked(entry),
            "status": STATES.get(entry.state, "PENDING"),
            "publicScore": score(entry.public),
            "privateScore": score(entry.private),
            "totalBytes": entry.size_bytes,
            "submittedBy": submitted_by,
            "submittedByRef": submitted_by,
            "teamName": entry.team,
            "type": "standard",
            "url": url_for("submissions.show", submission_id=entry.id),
            "errorDescription": error_text(entry),
        }
    )


def _marked(entry: Status) -> str:
    """Return the message with what the clients have no field for."""
    mark = late.NOT_RANKED if entry.is_late else hosts.NOT_RANKED
    return f"{entry.message} ({mark})" if entry.message else mark


def error_text(entry: Status) -> str | None:
    """Return why a submission has no score; None if it has or will."""
    if entry.state is State.FAILED:
        return FAILED
    if entry.state is not State.REJECTED:
        return None
    lines = [problem_line(problem) for problem in entry.problems]
    more = entry.problem_count - sum(problem.get("count", 1) for problem in entry.problems)
    return "\n".join([*lines, *([f"{more} more problems are not listed."] if more > 0 else [])])


def row_json(row: Row) -> dict[str, Any]:
    return {
        "teamId": row.team_id,
        "teamName": row.team,
        "submissionDate": moment(row.last_at),
        "score": score(row.score),
    }


def problem_line(problem: Mapping[str, Any]) -> str:
    """Return a problem with its place as one line."""
    given = ((name, problem.get(name)) for name in ("file", "line", "column", "id"))
    place = ", ".join(f"{name} {value}" for name, value in given if value is not None)
    count = problem.get("count", 1)
    places = f" ({count} places)" if count > 1 else ""
    return f"{f'{place}: ' if place else ''}{problem['message']}{places}"


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def number_of(token: str, default: int) -> int:
    """Return a page token as a number; the default for one that is not ours."""
    return int(token) if token.isascii() and token.isdigit() and len(token) < 19 else default


def page_of(items: Iterable[Any], token: str, size: int) -> tuple[list[Any], str]:
    """Return one page of a list and the token of the next, "" if none."""
    listed = list(items)
    begin = number_of(token, 0)
    end = begin + size
    return listed[begin:end], str(end) if end < len(listed) else ""
