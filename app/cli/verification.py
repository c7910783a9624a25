"""`heldout verify`, `receipt`, `audit` and `doctor`: check what is stored."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict

import click
from sqlalchemy.orm import Session

import scorer
from app.base import config, db, form_rules
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition, Submission
from app.cli.console import out, pass_installation, print_json
from app.competing import receipts, statuses
from app.operating import audit_log, doctor, verification
from app.sharing import certificates
from app.sharing.certificates import Certificate

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
    """Score a stored submission again and compare bit for bit.

    Needs the vault. Exits with 1 if anything differs.
    """
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
    verdict = "is the same, bit for bit" if proven.is_equal else "DIFFERS"
    click.echo(f"Submission {submission} {verdict}. {made}".strip())
    return 0 if proven.is_equal else 1


@click.group("receipt")
def receipt_group() -> None:
    """Check the signed receipts of submissions."""


@receipt_group.command("key")
@pass_installation
def receipt_key(installation: Installation) -> None:
    """Print the public key of this installation's receipts.

    Publish it, so that participants can check a receipt with any Heldout.
    """
    click.echo(receipts.Signer(config.secret_key(installation.settings)).public_key)


@receipt_group.command("verify")
@click.argument("text", nargs=-1, required=True)
@click.option("--key", help="Check only the signature, with this public key; needs no installation.")
@pass_installation
def receipt_verify(installation: Installation, text: Sequence[str], key: str | None) -> int:
    """Check a receipt or a certificate and print the submission's or the team's state.

    Exits with 1 if the stored submission differs from the receipt, or the final board from the certificate.
    """
    ours = receipts.Signer(config.secret_key(installation.settings)).public_key if key is None else key
    if text[0].startswith(certificates.KIND):
        return _certificate(
            installation, certificates.read(" ".join(text), ours), is_only_signature=key is not None
        )
    facts = receipts.read(" ".join(text), ours)
    click.echo(f"The signature fits: submission {facts.submission_id} of {facts.competition}.")
    if key is not None:
        return 0
    with installation.database.read() as session:
        words, is_kept = _state_of(session, facts)
    click.echo(words)
    return 0 if is_kept else 1


def _certificate(installation: Installation, stated: Certificate, *, is_only_signature: bool) -> int:
    """Print what a certificate states, and compare it with the final board."""
    click.echo(
        f"The signature fits: {stated.holder}, team {stated.team}, rank {stated.rank} of {stated.teams} "
        f"in {stated.competition}."
    )
    if is_only_signature:
        return 0
    with installation.database.read() as session:
        found = certificates.check(session, stated, now=db.now(session))
    if found.is_same:
        click.echo("The final board says the same.")
        return 0
    now = "the team has no rank" if found.rank is None else f"the team has rank {found.rank}"
    click.echo(f"The final board has CHANGED since: {now} today.")
    return 1


def _state_of(session: Session, facts: receipts.Facts) -> tuple[str, bool]:
    """Describe a receipt's submission; False if missing or changed."""
    row = session.get(Submission, facts.submission_id)
    if row is None:
        return (
            "This submission does NOT exist: its row was removed, or an older backup was restored.",
            False,
        )
    competition = session.get_one(Competition, row.competition_id)
    now = receipts.Facts(
        competition.slug, row.id, row.sent_by_team_id, row.sha256, row.size_bytes, row.received_at
    )
    if now != facts:
        return f"The row was CHANGED since. Today it would be: {now}", False
    [status] = statuses.statuses(
        session, competition, now=db.now(session), submission_id=row.id, for_organiser=True
    )
    words = f"Received from {status.team} at {facts.received_at.isoformat()}; {status.state}"
    if status.public_exact is not None:
        words += f", public {status.public_exact!r}, private {status.private!r}"
    return f"{words}; it {'counts' if row.is_charged else 'does not count'} against the quota.", True


@click.group("audit")
def audit_group() -> None:
    """Check the audit log."""


@audit_group.command("verify")
@click.option("--head", help="A hash noted earlier, which must be in the chain.")
@pass_installation
def audit_verify(installation: Installation, head: str | None) -> int:
    """Check the hash chain, and submissions and scores against it.

    Exits with 1 if anything was changed.
    """
    with installation.database.read() as session:
        verdict = audit_log.verify(session)
        is_known = head is None or audit_log.contains(session, head)
    for fault in verdict.faults:
        click.echo(fault.words)
    if not is_known:
        click.echo(f"{head} is not in the chain: the log was rewritten since.")
    state = "whole" if not verdict.faults and is_known else "BROKEN"
    older = {"submissions": verdict.submissions_before, "scores": verdict.before}
    if any(older.values()):
        what = " and ".join(f"{count} {name}" for name, count in older.items() if count)
        click.echo(f"{what} are older than the log, which shows only whether they changed since.")
    click.echo(f"{verdict.chained} events chained, {verdict.unchained} not yet; the log is {state}.")
    click.echo(verdict.head)
    return 0 if state == "whole" else 1


@click.command("doctor")
@click.option("--all", "everything", is_flag=True, help="Recompute every score instead of 1 % of them.")
@click.option("--no-scores", is_flag=True, help="Recompute no score, on a machine without the vault.")
@click.option("--seed", type=int, default=None, help="Seed of the sample of scores; default: random.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def doctor_command(
    installation: Installation, everything: bool, no_scores: bool, seed: int | None, as_json: bool
) -> int:
    """Check the installation: evaluations, quotas, files, board, log, scores.

    Exits with 1 if a check fails.
    """
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    with installation.database.read() as session:
        checks = doctor.check_database(session, now=db.now(session))
        files = list(doctor.blobs(session))
        digests = doctor.versions(session)
        older = [f"{v.challenge.slug} version {v.number}" for v in form_rules.older_versions(session)]
        drawn = (
            []
            if no_scores
            else doctor.sample(session, seed=seed, share=1.0 if everything else doctor.SHARE_RECOMPUTED)
        )
    checks.append(doctor.modes(installation.settings))
    checks.append(doctor.files(installation.storage, files))
    if not no_scores:
        checks.append(doctor.solutions(installation.vault, digests))
        checks.append(doctor.forms(older))
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
