"""The public tables and the hidden labels, read once and lined up.

Checks that do not need every row work on `sampled()` sides and state it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.folder import challenge_files
from scorer.challenges.solution import PRIVATE, PUBLIC
from scorer.leakage.frame import Codes, Feature, Frame, Mask, Rows, Unreadable, codes_of, read_frame
from scorer.leakage.own_targets import own_targets
from scorer.leakage.target import Target, hidden_targets_of, target_like
from scorer.report import HeldoutError
from scorer.wording import ID_JOINT

SAMPLE_ROWS = 100_000
"""Rows of a side that costly checks look at."""


class NotChecked(HeldoutError):
    """A check cannot be made, with the reason for the organiser."""


class NotApplicable(NotChecked):
    """The check's subject does not exist here.

    No declared groups, no sequence. This makes no finding.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """A table's rows with targets and, for test rows, splits."""

    name: Literal["train", "test", "sample submission"]
    file: str
    """Relative to the challenge's folder."""
    frame: Frame
    """Features only: neither ids nor targets."""
    ids: tuple[pa.Array, ...]
    """The id columns as text, as far as the table has them."""
    id_names: tuple[str, ...]
    targets: tuple[Target, ...]
    """Empty where unknown. Of hidden ones: for the organiser only."""
    public: Mask | None
    """Rows of the public split; None of train."""
    private: Mask | None
    rows: Rows
    """Places of the rows in the file, from 0."""
    n_total: int
    """Rows of the file; more than `len(self)` in a sample."""

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Side({self.name}, {len(self)} of {self.n_total} rows)"

    @property
    def is_sample(self) -> bool:
        return len(self) < self.n_total

    @property
    def scored(self) -> Mask:
        if self.public is None or self.private is None:
            return np.ones(len(self), dtype=np.bool_)
        return np.asarray(self.public | self.private)

    @property
    def sampling(self) -> str:
        """Return the sampling in words; empty if every row is used."""
        return f" (a random {len(self):,} of {self.n_total:,} rows)" if self.is_sample else ""

    def take(self, rows: Rows) -> Side:
        return replace(
            self,
            frame=self.frame.take(rows),
            ids=tuple(column.take(pa.array(rows)) for column in self.ids),
            targets=tuple(target.take(rows) for target in self.targets),
            public=None if self.public is None else self.public[rows],
            private=None if self.private is None else self.private[rows],
            rows=self.rows[rows],
        )

    def sampled(self, n: int = SAMPLE_ROWS, *, seed: int = 0) -> Side:
        """At most n random rows, still in the file's order."""
        if len(self) <= n:
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), n, replace=False)))


@dataclass(frozen=True, eq=False)
class Material:
    """Everything a check may use; `lacking` gives the reason for each None."""

    challenge: Challenge
    train: Side | None
    test: Side | None
    """With the hidden targets; only an organiser's process ever holds one."""
    sample: Frame | None
    """The sample submission with all its columns."""
    sample_places: Rows | None
    """Of each of its rows, the row of `challenge.solution`; -1 if unknown."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """train, test, train_target, hidden, columns (of the truth), sample -> why there is none, in words."""
    seed: int = 0
    own_targets: tuple[Target, ...] = ()
    """Of an own metric, whose targets depend on the public tables too."""

    def __repr__(self) -> str:
        return f"Material({self.challenge.slug}, {self.train}, {self.test})"

    @property
    def public_folder(self) -> Path:
        return self.challenge.folder / "public"

    @cached_property
    def listed(self) -> Side | None:
        """Return the test rows in the order participants see first.

        That is the test table's, else the sample submission's.
        """
        if self.test is not None and self.test.targets:
            return self.test
        if (
            self.sample is None
            or self.sample_places is None
            or not self.hidden_targets
            or (self.sample_places < 0).any()
        ):
            return None
        places = self.sample_places
        usage = self.challenge.solution.usage[places]
        names = tuple(name for name in self.challenge.solution.id_columns if name in self.sample)
        return Side(
            "sample submission",
            SAMPLE_FILE,
            self.sample.without(self.sample.names),
            tuple(self.sample.texts(name) for name in names),
            names,
            tuple(target.take(places) for target in self.hidden_targets),
            usage == PUBLIC,
            usage == PRIVATE,
            np.arange(len(places)),
            len(places),
        )

    @cached_property
    def hidden_targets(self) -> tuple[Target, ...]:
        """Return targets in the solution's order, nan where not scored."""
        return self.own_targets or hidden_targets_of(self.challenge)

    @property
    def sides(self) -> Iterator[Side]:
        """Yield train and test, as far as they exist."""
        yield from (side for side in (self.train, self.test) if side is not None)

    @cached_property
    def shared(self) -> list[str]:
        """Features that both tables have, in train's order."""
        if self.train is None or self.test is None:
            return []
        return [name for name in self.train.frame.names if name in self.test.frame]

    @cached_property
    def group(self) -> str | None:
        """Return the declared group column."""
        return _declared(self.challenge, ("group", "groups", "group_column", "groups_column", "group_by"))

    @cached_property
    def time(self) -> str | None:
        """Return the declared column that orders rows in time."""
        return _declared(self.challenge, ("time", "time_column", "date", "timestamp", "order_by"))

    @cached_property
    def is_sequential(self) -> bool:
        """Return whether test is declared to come after train."""
        return self.challenge.split.strategy == "sequential"  # synonyms are read as it

    @cached_property
    def is_grouped(self) -> bool:
        return self.challenge.split.strategy == "grouped" or self.group is not None

    def has(self, need: str) -> bool:
        if need == "public_files":
            return (
                any(path.is_file() for path in self.public_folder.rglob("*"))
                if self.public_folder.is_dir()
                else False
            )
        if need == "train_target":
            return self.train is not None and bool(self.train.targets)
        if need == "hidden":
            return bool(self.hidden_targets)
        return getattr(self, need) is not None

    def why_not(self, need: str) -> str:
        if need == "public_files":
            return "there are no public files"
        if need == "listed":
            return (
                self.lacking.get("hidden") or self.lacking.get("test") or "no public file lists the test rows"
            )
        return self.lacking.get(need, f"there is no {need.replace('_', ' ')}")


def gather(challenge: Challenge, *, seed: int = 0) -> Material:
    """Read the public tables and line them up with the labels."""
    lacking: dict[str, str] = {}
    tables: dict[str, tuple[str, Frame]] = {}
    for name in ("train", "test"):
        try:
            path = _find(challenge.folder / "public", name)
            tables[name] = path.relative_to(challenge.folder).as_posix(), read_frame(path)
        except Unreadable as reason:
            lacking[name] = str(reason)
    sample, places = None, None
    try:
        sample = read_frame(challenge.folder / SAMPLE_FILE)
        places = _places(sample, challenge)
    except Unreadable as reason:
        lacking["sample"] = str(reason)
    hidden = hidden_targets_of(challenge)
    own: tuple[Target, ...] = ()
    if challenge.task.custom is not None:
        hidden = own = _own_targets(challenge, {name: frame for name, (_, frame) in tables.items()}, lacking)
    if not hidden:
        lacking.setdefault("hidden", "the target is not a simple column of classes or numbers")
    test = _test_side(*tables["test"], challenge, hidden, lacking) if "test" in tables else None
    train = (
        _train_side(
            *tables["train"], challenge, hidden, tables["test"][1] if "test" in tables else None, lacking
        )
        if "train" in tables
        else None
    )
    if train is None or not train.targets:
        lacking.setdefault("train_target", lacking.get("train", "train has no column like the target"))
    return Material(challenge, train, test, sample, places, lacking, seed, own)


def _own_targets(
    challenge: Challenge, tables: Mapping[str, Frame], lacking: dict[str, str]
) -> tuple[Target, ...]:
    """Return the targets of an own metric, and note what is not judged."""
    train, test = tables.get("train"), tables.get("test")
    rows: Rows | None = None
    if test is not None:
        with suppress(Unreadable):
            rows = _places(test, challenge)
    found = own_targets(challenge, train, test, rows)
    reasons = "; ".join(f"the solution's column {name} {why}" for name, why in found.left_out.items())
    if reasons or not found.targets:
        key = "columns" if found.targets else "hidden"
        lacking[key] = reasons or "the solution has no column beside its id and Usage"
    return found.targets


def _find(folder: Path, name: str) -> Path:
    for suffix in (".csv", ".csv.gz", ".csv.zip", ".parquet"):
        for path in (folder / f"{name}{suffix}", folder / name / f"{name}{suffix}"):
            if path.is_file():
                return path
    raise Unreadable(f"there is no public/{name}.csv")


def _train_side(
    file: str,
    frame: Frame,
    challenge: Challenge,
    hidden: Sequence[Target],
    test: Frame | None,
    lacking: dict[str, str],
) -> Side:
    id_names = tuple(name for name in challenge.solution.id_columns if name in frame)
    targets: list[Target] = []
    columns: set[str] = set()
    # A target that is one column of classes may have another name in train: then test lacks the column.
    only_train = [
        name for name in frame.names if test is not None and name not in test and name not in id_names
    ]
    truth_values = {
        word: number
        for part in challenge.task.parts
        for word, number in (part.modifiers.truth_values or {}).items()
    }
    for target in hidden:
        candidates = [target.name] if target.name in frame else truth_names(challenge, frame) or only_train
        for name in candidates:
            found = target_like(target, frame.feature(name), truth_values)
            if found is not None:
                targets.append(found)
                columns.add(name)
                break
    if not targets:
        hot = [name for name in challenge.columns if name in frame]
        if (
            len(hot) == len(challenge.columns) > 1
            and hidden
            and hidden[0].classes == tuple(challenge.columns)
        ):
            matrix = np.column_stack([np.nan_to_num(frame.feature(name).numbers) for name in hot])
            targets.append(replace(hidden[0], values=matrix.argmax(axis=1).astype(np.float64)))
        columns.update(hot)
        if not targets:
            lacking["train_target"] = (
                f"{file} has no column like the target ({', '.join(challenge.columns[:3])})"
            )
    columns.update(name for name in challenge.columns if name in frame)
    return Side(
        "train",
        file,
        frame.without([*id_names, *columns]),
        tuple(frame.texts(name) for name in id_names),
        id_names,
        tuple(targets),
        None,
        None,
        np.arange(len(frame)),
        len(frame),
    )


def truth_names(challenge: Challenge, frame: Frame) -> list[str]:
    """Return the solution's own names for the truth."""
    task = challenge.task
    names: list[str] = []
    for part in task.parts:
        truth = part.modifiers.truth or []
        names += [truth] if isinstance(truth, str) else truth
    return [name for name in names if name in frame]


def _test_side(
    file: str, frame: Frame, challenge: Challenge, hidden: Sequence[Target], lacking: dict[str, str]
) -> Side:
    solution = challenge.solution
    id_names = tuple(name for name in solution.id_columns if name in frame)
    places = None
    try:
        places = _places(frame, challenge)
    except Unreadable as reason:
        lacking["test ids"] = str(reason)
    targets: tuple[Target, ...] = ()
    public = private = None
    if places is not None and (places >= 0).any():
        known = places >= 0
        # The later rows of an id that a complete own metric may repeat are in no file under that name.
        repeated = len(id_names) == 1 and solution.task.complete
        n_ids = sum(ID_JOINT not in key for key in solution.ids) if repeated else len(solution.ids)
        if (absent := n_ids - len(np.unique(places[known]))) > 0:
            lacking["ids"] = f"{absent:,} of the solution's {n_ids:,} ids are not in {file}"
        usage = np.where(known, solution.usage[np.maximum(places, 0)], 0)
        public, private = usage == PUBLIC, usage == PRIVATE
        targets = tuple(
            replace(target, values=np.where(known, target.values[np.maximum(places, 0)], np.nan))
            for target in hidden
        )
    else:
        lacking.setdefault("hidden", f"the ids of {file} are not those of the solution")
    return Side(
        "test",
        file,
        frame.without(id_names),
        tuple(frame.texts(name) for name in id_names),
        id_names,
        targets,
        public,
        private,
        np.arange(len(frame)),
        len(frame),
    )


def _places(frame: Frame, challenge: Challenge) -> Rows:
    """Return the solution's row of each public row, or -1."""
    names = challenge.solution.id_columns
    lacking = [name for name in names if name not in frame]
    if lacking:
        raise Unreadable(f"the id column {lacking[0]} is not there")
    find = challenge.solution.ids.finder()
    columns = [frame.texts(name).to_pylist() for name in names]
    found = (find(ID_JOINT.join(key)) for key in zip(*columns, strict=True))
    return np.array([-1 if place is None else place for place in found], dtype=np.int64)


def _declared(challenge: Challenge, keys: Sequence[str]) -> str | None:
    extra = {**(challenge.split.model_extra or {}), **challenge.split.model_dump()}
    for key in keys:
        value = extra.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value and isinstance(value[0], str):
            return value[0]
    return None


def column_of(side: Side, name: str) -> Feature | None:
    """Return a column of the table, feature or id."""
    if name in side.frame:
        return side.frame.feature(name)
    if name in side.id_names:
        return Frame(pa.table({name: side.ids[side.id_names.index(name)]})).feature(name)
    return None


def declared_column(material: Material, name: str) -> tuple[Feature, Feature]:
    found = []
    for side in material.sides:
        feature = column_of(side, name)
        if feature is None:
            raise NotChecked(f"the declared column {name} is not in {side.file}")
        found.append(feature)
    return found[0], found[1]


def groups_of_files(material: Material) -> dict[str, Codes]:
    """Return the declared groups of each table's rows."""
    found: dict[str, Codes] = {}
    if material.group is None:
        return found
    for side in material.sides:
        if material.group in side.frame:
            texts = side.frame.texts(material.group)
        elif material.group in side.id_names:
            texts = side.ids[side.id_names.index(material.group)]
        else:
            continue
        found[side.name] = codes_of(texts)
    return found


def published_files(material: Material) -> list[str]:
    """Files of public/ that participants get, relative to it."""
    files = challenge_files(material.challenge.folder)
    return [name.removeprefix("public/") for name in files if name.startswith("public/")]


def table_files(material: Material) -> frozenset[str]:
    """The tables whose columns other checks judge."""
    files = [side.file for side in material.sides] + ([SAMPLE_FILE] if material.sample is not None else [])
    return frozenset(name.removeprefix("public/") for name in files)
