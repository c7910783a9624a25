"""Hidden labels in published files.

Everything published is walked, archives included, and every column of fitting length is compared with the
hidden labels: by id, and in every order a participant might try. Other checks judge the columns of the
train and test tables. A column that train has too is an ordinary feature as long as it is about as strong
there.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, Severity, check
from scorer.leakage.files.alignment import TRAIN_OR_TEST, Vector, form_of, joined_tables, thinned, vectors_of
from scorer.leakage.files.byte_search import LabelBytes
from scorer.leakage.files.hidden import Hidden
from scorer.leakage.files.things import Blob, Column, Table, Unread
from scorer.leakage.files.verbatim import Verbatim
from scorer.leakage.files.walk import walk
from scorer.leakage.frame import Codes, Rows
from scorer.leakage.material import Material, published_files, table_files
from scorer.leakage.statistics import NONE, association, association_of_codes, corrected
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray
from scorer.wording import ID_JOINT

_LIKE_LABELS = 0.985
"""AUC, or agreement beyond the commonest class on the same scale: as good as the labels."""
_STRONG = 0.75
"""AUC from which a column that only test rows have blocks."""
_WAYS = 40
"""About how many ways to line a column up with the labels; p values are corrected for them."""
_SEARCHED_BYTES = 200_000_000
_LESS = (
    "Take it out of public/ and publish again; if it was public before, draw new test rows. If it is the "
    "output of a baseline or is meant to be known, state that in the override's reason."
)


@check("labels_in_public_file", scope="files", needs=("public_files",), cost="files x n log n", blocks=True)
def labels_in_public_file(material: Material) -> Iterator[Found]:
    """Hidden labels inside a published file or archive.

    effect: AUC of the column for the hidden labels (of classes: agreement beyond the commonest, on the same
    scale).
    """
    names = published_files(material)
    judged = table_files(material)
    hidden = Hidden.of(material)
    labels = None if hidden is None else LabelBytes(hidden)
    verbatim = Verbatim(material)
    unread: list[Unread] = []
    best: dict[str, Found] = {}
    tables: list[Table] = []
    parts: dict[str, list[Table]] = defaultdict(list)
    searched = 0
    for thing in walk(material.public_folder, names, skip=judged if hidden is not None else frozenset()):
        if isinstance(thing, Unread):
            unread.append(thing)
        elif isinstance(thing, Blob) and labels is not None:
            searched += len(thing.data)
            if searched <= _SEARCHED_BYTES:
                _keep(best, thing.path, _found_bytes(thing, labels))
            else:
                unread.append(
                    Unread(
                        thing.path,
                        "was not searched for labels by its bytes, because the files before it used up "
                        "the limit",
                    )
                )
        elif isinstance(thing, Table) and hidden is None and thing.n_rows:
            if (words := verbatim.copy_in(thing)) is not None:
                _keep(
                    best,
                    thing.path,
                    Found(f"{words}.", _LESS, effect=1.0, severity="block", where=thing.path),
                )
        elif isinstance(thing, Table) and hidden is not None and thing.n_rows:
            if hidden.may_fit(thing.n_rows):
                tables.append(thing)
            if thing.n_rows <= max(1, hidden.n // 2):
                parts[form_of(thing.path)].append(thing)
    if hidden is not None and labels is not None:
        description = material.challenge.description
        if description:
            _keep(best, "description.md", _found_bytes(Blob("description.md", description.encode()), labels))
        tables += joined_tables(parts, hidden)
        counterparts = _Counterparts(tables, hidden, material)
        n_columns = sum(len(table.columns) for table in tables) * len(hidden.targets)
        for table in tables:
            for vector in vectors_of(table, hidden):
                _keep(
                    best,
                    vector.file,
                    _judge(vector, hidden, counterparts, n_columns * (1 if vector.by_id else _WAYS)),
                )
        yield from best.values()
    elif names:
        yield from best.values()
        yield Found(
            "The hidden target is not a simple column, or its ids are not simple, so the published files "
            + (
                "were only searched for tables with its cells as they are written."
                if verbatim.truths
                else "could only be listed, not compared with it."
            ),
            "Check them yourself.",
            severity="info",
        )
    yield from _unread(unread)
    yield from _not_published(material, names)


@dataclass(frozen=True, slots=True)
class _Effect:
    auc: float
    log10p: float
    alike: float
    """As `auc`; of classes by agreement: how well the labels can be read from it."""
    words: str


_NOTHING = _Effect(0.5, 0.0, 0.5, "")


def _effect(numbers: FloatArray | None, codes: Codes, target: Target, seed: int) -> _Effect:
    """Return how strongly a column's order or values follow a target."""
    rows = np.flatnonzero(target.known & (codes >= 0))
    if len(rows) < 8:
        return _NOTHING
    rows = thinned(rows, np.random.default_rng(seed))
    own, codes = target.take(rows), codes[rows]
    by_order = NONE if numbers is None else association(numbers[rows], own)
    distinct = len(np.unique(codes))
    by_value = NONE
    few = distinct <= max(30, 2 * len(target.classes)) and distinct <= len(rows) / 3
    if few and target.kind != "number":
        by_value = association_of_codes(_pooled(codes, own), own)
    log10p = corrected(min(by_order.log10p, by_value.log10p), 2)
    auc = max(by_order.auc, by_value.auc if by_value.log10p < -3 else 0.5)
    if target.kind == "number":
        if numbers is None and _is_renamed(codes, own.values):
            return _Effect(1.0, -300.0, 1.0, "each of its values stands for one value of the hidden target")
        return _Effect(auc, log10p, auc, f"its rank correlation with the hidden target is {2 * auc - 1:.3f}")
    groups = codes if few else None
    if groups is None and numbers is not None:
        edges = np.unique(np.nanquantile(numbers[rows], np.linspace(0, 1, 17)[1:-1]))
        groups = np.searchsorted(edges, numbers[rows])
    if groups is None:
        return _Effect(auc, log10p, auc if target.kind == "binary" else 0.5, f"AUC {auc:.3f}")
    share, commonest = _agreement(groups, own.values)
    # With few rows the number of right ones is surer than ranks.
    right = float(stats.binom.logsf(round(share * len(rows)) - 1, len(rows), commonest)) / math.log(10)
    log10p = corrected(min(log10p, right), 2)
    agreement = 0.5 + max(0.0, share - commonest) / (1 - commonest) / 2 if commonest < 1 else 0.5
    words = (
        f"AUC {auc:.3f}; the class can be read from it for {share:.1%} of {len(rows):,} rows, where the "
        f"commonest class has {commonest:.1%}"
    )
    if target.kind == "binary":
        return _Effect(max(auc, agreement), log10p, max(auc, agreement), words)
    return _Effect(max(auc, agreement), log10p, agreement, words)


def _pooled(codes: Codes, target: Target) -> Codes:
    """Return codes with rare values pooled.

    Over a handful of rows chi-squared gives no valid p.
    """
    _, counts = np.unique(target.values, return_counts=True)
    least = min(len(codes) / 4, max(10.0, 5 * len(codes) / counts.min()))
    _, dense, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    rare = sizes < least
    if sizes[rare].sum() < least:
        rare[sizes.argmax()] = True  # too few even together
    return np.where(rare[dense], len(sizes), dense)


def _is_renamed(codes: Codes, values: FloatArray) -> bool:
    """Return whether codes are the target's values, renamed.

    Equal values have equal codes and different ones different codes, in ten cases or more.
    """
    n_pairs = len(set(zip(codes.tolist(), values.tolist(), strict=True)))
    return n_pairs == len(np.unique(codes)) == len(np.unique(values)) <= len(codes) - 10


def _agreement(groups: Codes, values: FloatArray) -> tuple[float, float]:
    """Return the share of rows predicted by their group.

    A row's class is the commonest among the other rows of its group. The second number is the share of the
    commonest class.
    """
    classes, y = np.unique(values, return_inverse=True)
    _, g = np.unique(groups, return_inverse=True)
    counts = np.zeros((g.max() + 1, len(classes)))
    np.add.at(counts, (g, y), 1)
    others = counts[g]
    others[np.arange(len(y)), y] -= 1
    right = (others.argmax(axis=1) == y) & (others.max(axis=1) > 0)
    return float(right.mean()), float(np.bincount(y).max() / len(y))


class _Counterparts:
    """Train's columns of the same names: ordinary features."""

    def __init__(self, tables: Sequence[Table], hidden: Hidden, material: Material) -> None:
        self._hidden, self._train = hidden, material.train
        self._columns: dict[tuple[str, str], Column] = {}
        self._test = material.test
        self._places: Rows | None = None
        """Of each row of the solution the row of test; -1 where there is none."""
        if material.test is not None and material.test.targets:
            find = material.challenge.solution.ids.finder()
            keys = zip(*(column.to_pylist() for column in material.test.ids), strict=True)
            self._places = np.full(hidden.n, -1, dtype=np.int64)
            for row, key in enumerate(keys):
                place = find(ID_JOINT.join(key))
                if place is not None:
                    self._places[place] = row
        for table in tables:
            if table.n_rows == hidden.n_train != 0 and not (
                table.n_rows == hidden.n and re.search(r"(?i)(?<![a-z])test", table.path)
            ):
                for column in table.columns:
                    self._columns.setdefault((_neutral(table.path), _neutral(column.name)), column)
                    self._columns.setdefault(("", column.name), column)

    def effect(self, vector: Vector, number: int, seed: int) -> _Effect | None:
        """Return the same column's effect in train, if any."""
        train = self._train
        if train is None or number >= len(train.targets):
            return None
        target = train.targets[number]
        if vector.counterpart is not None:
            return _effect(*vector.counterpart, target, seed)
        if vector.name in train.frame:
            feature = train.frame.feature(vector.name)
            return _effect(feature.numbers if feature.is_numeric else None, feature.codes, target, seed)
        column = self._columns.get((_neutral(vector.table), _neutral(vector.name)))
        if column is None and not re.fullmatch(r"\[?\d+\]?|values|value|text|row \d+", vector.name):
            column = self._columns.get(("", vector.name))
        if column is None or len(column) != len(train):
            return None
        return _effect(column.numbers, column.codes, target, seed)

    @cached_property
    def _ranked(self) -> set[bytes]:
        """Return the ranks of test's numeric columns, in the solution's order."""
        if self._test is None or self._places is None or (self._places < 0).any():
            return set()
        features = [self._test.frame.feature(name) for name in self._test.frame.names]
        return {_ranks(f.numbers[self._places]) for f in features if f.is_numeric}

    def is_plainly_feature(self, vector: Vector) -> bool:
        """Return quickly whether a vector is a test column.

        Only a rising or falling function of a numeric column is recognised.
        """
        if vector.numbers is None or len(vector.rows) != self._hidden.n or len(self._ranked) == 0:
            return False
        numbers = vector.numbers[np.argsort(vector.rows)]
        return _ranks(numbers) in self._ranked or _ranks(-numbers) in self._ranked

    def is_feature(self, vector: Vector) -> bool:
        """Return whether a vector repeats a test column."""
        test, places = self._test, self._places
        if test is None or places is None:
            return False
        inside = places[vector.rows] >= 0
        rows = places[vector.rows[inside]]
        if len(rows) < 8:
            return False
        codes = vector.codes[inside]
        for name in test.frame.names:
            feature = test.frame.feature(name)
            if feature.is_numeric and vector.numbers is not None:
                mine, its = vector.numbers[inside], feature.numbers[rows]
                known = ~(np.isnan(mine) | np.isnan(its))
                mine, its = mine[known], its[known]
                if len(mine) >= 8 and np.ptp(mine) > 0 and np.ptp(its) > 0:
                    same = np.isclose(mine, its, rtol=1e-5, atol=0).mean() >= 0.99
                    if same or abs(np.corrcoef(mine, its)[0, 1]) > 0.99999:
                        return True
            elif not feature.is_numeric:
                pairs = set(zip(codes.tolist(), feature.codes[rows].tolist(), strict=True))
                if len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 1:
                    return True
        return False


def _ranks(numbers: FloatArray) -> bytes:
    known = ~np.isnan(numbers)
    ranks = np.full(len(numbers), -1.0)
    if known.any():
        ranks[known] = stats.rankdata(numbers[known])
    return ranks.tobytes()


def _neutral(path: str) -> str:
    return re.sub(r"\d+ files", "files", TRAIN_OR_TEST.sub("*", path.replace("_", " ").replace(",", "")))


def _judge(vector: Vector, hidden: Hidden, counterparts: _Counterparts, n_tests: int) -> Found | None:
    seed = hidden.material.seed
    strongest: Found | None = None
    if counterparts.is_plainly_feature(vector):
        return None
    for number, target in enumerate(hidden.targets):
        effect = _effect(vector.numbers, vector.codes, target.take(vector.rows), seed)
        log10p = corrected(effect.log10p, n_tests)
        if log10p > -ALARM or effect.auc < AUC_FLOOR or counterparts.is_feature(vector):
            continue
        distinct = len(np.unique(vector.codes[vector.codes >= 0]))
        is_label = bool(target.classes) and distinct == len(target.classes) and effect.alike >= 0.9
        before = counterparts.effect(vector, number, seed)
        sure = log10p <= -BLOCK
        severity: Severity | None
        if before is None:
            severity = "block" if sure and effect.auc >= _STRONG else "warn"
            words = "; train has no such column"
        else:
            # A column as strong in train is a feature to learn from; AUCs of n rows differ by about 1 / (2
            # sqrt(n)). By agreement, since of classes the best AUC may be one class here and another there.
            excess = effect.alike - before.alike
            noise = 0.5 / math.sqrt(max(1, min(len(vector.rows), hidden.n_train)))
            severity = (
                "block"
                if sure and (effect.alike >= _LIKE_LABELS or is_label or excess > max(0.1, 5 * noise))
                else "warn"
                if excess > max(0.05, 4 * noise)
                else None
            )
            words = f"; over train's rows it has {before.auc:.3f}"
        if severity is None:
            continue
        found = Found(
            f"{vector.table}, column {vector.name}, lined up {vector.how}, follows the hidden "
            f"{target.name}: {effect.words}{words}.",
            _LESS,
            effect=effect.auc,
            log10p=log10p,
            severity=severity,
            where=vector.file,
        )
        strongest = _stronger(strongest, found)
    return strongest


def _keep(best: dict[str, Found], file: str, found: Found | None) -> None:
    """Keep the strongest finding of a file."""
    if found is not None:
        kept = _stronger(best.get(file), found)
        assert kept is not None
        best[file] = kept


def _stronger(a: Found | None, b: Found) -> Found:
    if a is None:
        return b
    order = ("block", "warn", "info")
    return min(a, b, key=lambda f: (order.index(f.severity), -(f.effect or 0.0), f.log10p or 0.0))


def _found_bytes(blob: Blob, labels: LabelBytes) -> Found | None:
    """Return a finding if a file holds consecutive labels."""
    found = labels.find(blob.data)
    if found is None:
        return None
    place, words = found
    file = blob.path.partition(": ")[0]
    return Found(
        f"{blob.path}: at byte {place:,} stand {words}, exactly as they are in the solution.",
        _LESS,
        effect=1.0,
        severity="block",
        where=file,
    )


def _unread(unread: Sequence[Unread]) -> Iterator[Found]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in unread:
        by_reason[re.sub(r"\d[\d,.]*", "#", one.why)].append(f"{one.path} {one.why}")
    for lines in by_reason.values():
        more = f" (and {len(lines) - 1:,} more like it)" if len(lines) > 1 else ""
        yield Found(
            f"{lines[0]}{more}.",
            "Not read: check yourself that it holds no labels, or publish it in an open format.",
            severity="info",
            where=lines[0].split(" ")[0],
        )


def _not_published(material: Material, names: Sequence[str]) -> Iterator[Found]:
    """Report left-over files and published notebooks."""
    known = set(names)
    hidden = [
        relative
        for path in sorted(material.public_folder.rglob("*"))
        if path.is_file() and (relative := path.relative_to(material.public_folder).as_posix()) not in known
    ]
    if hidden:
        tops = list(dict.fromkeys(name.split("/")[0] for name in hidden))
        yield Found(
            f"{len(hidden):,} hidden or left-over files in public/ are not published "
            f"({', '.join(tops[:4])}).",
            "Heldout does not publish them, but a copy of the folder may: a history or a notebook's "
            "checkpoint can hold labels.",
            severity="info",
            where=tops[0],
        )
    notebooks = [name for name in names if name.endswith(".ipynb")]
    if notebooks:
        yield Found(
            f"{len(notebooks)} notebooks are published ({', '.join(notebooks[:3])}); the text outputs of "
            "their cells were searched, pictures were not.",
            "Clear the outputs of notebooks that were run with the solution.",
            severity="info",
            where=notebooks[0],
        )
