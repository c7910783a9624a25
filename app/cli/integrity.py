"""`heldout integrity`."""

from __future__ import annotations

import click

from app.base import db, events
from app.base.errors import Refused
from app.base.installation import Installation
from app.cli.console import pass_installation, print_json, print_rows
from app.competing import competitions
from app.integrity import cases, inspections
from app.integrity.cases import Action
from app.integrity.inspections import Kind


@click.group("integrity")
def integrity_group() -> None:
    """Scan for cheating, review cases, read the close report."""


@integrity_group.command("scan")
@click.argument("competition")
@pass_installation
def integrity_scan(installation: Installation, competition: str) -> None:
    """Queue a scan for probing, copies and implausible scores.

    The sweeper queues one each day.
    """
    _queue(installation, competition, Kind.SCAN)


@integrity_group.command("report")
@click.argument("competition")
@click.option("--make", is_flag=True, help="Queue a new report.")
@pass_installation
def integrity_report(installation: Installation, competition: str, make: bool) -> None:
    """Print the newest close report as JSON.

    It contains the organiser's part. The sweeper queues it after the close.
    """
    if make:
        _queue(installation, competition, Kind.REPORT)
        return
    with installation.database.read() as session:
        found = competitions.by_slug(session, competition)
        report = inspections.report(session, found, for_organiser=True, now=db.now(session))
        print_json(report.result)


def _queue(installation: Installation, slug: str, kind: Kind) -> None:
    with installation.database.begin() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, slug)
        inspection = inspections.ask(session, competition, kind, by="command line", now=now)
        events.log(session, "command line", f"{kind} asked for", slug, now=now)
    installation.hints.send_inspection(inspection.id)
    click.echo(f"{slug}: {kind} {inspection.id} is queued; a worker takes it next.")


@integrity_group.command("cases")
@click.argument("competition")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with evidence and advice.")
@pass_installation
def integrity_cases(installation: Installation, competition: str, as_json: bool) -> None:
    """List the cases of a competition, open ones first."""
    with installation.database.read() as session:
        found = competitions.by_slug(session, competition)
        views = cases.listed(session, found)
        rows = [
            {
                "id": view.case.id,
                "state": view.case.state,
                "code": view.case.code,
                "team": view.team.name,
                "other_team": view.other.name if view.other else None,
                "strength": round(view.case.strength, 3),
                "last_seen_at": view.case.last_seen_at.isoformat(timespec="seconds"),
                **({"evidence": view.case.evidence, "advice": view.case.advice} if as_json else {}),
            }
            for view in views
        ]
    print_rows(rows, as_json=as_json)


@integrity_group.command("act")
@click.argument("competition")
@click.argument("case_id", type=int)
@click.argument("action", type=click.Choice([action.value for action in Action]))
@click.option("--reason", required=True, help="Reason, kept in the log.")
@click.option("--team", "team_name", help="The team of a pair that is meant; default: the first.")
@pass_installation
def integrity_act(
    installation: Installation,
    competition: str,
    case_id: int,
    action: str,
    reason: str,
    team_name: str | None,
) -> None:
    """Decide a case.

    Dismiss it, add a note, coarsen a team's feedback, disqualify the team, or undo these.
    """
    with installation.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, competition)
        view = cases.get(session, found, case_id)
        team = next(
            (t for t in (view.team, view.other) if t and t.name == (team_name or view.team.name)), None
        )
        if team is None:
            raise Refused(f"Case {case_id} is not about a team {team_name}.")
        words = cases.act(
            session,
            found,
            case_id,
            Action(action),
            team_id=team.id,
            reason=reason,
            actor="command line",
            now=now,
        )
    click.echo(words)
