"""Check a file without submitting it."""

from __future__ import annotations

from flask import url_for

from app.base import db
from app.integrity import file_checks
from app.web import uploads
from app.web.api import models
from app.web.api.access import sender
from app.web.api.operations import operation
from app.web.context import bearer, parts
from app.web.json_answers import time_text


@operation(
    "POST",
    "/competitions/<slug:slug>/check",
    name="check",
    says="The check, which is queued",
    answer=models.Check,
    status=202,
    refuses=(403, 404, 409, 413, 422, 429),
    takes_file=True,
    has_location=True,
)
def check_create(slug: str) -> tuple[models.Check, dict[str, str]]:
    """Check a file as the scorer reads it, without submitting it."""
    check_id = uploads.take_check(slug, sender)
    with parts().database.read() as session:
        check = file_checks.get(session, sender(session, db.now(session)), check_id)
    address = url_for("api.check_show", check_id=check_id)
    return _check(check), {"Location": address, "Retry-After": "1"}


@operation(
    "GET", "/checks/<id:check_id>", name="check_result", says="The check", answer=models.Check, refuses=(404,)
)
def check_show(check_id: int) -> models.Check | tuple[models.Check, dict[str, str]]:
    """Get the answer of a check, or its state until then."""
    with parts().database.read() as session:
        check = file_checks.get(session, bearer(session, db.now(session)), check_id)
    if check.finished_at is not None:
        return _check(check)
    return _check(check), {"Retry-After": "1"}


def _check(check: file_checks.Check) -> models.Check:
    return models.Check(
        id=check.id,
        competition=check.competition,
        state=check.state,
        filename=check.filename,
        sha256=check.sha256,
        size_bytes=check.size_bytes,
        received_at=check.received_at.isoformat(),
        finished_at=time_text(check.finished_at),
        problems=[models.Problem.model_validate(problem) for problem in check.problems],
        problem_count=check.problem_count,
        notices=[models.Notice.model_validate(notice) for notice in check.notices],
        links=models.CheckLinks(self=url_for("api.check_show", check_id=check.id)),
    )
