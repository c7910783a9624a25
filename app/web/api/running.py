"""What organisers do while a competition runs: close, retry, rescore, extend, rename, take off the board."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from app.base import db, events
from app.base.errors import Conflict, NotFound
from app.base.models import Competition, Event
from app.competing import (
    competitions,
    evaluations,
    exclusions,
    extensions,
    methods,
    rescores,
    statuses,
    teams,
)
from app.integrity import cases
from app.people.tokens import Scope
from app.web.api import organising_models as models
from app.web.api.access import organiser_of
from app.web.api.operations import operation, read_body
from app.web.context import parts
from app.web.json_answers import time_text


def logged(event: Event) -> models.Logged:
    return models.Logged(
        action=event.action, actor=event.actor, at=event.at.isoformat(), detail=dict(event.detail)
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/organise",
    name="organised",
    says="The competition as its organisers see it",
    answer=models.Organised,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def organised_show(slug: str) -> models.Organised:
    """Get what needs an organiser: counts by state, open cases, the log."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        return models.Organised(
            competition=slug,
            counts=statuses.state_counts(session, competition),
            open_cases=cases.open_count(session, competition),
            isolation=statuses.latest_isolation(session, competition),
            log=[logged(event) for event in events.latest(session, slug)],
        )


@operation(
    "POST",
    "/competitions/<slug:slug>/close",
    name="close_competition",
    says="The closed competition",
    answer=models.Closed,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def competition_close(slug: str) -> models.Closed:
    """Close a competition now for all teams; its private scores are shown at once."""
    with parts().database.begin() as session:
        me, competition = organiser_of(session, db.now(session), slug)
        competitions.lock(session, competition)
        now = db.now(session)
        ended = competitions.close(session, competition, by=me.name, now=now)
        events.log(session, me.name, "competition closed", slug, now=now, extensions_ended=ended)
    return models.Closed(competition=slug, extensions_ended=ended)


@operation(
    "POST",
    "/competitions/<slug:slug>/retry/<id:submission_id>",
    name="retry",
    says="The submission, which is queued again",
    answer=models.Retried,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def submission_retry(slug: str, submission_id: int) -> models.Retried:
    """Score a failed submission again, with three new attempts."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        evaluations.retry(session, competition, submission_id, now=now)
        events.log(session, me.name, "retry", slug, now=now, submission=submission_id)
    parts().hints.send(submission_id)
    return models.Retried(submission=submission_id)


@operation(
    "POST",
    "/competitions/<slug:slug>/rescore",
    name="begin_rescore",
    says="The rescore, which has begun",
    answer=models.BegunRescore,
    status=202,
    refuses=(403, 404, 409, 422),
    body=models.NewRescore,
    scope=Scope.ORGANISE,
)
def rescore_begin(slug: str) -> models.BegunRescore:
    """Score all submissions again beside the board, which stays until the rescore is applied."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        repeats = 1 if read_body(models.NewRescore).repeat else 0
        competitions.lock(session, competition)
        count = rescores.begin_rescore(
            session,
            competition,
            competition.version,
            reason=f"asked for by {me.name}",
            now=now,
            repeats=repeats,
        )
        events.log(session, me.name, "rescore begun", slug, now=now, submissions=count, repeats=repeats)
    return models.BegunRescore(competition=slug, submissions=count)


@operation(
    "GET",
    "/competitions/<slug:slug>/rescore",
    name="rescore",
    says="What the rescore would change",
    answer=models.Rescore,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def rescore_show(slug: str) -> models.Rescore:
    """Get what a rescore would change on the board."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        found = rescores.rescore_of(session, competition)
    if found is None:
        raise NotFound(f"No rescore of {slug} is running.")
    return models.Rescore(
        competition=slug,
        draft=found.draft_id,
        seen=found.digest,
        reason=found.reason,
        is_finished=found.is_finished,
        repeats=found.repeats,
        losses=found.losses,
        unequal=found.unequal,
        changed=found.changed,
        changes=[
            models.Moved(
                team=change.team,
                is_baseline=change.is_baseline,
                public=[_place(place) for place in change.public],
                private=[_place(place) for place in change.private],
            )
            for change in found.changes
        ],
    )


def _place(place: rescores.Place | None) -> models.Place | None:
    return models.Place(rank=place.rank, score=place.score) if place else None


@operation(
    "POST",
    "/competitions/<slug:slug>/rescore/apply",
    name="apply_rescore",
    says="The applied rescore",
    answer=models.EndedRescore,
    refuses=(403, 404, 409, 422),
    body=models.Seen,
    scope=Scope.ORGANISE,
)
def rescore_apply(slug: str) -> models.EndedRescore:
    """Apply the rescore that was reviewed; the board shows its scores at once."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        draft_id = _seen(session, competition)
        if rescores.activate(session, draft_id, by=me.name, now=now, accept_losses=True) is None:
            raise Conflict("The rescore is not finished. Apply it when all submissions are scored.")
        events.log(session, me.name, "rescore applied", slug, now=now, round=draft_id)
    return models.EndedRescore(competition=slug, draft=draft_id, is_applied=True)


@operation(
    "POST",
    "/competitions/<slug:slug>/rescore/discard",
    name="discard_rescore",
    says="The discarded rescore",
    answer=models.EndedRescore,
    refuses=(403, 404, 409, 422),
    body=models.Seen,
    scope=Scope.ORGANISE,
)
def rescore_discard(slug: str) -> models.EndedRescore:
    """Discard the rescore that was reviewed; the board stays."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        draft_id = _seen(session, competition, or_unfinished=True)
        rescores.discard_rescore(session, competition)
        events.log(session, me.name, "rescore discarded", slug, now=now, round=draft_id)
    return models.EndedRescore(competition=slug, draft=draft_id, is_applied=False)


def _seen(session: Session, competition: Competition, *, or_unfinished: bool = False) -> int:
    seen = read_body(models.Seen)
    return rescores.refuse_unless_seen(
        session, competition, draft=str(seen.draft), seen=seen.seen, or_unfinished=or_unfinished
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/extensions",
    name="extensions",
    says="The extensions",
    answer=models.Extensions,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def extension_index(slug: str) -> models.Extensions:
    """List the extensions of a competition, newest first."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        return _extensions(session, competition)


@operation(
    "POST",
    "/competitions/<slug:slug>/extensions",
    name="grant_extension",
    says="The extensions",
    answer=models.Extensions,
    refuses=(403, 404, 422),
    body=models.NewExtension,
    scope=Scope.ORGANISE,
)
def extension_grant(slug: str) -> models.Extensions:
    """Grant one team a later close or more uploads, with a reason."""
    with parts().database.begin() as session:
        me, competition = organiser_of(session, db.now(session), slug)
        wanted = read_body(models.NewExtension)
        competitions.lock(session, competition)
        extensions.grant(
            session,
            competition,
            _plain(wanted.team),
            reason=_plain(wanted.reason),
            by=me.name,
            now=db.now(session),
            closes_at=wanted.closes_at,
            daily_extra=wanted.daily_extra,
            total_extra=wanted.total_extra,
        )
        return _extensions(session, competition)


@operation(
    "DELETE",
    "/competitions/<slug:slug>/extensions/<id:extension_id>",
    name="revoke_extension",
    says="The extensions",
    answer=models.Extensions,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def extension_revoke(slug: str, extension_id: int) -> models.Extensions:
    """Revoke an extension; submissions sent under it stay."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        extensions.revoke(session, competition, extension_id, by=me.name, now=now)
        return _extensions(session, competition)


def _extensions(session: Session, competition: Competition) -> models.Extensions:
    return models.Extensions(
        competition=competition.slug,
        extensions=[
            models.Extension(
                id=extension.id,
                team=team,
                closes_at=time_text(extension.closes_at),
                daily_extra=extension.daily_extra,
                total_extra=extension.total_extra,
                reason=extension.reason,
                granted_by=extension.granted_by,
                created_at=extension.created_at.isoformat(),
                revoked_at=time_text(extension.revoked_at),
            )
            for extension, team in extensions.listed(session, competition)
        ],
    )


@operation(
    "POST",
    "/competitions/<slug:slug>/teams/rename",
    name="rename_any_team",
    says="The team",
    answer=models.TeamName,
    refuses=(403, 404, 409, 422),
    body=models.RenamedTeam,
    scope=Scope.ORGANISE,
)
def any_team_rename(slug: str) -> models.TeamName:
    """Rename any team of a competition, also after the close."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        wanted = read_body(models.RenamedTeam)
        team = teams.by_name(session, competition, _plain(wanted.team))
        teams.rename(
            session, competition, team, _plain(wanted.name), by=me.name, now=now, is_organiser=me.is_organiser
        )
        return models.TeamName(competition=slug, team=team.name)


@operation(
    "POST",
    "/competitions/<slug:slug>/teams/unrank",
    name="unrank_team",
    says="The team",
    answer=models.TeamName,
    refuses=(403, 404, 409, 422),
    body=models.MovedTeam,
    scope=Scope.ORGANISE,
)
def team_unrank(slug: str) -> models.TeamName:
    """Take a team off the board; it goes on taking part, and reads the reason."""
    return _move_team(slug, exclusions.take_off_team)


@operation(
    "POST",
    "/competitions/<slug:slug>/teams/rank",
    name="rank_team",
    says="The team",
    answer=models.TeamName,
    refuses=(403, 404, 409, 422),
    body=models.MovedTeam,
    scope=Scope.ORGANISE,
)
def team_rank(slug: str) -> models.TeamName:
    """Put a team on the board again."""
    return _move_team(slug, exclusions.put_back_team)


@operation(
    "POST",
    "/competitions/<slug:slug>/teams/method/remove",
    name="remove_method",
    says="The team",
    answer=models.TeamName,
    refuses=(403, 404, 409, 422),
    body=models.MovedTeam,
    scope=Scope.ORGANISE,
)
def method_remove(slug: str) -> models.TeamName:
    """Remove what a team says of its method; the team reads the reason and may describe it again."""
    return _move_team(slug, methods.remove)


def _move_team(slug: str, move: Callable[..., None]) -> models.TeamName:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        wanted = read_body(models.MovedTeam)
        team = teams.by_name(session, competition, _plain(wanted.team))
        move(session, competition, team, _plain(wanted.reason), by=me.name, now=now)
        return models.TeamName(competition=slug, team=team.name)


@operation(
    "POST",
    "/competitions/<slug:slug>/submissions/<id:submission_id>/exclude",
    name="exclude_submission",
    says="The submission's number",
    answer=models.MovedSubmission,
    refuses=(403, 404, 409, 422),
    body=models.MoveReason,
    scope=Scope.ORGANISE,
)
def submission_exclude(slug: str, submission_id: int) -> models.MovedSubmission:
    """Take one file off the board; its team reads the reason."""
    return _move_file(slug, submission_id, exclusions.take_off_file, is_on_the_board=False)


@operation(
    "POST",
    "/competitions/<slug:slug>/submissions/<id:submission_id>/include",
    name="include_submission",
    says="The submission's number",
    answer=models.MovedSubmission,
    refuses=(403, 404, 409, 422),
    body=models.MoveReason,
    scope=Scope.ORGANISE,
)
def submission_include(slug: str, submission_id: int) -> models.MovedSubmission:
    """Let one file count again."""
    return _move_file(slug, submission_id, exclusions.put_back_file, is_on_the_board=True)


def _move_file(
    slug: str, submission_id: int, move: Callable[..., None], *, is_on_the_board: bool
) -> models.MovedSubmission:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        reason = _plain(read_body(models.MoveReason).reason)
        move(session, competition, submission_id, reason, by=me.name, now=now)
    return models.MovedSubmission(submission=submission_id, is_on_the_board=is_on_the_board)


def _plain(text: str) -> str:
    """Return a text as one line without control characters, as a form's field is read."""
    return " ".join("".join(c for c in line if c.isprintable()) for line in text.splitlines())
