"""Teams of a close report: their files, read and scored again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scorer.challenges.challenge import Challenge
from scorer.overfitting.diagnosis import Reading
from scorer.report import HeldoutError
from scorer.resampling.engines import Prepared, prepare
from scorer.resampling.resampling import read
from scorer.resampling.units import Aligned, NotResampled, Units, value
from scorer.scoring import score

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BoardFile:
    """One file of a team on the board."""

    team_id: str
    name: str
    source: Path | bytes
    is_public_best: bool
    """Whether the team's public rank comes from this file."""
    is_final: bool
    """Whether it may count for the private board; the better private score does."""
    train: Reading | None = None
    """Value and standard error of the team's train file, if any; the same for all of its files."""
    oof: Reading | None = None
    scores: tuple[float, float] | None = None
    """Stored public and private scores, which the file must have again."""


@dataclass(frozen=True, slots=True, eq=False)
class Team:
    team_id: str
    name: str
    public: float
    private: float
    """Of the final file."""
    public_file_private: float
    """The private value of the file that made the public rank."""
    final: BoardFile
    prepared: tuple[Prepared, Prepared] | None
    """Of the file shown on the public board, and of the final one; None where nothing is resampled."""
    train: Reading | None
    oof: Reading | None


def read_teams(
    files: Sequence[Sequence[BoardFile]], read_team: Callable[[Sequence[BoardFile]], Team], notices: list[str]
) -> list[Team]:
    """Return the teams whose files can be read again.

    One unreadable file must not stop the report.
    """
    found = []
    for own in files:
        try:
            found.append(read_team(own))
        except NotResampled:
            raise
        except (HeldoutError, OSError, MemoryError) as unable:
            log.error("team %s is left out of the report: %s", own[0].team_id, unable)
            notices.append(f"A file of {own[0].name} could not be read again, so this team is left out.")
    return found


def by_team(files: Sequence[BoardFile]) -> list[list[BoardFile]]:
    found: dict[str, list[BoardFile]] = {}
    for file in files:
        found.setdefault(file.team_id, []).append(file)
    return [
        own
        for own in found.values()
        if any(file.is_public_best for file in own) and any(file.is_final for file in own)
    ]


def read_team(
    challenge: Challenge, files: Sequence[BoardFile], what: Units, *, first_order: bool, greater: bool
) -> Team:
    solution = challenge.solution
    shown = next(file for file in files if file.is_public_best)
    shown_aligned = read(challenge, shown.source, scores=shown.scores)
    shown_private = value(solution, shown_aligned, solution.private)
    best: tuple[float, BoardFile, Aligned] | None = None
    for file in files:
        if not file.is_final:
            continue
        aligned = shown_aligned if file is shown else read(challenge, file.source, scores=file.scores)
        private = shown_private if file is shown else value(solution, aligned, solution.private)
        if best is None or (private > best[0] if greater else private < best[0]):
            best = (private, file, aligned)
    assert best is not None
    private, final, final_aligned = best
    prepared = prepare(solution, shown_aligned, what, first_order=first_order)
    finals = prepared
    if final is not shown:
        finals = prepare(solution, final_aligned, what, first_order=first_order)
    return Team(
        shown.team_id,
        shown.name,
        value(solution, shown_aligned, solution.public),
        private,
        shown_private,
        final,
        (prepared, finals),
        *_train_readings(files),
    )


def _train_readings(files: Sequence[BoardFile]) -> tuple[Reading | None, Reading | None]:
    train = next((file.train for file in files if file.train is not None), None)
    return train, next((file.oof for file in files if file.oof is not None), None)


def score_team(challenge: Challenge, files: Sequence[BoardFile], *, greater: bool) -> Team:
    shown = next(file for file in files if file.is_public_best)
    reports = {id(file): score(challenge, file.source) for file in files if file is shown or file.is_final}
    better = max if greater else min
    final = better((file for file in files if file.is_final), key=lambda file: reports[id(file)].private)
    report = reports[id(shown)]
    return Team(
        shown.team_id,
        shown.name,
        report.public,
        reports[id(final)].private,
        report.private,
        final,
        None,
        *_train_readings(files),
    )
