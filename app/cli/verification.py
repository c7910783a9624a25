"""`heldout verify`, `receipt`, `audit` and `doctor`: check what is stored."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict

import click
from sqlalchemy.orm import Session

import scorer
from app.base import config, db
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition, Submission
from app.cli.console import out, pass_installation, print_json
from app.competing import receipts, submissions
from app.operating import audit_log, doctor, verification

_PROVENANCE_SHOWN = (
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


@click.command("verify")
@click.argument("submission", type=int)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def verify_command(installation: Installation, submission: int, as_json: bool) -> int:
    """Score a stored submission again and compare bit for bit; needs the vault. Exit 1 if anything differs."""
    proven = verification.verify(installation, submission)
    if as_json:
        print_json({**asdict(proven), "is_equal": proven.is_equal})
        return 0 if proven.is_equal else 1
    for name, value in proven.again.items():
        click.echo(f"{name} {value!r}")
    for difference in proven.differences:
        click.echo(f"differs: {difference}")
    made = ", ".join(
        f"{name} {value}" for name, value in proven.provenance.items() if name in _PROVENANCE_SHOWN
    )
    click.echo(
        f"Submission {submission} {'is the same, bit for bit' if proven.is_equal else 'DIFFERS'}. {made}".strip()
    )
    return 0 if proven.is_equal else 1


@click.group("receipt")
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


@click.group("audit")
def audit_group() -> None:
    """The sealed log of what happened."""


@audit_group.command("verify")
@click.option("--head", help="A hash noted earlier; it must be in the chain.")
@pass_installation
def audit_verify(installation: Installation, head: str | None) -> int:
    """Walk the chain, and hold submissions and scores against it. Exit 1 if anything was changed."""
    with installation.database.read() as session:
        verdict = audit_log.verify(session)
        is_known = head is None or audit_log.contains(session, head)
    for fault in verdict.faults:
        click.echo(fault.words)
    if not is_known:
        click.echo(f"The chain does not hold {head}: what was sealed then was rewritten.")
    state = "whole" if not verdict.faults and is_known else "BROKEN"
    older = {"submissions": verdict.submissions_before, "scores": verdict.before}
    if any(older.values()):
        what = " and ".join(f"{count} {name}" for name, count in older.items() if count)
        click.echo(f"{what} are from before the log, which tells only whether they changed since.")
    click.echo(f"{verdict.chained} events sealed, {verdict.unchained} not yet; the log is {state}.")
    click.echo(verdict.head)
    return 0 if state == "whole" else 1


@click.command("doctor")
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
        checks = doctor.check_database(session, now=db.now(session))
        files = list(doctor.blobs(session))
        digests = doctor.versions(session)
        drawn = (
            []
            if no_scores
            else doctor.sample(session, seed=seed, share=1.0 if everything else doctor.SHARE_RECOMPUTED)
        )
    checks.append(doctor.files(installation.storage, files))
    if not no_scores:
        checks.append(doctor.solutions(installation.vault, digests))
        checks.append(_recomputed(installation, drawn))
    if as_json:
        print_json([asdict(check) for check in checks])
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
