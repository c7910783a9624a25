"""What the audit looks at: the public tables and the hidden labels, read once and lined up.

Tables are kept as text in Arrow's columns and turned into numbers or codes column by column, when a
check asks. Checks that need not see every row work on `sampled()` sides and say so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.solution import PRIVATE, PUBLIC, truth_as_predictions
from scorer.reading.columns import FloatArray, Labels
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import open_table, stream_of
from scorer.report import HeldoutError
from scorer.wording import ID_JOINT

MAX_TABLE_BYTES = 8_000_000_000
SAMPLE_ROWS = 100_000
"""Rows of a side that costly checks look at."""
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-", "nil", "#n/a")
"""Spellings of nothing, compared in lower case."""

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


class Unreadable(HeldoutError):
    """A table of the public folder could not be read; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """One column of a table."""

    name: str
    kind: Literal["number", "time", "category", "text"]
    """number and time (ISO 8601; numbers are seconds) where every cell that holds something is one; else
    category where values repeat, text where they hardly do."""
    texts: pa.Array
    """As written, string type."""
    missing: Mask
    numbers: FloatArray
    """nan where missing, and everywhere for categories and text."""
    codes: Codes
    """Of the values as written, in the order of `names`; -1 where missing."""
    names: pa.Array
    """The distinct values as written."""

    def __len__(self) -> int:
        return len(self.missing)

    @property
    def n_unique(self) -> int:
        return len(np.unique(self.codes[~self.missing]))

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "time")

    @property
    def scores(self) -> FloatArray:
        """Something to order rows by: the numbers, else the codes in the order of their names (nan where missing)."""
        if self.is_numeric:
            return self.numbers
        order = np.argsort(np.argsort(np.array(self.names.to_pylist(), dtype=np.object_), kind="stable"))
        return np.where(self.missing, np.nan, order[np.maximum(self.codes, 0)].astype(np.float64))


class Frame:
    """A table as text, read by column."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._features: dict[str, Feature] = {}

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        return f"Frame({len(self)} rows, {len(self.names)} columns)"

    @property
    def names(self) -> list[str]:
        return list(self._table.column_names)

    def texts(self, name: str) -> pa.Array:
        column = self._table.column(name)
        return (
            column.chunk(0)
            if column.num_chunks == 1
            else pa.concat_arrays(column.chunks)
            if column.num_chunks
            else pa.array([], pa.string())
        )

    def feature(self, name: str) -> Feature:
        if name not in self._features:
            self._features[name] = _feature(name, self.texts(name))
        return self._features[name]

    def take(self, rows: Rows) -> Frame:
        return Frame(self._table.take(pa.array(rows)).combine_chunks())

    def without(self, names: Sequence[str]) -> Frame:
        return Frame(self._table.drop_columns([name for name in self.names if name in set(names)]))


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One simple column of truth over the rows of a side."""

    name: str
    kind: Literal["binary", "class", "number"]
    values: FloatArray
    """0 and 1, class codes into `classes`, or numbers; nan where unknown or not scored."""
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        # A traceback or a log must not carry labels.
        return f"Target({self.name}, {self.kind}, {len(self)} rows)"

    @property
    def known(self) -> Mask:
        return ~np.isnan(self.values)

    def name_of(self, code: float) -> str:
        return self.classes[int(code)] if 0 <= int(code) < len(self.classes) else f"{code:g}"

    def take(self, rows: Rows | Mask) -> Target:
        return replace(self, values=self.values[rows])

    @property
    def hot(self) -> Iterator[tuple[str, Mask]]:
        """Each class's name and the rows that are of it, for binary targets only the positives."""
        for code in range(
            1 if self.kind == "binary" else 0, 2 if self.kind == "binary" else len(self.classes)
        ):
            yield self.name_of(code), self.values == code


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """A table's rows with their targets and, of the test rows, the split each belongs to."""

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
    """Where the rows stand in the file, from 0."""
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
        """Words for evidence: empty if every row was looked at."""
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
    """Everything a check may look at. What is None is so for the reason in `lacking`."""

    challenge: Challenge
    train: Side | None
    test: Side | None
    """With the hidden targets; only an organiser's process ever holds one."""
    sample: Frame | None
    """The sample submission with all its columns."""
    sample_places: Rows | None
    """Of each of its rows, the row of `challenge.solution`; -1 if unknown."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """train, test, train_target, hidden, sample -> why there is none, in words."""
    seed: int = 0

    def __repr__(self) -> str:
        return f"Material({self.challenge.slug}, {self.train}, {self.test})"

    @property
    def public_folder(self) -> Path:
        return self.challenge.folder / "public"

    @cached_property
    def listed(self) -> Side | None:
        """The test rows in the order that participants see first: of the test table, else of the sample submission."""
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
        """In the solution's order; nan where a row is not scored."""
        return _hidden_targets(self.challenge)

    @property
    def sides(self) -> Iterator[Side]:
        """train and test, as far as there are."""
        yield from (side for side in (self.train, self.test) if side is not None)

    @cached_property
    def shared(self) -> list[str]:
        """Features that both tables have, in train's order."""
        if self.train is None or self.test is None:
            return []
        return [name for name in self.train.frame.names if name in self.test.frame]

    @cached_property
    def group(self) -> str | None:
        """The column whose values must not be in both train and test, if the challenge declares one."""
        return _declared(self.challenge, ("group", "groups", "group_column", "groups_column", "group_by"))

    @cached_property
    def time(self) -> str | None:
        """The column that orders rows in time, if the challenge declares one."""
        return _declared(self.challenge, ("time", "time_column", "date", "timestamp", "order_by"))

    @cached_property
    def is_sequential(self) -> bool:
        """The challenge says that test comes after train."""
        words = (self.challenge.split.strategy or "").lower()
        return any(word in words for word in ("sequential", "temporal", "time", "chronolog", "forecast"))

    @cached_property
    def is_grouped(self) -> bool:
        return "group" in (self.challenge.split.strategy or "").lower() or self.group is not None

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
    """Read a challenge's public tables and line them up with its labels."""
    lacking: dict[str, str] = {}
    hidden = _hidden_targets(challenge)
    if not hidden:
        lacking["hidden"] = "the target is not a simple column of classes or numbers"
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
    return Material(challenge, train, test, sample, places, lacking, seed)


# --- tables ---------------------------------------------------------------------------------------


def read_frame(path: Path) -> Frame:
    """A CSV (also gzip, or a zip of one) or Parquet file as text by column; raises Unreadable with the reason."""
    if not path.is_file():
        raise Unreadable(f"there is no {path.name}")
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        table = open_table(path, max_bytes=MAX_TABLE_BYTES)
        header = table.header()
        if not header:
            raise Unreadable(f"{path.name} could not be read: its first line holds no column names in UTF-8")
        if len(set(header)) < len(header):
            raise Unreadable(f"{path.name} has two columns of one name")
        read = pyarrow.csv.read_csv(
            stream_of(table),
            read_options=pyarrow.csv.ReadOptions(column_names=header, skip_rows=1, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, delimiter=","),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in header}, strings_can_be_null=False
            ),
        )
    except UnreadableTable as refusal:
        raise Unreadable(f"{path.name} could not be read: {refusal.problems[0].message}") from None
    except (pa.ArrowException, OSError) as error:
        words = " ".join(str(error).split())[:160]
        raise Unreadable(f"{path.name} could not be read: {words}") from None
    if read.num_rows == 0:
        raise Unreadable(f"{path.name} has no rows")
    return Frame(read.combine_chunks())


def _read_parquet(path: Path) -> Frame:
    table = pyarrow.parquet.read_table(path)
    columns = []
    for column in table.columns:
        try:
            columns.append(pc.fill_null(pc.cast(column, pa.string()), ""))
        except pa.ArrowException:  # nested values have no text of their own
            columns.append(
                pa.chunked_array([pa.array([str(value) for value in column.to_pylist()], pa.string())])
            )
    if table.num_rows == 0:
        raise Unreadable(f"{path.name} has no rows")
    return Frame(pa.table(dict(zip(table.column_names, columns, strict=True))).combine_chunks())


def _find(folder: Path, name: str) -> Path:
    for suffix in (".csv", ".csv.gz", ".csv.zip", ".parquet"):
        for path in (folder / f"{name}{suffix}", folder / name / f"{name}{suffix}"):
            if path.is_file():
                return path
    raise Unreadable(f"there is no public/{name}.csv")


_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)


def _feature(name: str, texts: pa.Array) -> Feature:
    encoded = texts.dictionary_encode()
    values: pa.Array = encoded.dictionary
    # What can be decided of the distinct values is decided there: a column of a million rows may have ten.
    trimmed = pc.utf8_trim_whitespace(values)
    nothing = np.asarray(
        pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING)).to_numpy(zero_copy_only=False),
        dtype=np.bool_,
    )
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    missing = nothing[codes] if len(values) else np.zeros(len(texts), dtype=np.bool_)
    distinct = np.full(len(values), np.nan)
    kind: Literal["number", "time", "category", "text"] = "category"
    something = trimmed.filter(pa.array(~nothing))
    numbers = _as_numbers(something)
    if numbers is not None and len(something):
        kind = "number"
        distinct[~nothing] = numbers
    elif len(something) and (seconds := _as_seconds(something)) is not None:
        kind = "time"
        distinct[~nothing] = seconds
    elif len(something) > max(50, 0.5 * (len(texts) - int(missing.sum()))):
        kind = "text"
    return Feature(
        name,
        kind,
        texts,
        missing,
        distinct[codes] if len(values) else np.empty(0),
        np.where(missing, -1, codes),
        values,
    )


def _as_numbers(texts: pa.Array) -> FloatArray | None:
    lowered = pc.utf8_lower(texts)
    truths = pc.is_in(lowered, value_set=pa.array(["true", "false"]))
    if len(texts) and pc.all(truths).as_py():
        return np.asarray(pc.equal(lowered, "true").to_numpy(zero_copy_only=False), dtype=np.float64)
    try:
        numbers = np.asarray(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pa.ArrowException:
        return None
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _as_seconds(texts: pa.Array) -> FloatArray | None:
    first = texts[0].as_py()
    if not _TIME.fullmatch(first):
        return None
    try:
        stamps = (
            np.array(texts.to_pylist(), dtype="datetime64[us]")
            if "Z" not in first and "+" not in first
            else None
        )
        if stamps is None:
            stamps = np.asarray(
                pc.cast(texts, pa.timestamp("us", tz="UTC")).to_numpy(zero_copy_only=False),
                dtype="datetime64[us]",
            )
    except (ValueError, pa.ArrowException):
        return None
    return np.asarray(stamps.astype(np.int64) / 1e6)


def joint_codes(a: Feature, b: Feature) -> tuple[Codes, Codes]:
    """The values of one column in two tables as codes of one list; -1 where missing. Numbers are equal as numbers."""
    if a.is_numeric and b.is_numeric:
        values = np.unique(np.concatenate([a.numbers[~a.missing], b.numbers[~b.missing]]))
        sides = (np.searchsorted(values, np.nan_to_num(side.numbers)) for side in (a, b))
        first, second = (np.where(side.missing, -1, code) for side, code in zip((a, b), sides, strict=True))
        return first, second
    names = pa.concat_arrays([a.names, b.names]).dictionary_encode()
    places = np.asarray(names.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    own, other = places[: len(a.names)], places[len(a.names) :]
    return (
        np.where(a.missing, -1, own[np.maximum(a.codes, 0)] if len(own) else -1),
        np.where(b.missing, -1, other[np.maximum(b.codes, 0)] if len(other) else -1),
    )


# --- targets and sides ----------------------------------------------------------------------------


def _hidden_targets(challenge: Challenge) -> tuple[Target, ...]:
    solution = challenge.solution
    columns = truth_as_predictions(solution) if solution.task.custom is None else None
    if columns is None:
        return ()
    scored = solution.scored
    arrays = {
        name: column
        for name, column in columns.items()
        if isinstance(column, np.ndarray) and column.dtype == np.float64
    }
    if len(arrays) == len(columns) > 1:
        matrix = np.column_stack(list(arrays.values()))
        if np.isin(matrix, (0.0, 1.0)).all() and (matrix.sum(axis=1) == 1).all():
            values = np.where(scored, matrix.argmax(axis=1).astype(np.float64), np.nan)
            return (Target("class", "class" if len(arrays) > 2 else "binary", values, tuple(arrays)),)
    found = []
    for name, column in list(columns.items())[:5]:
        if isinstance(column, Labels):
            codes = np.where(scored, column.codes, -1)
            used, dense = np.unique(codes[scored], return_inverse=True)
            values = np.full(len(codes), np.nan)
            values[scored] = dense
            names = tuple(solution.vocabulary.names[code] for code in used)
            found.append(Target(name, "binary" if len(names) <= 2 else "class", values, names))
        elif isinstance(column, np.ndarray) and column.dtype == np.float64:
            found.append(number_target(name, np.where(scored, column, np.nan)))
        else:
            return ()
    return tuple(found)


def number_target(name: str, values: FloatArray) -> Target:
    """Two distinct values are a yes or no, whatever they are; anything else is a number."""
    distinct = np.unique(values[~np.isnan(values)])
    if len(distinct) == 2:
        hot = np.where(np.isnan(values), np.nan, (values == distinct[1]).astype(np.float64))
        return Target(name, "binary", hot, tuple(f"{value:g}" for value in distinct))
    return Target(name, "number", values)


def _target_like(hidden: Target, feature: Feature) -> Target | None:
    """Train's column in the hidden target's terms; None if it holds something else."""
    if hidden.classes:
        names = [name.strip() for name in feature.names.to_pylist()]
        places = {name: code for code, name in enumerate(hidden.classes)}
        own = np.array(
            [places.get(name, places.get(_shortened(name), -1)) for name in names], dtype=np.float64
        )
        if hidden.kind == "binary" and (own < 0).all() and feature.n_unique == 2:
            return None
        if len(own) == 0 or (own >= 0).sum() < min(2, len(hidden.classes)):
            return None
        extra = [
            name for name, code in zip(names, own, strict=True) if code < 0 and name.lower() not in MISSING
        ]
        for number, name in enumerate(extra):
            own[names.index(name)] = len(hidden.classes) + number
        # By what is written: a class may be called "none", which is missing in any other column.
        written = feature.texts.dictionary_encode()
        if len(written.dictionary) != len(own):
            return None
        codes = np.asarray(written.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
        values = own[codes]
        values = np.where(values < 0, np.nan, values)
        kind = hidden.kind if not extra else "class"
        return Target(hidden.name, kind, values, (*hidden.classes, *extra))
    if feature.kind != "number":
        return None
    return Target(hidden.name, "number", feature.numbers)


def _shortened(name: str) -> str:
    """1.0 and 1 are one class."""
    try:
        number = float(name)
    except ValueError:
        return name
    return f"{number:g}" if math.isfinite(number) else name


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
    # A target that is one column of classes may be named otherwise in train: then it is what test lacks.
    only_train = [
        name for name in frame.names if test is not None and name not in test and name not in id_names
    ]
    for target in hidden:
        candidates = [target.name] if target.name in frame else _truth_names(challenge, frame) or only_train
        for name in candidates:
            found = _target_like(target, frame.feature(name))
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


def _truth_names(challenge: Challenge, frame: Frame) -> list[str]:
    """The solution's own names for the truth, where these are not the submission's."""
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
        n_ids = len(solution.ids)
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
    """Of each row of a public table the row of the solution with its id; -1 where there is none."""
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
