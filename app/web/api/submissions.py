"""Submissions of the viewer's team: send, list, and read results."""

from __future__ import annotations

from flask import Response, url_for

from app.base import db
from app.base.errors import NotFound
from app.base.models import Competition
from app.competing import cancellations, statuses, submissions, teams, withdrawals
from app.competing.statuses import Status
from app.integrity import train_files
from app.web import downloads, uploads
from app.web.api import cursors, models
from app.web.api.access import entered, sender
from app.web.api.operations import BYTES, operation, read_query
from app.web.context import bearer, parts
from app.web.json_answers import links, receipt_json, signatures, time_text, train_file_json


@operation(
    "GET",
    "/competitions/<slug:slug>/quota",
    name="quota",
    says="The quota",
    answer=models.Quota,
    refuses=(403, 404),
)
def quota(slug: str) -> models.Quota:
    """Get your team's remaining uploads."""
    with parts().database.read() as session:
        now = db.now(session)
        competition, team = entered(session, slug, bearer(session, now))
        allowance = submissions.allowance(session, competition, team, now=now)
    return models.Quota(
        limit=allowance.limit,
        used=allowance.used,
        remaining=allowance.remaining,
        pending=allowance.pending,
        total_limit=allowance.total_limit,
        total_used=allowance.total_used if allowance.total_limit is not None else None,
        pending_limit=allowance.pending_limit,
        rejected=allowance.rejected.count,
        rejected_limit=allowance.rejected.limit,
        next_at=time_text(allowance.rejected.next_at),
        resets_at=allowance.resets_at.isoformat(),
        timezone=allowance.timezone,
        is_late=allowance.is_late,
    )


@operation(
    "POST",
    "/competitions/<slug:slug>/submissions",
    name="submit",
    says="The receipt",
    answer=models.Receipt,
    status=201,
    refuses=(403, 404, 409, 413, 422, 429),
    query=models.SubmitQuery,
    takes_file=True,
    takes_key=True,
    has_location=True,
)
def submission_create(slug: str) -> tuple[models.Receipt, dict[str, str]]:
    """Upload a submission."""
    receipt = uploads.take(slug, sender)
    location = url_for("api.submission_show", submission_id=receipt.id)
    return models.Receipt.model_validate(receipt_json(receipt, slug)), {"Location": location}


@operation(
    "GET",
    "/competitions/<slug:slug>/submissions",
    name="submissions",
    says="Submissions",
    answer=models.Submissions,
    refuses=(403, 404, 422),
    query=models.SubmissionsQuery,
)
def submission_index(slug: str) -> models.Submissions:
    """List your team's submissions, newest first."""
    wanted = read_query(models.SubmissionsQuery)
    before = wanted.before if wanted.cursor is None else cursors.read_id(wanted.cursor)
    with parts().database.read() as session:
        now = db.now(session)
        competition, team = entered(session, slug, bearer(session, now))
        entries = statuses.statuses(
            session, competition, now=now, team_id=team.id, limit=wanted.limit + 1, before_id=before
        )
        following = str(entries[wanted.limit - 1].id) if len(entries) > wanted.limit else None
        entries = entries[: wanted.limit]
        places = {e.id: statuses.place_in_queue(session, e.id) for e in entries if not e.state.is_final}
        signed = signatures(session, *(entry.id for entry in entries))
    return models.Submissions(
        submissions=[submission_model(e, competition, places.get(e.id), signed.get(e.id)) for e in entries],
        next_cursor=following,
    )


@operation(
    "GET",
    "/submissions/<id:submission_id>",
    name="submission",
    says="The submission",
    answer=models.Submission,
    refuses=(404,),
)
def submission_show(submission_id: int) -> models.Submission:
    """Get a submission of your team; organisers may get any."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        _, competition = statuses.visible(session, user, submission_id, now=now)
        found = statuses.statuses(
            session,
            competition,
            now=now,
            submission_id=submission_id,
            for_organiser=user.organises(competition.id),
        )
        if not found:
            raise NotFound(f"Submission {submission_id} has no result yet.")
        place = statuses.place_in_queue(session, submission_id)
        signed = signatures(session, submission_id).get(submission_id)
    return submission_model(found[0], competition, place, signed)


@operation(
    "POST",
    "/submissions/<id:submission_id>/cancel",
    name="cancel",
    says="The submission, which is rejected",
    answer=models.Submission,
    refuses=(403, 404, 409),
)
def cancel(submission_id: int) -> models.Submission:
    """Cancel a submission of your team that still waits; its upload is given back."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        submission, competition = statuses.visible(session, user, submission_id)
        team = teams.of_submission(session, submission, user, what="cancel its submissions")
        cancellations.cancel(session, competition, team, submission_id, by=user.name, now=now)
    return submission_show(submission_id)


@operation(
    "POST",
    "/submissions/<id:submission_id>/withdraw",
    name="withdraw",
    says="The submission, which counts for no board",
    answer=models.Submission,
    refuses=(403, 404, 409),
)
def withdraw(submission_id: int) -> models.Submission:
    """Withdraw a scored submission of your team, before the close; its upload stays used."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        submission, competition = statuses.visible(session, user, submission_id)
        team = teams.of_submission(session, submission, user, what="withdraw its submissions")
        withdrawals.withdraw(session, competition, team, submission_id, by=user.name, now=now)
    return submission_show(submission_id)


@operation(
    "GET",
    "/submissions/<id:submission_id>/file",
    name="upload",
    says="The file",
    answer=BYTES,
    refuses=(404,),
)
def submission_file(submission_id: int) -> Response:
    """Download the uploaded file."""
    with parts().database.read() as session:
        now = db.now(session)
        submission, _ = statuses.visible(session, bearer(session, now), submission_id, now=now)
    return downloads.send_upload(submission)


@operation(
    "GET",
    "/submissions/<id:submission_id>/train-files",
    name="train_files",
    says="The files",
    answer=models.TrainFiles,
    refuses=(404,),
)
def train_file_index(submission_id: int) -> models.TrainFiles:
    """List the train files of a submission."""
    with parts().database.read() as session:
        statuses.visible(session, bearer(session, db.now(session)), submission_id)
        files = train_files.of(session, submission_id)
    return models.TrainFiles(
        train_files=[models.TrainFile.model_validate(train_file_json(files[kind])) for kind in sorted(files)]
    )


@operation(
    "POST",
    "/submissions/<id:submission_id>/train-files/<any(oof, train):kind>",
    name="send_train_file",
    says="The file",
    answer=models.TrainFile,
    status=201,
    refuses=(403, 404, 409, 413, 422, 429),
    takes_file=True,
    has_location=True,
)
def train_file_create(submission_id: int, kind: str) -> tuple[models.TrainFile, dict[str, str]]:
    """Upload predictions for the training rows."""
    file = uploads.take_train_file(submission_id, kind, sender)
    location = url_for("api.train_file_index", submission_id=submission_id)
    return models.TrainFile.model_validate(train_file_json(file)), {"Location": location}


@operation(
    "GET",
    "/submissions/<id:submission_id>/train-files/<any(oof, train):kind>",
    name="train_file",
    says="The file",
    answer=BYTES,
    refuses=(404,),
)
def train_file_show(submission_id: int, kind: str) -> Response:
    """Download a train file of a submission."""
    with parts().database.read() as session:
        statuses.visible(session, bearer(session, db.now(session)), submission_id)
        file = train_files.get(session, submission_id, kind)
    return downloads.send_train_file(file)


def submission_model(
    entry: Status, competition: Competition, place: int | None, receipt: str | None
) -> models.Submission:
    return models.Submission(
        id=entry.id,
        competition=competition.slug,
        team=entry.team,
        state=entry.state,
        place_in_queue=place,
        received_at=entry.received_at.isoformat(),
        started_at=time_text(entry.started_at),
        finished_at=time_text(entry.finished_at),
        filename=entry.filename,
        message=entry.message,
        sha256=entry.sha256,
        size_bytes=entry.size_bytes,
        public=entry.public,
        private=entry.private,
        also=models.AlsoScores(public=dict(entry.public_also), private=dict(entry.private_also) or None),
        problems=[models.Problem.model_validate(problem) for problem in entry.problems],
        problem_count=entry.problem_count,
        notices=[models.Notice.model_validate(notice) for notice in entry.notices],
        fault=entry.fault,
        sent_by=entry.sent_by,
        is_picked=entry.is_picked,
        is_ranked=entry.is_ranked,
        is_late=entry.is_late,
        is_by_agent=entry.is_by_agent,
        is_withdrawn=entry.is_withdrawn,
        excluded_why=entry.excluded_why,
        receipt=receipt,
        links=models.Links.model_validate(links(entry.id)),
    )
