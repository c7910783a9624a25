"""Files on which a foreign metric and ours are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scorer.importing.forms import Columns
from scorer.reading.cells import NUMBER

_SEED = 17
MIX = "a mix of it and the truth"


def probes(
    truth: Columns, sample: Columns, id_column: str, names: Sequence[str]
) -> list[tuple[str, Columns]]:
    """Return named submissions: the sample, and others that differ from it in every way that they can.

    In these, half of the rows hold the truth, or numbers of the sample's range that follow the truth. The
    last ones hold the ends of that range and numbers beyond it, where metrics clip: a metric may refuse them.
    """
    n_rows = len(sample[id_column])
    found = [("the sample submission", sample)]
    random = np.random.default_rng(_SEED)
    place = {key: row for row, key in enumerate(truth[id_column])}
    rows = [place.get(key, -1) for key in sample[id_column]]
    if min(rows, default=-1) < 0 or len(place) != len(truth[id_column]):
        return found
    known = [name for name in names if name in truth]
    if len(known) == len(names):
        half = random.permutation(n_rows) % 2 == 0
        mixed = {
            name: [
                truth[name][row] if take and truth[name][row] else cell
                for take, row, cell in zip(half, rows, sample[name], strict=True)
            ]
            for name in names
        }
        found.append((MIX, {id_column: sample[id_column], **mixed}))
    elif (classes := _classes(truth, id_column, names)) is not None:
        half = random.permutation(n_rows) % 2 == 0
        certain = {
            name: [
                ("1.0" if classes[row] == name else "0.0") if take else cell
                for take, row, cell in zip(half, rows, sample[name], strict=True)
            ]
            for name in names
        }
        found.append((MIX, {id_column: sample[id_column], **certain}))
    if all(_are_numbers(sample[name]) for name in names):
        drawn = _drawn(truth, sample, rows, names, random)
        found.append(("numbers between", {id_column: sample[id_column], **drawn}))
        for kind, cells in _extremes(truth, drawn, sample, names, random):
            found.append((kind, {id_column: sample[id_column], **cells}))
    elif len(known) == len(names):
        shuffled = {name: [truth[name][row] for row in random.permutation(rows)] for name in names}
        if all(all(cells) for cells in shuffled.values()):
            found.append(("the truth in another order", {id_column: sample[id_column], **shuffled}))
    return found


def _classes(truth: Columns, id_column: str, names: Sequence[str]) -> Sequence[str] | None:
    """Return the true class of each row where the predicted columns are the classes of one true column."""
    others = [name for name in truth if name != id_column]
    if len(others) != 1 or not set(truth[others[0]]) <= set(names):
        return None
    return truth[others[0]]


def _drawn(
    truth: Columns, sample: Columns, rows: Sequence[int], names: Sequence[str], random: np.random.Generator
) -> Columns:
    """Return numbers of the kind that the sample holds: whole ones, shares, rows that sum to one, or any."""
    given = np.array([[float(cell) for cell in sample[name]] for name in names])
    whole = all("." not in cell and "e" not in cell.lower() for name in names for cell in sample[name])
    if whole and all(name in truth and all(truth[name]) for name in names):
        drawn = {}
        for name in names:
            pool = np.array([truth[name][row] for row in rows])
            drawn[name] = pool[random.permutation(len(pool))].tolist()
        return drawn
    if len(names) > 1 and np.allclose(given.sum(axis=0), 1, atol=1e-6):
        shares = random.dirichlet(np.ones(len(names)), size=given.shape[1])
        return {name: [repr(float(x)) for x in shares[:, i]] for i, name in enumerate(names)}
    if given.min() >= 0 and given.max() <= 1:
        return {name: [repr(float(x)) for x in random.uniform(0.01, 0.99, len(rows))] for name in names}
    drawn = {}
    for name, cells in zip(names, given, strict=True):
        around = cells
        if name in truth and _are_numbers(truth[name]):
            around = np.array([float(truth[name][row]) for row in rows])
        scale = float(np.std(around)) or 1.0
        moved = np.abs(around + random.normal(0, scale, len(rows)))
        drawn[name] = [repr(float(x)) for x in moved]
    return drawn


def _extremes(
    truth: Columns, drawn: Columns, sample: Columns, names: Sequence[str], random: np.random.Generator
) -> list[tuple[str, Columns]]:
    """Return files of certain probabilities and of numbers below zero; none where numbers are classes."""
    cells = [cell for name in names for cell in (*sample[name], *truth.get(name, []))]
    if not any("." in cell or "e" in cell.lower() for cell in cells):
        return []
    n_rows = len(sample[names[0]])
    chosen = random.integers(max(2, len(names)), size=n_rows)
    certain = {name: np.where(chosen == place, "1.0", "0.0").tolist() for place, name in enumerate(names)}
    below = {
        name: [repr(-float(cell)) if row % 3 == 0 else cell for row, cell in enumerate(drawn[name])]
        for name in names
    }
    return [("zeros and ones", certain), ("numbers below zero", below)]


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(NUMBER.fullmatch(cell) for cell in cells)
