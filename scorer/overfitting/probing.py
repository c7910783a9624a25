"""Judge from changes of files whether a team probes.

No labels are used.

A better model moves similar rows together: its change is smooth over rows the crowd treats alike. A probe
moves rows to read labels off the score, and its change is not smooth. The measure is Moran's I of each change
over each row's eight nearest in the space of the crowd's predictions. A team is judged by the share of its
changes that are rough or confined to few rows, never by their number, and never on fewer than ten files.

An attacker that moves groups of similar rows within a new honest change is not detected; the coarse public
score limits that (benchmarks/integrity/probing.py measures it). With hard labels honest changes are rough
too, so only whole files without structure count. The result is for the organiser only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from scorer.overfitting.views import NotComparable, is_hard, normal_scores, sample_rows
from scorer.reading.columns import FloatArray

MIN_FILES = 10
MIN_CHANGES = 7
"""With fewer changes a share means little; equal files are no change."""

MIN_TEAMS = 5
"""Other teams with files that make a crowd."""

SMOOTH = 0.1
"""Moran's I below which a change, or a file, has no structure in the crowd's space."""

LOCAL_SHARE = 0.1
"""A change is confined to few rows if its effective rows are fewer than this share of all."""

SPARSE_SHARE = 0.02
"""The same, for changes of a few rows only; reported, and part of the above."""

CODED_LOGIT = 12.0
"""Logits beyond, in fewer than a tenth of the rows, are a code or overconfidence; reported only."""

MAX_ROWS = 3000
"""Rows for Moran's I; all other statistics use every row."""

_N_NEAREST = 8
_CAP = 6.0
_COMPONENTS = 5
_GROUPS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Rows that a crowd treats alike."""

    rows: NDArray[np.intp]
    """Positions of the m rows used."""
    nearest: NDArray[np.intp]
    """Shape (m, 8): the nearest others of each, as places within `rows`."""


@dataclass(frozen=True, slots=True)
class ProbingScore:
    """Statistics of the changes between one team's files."""

    n_files: int
    n_changes: int
    """Files that differ from every earlier one, the first left out."""
    rough_share: float
    """Of changes without structure in the crowd's space; with hard labels, of files without it."""
    local_share: float
    """Of changes confined to fewer than a tenth of the rows."""
    sparse_share: float
    """Of changes confined to fewer than a fiftieth of the rows."""
    coded_share: float
    """Of files with extreme logits in fewer than a tenth of their rows."""
    effective_rows: float
    """Median over changes of (sum |d|)^2 / sum d^2, as a share of all rows."""
    hard: bool
    """Whether most files are of labels rather than of numbers in between."""
    judged: bool
    threshold: float
    """Of `rough_share` and `local_share`; it falls with the number of changes."""
    verdict: bool
    evidence: str
    advice: str


def neighbourhoods(crowd: FloatArray, *, seed: int = 0) -> list[Neighbourhood]:
    """Return, for each team, the neighbourhood made by others.

    Teams are dealt into ten groups, and a group's teams share the neighbourhood made without them: no team is
    judged in a space that it shaped, and 200 teams need only ten spaces.

    Parameters
    ----------
    crowd
        Shape (n_teams, n_rows, k): one view per team, e.g. of its best public file.

    Raises
    ------
    NotComparable
        If fewer than five other teams have files, or fewer than 50 rows are predicted.
    """
    n_teams = len(crowd)
    n_groups = min(_GROUPS, n_teams)
    group = np.random.default_rng(seed).permutation(n_teams) % max(1, n_groups)
    spaces = [neighbourhood(crowd[group != number], seed=seed) for number in range(n_groups)]
    return [spaces[number] for number in group]


def neighbourhood(crowd: FloatArray, *, seed: int = 0) -> Neighbourhood:
    """Return each row's eight nearest rows for these teams.

    In the five leading components of their ranked predictions.

    Shapes, seed and errors as of `neighbourhoods`. Ranks, so that every team weighs the same.
    """
    n_teams, n_rows, k = crowd.shape
    if n_teams < MIN_TEAMS or n_rows < 50:
        raise NotComparable(
            f"A crowd of {n_teams} teams and {n_rows} rows; probing is judged in one of {MIN_TEAMS} or "
            "more and 50 rows."
        )
    rows = sample_rows(n_rows, MAX_ROWS, seed=seed)
    points = normal_scores(np.moveaxis(crowd[:, rows], 0, 1).reshape(len(rows), n_teams * k))
    if points.shape[1] > len(rows):
        # More predictions than rows: fewer random mixtures of them keep the leading components.
        mix = np.random.default_rng(seed).normal(size=(points.shape[1], 256))
        points = points @ (mix / math.sqrt(256))
    points -= points.mean(axis=0)
    _, vectors = np.linalg.eigh(points.T @ points)
    scores = points @ vectors[:, -_COMPONENTS:]
    # A little noise separates rows on which the whole crowd agrees; otherwise their order in the file would.
    scores += np.random.default_rng(seed).normal(size=scores.shape) * (1e-6 * (scores.std() + 1e-12))
    _, nearest = cKDTree(scores).query(scores, k=_N_NEAREST + 1)
    return Neighbourhood(rows, np.asarray(nearest, dtype=np.intp)[:, 1:])


def probing(files: Sequence[FloatArray] | FloatArray, where: Neighbourhood, *, kind: str) -> ProbingScore:
    """Judge one team by the changes between its files.

    Parameters
    ----------
    files
        The team's views in order of time, each of shape (n_rows, k), all rows. Numbers standardised.
    where
        The neighbourhood other teams make of the same rows; see `neighbourhoods`.
    kind
        As given to `scorer.overfitting.views.view`.

    Returns
    -------
    ProbingScore
        Positive if the share of rough changes, or of changes confined to few rows, exceeds
        1/4 + 1 / (2 sqrt(n_changes)): .42 for 9 changes, .35 for 24. Below ten files, or seven changes,
        nothing is judged; the statistics are for information only.
    """
    views = np.asarray(files, dtype=np.float64)
    cut = np.clip(views, -_CAP, _CAP)
    pairs = _nearest_earlier(cut)
    judged = len(views) >= MIN_FILES and len(pairs) >= MIN_CHANGES
    hard = is_hard(views, kind)
    shapeless = _morans_i(cut, where) < SMOOTH
    # A constant has no structure either, and is often an honest first file.
    shapeless &= np.ptp(cut, axis=(1, 2)) > 0.0
    rough, effective = np.zeros(1, dtype=np.bool_), np.ones(1)
    if pairs:
        changes = np.array([cut[new] - cut[old] for new, old in pairs])
        effective = _effective_rows(changes)
        rough = (_morans_i(changes, where) < SMOOTH) | shapeless[[new for new, _ in pairs]]
    rough_share = float(np.mean(shapeless if hard else rough))
    local_share = float(np.mean(effective < LOCAL_SHARE))
    sparse_share = float(np.mean(effective < SPARSE_SHARE))
    extreme = np.mean(np.abs(views) > CODED_LOGIT, axis=(1, 2))
    coded = np.mean((extreme > 0.0) & (extreme < 0.1)) if kind in ("probability", "classes") else 0.0
    line = 0.25 + 0.5 / math.sqrt(max(1, len(pairs)))
    verdict = judged and (rough_share > line or (local_share > line and not hard))
    evidence = (
        _words(rough_share, local_share, sparse_share, line, len(pairs), hard=hard)
        if judged
        else f"Too few files to judge: {len(views)} files, {len(pairs)} of them new beside the first. "
        "On fewer than "
        f"{MIN_FILES} files and {MIN_CHANGES} changes an honest bug or two would look like probing."
    )
    return ProbingScore(
        n_files=len(views),
        n_changes=len(pairs),
        rough_share=rough_share,
        local_share=local_share,
        sparse_share=sparse_share,
        coded_share=float(coded),
        effective_rows=float(np.median(effective)),
        hard=hard,
        judged=judged,
        threshold=line,
        verdict=verdict,
        evidence=evidence,
        advice=_ADVICE if verdict else "Nothing to do.",
    )


_ADVICE = (
    "Look at the files in order and ask for the code that made them. Coarser public scores for this team "
    "stop most of what probing gains; bugs, hand edits and work on one segment at a time look alike."
)


def _words(rough: float, local: float, sparse: float, line: float, n_changes: int, *, hard: bool) -> str:
    if hard:
        return (
            f"The files are hard labels. {rough:.0%} of them have no structure the other teams' "
            f"predictions know (line {line:.0%}); {sparse:.0%} of {n_changes} changes touch few rows, "
            "which is usual for labels and no sign by itself."
        )
    return (
        f"Of {n_changes} changes between files, {rough:.0%} move rows without regard to which rows the other "
        f"teams treat alike and {local:.0%} are confined to less than a tenth of the rows; a better model "
        f"seldom does either. The line is {line:.0%}."
    )


# --- changes --------------------------------------------------------------------------------------------


def _nearest_earlier(views: FloatArray) -> list[tuple[int, int]]:
    """Return each new file with its nearest earlier file.

    By the sum of distances over rows.
    """
    pairs = []
    for number in range(1, len(views)):
        distances = [float(np.abs(views[number] - views[earlier]).sum()) for earlier in range(number)]
        nearest = int(np.argmin(distances))
        if distances[nearest] > 1e-9:
            pairs.append((number, nearest))
    return pairs


def _effective_rows(changes: FloatArray) -> FloatArray:
    moved = np.abs(changes).sum(axis=2)
    share: FloatArray = moved.sum(axis=1) ** 2 / (moved**2).sum(axis=1) / moved.shape[1]
    return share


def _morans_i(fields: FloatArray, where: Neighbourhood) -> FloatArray:
    """Return Moran's I of each field of shape (n_rows, k).

    Columns together; 0 for a constant field.
    """
    found = np.zeros(len(fields))
    for number, field in enumerate(fields):
        z = field[where.rows]
        z = z - z.mean(axis=0)
        total = float(np.sum(z**2))
        if total > 0.0:
            around = np.zeros_like(z)
            for column in where.nearest.T:
                around += z[column]
            found[number] = float(np.sum(z * around)) / (where.nearest.shape[1] * total)
    return found
