"""`heldout competition`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from app.authoring import challenges
from app.base import db, events
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition, Visibility
from app.cli.console import pass_installation, print_json, print_rows
from app.competing import changes, cloning, competitions, exclusions, rules
from app.competing.term_words import when, word

TIME = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"])


@click.group("competition")
def competition_group() -> None:
    """Open, change, close and list competitions."""


@competition_group.command("open")
@click.argument("challenge")
@click.option("--slug", help="Name in the URL; default: the challenge's.")
@click.option("--title", help="Shown on pages; default: the challenge's.")
@click.option(
    "--visibility",
    type=click.Choice([one.value for one in Visibility]),
    help="Which accounts see it: all, those of its private link or list, those of its list, or organisers.",
)
@click.option("--opens-at", type=TIME, help="Opening time with UTC offset, e.g. 2026-12-01T09:00+01:00.")
@click.option("--closes-at", type=TIME, help="Closing time with UTC offset.")
@click.option(
    "--entry-closes-at", type=TIME, help="Until when participants may join; default: until the close."
)
@click.option(
    "--teams-close-at", type=TIME, help="Until when teams may change and merge; default: until the close."
)
@click.option("--max-team-size", type=click.IntRange(1, 1000), help="Members that a team may have.")
@click.option("--daily-limit", type=click.IntRange(1), help="Submissions of a team in a day.")
@click.option(
    "--total-limit",
    type=click.IntRange(1),
    help="Submissions of a team in the whole competition; default: no limit.",
)
@click.option(
    "--final-picks", type=click.IntRange(1), help="Submissions that a team may pick for the private board."
)
@click.option(
    "--public-score",
    type=click.Choice(["exact", "rounded", "ladder"]),
    help="How public scores are shown before the close; default: the challenge's, else rounded.",
)
@click.option(
    "--late-submissions/--no-late-submissions",
    default=None,
    help="Accept files after the end, which are scored and not ranked; default: the challenge's, else no.",
)
@pass_installation
def competition_open(
    installation: Installation,
    challenge: str,
    slug: str | None,
    title: str | None,
    visibility: str | None,
    opens_at: datetime | None,
    closes_at: datetime | None,
    entry_closes_at: datetime | None,
    teams_close_at: datetime | None,
    max_team_size: int | None,
    daily_limit: int | None,
    total_limit: int | None,
    final_picks: int | None,
    public_score: str | None,
    late_submissions: bool | None,
) -> None:
    """Open a competition of a published challenge."""
    with installation.database.begin() as session:
        now = db.now(session)
        competition = competitions.open_(
            session,
            challenges.latest(session, challenge),
            now=now,
            max_upload_bytes=installation.settings.max_upload_mb * 1_000_000,
            slug=slug,
            changes={
                "title": title,
                "visibility": visibility,
                "opens_at": opens_at,
                "closes_at": closes_at,
                "entry_closes_at": entry_closes_at,
                "teams_close_at": teams_close_at,
                "max_team_size": max_team_size,
                "daily_limit": daily_limit,
                "total_limit": total_limit,
                "final_picks": final_picks,
                "public_score": public_score,
                "late_submissions": late_submissions,
            },
        )
        events.log(
            session, "command line", "competition opened", competition.slug, now=now, challenge=challenge
        )
    click.echo(f"{competition.slug}: open at /competitions/{competition.slug}")


def _whole(name: str) -> click.IntRange:
    return click.IntRange(*changes.RANGES[name])


@competition_group.command("change")
@click.argument("slug")
@click.option("--title", help="Shown on pages.")
@click.option("--summary", help="One sentence in the list; empty: the challenge's own.")
@click.option(
    "--visibility",
    type=click.Choice([one.value for one in Visibility]),
    help="Which accounts see it: all, those of its private link or list, those of its list, or organisers.",
)
@click.option("--opens-at", type=TIME, help="Opening time with UTC offset, until it has opened.")
@click.option("--closes-at", type=TIME, help="Closing time with UTC offset, e.g. 2026-12-01T18:00+01:00.")
@click.option("--no-closes-at", is_flag=True, help="No closing date.")
@click.option(
    "--board-frozen-at", type=TIME, help="From when the board shows only earlier files, until the results."
)
@click.option("--no-board-frozen-at", is_flag=True, help="The board is not frozen.")
@click.option("--entry-closes-at", type=TIME, help="Until when participants may join, with UTC offset.")
@click.option("--no-entry-closes-at", is_flag=True, help="Participants may join until the close.")
@click.option("--teams-close-at", type=TIME, help="Until when teams may change and merge, with UTC offset.")
@click.option("--no-teams-close-at", is_flag=True, help="Teams may change and merge until the close.")
@click.option("--daily-limit", type=_whole("daily_limit"), help="Submissions of a team in a day.")
@click.option(
    "--total-limit", type=_whole("total_limit"), help="Submissions of a team in the whole competition."
)
@click.option("--no-total-limit", is_flag=True, help="No limit but the daily one.")
@click.option("--pending-limit", type=_whole("pending_limit"), help="Waiting files of a team.")
@click.option(
    "--final-picks",
    type=_whole("final_picks"),
    help="Submissions that a team may pick for the private board.",
)
@click.option("--max-team-size", type=_whole("max_team_size"), help="Members of a team.")
@click.option("--max-upload-mb", type=float, help="Largest upload, in MB.")
@click.option(
    "--public-score",
    type=click.Choice([rule.value for rule in changes.STRICTNESS]),
    help="How public scores of new files are shown; only stricter than now.",
)
@click.option(
    "--mark-agents/--no-mark-agents",
    default=None,
    help="Mark rows of the board whose file an agent has sent.",
)
@click.option(
    "--late-submissions/--no-late-submissions",
    default=None,
    help="Accept files after the end, which are scored and not ranked.",
)
@click.option("--pause/--resume", "paused", default=None, help="Refuse uploads until you resume.")
@click.option(
    "--archive/--bring-back",
    "archived",
    default=None,
    help="List it under Past; it takes no late files and questions.",
)
@click.option("--note", default="", help="Your words to the announcement of the change, in Markdown.")
@click.option("--dry-run", is_flag=True, help="Only show what would change and what participants would see.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def competition_change(
    installation: Installation, /, slug: str, note: str, dry_run: bool, as_json: bool, **terms_: Any
) -> None:
    """Change title, times, limits or rules of a competition.

    All is checked before anything is written. Publishing a challenge again does not change them.
    """
    may_be_none = [name for name in changes.MAY_BE_NONE if f"no_{name}" in terms_]
    none = [name for name in may_be_none if terms_.pop(f"no_{name}")]
    wished = {name: value for name, value in terms_.items() if value is not None}
    for name in none:
        option = name.replace("_", "-")
        if name in wished:
            raise click.UsageError(f"Give only one of --{option} and --no-{option}.")
        wished[name] = None
    if not wished:
        raise click.UsageError("Give at least one option with a new value.")
    most = installation.settings.max_upload_mb
    with installation.database.begin() as session:
        competition = competitions.by_slug(session, slug)
        competitions.lock(session, competition)
        now = db.now(session)
        if dry_run:
            found = changes.plan(session, competition, wished, now=now, most_upload_mb=most, note=note)
        else:
            found = changes.apply(
                session, competition, wished, by="command line", now=now, most_upload_mb=most, note=note
            )
    if as_json:
        print_json(
            {
                "competition": slug,
                "is_applied": not dry_run,
                "changes": [c.as_dict() for c in found.changes],
                "announcement": vars(found.announcement) if found.announcement else None,
            }
        )
        return
    for change in found.changes:
        after, before = word(change.after), word(change.before)
        if dry_run:
            noticed = f"{change.teams} team{'' if change.teams == 1 else 's'}"
            click.echo(f"{slug}: {change.name} would be {after}, is {before}. {change.effect} ({noticed})")
        else:
            click.echo(f"{slug}: {change.name} is {after}, was {before}")
    if found.announcement is not None:
        done = "would announce" if dry_run else "announced"
        click.echo(f"{slug}: {done}: {found.announcement.title}\n{found.announcement.text}")
    if not found.changes:
        click.echo(f"{slug}: nothing changes; it has these values already")


@competition_group.command("clone")
@click.argument("slug")
@click.argument("name")
@click.option("--opens-at", type=TIME, required=True, help="Opening of the clone, with UTC offset.")
@click.option("--title", default="", help="Shown on pages; default: the same.")
@click.option("--dry-run", is_flag=True, help="Only show what the clone would be.")
@pass_installation
def competition_clone(
    installation: Installation, slug: str, name: str, opens_at: datetime, title: str, dry_run: bool
) -> None:
    """Clone a competition for the next term as NAME, without teams and files.

    All dates move by as much as the opening. The clone is hidden until you change its visibility.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, slug)
        now = db.now(session)
        plan = cloning.plan(session, found, name, opens_at=opens_at, title=title, now=now)
        if not dry_run:
            cloning.clone(session, found, name, opens_at=opens_at, title=title, by="command line", now=now)
        for date, _, after in plan.dates:
            shown = "none" if after is None else when(found, after)
            click.echo(f"{name}: {date} {'would be' if dry_run else 'is'} {shown}")
    click.echo(
        f"{name}: hosts {', '.join(plan.hosts) or 'none'}; rules {'yes' if plan.has_rules else 'none'}"
    )
    for note in plan.notes:
        click.echo(f"{name}: {note}")
    if not dry_run:
        click.echo(f"{name} is hidden: heldout competition change {name} --visibility public")


@competition_group.command("rules")
@click.argument("slug")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_installation
def competition_rules(installation: Installation, slug: str, file: Path) -> None:
    """Publish the rules of a competition, a Markdown file.

    Participants accept them when they join, and a changed version before their next upload.
    """
    try:
        words = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{file} is not a text in UTF-8.") from None
    with installation.database.begin() as session:
        competition = competitions.by_slug(session, slug)
        made = rules.publish(session, competition, words, by="command line", now=db.now(session))
    click.echo(f"{slug}: version {made.number} of the rules is at /competitions/{slug}/rules")


@competition_group.command("exclude")
@click.argument("slug")
@click.argument("submission", type=int)
@click.option("--reason", required=True, help="10 to 500 characters; the team reads it.")
@pass_installation
def competition_exclude(installation: Installation, slug: str, submission: int, reason: str) -> None:
    """Take one file off the board; `heldout competition include` puts it back."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, slug)
        exclusions.take_off_file(session, found, submission, reason, by="command line", now=db.now(session))
    click.echo(f"Submission {submission} is off the board.")


@competition_group.command("include")
@click.argument("slug")
@click.argument("submission", type=int)
@click.option("--reason", required=True, help="10 to 500 characters, for the log.")
@pass_installation
def competition_include(installation: Installation, slug: str, submission: int, reason: str) -> None:
    """Let one file count again that was taken off the board."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, slug)
        exclusions.put_back_file(session, found, submission, reason, by="command line", now=db.now(session))
    click.echo(f"Submission {submission} counts again.")


@competition_group.command("close")
@click.argument("slug")
@pass_installation
def competition_close(installation: Installation, slug: str) -> None:
    """Close a competition now, for all teams.

    Extensions end, uploads that are still arriving are refused, and the private board becomes visible.
    """
    with installation.database.begin() as session:
        competition = competitions.by_slug(session, slug)
        competitions.lock(session, competition)
        now = db.now(session)
        ended = competitions.close(session, competition, by="command line", now=now)
        events.log(session, "command line", "competition closed", slug, now=now, extensions_ended=ended)
    with_them = f", with {ended} extensions" if ended else ""
    click.echo(f"{slug} is closed{with_them}; its private board is visible.")


@competition_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def competition_list(installation: Installation, as_json: bool) -> None:
    """List every competition with its phase."""
    with installation.database.read() as session:
        now = db.now(session)
        rows = [
            _competition_row(competition, teams, now) for competition, teams in competitions.listed(session)
        ]
    print_rows(rows, as_json=as_json)


def _competition_row(competition: Competition, teams: int, now: datetime) -> dict[str, Any]:
    return {
        "slug": competition.slug,
        "title": competition.title,
        "phase": str(competition.phase(now)),
        "closes_at": competition.closes_at.isoformat() if competition.closes_at else None,
        "teams": teams,
        "metric": competition.version.manifest["metric"]["name"],
    }
