"""`heldout rescore`."""

from __future__ import annotations

from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from app.base import db, events
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition
from app.cli.console import pass_installation, print_json, print_rows
from app.competing import competitions, rescores
from app.competing.rescores import Place, Rescore


@click.command("rescore")
@click.argument("competition")
@click.option(
    "--repeat",
    "repeats",
    default=0,
    help="Score everything this many more times, to test that scores repeat.",
)
@click.option("--auto-apply", is_flag=True, help="Apply the rescore when it is finished, without a review.")
@click.option("--diff", "show", is_flag=True, help="Show what the current rescore would change on the board.")
@click.option(
    "--apply", "applies", is_flag=True, help="Apply the finished rescore, lost scores included; needs --seen."
)
@click.option("--discard", is_flag=True, help="Discard the current rescore; the board stays as it is.")
@click.option(
    "--seen",
    metavar="DIGEST",
    help="With --apply or --discard: the last line of --diff; refused if the rescore has changed since.",
)
@click.option("--json", "as_json", is_flag=True, help="With --diff: machine-readable.")
@pass_installation
def rescore_command(
    installation: Installation,
    competition: str,
    repeats: int,
    auto_apply: bool,
    show: bool,
    applies: bool,
    discard: bool,
    seen: str | None,
    as_json: bool,
) -> None:
    """Score every submission again, beside the current board.

    The board changes only after you have seen the changes with --diff and applied them with --apply.
    """
    if show + applies + discard + bool(repeats or auto_apply) > 1:
        raise click.UsageError(
            "Give only one of --diff, --apply, --discard, or the options of a new rescore."
        )
    if applies and seen is None:
        raise click.UsageError("--apply needs --seen DIGEST, the last line of --diff.")
    if seen is not None and not (applies or discard):
        raise click.UsageError("--seen needs --apply or --discard.")
    if show:
        with installation.database.read() as session:
            rescore = rescores.rescore_of(session, competitions.by_slug(session, competition))
        _print_rescore(_require(rescore, competition), as_json=as_json)
        return
    with installation.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, competition)
        if applies or discard:
            words = _end_rescore(session, found, applies=applies, seen=seen)
            action = "rescore applied" if applies else "rescore discarded"
        else:
            count = rescores.begin_rescore(
                session,
                found,
                found.version,
                reason="asked for by command",
                now=now,
                applies_itself=auto_apply,
                repeats=repeats,
            )
            then = (
                "the board changes when all are done"
                if auto_apply
                else "then see --diff, and --apply or --discard"
            )
            times = f", {1 + repeats} times" if repeats else ""
            words = f"{count} submissions will be scored again{times}; {then}."
            action = "rescore begun"
        events.log(session, "command line", action, competition, now=now)
    click.echo(f"{competition}: {words}")


def _require(rescore: Rescore | None, competition: str) -> Rescore:
    if rescore is None:
        raise Refused(f"There is no rescore of {competition}.")
    return rescore


def _end_rescore(session: Session, competition: Competition, *, applies: bool, seen: str | None) -> str:
    competitions.lock(session, competition)  # or another transaction may replace the draft first
    draft = competitions.draft_round(session, competition)
    if draft is None:
        raise Refused(f"There is no rescore of {competition.slug}.")
    if seen is not None:
        rescores.refuse_unless_seen(session, competition, seen=seen, or_unfinished=not applies)
    if not applies:
        rescores.discard_rescore(session, competition)
        return "the rescore is discarded; the board stays as it is."
    now = db.now(session)
    if rescores.activate(session, draft.id, by="command line", now=now, accept_losses=True) is None:
        raise Refused(f"The rescore of {competition.slug} is not finished; wait for it, or use --discard.")
    return "the board shows the new scores."


def _print_rescore(rescore: Rescore, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(rescore) | {"digest": rescore.digest})
        return
    state = "finished" if rescore.is_finished else "not finished"
    click.echo(f"{rescore.reason}: {state}; {rescore.changed} of {len(rescore.changes)} rows change.")
    if rescore.losses:
        click.echo(f"{rescore.losses} submissions would lose their score.")
    if rescore.repeats:
        same = (
            f"{rescore.unequal} submissions differ in a repeat"
            if rescore.unequal
            else "every score is the same, bit for bit"
        )
        click.echo(f"Scored {1 + rescore.repeats} times: {same}.")
    rows = [
        {"team": change.team, "public": _place_words(change.public), "private": _place_words(change.private)}
        for change in rescore.changes
        if change.is_change
    ]
    if rows:
        print_rows(rows, as_json=False)
    click.echo(rescore.digest)


def _place_words(places: tuple[Place | None, Place | None]) -> str:
    old, new = (
        "-" if place is None else f"{place.rank or 'baseline'} ({place.score:.6g})" for place in places
    )
    return old if places[0] == places[1] else f"{old} -> {new}"
