"""Folds of the training rows, published with a challenge.

They make out-of-fold predictions of all teams comparable, and are split as the challenge was.

Fold 0 is for training only; folds 1, 2, ... are each predicted by models that did not see them. In a
sequential split fold k is predicted from the folds before it (an expanding window); in any other split from
all other folds. The shuffle is seeded by the ids, so nothing secret decides.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorer.challenges.challenge import MAX_SOLUTION_BYTES, Challenge
from scorer.challenges.definition import TRAIN_FILE
from scorer.challenges.solution import FILE as SOLUTION_FILE
from scorer.challenges.solution import USAGE_COLUMN, Solution
from scorer.challenges.solution_reader import prepare
from scorer.challenges.spellings import with_spellings
from scorer.reading.cells import NUMBER
from scorer.reading.columns import Labels
from scorer.reading.forms import composed
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import Table, is_blank, open_table
from scorer.report import HeldoutError, InvalidChallenge
from scorer.wording import ID_JOINT

N_FOLDS = 5
"""That are predicted."""

_STRATA = 10
"""Quantile bins of a number, for a stratified split."""

FoldArray = NDArray[np.int8]


class CannotScoreTrain(HeldoutError):
    """The training table cannot be read as a solution.

    The text is a sentence with the reason.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Of each training row the fold it is in."""

    id_columns: tuple[str, ...]
    ids: tuple[str, ...]
    """In the file's order; of several columns joined by scorer.wording.ID_JOINT."""
    fold: FoldArray
    """Shape (n_rows,): 1 to 5, and 0 for rows that are only trained on."""
    strategy: str
    """random, stratified, grouped or sequential."""
    words: str
    """For the page: how rows were put into folds and, where it is not as declared, why."""
    groups: NDArray[np.intp] | None = None
    """Of each row its group's number, where folds keep groups whole."""

    @property
    def numbers(self) -> list[int]:
        """The folds that are predicted."""
        return [int(number) for number in np.unique(self.fold) if number > 0]

    @property
    def train_only(self) -> list[str]:
        """Ids of the rows that have no out-of-fold prediction."""
        return [self.ids[i] for i in np.flatnonzero(self.fold == 0).tolist()]


def assign(challenge: Challenge) -> Folds:
    """Assign the rows of public/train.csv to folds.

    The folds are split as the challenge declares for itself.

    A sequential split needs split.time or takes the file's order; declared groups are kept whole whatever the
    strategy is called; an unknown strategy is random. The same challenge always gives the same folds.

    Raises
    ------
    CannotScoreTrain
        There is no training table, or it has no ids, fewer than two rows, or fewer than two groups.
    """
    split = challenge.split
    strategy = (split.strategy or "").strip().lower()
    group, time = getattr(split, "group", None), getattr(split, "time", None)
    ids, columns = _read_columns(challenge, [name for name in (group, time) if name])
    n = len(ids)
    if n < 2:
        raise CannotScoreTrain(f"{TRAIN_FILE} has {n} row; folds need at least two.")
    names = challenge.solution.id_columns
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256("\n".join(ids).encode()).digest()[:8], "big"))
    if strategy == "sequential":
        fold, words = _sequential(n, columns.get(time or ""), time)
        return Folds(names, ids, fold, "sequential", words)
    if group and group in columns:
        fold, codes = _grouped(columns[group], group, rng)
        words = (
            f'Rows of the same "{group}" are in the same fold, '
            "so that a model is tested on groups it has never seen."
        )
        return Folds(names, ids, fold, "grouped", words, codes)
    lost = ""
    if strategy == "grouped":
        lost = (
            f' The challenge keeps groups of "{group}" apart, but {TRAIN_FILE} has no such column.'
            if group
            else " The challenge calls its split grouped without naming a column (split.group)."
        )
    if strategy == "stratified":
        try:
            strata = _strata(train_solution(challenge))
        except CannotScoreTrain as error:
            lost = f" They are not stratified: {error}"
        else:
            words = "Rows are in random folds, each with about the same mix of the target."
            return Folds(names, ids, _dealt(strata, rng), "stratified", words)
    fold = _dealt(np.zeros(n, dtype=np.intp), rng)
    return Folds(names, ids, fold, "random", f"Rows are in random folds.{lost}")


def to_csv(folds: Folds) -> bytes:
    """Return the fold file that participants download.

    The id column(s) and `fold`, in the order of train.csv.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*folds.id_columns, "fold"])
    several = len(folds.id_columns) > 1
    for key, number in zip(folds.ids, folds.fold.tolist(), strict=True):
        writer.writerow([*(key.split(ID_JOINT) if several else [key]), number])
    return text.getvalue().encode()


def train_solution(challenge: Challenge, *, without: Collection[str] = ()) -> Solution:
    """Return public/train.csv as a solution.

    The same task over its rows, all of them public.

    Targets, weights and groups are found by the names they have in the hidden solution. Rows whose id is in
    `without` are left out.

    Raises
    ------
    CannotScoreTrain
        There is no such file, it lacks an id or the target, some targets are missing or wrong, or the metric
        is the organiser's own function.
    """
    if challenge.solution.task.custom is not None:
        raise CannotScoreTrain(
            "The metric is the organiser's own function, which is run on submissions only."
        )
    names = challenge.solution.id_columns
    try:
        # The header of the hidden file is no secret: a submission's columns and the rules name it.
        solution = open_table(challenge.folder / SOLUTION_FILE, max_bytes=MAX_SOLUTION_BYTES)
        _, hidden = next(solution.records())
        hidden = list(map(composed, hidden))
        records = _open(challenge).records()
        header = [composed(name) for name in next(records)[1]]
        kept = [name for name in header if name in hidden and name != USAGE_COLUMN]
        missing = [name for name in hidden if name not in header and name != USAGE_COLUMN]
        if missing and not set(kept) - set(names):
            raise CannotScoreTrain(f"{TRAIN_FILE} has no target column: {', '.join(missing)}.")
        places = [header.index(name) for name in kept]
        keys = [header.index(name) for name in names if name in header]
        left_out = set(without)

        def rows() -> Iterator[tuple[int, list[str]]]:
            for line, fields in records:
                if is_blank(fields):
                    continue
                if len(fields) != len(header):
                    raise CannotScoreTrain(
                        f"{TRAIN_FILE}, line {line}: {len(fields)} values, expected {len(header)}."
                    )
                if not left_out or ID_JOINT.join(fields[key] for key in keys) not in left_out:
                    yield line, [fields[place] for place in places]

        return with_spellings(
            prepare(kept, rows(), [challenge.solution.task], id_columns=names, split_required=False)
        )
    except (UnreadableTable, InvalidChallenge) as error:
        first = error.problems[0].message
        raise CannotScoreTrain(f"{TRAIN_FILE} cannot be scored: {first}") from None


# --- reading ----------------------------------------------------------------------------------------


def _open(challenge: Challenge) -> Table:
    path = challenge.folder / TRAIN_FILE
    if not path.is_file():
        raise CannotScoreTrain(f"The challenge has no {TRAIN_FILE}.")
    return open_table(path, max_bytes=MAX_SOLUTION_BYTES)


def _read_columns(
    challenge: Challenge, wanted: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Return the rows' ids and the wanted columns, as text.

    Columns that the file lacks are left out.
    """
    names = challenge.solution.id_columns
    try:
        records = _open(challenge).records()
        header = [composed(name) for name in next(records)[1]]
        lacking = [name for name in names if name not in header]
        if lacking:
            raise CannotScoreTrain(f"{TRAIN_FILE} has no id column {', '.join(lacking)}.")
        keys = [header.index(name) for name in names]
        places = {name: header.index(name) for name in wanted if name in header}
        ids: list[str] = []
        found: dict[str, list[str]] = {name: [] for name in places}
        for line, fields in records:
            if is_blank(fields):
                continue
            if len(fields) != len(header):
                raise CannotScoreTrain(
                    f"{TRAIN_FILE}, line {line}: {len(fields)} values, expected {len(header)}."
                )
            ids.append(ID_JOINT.join(fields[key] for key in keys))
            for name, place in places.items():
                found[name].append(fields[place])
    except UnreadableTable as error:
        raise CannotScoreTrain(f"{TRAIN_FILE} cannot be read: {error.problems[0].message}") from None
    if len(set(ids)) < len(ids):
        raise CannotScoreTrain(f"{TRAIN_FILE} has ids that appear more than once.")
    return tuple(ids), found


# --- strategies -------------------------------------------------------------------------------------


def _dealt(strata: NDArray[np.intp], rng: np.random.Generator) -> FoldArray:
    """Deal each stratum's rows to folds in random order.

    Each stratum continues at the fold where the last one stopped.
    """
    n = len(strata)
    shuffled = rng.permutation(n)
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    fold = np.empty(n, dtype=np.int8)
    fold[order] = np.arange(n) % min(N_FOLDS, n) + 1
    return fold


def _strata(train: Solution) -> NDArray[np.intp]:
    """Return classes of the first target, or bins of similar size."""
    truth = train.given[0][0].truth[0]
    if isinstance(truth, Labels):
        return np.unique(truth.codes, return_inverse=True)[1].reshape(-1)
    if not isinstance(truth, np.ndarray) or truth.dtype == np.object_:
        raise CannotScoreTrain("the target is neither a class nor a number.")
    values, codes = np.unique(truth, return_inverse=True)
    if len(values) <= 2 * _STRATA:
        return codes.reshape(-1)
    edges = np.nanquantile(truth, np.linspace(0.0, 1.0, _STRATA + 1)[1:-1])
    return np.searchsorted(edges, truth, side="right")


def _grouped(texts: Sequence[str], name: str, rng: np.random.Generator) -> tuple[FoldArray, NDArray[np.intp]]:
    """Assign whole groups, the largest first, to the smallest fold.

    Among equal folds at random.
    """
    _, codes = np.unique(np.array(texts, dtype=np.object_).astype(str), return_inverse=True)
    codes = codes.reshape(-1)
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        raise CannotScoreTrain(
            f'All rows of {TRAIN_FILE} have the same "{name}", so there are no folds by group.'
        )
    shuffled = rng.permutation(len(sizes))
    held = np.zeros(min(N_FOLDS, len(sizes)), dtype=np.intp)
    fold_of = np.empty(len(sizes), dtype=np.int8)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        smallest = int(held.argmin())
        fold_of[group] = smallest + 1
        held[smallest] += sizes[group]
    return fold_of[codes], codes


def _sequential(n: int, texts: Sequence[str] | None, name: str | None) -> tuple[FoldArray, str]:
    """Return six consecutive blocks, the first for training only.

    Rows of the same time stay together.
    """
    if texts is None:
        moments: NDArray[Any] = np.arange(n)
        how = (
            f'the order of {TRAIN_FILE}, since it has no column "{name}"'
            if name
            else f"the order of {TRAIN_FILE}"
        )
    else:
        moments, how = _moments(texts), f'"{name}"'
    _, codes = np.unique(moments, return_inverse=True)
    codes = codes.reshape(-1)
    before = np.concatenate(
        ([0], np.cumsum(np.bincount(codes))[:-1])
    )  # rows that are earlier than each moment
    fold = (before * (N_FOLDS + 1) // n)[codes]
    dense = np.unique(fold, return_inverse=True)[1].reshape(-1)
    if dense.max(initial=0) == 0:
        raise CannotScoreTrain(
            f"All rows of {TRAIN_FILE} are of the same time, so there is no order to follow."
        )
    words = (
        f"Rows are in consecutive blocks by {how}. "
        "Fold k is predicted by a model trained on the folds before it; "
        "fold 0 is only trained on and needs no predictions."
    )
    return dense.astype(np.int8), words


def _moments(texts: Sequence[str]) -> NDArray[Any]:
    """Return numbers as numbers, dates as dates, else texts."""
    if all(NUMBER.fullmatch(text) for text in texts):
        return np.array([float(text) for text in texts])
    try:
        return np.asarray(pd.to_datetime(list(texts), format="ISO8601", utc=True).asi8)
    except (ValueError, OverflowError):
        return np.array(texts, dtype=np.object_).astype(str)
