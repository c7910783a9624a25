"""From a table and choices to a challenge's folder, audited before it is given."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import scorer
from scorer.authoring.choices import Choices
from scorer.authoring.columns import Profile, Target
from scorer.authoring.mends import Mend, mends
from scorer.authoring.splitting import kept_rows, refuse_few, refuse_rare, split
from scorer.authoring.table import Table, Unusable
from scorer.authoring.writing import Written, write
from scorer.checkup import CheckResult

MAX_ROUNDS = 5
"""Of mending and checking again."""


@dataclass(frozen=True, slots=True)
class Built:
    choices: Choices
    written: Written
    result: CheckResult
    """Of the check."""
    mends: tuple[Mend, ...]
    """Changes of the choices that answer findings of the audit."""
    accepted: tuple[str, ...] = ()
    """Codes of blocking findings in spite of which it is made."""

    @property
    def is_made(self) -> bool:
        """Return whether the folder was written."""
        return not self.result.problems and all(f.code in self.accepted for f in self.result.blockers)


def build(
    table: Table,
    profile: Profile,
    target: Target,
    choices: Choices,
    folder: Path,
    *,
    accepted: Collection[str] = (),
    allow_weak_sandbox: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Built:
    """Make the challenge aside, check it as `challenge check` does, and put it at `folder` if it is sound.

    `accepted` has codes of blocking findings that do not stop it, and that no change answers. Raises
    Unusable where the choices do not fit the table.
    """
    refuse_occupied(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        inner = aside / (folder.name or folder.resolve().name)
        written = make(table, profile, target, choices, inner, progress=progress)
        result = scorer.check(_loaded(inner), progress=progress, allow_weak_sandbox=allow_weak_sandbox)
        changes = mends(result, choices, table.frame.names)
        built = Built(
            choices,
            replace(written, folder=folder),
            result,
            tuple(mend for mend in changes if mend.code not in accepted),
            tuple(sorted({finding.code for finding in result.blockers} & set(accepted))),
        )
        if built.is_made:
            put(inner, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return built


def make(
    table: Table,
    profile: Profile,
    target: Target,
    choices: Choices,
    folder: Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> Written:
    """Divide the rows and write the folder, without checking it; raises Unusable."""
    report = progress or (lambda _: None)
    report("dividing the rows")
    features = [name for name in table.frame.names if name not in (target.name, choices.id, *choices.drop)]
    rows = kept_rows(table.frame, [*features, target.name], target, choices)
    target = _of_rows(target, rows)
    refuse_few(len(rows))
    if not choices.without_rare:
        refuse_rare(target)
    parts = split(table.frame, profile, target, choices)
    report("writing the files")
    return write(table, profile, target, parts, choices, folder)


def _loaded(folder: Path) -> scorer.Challenge:
    """Load what was written; raise Unusable, without the lines of a file that its author never saw."""
    try:
        return scorer.load(folder)
    except scorer.InvalidChallenge as refusal:
        reasons = [re.sub(r"^Line \d+, (metric|submission): ", "", each.message) for each in refusal.problems]
        raise Unusable(f"These choices make no challenge: {' '.join(dict.fromkeys(reasons))}") from None


def build_mended(
    table: Table,
    profile: Profile,
    target: Target,
    choices: Choices,
    folder: Path,
    *,
    accepted: Collection[str] = (),
    allow_weak_sandbox: bool = False,
    progress: Callable[[str], None] | None = None,
) -> tuple[Built, tuple[Mend, ...]]:
    """Build, make every proposed change, and build again until the audit proposes no other.

    Returns what was built last and the changes made.
    """
    made: list[Mend] = []
    with tempfile.TemporaryDirectory(prefix="heldout-") as aside:
        for number in range(MAX_ROUNDS):
            built = build(
                table,
                profile,
                target,
                choices,
                Path(aside) / str(number) / (folder.name or folder.resolve().name),
                accepted=accepted,
                allow_weak_sandbox=allow_weak_sandbox,
                progress=progress,
            )
            new = [mend for mend in built.mends if mend.change not in {one.change for one in made}]
            if not new:
                break
            for mend in new:
                choices = mend.applied(choices)
            made += new
        if built.is_made:
            folder.parent.mkdir(parents=True, exist_ok=True)
            put(built.written.folder, folder)
    return replace(built, written=replace(built.written, folder=folder)), tuple(made)


def refuse_occupied(folder: Path) -> None:
    """Raise Unusable if the folder holds something: no file is ever overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Unusable(f"{folder} is not an empty folder; nothing was written. Name another with --out.")


def put(made: Path, folder: Path) -> None:
    """Move a folder to its place; into an empty one that exists, which may be the one of a shell."""
    if not folder.exists():
        shutil.move(made, folder)
        return
    for path in sorted(made.iterdir()):
        shutil.move(path, folder / path.name)


def _of_rows(target: Target, rows: NDArray[np.int64]) -> Target:
    """Return the target with these rows alone, and the classes that they have."""
    values = np.full(len(target.values), np.nan)
    values[rows] = target.values[rows]
    if target.kind == "number":
        return replace(target, values=values)
    used = np.unique(values[rows]).astype(np.int64)
    values[rows] = np.searchsorted(used, values[rows])
    classes = tuple(target.classes[code] for code in used)
    return replace(target, values=values, classes=classes, kind="binary" if len(classes) == 2 else "class")
