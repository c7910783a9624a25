"""The tables of teams and of all submissions, for organisers."""

from __future__ import annotations

from flask import Response

from app.base import db
from app.competing import all_submissions, participants
from app.people.tokens import Scope
from app.web.api import cursors
from app.web.api import models as shared
from app.web.api import participants_models as models
from app.web.api.access import assistant_of, reviewer_of
from app.web.api.operations import CSV, ZIP, operation, read_query
from app.web.api.submissions import submission_model
from app.web.competing.participants import permitted, refuse_files, send_files, send_submissions, send_teams
from app.web.context import parts
from app.web.json_answers import signatures, time_text


@operation(
    "GET",
    "/competitions/<slug:slug>/organise/participants",
    name="participants",
    says="A page of teams",
    answer=models.Participants,
    refuses=(403, 404, 422),
    query=models.ParticipantsQuery,
    scope=Scope.ORGANISE,
)
def participant_index(slug: str) -> models.Participants:
    """List the teams of a competition with their members, files and scores."""
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        asked = read_query(models.ParticipantsQuery)
        wanted = _teams(asked, shows_private=me.organises(competition.id) or competition.is_settled(now))
        page = participants.page(session, competition, wanted, limit=asked.limit, cursor=asked.cursor)
    return models.Participants(
        competition=slug, participants=[_participant(row) for row in page.rows], next_cursor=page.following
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/organise/participants.csv",
    name="participants_csv",
    says="A CSV file",
    answer=CSV,
    refuses=(403, 404, 422, 429),
    query=models.ParticipantsTable,
    scope=Scope.ORGANISE,
)
def participant_csv(slug: str) -> Response:
    """Download the teams of a competition as CSV."""
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        asked = read_query(models.ParticipantsTable)
    shows_private = me.organises(competition.id) or competition.is_settled(now)
    return send_teams(slug, competition.id, _teams(asked, shows_private=shows_private))


@operation(
    "GET",
    "/competitions/<slug:slug>/organise/submissions",
    name="all_submissions",
    says="Submissions of all teams",
    answer=shared.Submissions,
    refuses=(403, 404, 422),
    query=models.OrganisedQuery,
    scope=Scope.ORGANISE,
)
def organised_submissions(slug: str) -> shared.Submissions:
    """List the submissions of all teams with private scores, newest first or oldest first."""
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = reviewer_of(session, now, slug)
        asked = read_query(models.OrganisedQuery)
        wanted = permitted(_submissions(asked), me, competition)
        behind = asked.before if asked.cursor is None else cursors.read_id(asked.cursor)
        entries = all_submissions.page(
            session, competition, wanted, now=now, limit=asked.limit + 1, behind_id=behind
        )
        following = str(entries[asked.limit - 1].id) if len(entries) > asked.limit else None
        entries = entries[: asked.limit]
        signed = signatures(session, *(entry.id for entry in entries))
    return shared.Submissions(
        submissions=[submission_model(e, competition, None, signed.get(e.id)) for e in entries],
        next_cursor=following,
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/organise/submissions.csv",
    name="all_submissions_csv",
    says="A CSV file",
    answer=CSV,
    refuses=(403, 404, 422, 429),
    query=models.SubmissionsTable,
    scope=Scope.ORGANISE,
)
def organised_csv(slug: str) -> Response:
    """Download the submissions of all teams as CSV."""
    with parts().database.read() as session:
        me, competition = reviewer_of(session, db.now(session), slug)
        asked = read_query(models.SubmissionsTable)
    return send_submissions(slug, competition.id, permitted(_submissions(asked), me, competition))


@operation(
    "POST",
    "/competitions/<slug:slug>/organise/files",
    name="files_of_all_teams",
    says="A zip file",
    answer=ZIP,
    refuses=(403, 404, 422, 429),
    query=models.SubmissionsTable,
    scope=Scope.ORGANISE,
)
def organised_files(slug: str) -> Response:
    """Download the files of all teams, or of those that match, as one zip with an index.

    A POST, since the log keeps who has taken them.
    """
    with parts().database.read() as session:
        me, competition = reviewer_of(session, db.now(session), slug)
        refuse_files(me, competition)
        asked = read_query(models.SubmissionsTable)
    return send_files(slug, competition.id, permitted(_submissions(asked), me, competition), by=me.name)


def _teams(asked: models.ParticipantsTable, *, shows_private: bool) -> participants.Wanted:
    return participants.Wanted(
        search="".join(c for c in asked.search if c.isprintable()),
        place=asked.state,
        is_extended=asked.extended,
        order=participants.Order(asked.sort),
        shows_private=shows_private,
    )


def _submissions(asked: models.SubmissionsTable) -> all_submissions.Wanted:
    return all_submissions.Wanted(
        search="".join(c for c in asked.search if c.isprintable()),
        state=asked.state,
        kind=all_submissions.Kind(asked.kind) if asked.kind else None,
        code=asked.code,
        team_id=asked.team,
        is_oldest_first=asked.sort == "oldest",
    )


def _participant(row: participants.Participant) -> models.Participant:
    return models.Participant(
        id=row.id,
        team=row.name,
        members=list(row.members),
        state=row.place,
        reason=row.why,
        joined_at=row.joined_at.isoformat(),
        uploads=row.uploads,
        rejected=row.rejected,
        failed=row.failed,
        waiting=row.waiting,
        late=row.late,
        public=row.public,
        private=row.private,
        last_upload_at=time_text(row.last_at),
        closes_at=time_text(row.closes_at),
        daily_extra=row.daily_extra,
        total_extra=row.total_extra,
    )
