"""`heldout challenge import` and `export`: the formats of other platforms, and published versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import scorer
from app.authoring import challenges
from app.base import config
from app.base.errors import Refused
from app.base.installation import Installation
from app.cli.challenges import check_folder, print_findings
from app.cli.console import err, out, pass_installation, print_json, print_problems
from scorer.wording import printable

if TYPE_CHECKING:
    from scorer.importing.account import Account
    from scorer.importing.assembling import Imported


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="The folder to write. Default: the slug."
)
@click.option(
    "--sample", type=click.Path(path_type=Path), help="A sample submission, where the bundle has none."
)
@click.option(
    "--public",
    "public_share",
    type=click.FloatRange(0.01, 0.95),
    default=0.3,
    show_default=True,
    help="Share of the rows for the public board, where the bundle does not divide them.",
)
@click.option("--metric", metavar="NAME", help="A metric of ours instead of the bundle's.")
@click.option("--better", type=click.Choice(["higher", "lower"]), help="The metric's direction.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def challenge_import(
    path: Path,
    folder: Path | None,
    sample: Path | None,
    public_share: float,
    metric: str | None,
    better: str | None,
    as_json: bool,
) -> int:
    """Make a challenge of another platform's bundle.

    PATH is a folder or a zip. Prints the format, and what was taken, guessed, is missing or cannot be taken.
    The bundle's own code runs in the sandbox alone.
    """
    from scorer.importing.account import CannotImport
    from scorer.importing.foreign import Wishes
    from scorer.importing.importing import import_challenge
    from scorer.metrics import METRICS

    if metric is not None and metric not in METRICS:
        raise Refused(f'There is no metric "{metric}"; docs/reference/metrics.md lists all.')
    greater_is_better = None if better is None else better == "higher"
    wishes = Wishes(sample, public_share, metric, greater_is_better)
    weak = config.load().allow_weak_sandbox
    try:
        with err.status("") as status:
            imported = import_challenge(
                path,
                folder,
                wishes,
                allow_weak_sandbox=weak,
                progress=status.update if err.is_terminal else None,
            )
    except CannotImport as reason:
        return _refused(reason, as_json=as_json)
    result = check_folder(imported.folder)
    if as_json:
        print_json(_as_dict(imported, result))
        return 0 if result.ok else 2
    _print_account(imported.account)
    out.print(f"metric     {imported.metric}", markup=False)
    scores = imported.scores
    out.print(f"sample     public {scores['public']:.10g}, private {scores['private']:.10g}", markup=False)
    print_findings([finding for finding in result.findings if finding.severity != "info"])
    out.print(f"Wrote {imported.folder}. Next: heldout challenge check {imported.folder}", markup=False)
    if not result.ok:
        print_problems(result.problems)
        err.print("The folder was written; the check finds what must be mended first.", markup=False)
        return 2
    return 0


@click.command("export")
@click.argument("challenge", metavar="CHALLENGE")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["folder", "kaggle", "codabench", "croissant", "frictionless"]),
    default="folder",
    show_default=True,
    help="The folder as it was published, or another platform's form.",
)
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path),
    help="The folder to write. Default: the challenge's name, and the form if it is another platform's.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def challenge_export(
    installation: Installation, challenge: str, kind: str, target: Path | None, as_json: bool
) -> int:
    """Write a published challenge as its folder, or any challenge in the form of another platform.

    CHALLENGE is a folder, or the name of a published challenge: iris for its newest version, iris@2 for the
    second. The folder of a version has the same files, byte by byte, as the one that was published. It,
    Kaggle's and Codabench's form hold the solution. Croissant and frictionless (Table Schema) describe
    the public files alone.
    """
    from scorer.importing.account import CannotImport
    from scorer.importing.exporting import export

    folder = Path(challenge)
    name = folder.resolve().name
    digest = None
    if not folder.is_dir():
        with installation.database.read() as session:
            version = challenges.named(session, challenge)
            name, digest = version.challenge.slug, version.digest
        folder = installation.vault.home(digest)
    target = target or Path(name if kind == "folder" else f"{name}-{kind}")
    left: list[str] = []
    try:
        if kind != "folder":
            left = export(folder, kind, target)
        elif digest is None:
            raise Refused(
                f"{folder} is a folder already. Give the name of a published challenge, "
                "or choose a form with --format."
            )
        else:
            installation.vault.copy_out(digest, target)
    except CannotImport as reason:
        raise Refused(str(reason)) from None
    if as_json:
        print_json({"folder": str(target), "format": kind, "digest": digest, "left": left})
        return 0
    for sentence in left:
        out.print(f"left       {printable(sentence)}", markup=False)
    if kind in ("folder", "kaggle", "codabench"):
        out.print("It holds the solution: keep it private.", markup=False)
    out.print(f"Wrote {target}.", markup=False)
    return 0


def _as_dict(imported: Imported, result: scorer.CheckResult) -> dict[str, Any]:
    return {
        **imported.account.as_dict(),
        "folder": str(imported.folder),
        "metric": {"name": imported.metric, "own": imported.is_own},
        "sample_scores": dict(imported.scores),
        "problems": [problem.as_dict() for problem in result.problems],
        "findings": [finding.as_dict() for finding in result.findings],
    }


def _refused(reason: Any, *, as_json: bool) -> int:
    account: Account | None = reason.account
    if as_json:
        known = {"recognised": None} if account is None else account.as_dict()
        print_json({**known, "folder": None, "error": str(reason)})
        return 2
    if account is not None:
        _print_account(account)
    if account is None or not account.asked:
        err.print(f"heldout: {printable(str(reason))}", markup=False)
    err.print("Nothing was written.", markup=False)
    return 2


def _print_account(account: Account) -> None:
    out.print(f"recognised {account.format}: {printable(account.because)}", markup=False)
    for word, sentences in (
        ("taken", account.taken),
        ("guessed", account.guessed),
        ("left", account.cannot),
        ("missing", account.asked),
    ):
        for sentence in sentences:
            out.print(f"{word:10} {printable(sentence)}", markup=False)
