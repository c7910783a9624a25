"""Find teams whose predictions depend on each other.

All useful models predict much the same, so agreement alone means nothing. Two files are compared by what they
share beyond the crowd: the residuals after the crowd's median and its leading components, and those after all
other files of the board (partial correlation, which detects blends). Both are computed on values and on
ranks, since a copy may be noised, rescaled, rounded or ranked.

The strength of a pair is its excess over each file's fourth neighbour: models of one family resemble each
other, a copy resembles one file more than all others. The line comes from the board itself, whose tail of
nearest neighbours is close to exponential; teams already found are left out and the tail is measured again.

No hidden label is used. The result is for the organiser only: the crowd's consensus is as good as a good
model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.overfitting import small_boards
from scorer.overfitting.small_boards import Nearest
from scorer.overfitting.views import normal_scores
from scorer.reading.columns import FloatArray

MIN_TEAMS = 20
"""With fewer teams the board does not show what is usual, and pairs are tested one by one (see
`scorer.overfitting.small_boards`). At 20 the line is rough: 3 of the 120 honest boards of 20 on which it was
set had a false pair."""

MIN_ROWS = 50
MIN_DEVIATING_ROWS = 10.0
"""Two files that deviate from the crowd in the same three rows share three rows, not a model."""

ALPHA = 0.05
"""Target share of honest boards with any false pair, over all four statistics."""

_COMPONENTS = 5
_NEIGHBOUR = 3
"""A pair is compared with each file's fourth neighbour: rings of up to four copies are still found."""
_SUSPECT = 0.5
"""Share of the line: teams with a pair beyond it are left out when the tail is measured. Otherwise copies
just below the line would hide each other; on honest boards of 200 almost no team is beyond."""
_CAP = 6.0
"""Logits beyond are overconfidence only; uncut they dominate every correlation."""
_SAME_AS_BASELINE = 5e-3
"""Share of a file's variance. A smaller residual is mostly a rescaled baseline, which all its users share."""
_ADVICE = (
    "Compare when, from where and with which client both were sent, and ask both for code. A public "
    "notebook both used explains it too: register its file as a baseline and run this again."
)
_NAMES = ("residual", "residual_rank", "partial", "partial_rank")

Square = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two teams, by their positions in `finals`; first < second."""

    first: int
    second: int
    statistics: dict[str, float]
    """Correlations: residual, residual_rank, partial, partial_rank; on small boards share, rows, p."""
    strength: float
    """Excess of the strongest statistic over the neighbours, in units of the board's tail."""
    threshold: float
    verdict: bool
    equal: bool
    """Whether the two views are the same, value by value (to 6 decimals)."""
    evidence: str
    advice: str


@dataclass(frozen=True, slots=True)
class Copies:
    """The dependent files of a board."""

    pairs: tuple[Pair, ...]
    """Equal files first, then by falling strength; only those with a verdict."""
    judged: bool
    """Whether resemblance could be judged. If not, `pairs` holds equal files only."""
    reason: str
    """Why it could not, or which part could not; empty if all was judged."""
    threshold: float
    """In the unit of `Pair.strength`; 0 where nothing was judged."""
    on_baselines: tuple[int, ...]
    """Teams of whose file the registered baselines explain 99.5 % or more; they are in no pair."""


def copies(
    finals: FloatArray, baselines: FloatArray | None = None, *, threshold: float | None = None
) -> Copies:
    """Find pairs of files that share more than the crowd.

    Parameters
    ----------
    finals
        Shape (n_teams, n_rows, k): one view per team (see `scorer.overfitting.views`), same rows, finite.
        A sample of 20,000 rows is plenty (`views.sample_rows`); time and memory grow with n_rows x k.
    baselines
        Shape (n_baselines, n_rows, k): registered baselines and public notebooks. They are projected out
        first, so that use of a public notebook is no finding. Where one explains nine tenths of two files,
        the residuals can still resemble each other: compare such a pair by hand.
    threshold
        Instead of the board's own, in the unit of `Pair.strength`.

    Raises
    ------
    ValueError
        If the shapes do not fit or a value is not finite.
    """
    finals = np.asarray(finals)
    if finals.ndim != 3 or not np.isfinite(finals).all():
        raise ValueError("finals must be finite and of shape (n_teams, n_rows, k)")
    known = np.empty((0, *finals.shape[1:])) if baselines is None else np.asarray(baselines)
    if known.shape[1:] != finals.shape[1:] or not np.isfinite(known).all():
        raise ValueError("baselines must be finite and have the rows and columns of finals")
    n_teams, n_rows, _ = finals.shape
    on_baselines = _on_baselines(finals, known)
    equal = _equal(finals, skipped=set(on_baselines))
    if n_teams < MIN_TEAMS or n_rows < MIN_ROWS:
        return _on_small_board(finals, known, equal, on_baselines)

    correlations, usable = _correlations(finals, known, on_baselines)
    strengths, line = _strengths(correlations, usable, threshold)
    order = np.sort(strengths, axis=0)
    # A second statistic must agree: alone, one of four finds pairs by chance on small boards.
    found = (order[-1] > line) & (order[-2] > 0.3 * line)
    taken = {(pair.first, pair.second) for pair in equal}
    pairs = []
    for i, j in zip(*np.nonzero(np.triu(found, 1)), strict=True):
        first, second = int(i), int(j)
        if (first, second) not in taken:
            values = {name: float(c[first, second]) for name, c in zip(_NAMES, correlations, strict=True)}
            pairs.append(_pair(first, second, values, float(order[-1, i, j]), line))
    pairs.sort(key=lambda pair: (-pair.strength, pair.first, pair.second))
    return Copies((*equal, *pairs), True, "", line, on_baselines)


def _on_small_board(
    finals: FloatArray, known: FloatArray, equal: list[Pair], on_baselines: tuple[int, ...]
) -> Copies:
    n_teams, n_rows, _ = finals.shape
    needed = small_boards.rows_needed(n_teams)
    if n_teams < small_boards.MIN_TEAMS or n_rows < needed:
        reason = (
            f"{n_teams} teams and {n_rows} rows: resemblance can be judged from {small_boards.MIN_TEAMS} "
            f"teams and, with as many teams as here, {needed} rows on; only equal files were searched for."
        )
        return Copies(tuple(equal), False, reason, 0.0, on_baselines)
    board = small_boards.nearest_pairs(finals, known, skipped=on_baselines)
    taken = {(pair.first, pair.second) for pair in equal}
    pairs = [_nearest(pair) for pair in board.pairs if (pair.first, pair.second) not in taken]
    reason = ""
    if board.n_undecidable:
        reason = (
            f"{board.n_undecidable} of {board.n_pairs} pairs of teams: their files differ from others in "
            f"fewer than {needed} rows, too few to tell a copy from a like model."
        )
    return Copies((*equal, *pairs), board.n_undecidable < board.n_pairs, reason, 1.0, on_baselines)


def _nearest(pair: Nearest) -> Pair:
    evidence = (
        f"The two files are nearer to each other than to any other team's or baseline's in {pair.share:.0%} "
        f"or more of the rows that decide it ({pair.n_rows}); chance and like models stay below "
        f"{small_boards.NEARER:.0%} (p = {pair.p:.1g}, corrected for all pairs of the board)."
    )
    # Above 1 is beyond the line, as on large boards.
    strength = math.log(max(pair.p, 1e-300)) / math.log(small_boards.ALPHA)
    statistics = {"share": pair.share, "rows": float(pair.n_rows), "p": pair.p}
    return Pair(pair.first, pair.second, statistics, strength, 1.0, True, False, evidence, _ADVICE)


def _pair(first: int, second: int, values: dict[str, float], strength: float, line: float) -> Pair:
    best = max(values, key=lambda name: values[name])
    evidence = (
        f"Beyond what the whole board shares, the two files correlate by {values[best]:.2f} "
        f"({_words_of(best)}); that exceeds each one's other neighbours by {strength:.1f} units of the "
        f"board's own tail, and {line:.1f} is the line for a board of this size."
    )
    return Pair(first, second, values, strength, line, True, False, evidence, _ADVICE)


def _words_of(name: str) -> str:
    words = (
        "after the crowd's median and leading components" if "residual" in name else "after all other files"
    )
    return f"{words}, by ranks" if name.endswith("rank") else words


# --- equal files --------------------------------------------------------------------------------------


def _equal(finals: FloatArray, *, skipped: set[int]) -> list[Pair]:
    groups: dict[bytes, list[int]] = {}
    for team, view in enumerate(finals):
        # Adding 0.0 makes -0.0 and 0.0 the same bytes.
        groups.setdefault((np.round(view.astype(np.float64), 6) + 0.0).tobytes(), []).append(team)
    pairs = []
    for teams in groups.values():
        teams = [team for team in teams if team not in skipped]
        evidence = f"The files of {len(teams)} teams are equal in every compared row."
        advice = (
            "Equal files can be honest where a tutorial's pipeline has no chance in it, and with hard labels "
            "on few rows. It is evidence together with two or more equal files, the same hour or client."
        )
        pairs += [
            Pair(first, second, dict.fromkeys(_NAMES, 1.0), math.inf, 0.0, True, True, evidence, advice)
            for number, first in enumerate(teams)
            for second in teams[number + 1 :]
        ]
    return pairs


def _on_baselines(finals: FloatArray, baselines: FloatArray) -> tuple[int, ...]:
    """Return teams whose files the baselines explain entirely.

    In values or ranks.
    """
    if not len(baselines):
        return ()
    found = set()
    for of_teams, of_baselines in zip(_scales(finals), _scales(baselines), strict=True):
        left = np.sum(_projected(of_teams, of_baselines) ** 2, axis=1)
        found |= set(np.flatnonzero(left <= _SAME_AS_BASELINE * np.sum(of_teams**2, axis=1)).tolist())
    return tuple(sorted(found))


# --- correlations ---------------------------------------------------------------------------------------


def _correlations(
    finals: FloatArray, baselines: FloatArray, left_out: Sequence[int]
) -> tuple[list[Square], NDArray[np.bool_]]:
    """Return four (n_teams, n_teams) arrays and the usable teams.

    In the order of `_NAMES`.
    """
    n_teams = len(finals)
    usable = np.ones(n_teams, dtype=np.bool_)
    usable[list(left_out)] = False
    plain: list[Square] = []
    partial: list[Square] = []
    for of_teams, of_baselines in zip(_scales(finals), _scales(baselines), strict=True):
        rest = _projected(of_teams, of_baselines) if len(baselines) else of_teams
        # The median is fitted to each file, then every file has unit length: otherwise a file of which a
        # baseline
        # leaves a twentieth would be minus the median, and resemble all others like it.
        residual = _unit(_projected(rest, np.median(rest, axis=0)[None]))
        squares = residual**2
        deviating = squares.sum(axis=1) ** 2 / np.maximum((squares**2).sum(axis=1), 1e-300)
        usable &= deviating >= MIN_DEVIATING_ROWS
        del squares
        plain.append(_correlation(_without_components(residual, min(_COMPONENTS, n_teams // 12))))
        partial.append(_partial(rest))
    return [*plain, *partial], usable


def _scales(views: FloatArray) -> Iterator[FloatArray]:
    """Yield the views as centred rows of n_rows * k values.

    Cut values first, then the normal scores of their ranks.
    """
    width = views.shape[1] * views.shape[2]
    cut = np.clip(views, -_CAP, _CAP).astype(np.float64)
    yield (cut - cut.mean(axis=1, keepdims=True)).reshape(len(views), width)
    ranked = np.array([normal_scores(view) for view in views]).reshape(views.shape)
    yield (ranked - ranked.mean(axis=1, keepdims=True)).reshape(len(views), width)


def _projected(rows: FloatArray, known: FloatArray) -> FloatArray:
    """Return the residuals of a least-squares fit on known rows."""
    _, singular, basis = np.linalg.svd(known, full_matrices=False)
    basis = basis[singular > 1e-9 * max(1e-300, float(singular.max(initial=0.0)))]
    left: FloatArray = rows - (rows @ basis.T) @ basis
    return left


def _without_components(rows: FloatArray, n_components: int) -> FloatArray:
    # By the small side's Gram matrix: 200 teams x 20,000 rows need no full SVD.
    _, vectors = np.linalg.eigh(rows @ rows.T)
    leading = vectors[:, vectors.shape[1] - n_components :]
    left: FloatArray = rows - leading @ (leading.T @ rows)
    return left


def _correlation(rows: FloatArray) -> Square:
    unit = _unit(rows)
    product: Square = unit @ unit.T
    return product


def _unit(rows: FloatArray) -> FloatArray:
    lengths = np.sqrt(np.sum(rows**2, axis=1, keepdims=True))
    unit: FloatArray = rows / np.where(lengths > 1e-9, lengths, np.inf)
    return unit


def _partial(rows: FloatArray) -> Square:
    """Return correlations of two rows given all others.

    The ridge grows as data rows become few.
    """
    n_teams, width = rows.shape
    ridge = 0.003 * max(1.0, 4.0 * n_teams / width)
    precision = np.linalg.inv(_correlation(rows) + ridge * np.eye(n_teams))
    scale = np.sqrt(np.diag(precision))
    found: Square = -precision / np.outer(scale, scale)
    return found


# --- how far is too far ---------------------------------------------------------------------------------


def _strengths(
    correlations: Sequence[Square], usable: NDArray[np.bool_], threshold: float | None
) -> tuple[NDArray[np.float64], float]:
    """Return the excess of each pair and the line.

    By statistic, in units of its tail, shape (4, n_teams, n_teams).
    """
    n_teams = int(usable.sum())
    both = np.outer(usable, usable) & ~np.eye(len(usable), dtype=np.bool_)
    line = threshold if threshold is not None else _line(n_teams, len(correlations))
    if n_teams < MIN_TEAMS:
        return np.full((len(correlations), *both.shape), -np.inf), line
    excesses = [_excess(correlation, both) for correlation in correlations]
    kept = usable.copy()
    while True:
        strengths = np.array([_in_tail_units(excess, kept) for excess in excesses])
        found = (strengths.max(axis=0) > _SUSPECT * line).any(axis=1)
        fewer = usable & ~found
        # Never judge by less than half of the board; the set only shrinks, so this ends.
        if (fewer & kept).sum() == kept.sum() or (fewer & kept).sum() * 2 < n_teams:
            return strengths, line
        kept &= fewer


def _line(n_teams: int, n_statistics: int) -> float:
    """Return the line that chance passes in ALPHA of boards.

    Of an exponential tail of n_teams nearest neighbours.

    The factor allows for a slightly heavier tail, measured on few teams: 1.5 at 200 teams, 2 at 60,
    3.3 at 20. It was set on honest boards of three data sets (see benchmarks/integrity/copies.py).
    """
    return math.log(n_statistics * max(2, n_teams) / (2.0 * ALPHA)) * (1.3 + 40.0 / max(1, n_teams))


def _excess(correlation: Square, both: NDArray[np.bool_]) -> Square:
    z = np.where(both, np.arctanh(np.clip(correlation, -0.999999, 0.999999)), -10.0)
    neighbour = np.sort(z, axis=1)[:, -1 - _NEIGHBOUR]
    above: Square = np.where(both, z - np.maximum(neighbour[:, None], neighbour[None, :]), -np.inf)
    return above


def _in_tail_units(excess: Square, kept: NDArray[np.bool_]) -> Square:
    """Scale excesses to units of the nearest neighbours' tail.

    Their median is zero; the unit is the mean of an exponential through their upper quartile.
    """
    best = excess[kept].max(axis=1)
    middle, upper = np.quantile(best, (0.5, 0.75))
    unit = max((upper - middle) / math.log(2.0), 0.02)
    scaled: Square = (excess - middle) / unit
    return scaled
