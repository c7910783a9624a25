"""Cases, scans and reports of a competition, and failed sign-ins, for organisers."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.base import db, events
from app.base.errors import Refused
from app.base.models import Competition, InspectionState, Team
from app.integrity import cases, inspections
from app.integrity.cases import CaseView
from app.integrity.inspections import Kind
from app.people import accounts, rate_limits
from app.people.tokens import Scope
from app.web.api import organising_models as models
from app.web.api.access import organiser_of, organiser_token
from app.web.api.operations import operation, read_body
from app.web.api.running import logged
from app.web.context import parts
from app.web.json_answers import time_text

CASES = 200


@operation(
    "GET",
    "/competitions/<slug:slug>/cases",
    name="cases",
    says="The cases",
    answer=models.Cases,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def case_index(slug: str) -> models.Cases:
    """List at most 200 cases: open ones first, then by strength."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        found = cases.listed(session, competition, limit=CASES)
        count = cases.open_count(session, competition)
    return models.Cases(competition=slug, cases=[_case(view) for view in found], open=count)


@operation(
    "GET",
    "/competitions/<slug:slug>/cases/<id:case_id>",
    name="case",
    says="The case",
    answer=models.Case,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def case_show(slug: str, case_id: int) -> models.Case:
    """Get a case with its evidence and its log."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        return _case(cases.get(session, competition, case_id))


@operation(
    "POST",
    "/competitions/<slug:slug>/cases/<id:case_id>",
    name="decide_case",
    says="The case and what was done",
    answer=models.DecidedCase,
    refuses=(403, 404, 409, 422),
    body=models.CaseAction,
    scope=Scope.ORGANISE,
)
def case_act(slug: str, case_id: int) -> models.DecidedCase:
    """Dismiss, note, coarsen, restore, disqualify, reinstate or reopen, with a reason for the log."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        wanted = read_body(models.CaseAction)
        said = cases.act(
            session,
            competition,
            case_id,
            wanted.action,
            team_id=wanted.team,
            reason="".join(c if c.isprintable() else " " for c in wanted.reason),
            actor=me.name,
            now=now,
        )
        return models.DecidedCase(said=said, case=_case(cases.get(session, competition, case_id)))


def _case(view: CaseView) -> models.Case:
    case = view.case
    return models.Case(
        id=case.id,
        code=case.code,
        state=cases.CaseState(case.state),
        strength=case.strength,
        evidence=case.evidence,
        advice=case.advice,
        teams=[_team(team) for team in (view.team, view.other) if team is not None],
        first_seen_at=case.first_seen_at.isoformat(),
        last_seen_at=case.last_seen_at.isoformat(),
        detail={name: value for name, value in case.detail.items() if name != "picture"},
        log=[logged(event) for event in view.log],
    )


def _team(team: Team) -> models.CaseTeam:
    return models.CaseTeam(
        id=team.id,
        name=team.name,
        has_coarse_feedback=team.has_coarse_feedback,
        disqualified_at=time_text(team.disqualified_at),
        disqualified_why=team.disqualified_why,
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/inspections",
    name="inspections",
    says="The newest scan and report",
    answer=models.Inspections,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def inspection_index(slug: str) -> models.Inspections:
    """Get the state of the newest scan and of the newest report."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        return _inspections(session, competition)


@operation(
    "POST",
    "/competitions/<slug:slug>/inspections",
    name="inspect",
    says="The newest scan and report",
    answer=models.Inspections,
    status=202,
    refuses=(403, 404, 409, 422),
    body=models.NewInspection,
    scope=Scope.ORGANISE,
)
def inspection_ask(slug: str) -> models.Inspections:
    """Scan for cases now, or make the report of a closed competition again."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        kind = Kind(read_body(models.NewInspection).kind)
        asked = inspections.ask(session, competition, kind, by=me.name, now=now).id
        events.log(session, me.name, f"{kind} asked for", slug, now=now)
        found = _inspections(session, competition)
    parts().hints.send_inspection(asked)
    return found


def _inspections(session: Session, competition: Competition) -> models.Inspections:
    latest = (inspections.latest(session, competition, kind) for kind in (Kind.SCAN, Kind.REPORT))
    return models.Inspections(
        competition=competition.slug,
        inspections=[
            models.Inspection(
                id=one.id,
                kind=one.kind,
                state=InspectionState(one.state),
                progress=one.progress,
                created_at=one.created_at.isoformat(),
            )
            for one in latest
            if one is not None
        ],
    )


@operation(
    "POST",
    "/sign-in-limits/lift",
    name="lift_sign_in_limits",
    says="What was forgotten",
    answer=models.Lifted,
    refuses=(403, 404, 422),
    body=models.SignInLimits,
    scope=Scope.ORGANISE,
)
def sign_in_limits_lift() -> models.Lifted:
    """Forget the failed sign-ins of an account, of an address, of both, or the count of all."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser_token(session, now)
        wanted = read_body(models.SignInLimits)
        name, address = wanted.account or "", wanted.address or ""
        if not name and not address and not wanted.of_all:
            raise Refused("Name an account or an address.")
        account = accounts.by_name(session, name) if name else None
        rate_limits.lift(
            session, account=account, address=address or None, of_all=wanted.of_all, by=me.name, now=now
        )
    return models.Lifted(account=name or None, address=address or None, of_all=wanted.of_all)
