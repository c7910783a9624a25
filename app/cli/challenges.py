"""`heldout challenge` and `heldout score`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.progress import Progress

import scorer
from app.authoring import baselines, challenges, publishing
from app.base import config
from app.base.errors import Refused
from app.base.installation import Installation
from app.cli.console import err, out, pass_installation, print_json, print_problems, print_rows


@click.group("challenge")
def challenge_group() -> None:
    """Make, check and publish challenges.

    A challenge is a folder with data, hidden labels, a metric and examples.
    """


@challenge_group.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--title", help="Title of the challenge and its competitions.")
def challenge_new(folder: Path, title: str | None) -> None:
    """Write a small, correct challenge to start from."""
    scorer.scaffold(folder, title=title)
    click.echo(f"Wrote {folder}. Next: heldout challenge check {folder}")


@challenge_group.command("check")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help='Print {"problems": [...], "findings": [...]}.')
def challenge_check(folder: Path, as_json: bool) -> int:
    """Check a challenge and list every problem with file and line.

    Scores every example, runs the self-test and the data audit.
    """
    result = check_folder(folder)
    if as_json:
        print_json(
            {
                "problems": [p.as_dict() for p in result.problems],
                "findings": [f.as_dict() for f in result.findings],
            }
        )
        return 0 if result.ok else 2
    for notice in result.notices:
        out.print(f"note: {notice.message}", markup=False)
    if result.problems:
        print_problems(result.problems)
        return 2
    for line in result.outcomes:
        out.print(f"ok: {line}", markup=False)
    print_findings(result.findings)
    if result.blockers:
        count = sum(finding.code != scorer.NOT_CHECKED for finding in result.blockers)
        words = (
            f"{count} finding{'s' if count != 1 else ''} would reveal the labels."
            if count
            else "The labels could not be checked."
        )
        err.print(
            f'{words} Correct the data, or publish with --override CODE="why it is right".', markup=False
        )
        return 2
    out.print(f"{folder} is a sound challenge.", markup=False)
    return 0


_STYLES = {"block": "bold red", "warn": "yellow", "info": "dim"}


def print_findings(findings: Sequence[scorer.Finding]) -> None:
    for finding in findings:
        out.print(
            f"{finding.severity}: {finding.code} ({finding.scope})",
            markup=False,
            style=_STYLES[finding.severity],
        )
        out.print(f"    {finding.evidence}\n    {finding.advice}", markup=False)


def check_folder(folder: Path) -> scorer.CheckResult:
    """Check a folder, with progress on stderr where that is a terminal."""
    try:
        challenge = scorer.load(folder)
    except scorer.InvalidChallenge as refusal:
        return scorer.CheckResult(problems=refusal.problems)
    weak = config.load().allow_weak_sandbox
    if not err.is_terminal:
        return scorer.check(challenge, allow_weak_sandbox=weak)
    with err.status("") as status:
        return scorer.check(challenge, progress=lambda step: status.update(step), allow_weak_sandbox=weak)


@challenge_group.command("publish")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--rescore", is_flag=True, help="Score all submissions again if the solution or the metric changed."
)
@click.option("--auto-apply", is_flag=True, help="Apply the rescore when it is finished, without a review.")
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="CODE=REASON",
    help="Publish although the finding CODE blocks; the reason is kept in the log. May be repeated.",
)
@click.option("--no-open", is_flag=True, help="Publish the version without opening a competition.")
@click.option("--no-baselines", is_flag=True, help="Do not run and submit the baselines.")
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
    """Check a challenge and publish it as an immutable version.

    Opens a competition unless the challenge already has one.
    """
    installation.database.ping()  # refuse a wrong database before the long check
    reasons = override_reasons(overrides)
    result = check_folder(folder)
    if result.problems:
        print_problems(result.problems)
        return 2
    challenge = scorer.load(folder)
    runs_baselines = not (no_baselines or no_open)
    if runs_baselines:
        baselines.refuse_unless_runnable(challenge, installation.settings)
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
    if runs_baselines:
        with Progress(console=err, transient=True, disable=as_json or not err.is_terminal) as progress:
            bar = progress.add_task("Running baselines", total=len(challenge.baselines))
            posted = publishing.post_baselines(
                installation, challenge, published.competitions, done=lambda _name: progress.advance(bar)
            )
    if as_json:
        print_json({**asdict(published), "baselines": posted})
        return 0
    new = "" if published.is_new else " (already published)"
    click.echo(f"{published.slug} version {published.version}, digest {published.digest[:12]}{new}")
    for slug in published.rescoring:
        then = "then it changes" if auto_apply else f"then see: heldout rescore {slug} --diff"
        click.echo(
            f"{slug}: rescoring; its board stays as it is until every submission is scored again, {then}."
        )
    for slug in published.waiting:
        click.echo(f"{slug}: a rescore under this version waits already; see: heldout rescore {slug} --diff.")
    for slug, sentences in published.kept.items():
        for sentence in sentences:
            click.echo(f"{slug}: {sentence}")
    for slug in published.competitions:
        click.echo(f"{slug}: open at /competitions/{slug}; {len(posted)} baselines posted")
    return 0


def override_reasons(texts: Sequence[str]) -> dict[str, str]:
    """Return the reasons of `--override CODE=REASON` by code."""
    reasons = {}
    for text in texts:
        code, separator, reason = text.partition("=")
        if not separator:
            raise click.BadParameter(f'"{text}" is not CODE=REASON', param_hint="--override")
        reasons[code.strip()] = reason.strip()
    return reasons


@challenge_group.command("refresh")
@pass_installation
def challenge_refresh(installation: Installation) -> None:
    """Compute limits and forms of older versions by this program's rules.

    From their stored files; their scores stay. `heldout serve` does so at its start.
    """
    for words in publishing.refresh_forms(installation):
        click.echo(words)
    click.echo("Every other version follows this program's rules.")


@challenge_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def challenge_list(installation: Installation, as_json: bool) -> None:
    """List published challenges with their newest versions."""
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
    print_rows(rows, as_json=as_json)


@click.command("score")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help='Print {"public":, "private":} or {"problems": [...]}.')
def score_command(folder: Path, file: Path, as_json: bool) -> int:
    """Score a file against a challenge folder.

    Uses the same code as the worker. A truth that no file could equal, such as printed lists, is refused.
    """
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    try:
        challenge = scorer.load(folder)
        if problems := scorer.truth_problems(challenge):
            raise scorer.InvalidChallenge(problems)
        report = scorer.score(challenge, file, allow_weak_sandbox=config.load().allow_weak_sandbox)
    except (scorer.InvalidSubmission, scorer.InvalidChallenge) as refusal:
        if not as_json:
            raise
        print_json({"problems": [p.as_dict() for p in refusal.problems], "total": refusal.total})
        return 2
    if as_json:
        also = {name: dict(values) for name, values in report.also.items()}
        notices = [notice.as_dict() for notice in report.notices]
        print_json({"public": report.public, "private": report.private, "also": also, "notices": notices})
        return 0
    for notice in report.notices:
        err.print(f"note: {notice.message}", markup=False)
    click.echo(f"public {report.public!r}\nprivate {report.private!r}")
    for name, values in report.also.items():
        click.echo(f"{name}: public {values['public']!r} private {values['private']!r}")
    return 0
