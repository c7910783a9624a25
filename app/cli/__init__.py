"""`heldout`: the operator's and organiser's command.

Exit codes: 0 ok, 1 our fault, 2 the input is wrong (all problems listed), 3 quota or closed, 4 not signed in.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy.orm import Session

import scorer
from app import demo, migrations
from app.authoring import challenges, publishing
from app.base import config, db, events, logs, storage
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition, Submission
from app.competing import competitions, extensions, receipts, submissions
from app.competing.competitions import Place, Rescore
from app.integrity import cases, inspections
from app.integrity.cases import Action
from app.integrity.inspections import Kind
from app.operating import audit_log, backup, doctor, serve, verification
from app.people import accounts, first_organiser

# Into a pipe nothing is cut to the width of a screen that is not there.
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1000)
err = Console(stderr=True, soft_wrap=True, highlight=False)


pass_installation = click.make_pass_decorator(Installation)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="heldout")
@click.pass_context
def cli(context: click.Context) -> None:
    """Self-hosted competitions with hidden labels. `heldout demo` shows everything on this machine."""
    if context.resilient_parsing:
        return
    context.obj = Installation(config.load())


def main() -> None:
    """Run a command; every refusal is one clear block on stderr and the exit code it deserves."""
    try:
        code = cli.main(standalone_mode=False)
    except Refused as refusal:
        err.print(f"heldout: {refusal.message}", markup=False)
        sys.exit(refusal.exit_code)
    except (scorer.InvalidChallenge, scorer.InvalidSubmission) as refusal:
        _print_problems(refusal.problems)
        sys.exit(2)
    except scorer.HeldoutError as failure:  # an own metric that fails, a sandbox that cannot be had
        err.print(str(failure), markup=False)
        if log := getattr(failure, "log", ""):
            err.print(log, markup=False)
        sys.exit(1)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _print_problems(problems: Sequence[scorer.Problem]) -> None:
    for problem in problems:
        place = ":".join(
            str(p) for p in (problem.file, problem.line if problem.file else None) if p is not None
        )
        err.print(f"{place + ': ' if place else ''}{problem.message}  [{problem.code}]", markup=False)
    err.print(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}.", markup=False)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


# -- running -----------------------------------------------------------------------------------


@cli.command("serve")
@click.option("--port", type=int, help="Port of the web server.")
@click.option("--host", help="Address to listen on.")
@click.option("--workers", type=int, help="How many scoring workers to run.")
@pass_installation
def serve_command(installation: Installation, port: int | None, host: str | None, workers: int | None) -> int:
    """Everything on one machine, supervised: web, workers, sweeper and an embedded Valkey."""
    given = {"port": port, "host": host, "workers": workers}
    settings = replace(installation.settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # each value has its own field's type
    logs.begin(settings.log_level, settings.log_format)

    def ready(address: str) -> None:
        click.echo(f"Heldout is ready on {address}")
        with Database(settings.database, pooled=False).read() as session:
            invitation = first_organiser.invitation(session, config.secret_key(settings), address)
        if invitation:
            click.echo(invitation)

    return serve.Supervisor(settings).run(ready)


@cli.command("demo")
@click.option(
    "--port", type=int, help="Port of the web server (default: the setting; a free one with --once)."
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the demo keeps its data."
)
@click.option(
    "--once", is_flag=True, help="Prove it: submit a sample over HTTP, wait, print the board, stop, exit 0."
)
@pass_installation
def demo_command(installation: Installation, port: int | None, data_dir: Path | None, once: bool) -> int:
    """Start everything with three real challenges whose baselines are scored before your eyes."""
    return demo.run(installation.settings, port=port, data_dir=data_dir, once=once, console=out)


def _become(module: str) -> None:
    """Replace this process: a worker's memory is its own, and signals reach it directly."""
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606  no shell is wanted


@cli.command("web")
def web_command() -> None:
    """Only the web server (for scaling out; `serve` runs everything)."""
    _become("app.web")


@cli.command("worker")
def worker_command() -> None:
    """Only a scoring worker."""
    _become("worker")


@cli.command("sweep")
def sweep_command() -> None:
    """Only the sweeper, which announces unfinished work again."""
    _become("worker.sweeper")


@cli.command("config")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def config_command(installation: Installation, as_json: bool) -> None:
    """Every setting with its value, default and meaning. Set it as HELDOUT_NAME or in heldout.toml."""
    rows = [
        {
            "name": f"HELDOUT_{f.name.upper()}",
            "value": "(set)"
            if f.metadata["secret"] and getattr(installation.settings, f.name)
            else str(getattr(installation.settings, f.name)),
            "default": str(f.default),
            "help": f.metadata["help"],
        }
        for f in fields(Settings)
    ]
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']} = {row['value']!r}\n    {row['help']} Default: {row['default']!r}.")


@cli.group("db")
def db_group() -> None:
    """The database."""


@db_group.command("upgrade")
@pass_installation
def db_upgrade(installation: Installation) -> None:
    """Bring the schema to this program's version."""
    config.prepare_data_dir(installation.settings)
    migrations.upgrade(Database(installation.settings.database))
    click.echo("The database is up to date.")


# -- people ------------------------------------------------------------------------------------


@cli.group("user")
def user_group() -> None:
    """Accounts."""


@user_group.command("add")
@click.argument("name")
@click.option("--organiser", is_flag=True, help="May author challenges and run competitions.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@pass_installation
def user_add(installation: Installation, name: str, organiser: bool, password_stdin: bool) -> None:
    """Add a user; asks for a password, or reads it from standard input."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    hashed = accounts.hash_password(password)
    with installation.database.begin() as session:
        now = db.now(session)
        user = accounts.register(session, name, hashed, now=now, is_organiser=organiser)
        events.log(session, "command line", "user added", user.name, now=now, organiser=organiser)
    click.echo(f"Added {user.name}{' as an organiser' if organiser else ''}.")


@cli.command("token")
@click.argument("name")
@click.option("--label", default="command line", help="What the token is for, shown on the account page.")
@pass_installation
def token_command(installation: Installation, name: str, label: str) -> None:
    """Make an API token for a user; it is the last line printed, and shown only this once."""
    with installation.database.begin() as session:
        user = accounts.by_name(session, name)
        token = accounts.issue_token(session, user.id, label, now=db.now(session))
    click.echo(f"API token of {user.name}; it cannot be shown again:", err=True)
    click.echo(token)


# -- challenges --------------------------------------------------------------------------------


@cli.group("challenge")
def challenge_group() -> None:
    """Authoring: a folder with data, hidden labels, a metric and examples."""


@challenge_group.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--title", help="Shown as the competition's name.")
def challenge_new(folder: Path, title: str | None) -> None:
    """Write a small challenge that already checks green, to be changed into yours."""
    scorer.scaffold(folder, title=title)
    click.echo(f"Wrote {folder}. Next: heldout challenge check {folder}")


@challenge_group.command("check")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help='Print {"problems": [...], "findings": [...]}.')
def challenge_check(folder: Path, as_json: bool) -> int:
    """Score every example, run the self-test, list every problem with its file and line."""
    result = _check(folder, quiet=as_json)
    if as_json:
        _print_json(
            {
                "problems": [p.as_dict() for p in result.problems],
                "findings": [f.as_dict() for f in result.findings],
            }
        )
        return 0 if result.ok else 2
    for notice in result.notices:
        out.print(f"note: {notice.message}", markup=False)
    if result.problems:
        _print_problems(result.problems)
        return 2
    for line in result.outcomes:
        out.print(f"ok: {line}", markup=False)
    _print_findings(result.findings)
    if result.blockers:
        count = len(result.blockers)
        err.print(
            f"{count} finding{'s' if count != 1 else ''} would give the answers away. Mend them, or publish with "
            '--override CODE="why it is right".',
            markup=False,
        )
        return 2
    out.print(f"{folder} is a sound challenge.", markup=False)
    return 0


def _print_findings(findings: Sequence[scorer.Finding]) -> None:
    for finding in findings:
        out.print(
            f"{finding.severity}: {finding.code} ({finding.scope})",
            markup=False,
            style=_STYLES[finding.severity],
        )
        out.print(f"    {finding.evidence}\n    {finding.advice}", markup=False)


_STYLES = {"block": "bold red", "warn": "yellow", "info": "dim"}


def _check(folder: Path, *, quiet: bool) -> scorer.CheckResult:
    try:
        challenge = scorer.load(folder)
    except scorer.InvalidChallenge as refusal:
        return scorer.CheckResult(problems=refusal.problems)
    weak = config.load().allow_weak_sandbox
    if quiet or not err.is_terminal:
        return scorer.check(challenge, allow_weak_sandbox=weak)
    with err.status("") as status:
        return scorer.check(challenge, progress=lambda step: status.update(step), allow_weak_sandbox=weak)


@challenge_group.command("publish")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--rescore", is_flag=True, help="Score all submissions anew if the solution or the metric changed."
)
@click.option(
    "--auto-apply", is_flag=True, help="Let the rescore change the board by itself once it is done."
)
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="CODE=REASON",
    help="Publish although the check CODE blocks; the reason stays in the log. May be repeated.",
)
@click.option("--no-open", is_flag=True, help="Only publish the version; open no competition of it.")
@click.option("--no-baselines", is_flag=True, help="Do not run and post the baselines.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def challenge_publish(
    installation: Installation,
    folder: Path,
    rescore: bool,
    auto_apply: bool,
    overrides: Sequence[str],
    no_open: bool,
    no_baselines: bool,
    as_json: bool,
) -> int:
    """Check the folder, make an immutable version of it, and open a competition unless there is one."""
    installation.database.ping()  # refuse a wrong database before the work of checking
    reasons = dict(_override(text) for text in overrides)
    result = _check(folder, quiet=as_json)
    if result.problems:
        _print_problems(result.problems)
        return 2
    challenge = scorer.load(folder)
    published = publishing.publish(
        installation,
        challenge,
        actor="command line",
        checked=result,
        overrides=reasons,
        rescore=rescore,
        auto_apply=auto_apply,
        open_competition=not no_open,
    )
    posted = []
    if not (no_baselines or no_open):
        with Progress(console=err, transient=True, disable=as_json or not err.is_terminal) as progress:
            bar = progress.add_task("Running baselines", total=len(challenge.baselines))
            posted = publishing.post_baselines(
                installation, challenge, published.competitions, done=lambda _name: progress.advance(bar)
            )
    if as_json:
        _print_json({**asdict(published), "baselines": posted})
        return 0
    new = "" if published.is_new else " (already published)"
    click.echo(f"{published.slug} version {published.version}, digest {published.digest[:12]}{new}")
    for slug in published.rescoring:
        then = "it changes when all are done" if auto_apply else f"then look: heldout rescore {slug} --diff"
        click.echo(
            f"{slug}: rescoring aside; its board stays as it is until every submission is scored anew, {then}."
        )
    for slug in published.competitions:
        click.echo(f"{slug}: open at /competitions/{slug}; {len(posted)} baselines posted")
    return 0


def _override(text: str) -> tuple[str, str]:
    code, separator, reason = text.partition("=")
    if not separator:
        raise click.BadParameter(f'"{text}" is not CODE=REASON', param_hint="--override")
    return code.strip(), reason.strip()


@challenge_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def challenge_list(installation: Installation, as_json: bool) -> None:
    """Published challenges and their newest versions."""
    with installation.database.read() as session:
        rows = [
            {
                "slug": v.challenge.slug,
                "title": v.manifest["title"],
                "version": v.number,
                "metric": v.manifest["metric"]["name"],
                "digest": v.digest,
            }
            for v in challenges.listed(session)
        ]
    _print_rows(rows, as_json=as_json)


def _print_rows(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    if not rows:
        click.echo("There are none yet.")
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    out.print(table)


# -- competitions ------------------------------------------------------------------------------


@cli.group("competition")
def competition_group() -> None:
    """Runs of a challenge."""


@competition_group.command("open")
@click.argument("challenge")
@click.option("--slug", help="Name in the address; default: the challenge's.")
@click.option("--title")
@click.option(
    "--opens-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]),
    help="With offset, e.g. 2026-12-01T09:00+01:00.",
)
@click.option(
    "--closes-at", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]), help="With offset."
)
@click.option("--daily-limit", type=click.IntRange(1))
@click.option("--total-limit", type=click.IntRange(1), help="Of a team over the whole run; default: none.")
@click.option("--final-picks", type=click.IntRange(1))
@click.option(
    "--public-score",
    type=click.Choice(["exact", "rounded", "ladder"]),
    help="How public scores are shown before the close; default: the challenge's, else rounded.",
)
@pass_installation
def competition_open(
    installation: Installation,
    challenge: str,
    slug: str | None,
    title: str | None,
    opens_at: datetime | None,
    closes_at: datetime | None,
    daily_limit: int | None,
    total_limit: int | None,
    final_picks: int | None,
    public_score: str | None,
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
                "opens_at": opens_at,
                "closes_at": closes_at,
                "daily_limit": daily_limit,
                "total_limit": total_limit,
                "final_picks": final_picks,
                "public_score": public_score,
            },
        )
        events.log(
            session, "command line", "competition opened", competition.slug, now=now, challenge=challenge
        )
    click.echo(f"{competition.slug}: open at /competitions/{competition.slug}")


@competition_group.command("close")
@click.argument("slug")
@pass_installation
def competition_close(installation: Installation, slug: str) -> None:
    """Close a competition now for everybody, uploads on their way and extensions included; its private board
    becomes visible."""
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
    """Every competition with its state."""
    with installation.database.read() as session:
        now = db.now(session)
        rows = [
            _competition_row(competition, teams, now) for competition, teams in competitions.listed(session)
        ]
    _print_rows(rows, as_json=as_json)


def _competition_row(competition: Competition, teams: int, now: datetime) -> dict[str, Any]:
    return {
        "slug": competition.slug,
        "title": competition.title,
        "phase": str(competition.phase(now)),
        "closes_at": competition.closes_at.isoformat() if competition.closes_at else None,
        "teams": teams,
        "metric": competition.version.manifest["metric"]["name"],
    }


@cli.command("rescore")
@click.argument("competition")
@click.option(
    "--repeat", "repeats", default=0, help="Score everything so many times more, to show that scores repeat."
)
@click.option("--auto-apply", is_flag=True, help="Change the board without a look, once all are done.")
@click.option("--diff", "show", is_flag=True, help="What the rescore at work would change on the board.")
@click.option(
    "--apply",
    "take",
    is_flag=True,
    help="Put the finished rescore in the board's place, losses included; needs --seen.",
)
@click.option("--discard", is_flag=True, help="Give up the rescore at work; the board stays as it is.")
@click.option(
    "--seen",
    metavar="DIGEST",
    help="With --apply or --discard: what --diff printed last; refused if the rescore has changed since.",
)
@click.option("--json", "as_json", is_flag=True, help="With --diff: machine-readable.")
@pass_installation
def rescore_command(
    installation: Installation,
    competition: str,
    repeats: int,
    auto_apply: bool,
    show: bool,
    take: bool,
    discard: bool,
    seen: str | None,
    as_json: bool,
) -> None:
    """Score every submission anew, aside; the old board stands until you have seen the changes and apply them."""
    if show + take + discard + bool(repeats or auto_apply) > 1:
        raise click.UsageError("--diff, --apply, --discard and beginning one exclude each other.")
    if take and seen is None:
        raise click.UsageError(
            "--apply needs --seen DIGEST, the last line of --diff: what you have not seen is not applied."
        )
    if seen is not None and not (take or discard):
        raise click.UsageError("--seen goes with --apply or --discard.")
    if show:
        with installation.database.read() as session:
            rescore = competitions.rescore_of(session, competitions.by_slug(session, competition))
        _print_rescore(_begun(rescore, competition), as_json=as_json)
        return
    with installation.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, competition)
        if take or discard:
            words = _end_rescore(session, found, take=take, seen=seen)
            action = "rescore applied" if take else "rescore discarded"
        else:
            count = competitions.begin_rescore(
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
            words = f"{count} submissions will be scored anew{f', {1 + repeats} times' if repeats else ''}; {then}."
            action = "rescore begun"
        events.log(session, "command line", action, competition, now=now)
    click.echo(f"{competition}: {words}")


def _begun(rescore: Rescore | None, competition: str) -> Rescore:
    if rescore is None:
        raise Refused(f"No rescore of {competition} is at work.")
    return rescore


def _end_rescore(session: Session, competition: Competition, *, take: bool, seen: str | None) -> str:
    competitions.lock(session, competition)  # or the draft may be another's by the time that it is ended
    draft = competitions.draft_round(session, competition)
    if draft is None:
        raise Refused(f"No rescore of {competition.slug} is at work.")
    if seen is not None:
        competitions.refuse_unless_seen(session, competition, seen=seen, or_at_work=not take)
    if not take:
        competitions.discard_rescore(session, competition)
        return "the rescore is given up; the board stays as it is."
    if competitions.activate(session, draft.id, accept_losses=True) is None:
        raise Refused(f"The rescore of {competition.slug} is not finished; wait for it, or use --discard.")
    return "the board shows the new scores."


def _print_rescore(rescore: Rescore, *, as_json: bool) -> None:
    if as_json:
        _print_json(asdict(rescore) | {"digest": rescore.digest})
        return
    state = "finished" if rescore.is_finished else "still at work"
    click.echo(f"{rescore.reason}: {state}; {rescore.changed} of {len(rescore.changes)} rows change.")
    if rescore.losses:
        click.echo(f"{rescore.losses} submissions would lose their score.")
    if rescore.repeats:
        same = (
            f"{rescore.unequal} submissions came out otherwise"
            if rescore.unequal
            else "every score came out the same, bit for bit"
        )
        click.echo(f"Scored {1 + rescore.repeats} times: {same}.")
    rows = [
        {"team": change.team, "public": _moved(change.public), "private": _moved(change.private)}
        for change in rescore.changes
        if change.is_change
    ]
    if rows:
        _print_rows(rows, as_json=False)
    click.echo(rescore.digest)


def _moved(places: tuple[Place | None, Place | None]) -> str:
    old, new = (
        "-" if place is None else f"{place.rank or 'baseline'} ({place.score:.6g})" for place in places
    )
    return old if places[0] == places[1] else f"{old} -> {new}"


# -- extensions --------------------------------------------------------------------------------


@cli.group("extension")
def extension_group() -> None:
    """What one team is granted beyond the rules: a later close, more uploads; always with a reason."""


@extension_group.command("grant")
@click.argument("competition")
@click.argument("team")
@click.option(
    "--closes-at", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]), help="With offset."
)
@click.option("--daily-extra", type=click.IntRange(0), default=0, help="Uploads a day on top of the limit.")
@click.option("--total-extra", type=click.IntRange(0), default=0, help="Uploads in all on top of the limit.")
@click.option("--reason", required=True, help="Why; it stays in the log.")
@pass_installation
def extension_grant(
    installation: Installation,
    competition: str,
    team: str,
    closes_at: datetime | None,
    daily_extra: int,
    total_extra: int,
    reason: str,
) -> None:
    """Grant a team more. Private scores stay hidden from everybody until its own close."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        competitions.lock(session, found)  # and the clock after it: somebody may just have closed it
        granted = extensions.grant(
            session,
            found,
            team,
            closes_at=closes_at,
            daily_extra=daily_extra,
            total_extra=total_extra,
            reason=reason,
            by="command line",
            now=db.now(session),
        )
        number = granted.id
    click.echo(f"{competition}: extension {number} for {team}.")


@extension_group.command("revoke")
@click.argument("competition")
@click.argument("number", type=int)
@pass_installation
def extension_revoke(installation: Installation, competition: str, number: int) -> None:
    """Take a grant back; what was sent under it stays."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        extensions.revoke(session, found, number, by="command line", now=db.now(session))
    click.echo(f"{competition}: extension {number} is revoked.")


@extension_group.command("list")
@click.argument("competition")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def extension_list(installation: Installation, competition: str, as_json: bool) -> None:
    """Every grant, the newest first."""
    with installation.database.read() as session:
        rows = [
            {
                "id": e.id,
                "team": team,
                "closes_at": e.closes_at.isoformat() if e.closes_at else None,
                "daily_extra": e.daily_extra,
                "total_extra": e.total_extra,
                "reason": e.reason,
                "by": e.granted_by,
                "revoked": e.revoked_at is not None,
            }
            for e, team in extensions.listed(session, competitions.by_slug(session, competition))
        ]
    _print_rows(rows, as_json=as_json)


# -- proving -----------------------------------------------------------------------------------


@cli.command("verify")
@click.argument("submission", type=int)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def verify_command(installation: Installation, submission: int, as_json: bool) -> int:
    """Score a stored submission again and compare bit for bit; needs the vault. Exit 1 if anything differs."""
    proven = verification.verify(installation, submission)
    if as_json:
        _print_json({**asdict(proven), "is_equal": proven.is_equal})
        return 0 if proven.is_equal else 1
    for name, value in proven.again.items():
        click.echo(f"{name} {value!r}")
    for difference in proven.differences:
        click.echo(f"differs: {difference}")
    made = ", ".join(f"{name} {value}" for name, value in proven.provenance.items() if name in _TOLD)
    click.echo(
        f"Submission {submission} {'is the same, bit for bit' if proven.is_equal else 'DIFFERS'}. {made}".strip()
    )
    return 0 if proven.is_equal else 1


_TOLD = (
    "metric",
    "metric_version",
    "python",
    "numpy",
    "pandas",
    "heldout",
    "worker",
    "isolation",
    "metric_isolation",
)


@cli.group("receipt")
def receipt_group() -> None:
    """The signed line that everybody holds who has sent a file."""


@receipt_group.command("key")
@pass_installation
def receipt_key(installation: Installation) -> None:
    """Print the public key of this installation's receipts; publish it, and anybody can check one."""
    click.echo(receipts.Signer(config.secret_key(installation.settings)).public_key)


@receipt_group.command("verify")
@click.argument("text", nargs=-1, required=True)
@click.option("--key", help="Only check the signature, with this public key; needs no installation.")
@pass_installation
def receipt_verify(installation: Installation, text: Sequence[str], key: str | None) -> int:
    """Whether a receipt is this installation's, and what became of the submission. Exit 1 if rows say otherwise."""
    ours = receipts.Signer(config.secret_key(installation.settings)).public_key if key is None else key
    facts = receipts.read(" ".join(text), ours)
    click.echo(f"The signature fits: submission {facts.submission_id} of {facts.competition}.")
    if key is not None:
        return 0
    with installation.database.read() as session:
        words, is_kept = _became(session, facts)
    click.echo(words)
    return 0 if is_kept else 1


def _became(session: Session, facts: receipts.Facts) -> tuple[str, bool]:
    """What became of what was received, in words; False if it is not there as it was received."""
    row = session.get(Submission, facts.submission_id)
    if row is None:
        return (
            "There is NO such submission any more: its row was removed, or an older backup restored.",
            False,
        )
    competition = session.get_one(Competition, row.competition_id)
    now = receipts.Facts(competition.slug, row.id, row.team_id, row.sha256, row.size_bytes, row.received_at)
    if now != facts:
        return f"The row was CHANGED since. Today it would be: {now}", False
    [status] = submissions.statuses(
        session, competition, now=db.now(session), submission_id=row.id, for_organiser=True
    )
    words = f"Received from {status.team} at {facts.received_at.isoformat()}; {status.state}"
    if status.public_exact is not None:
        words += f", public {status.public_exact!r}, private {status.private!r}"
    return f"{words}; it {'counts' if row.is_charged else 'does not count'} against the quota.", True


@cli.group("audit")
def audit_group() -> None:
    """The sealed log of what happened."""


@audit_group.command("verify")
@click.option("--head", help="A hash noted earlier; it must be in the chain.")
@pass_installation
def audit_verify(installation: Installation, head: str | None) -> int:
    """Walk the chain, and hold submissions and scores against it. Exit 1 if anything was changed."""
    with installation.database.read() as session:
        verdict = audit_log.verify(session)
        is_known = head is None or audit_log.knows(session, head)
    for fault in verdict.faults:
        click.echo(fault.words)
    if not is_known:
        click.echo(f"The chain does not hold {head}: what was sealed then was rewritten.")
    state = "whole" if not verdict.faults and is_known else "BROKEN"
    older = {"submissions": verdict.submissions_before, "scores": verdict.before}
    if any(older.values()):
        what = " and ".join(f"{count} {name}" for name, count in older.items() if count)
        click.echo(f"{what} are from before the log, which tells only whether they changed since.")
    click.echo(f"{verdict.sealed} events sealed, {verdict.unsealed} not yet; the log is {state}.")
    click.echo(verdict.head)
    return 0 if state == "whole" else 1


@cli.command("doctor")
@click.option("--all", "everything", is_flag=True, help="Recompute every score, not 1 % of them.")
@click.option("--no-scores", is_flag=True, help="Recompute none: on a machine without the vault.")
@click.option("--seed", type=int, default=None, help="Which scores are drawn; default: others each time.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def doctor_command(
    installation: Installation, everything: bool, no_scores: bool, seed: int | None, as_json: bool
) -> int:
    """Whether every promise holds: nothing stuck, quotas, files, board, log, scores. Exit 1 if one does not."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    with installation.database.read() as session:
        checks = doctor.look(session, now=db.now(session))
        files = list(doctor.blobs(session))
        digests = doctor.versions(session)
        drawn = (
            []
            if no_scores
            else doctor.sample(session, seed=seed, share=1.0 if everything else doctor.SHARE_PROVEN)
        )
    checks.append(doctor.files(installation.storage, files))
    if not no_scores:
        checks.append(doctor.solutions(installation.vault, digests))
        checks.append(_recomputed(installation, drawn))
    if as_json:
        _print_json([asdict(check) for check in checks])
    for check in [] if as_json else checks:
        out.print(f"{'ok  ' if check.is_ok else 'BAD '} {check.name}: {check.words}", markup=False)
        if not check.is_ok:
            out.print(f"     {check.advice}", markup=False)
    return 0 if all(check.is_ok for check in checks) else 1


def _recomputed(installation: Installation, drawn: Sequence[int]) -> doctor.Check:
    wrong = []
    for submission in drawn:
        try:
            wrong += [
                f"submission {submission}: {what}"
                for what in verification.verify(installation, submission).differences
            ]
        except (Refused, scorer.HeldoutError) as unable:
            wrong.append(f"submission {submission} cannot be scored again: {unable}")
    return doctor.scores(len(drawn), wrong)


# -- integrity ---------------------------------------------------------------------------------


@cli.group("integrity")
def integrity_group() -> None:
    """Scans of a competition's submissions, the cases they raise, and the report at the close."""


@integrity_group.command("scan")
@click.argument("competition")
@pass_installation
def integrity_scan(installation: Installation, competition: str) -> None:
    """Have a worker look now for probing, copies and scores too good to be true (else once a day)."""
    _ask(installation, competition, Kind.SCAN)


@integrity_group.command("report")
@click.argument("competition")
@click.option("--make", is_flag=True, help="Have a worker make it anew.")
@pass_installation
def integrity_report(installation: Installation, competition: str, make: bool) -> None:
    """Print the newest report as JSON, with the organiser's part; it is made by itself after the close."""
    if make:
        _ask(installation, competition, Kind.REPORT)
        return
    with installation.database.read() as session:
        found = competitions.by_slug(session, competition)
        report = inspections.report(session, found, for_organiser=True, now=db.now(session))
        _print_json(report.result)


def _ask(installation: Installation, slug: str, kind: Kind) -> None:
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
    """The review queue: what the scans saw, open cases first."""
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
    _print_rows(rows, as_json=as_json)


@integrity_group.command("act")
@click.argument("competition")
@click.argument("case_id", type=int)
@click.argument("action", type=click.Choice([action.value for action in Action]))
@click.option("--reason", required=True, help="Why; it stays in the log.")
@click.option("--team", "team_name", help="Which of a pair; default: the first.")
@pass_installation
def integrity_act(
    installation: Installation,
    competition: str,
    case_id: int,
    action: str,
    reason: str,
    team_name: str | None,
) -> None:
    """Dismiss a case, note something, coarsen a team's feedback, disqualify it, or undo that."""
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


# -- scoring offline ---------------------------------------------------------------------------


@cli.command("score")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help='Print {"public":, "private":} or {"problems": [...]}.')
def score_command(folder: Path, file: Path, as_json: bool) -> int:
    """Score a file against a challenge folder, with the same code as the worker."""
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    try:
        report = scorer.score(scorer.load(folder), file, allow_weak_sandbox=config.load().allow_weak_sandbox)
    except (scorer.InvalidSubmission, scorer.InvalidChallenge) as refusal:
        if not as_json:
            raise
        _print_json({"problems": [p.as_dict() for p in refusal.problems], "total": refusal.total})
        return 2
    if as_json:
        also = {name: dict(values) for name, values in report.also.items()}
        notices = [notice.as_dict() for notice in report.notices]
        _print_json({"public": report.public, "private": report.private, "also": also, "notices": notices})
        return 0
    for notice in report.notices:
        err.print(f"note: {notice.message}", markup=False)
    click.echo(f"public {report.public!r}\nprivate {report.private!r}")
    for name, values in report.also.items():
        click.echo(f"{name}: public {values['public']!r} private {values['private']!r}")
    return 0


# -- keeping -----------------------------------------------------------------------------------


@cli.group("storage")
def storage_group() -> None:
    """Uploads and public files."""


@storage_group.command("gc")
@click.option("--dry-run", is_flag=True, help="Only list them.")
@pass_installation
def storage_gc(installation: Installation, dry_run: bool) -> None:
    """Remove files that no row names and that are older than a day."""
    with installation.database.read() as session:
        orphans = storage.unreferenced(session, installation.storage, now=db.now(session))
    removed = 0
    for orphan in orphans:
        if not dry_run:
            # A transaction for each: uploads wait while it lasts, however long storage takes.
            with installation.database.begin(pauses=True) as session:
                if not storage.remove_orphan(session, installation.storage, orphan, now=db.now(session)):
                    continue
        removed += 1
        click.echo(f"{orphan.sha256} {orphan.size_bytes} bytes")
    click.echo(f"{removed} files {'would be ' if dry_run else ''}removed.")


@cli.group("vault")
def vault_group() -> None:
    """Published versions with their hidden solutions."""


@vault_group.command("put")
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@pass_installation
def vault_put(installation: Installation, folders: Sequence[Path]) -> None:
    """Put versions back that the vault lacks, from the folders that were published or out of another vault."""
    with installation.database.read() as session:
        published = set(doctor.versions(session))
    strangers = []
    for folder in folders:
        challenge = scorer.load(folder)
        if challenge.digest not in published:
            strangers.append(str(folder))
            continue
        installation.vault.put(challenge)
        click.echo(f"{folder}: version {challenge.digest[:12]} is in {installation.vault}.")
    if strangers:
        raise Refused(
            f"No published version: {', '.join(strangers)}. Such a folder was changed since, or never published: "
            "`heldout challenge publish` makes a version of one."
        )


@cli.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--solutions",
    type=click.Choice(["exclude", "include", "encrypted"]),
    default="exclude",
    help="The hidden solutions: left out, in plain sight, or only with a passphrase.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Encrypt the whole archive, with the secret key in it.",
)
@pass_installation
def backup_command(
    installation: Installation, file: Path, solutions: str, passphrase_file: Path | None
) -> None:
    """Write one archive of rows and files; the installation may be at work meanwhile."""
    if solutions == "encrypted" and passphrase_file is None:
        raise click.UsageError("--solutions encrypted needs --passphrase-file.")
    summary = backup.write(
        installation.settings,
        installation.database,
        installation.storage,
        file,
        with_solutions=solutions != "exclude",
        passphrase=_passphrase(passphrase_file),
    )
    _print_summary(file, summary)


@cli.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="An empty or new data folder; default: the setting.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Of an encrypted archive.",
)
@pass_installation
def restore_command(
    installation: Installation, file: Path, into: Path | None, passphrase_file: Path | None
) -> None:
    """Bring a backup back into an empty installation, whichever its database is."""
    settings = installation.settings
    if into is not None:
        if into.exists() and any(into.iterdir()):
            raise Refused(f"The folder {into} is not empty; restore into a new one.")
        settings = replace(settings, data_dir=into)
    _print_summary(file, backup.restore(settings, file, passphrase=_passphrase(passphrase_file)))


def _passphrase(file: Path | None) -> str | None:
    return None if file is None else file.read_text(encoding="utf-8").strip()


def _print_summary(file: Path, summary: backup.Summary) -> None:
    for name, count in sorted(summary.rows.items()):
        click.echo(f"{name}: {count} rows, sha256 {summary.checksums[name]}")
    click.echo(f"{file}: {summary.files} files, {summary.solutions} solutions.")
