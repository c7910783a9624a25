"""Collect the labels that the public files of a challenge show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.folder import belonging_files
from scorer.challenges.solution import Solution
from scorer.challenges.spellings import PublicLabels, label_columns, word_columns
from scorer.reading.box_labels import PREDICTED_VALUES, TRUE_VALUES, box_labels
from scorer.reading.cells import GRAMMARS, Cells, split_tokens
from scorer.reading.forms import composed, with_newlines
from scorer.reading.spelling import is_enclosed, items_of
from scorer.reading.tables import SPACES

_MOST_LABELS = 1_000_000
"""Of a column; a file with more is left out, and labels are then judged by their form."""

_ENDS = (".csv", ".csv.gz")


def public_labels(folder: Path, solution: Solution) -> dict[str, PublicLabels]:
    """Return the labels by prediction column that the CSV files in public/ hold.

    A file counts if it has a column of the prediction's name or of the truth's. What cannot be read is left
    out; `scorer.check` reports on it.
    """
    wanted = {name: _names(solution, name) for name in (*label_columns(solution), *word_columns(solution))}
    train: dict[str, set[str]] = {name: set() for name in wanted}
    sample: dict[str, set[str]] = {name: set() for name in wanted}
    if wanted:
        for file in belonging_files(folder / "public"):
            if file.lower().endswith(_ENDS):
                into = sample if f"public/{file}" == SAMPLE_FILE else train
                for name, labels in _labels_in(folder / "public" / file, solution, wanted):
                    into[name] |= labels
    return {name: PublicLabels(frozenset(train[name]), frozenset(sample[name])) for name in wanted}


def _names(solution: Solution, name: str) -> list[str]:
    truth = [part.modifiers.truth for part in solution.task.parts if name in part.columns]
    return list(dict.fromkeys([name, *(each for each in truth if isinstance(each, str))]))


def _labels_in(
    path: Path, solution: Solution, wanted: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, set[str]]]:
    try:
        texts = _texts_in(path, {each for names in wanted.values() for each in names})
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return
    for name, names in wanted.items():
        cells = solution.task.cells(name)
        found = {label for each in names for text in texts.get(each, ()) for label in _labels(text, cells)}
        if len(found) <= _MOST_LABELS:
            yield name, found


def _texts_in(path: Path, wanted: set[str]) -> dict[str, set[str]]:
    """Return the distinct cells of those columns that the file has."""
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with pa.input_stream(path, compression="detect") as stream:
        header = pyarrow.csv.open_csv(stream, parse_options=parse).schema.names
    found: dict[str, set[str]] = {name: set() for name in header if _bare(name) in wanted}
    if not found or len(set(map(_bare, header))) < len(header):
        return {}
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(found),
        column_types=dict.fromkeys(found, pa.dictionary(pa.int32(), pa.string())),
        null_values=[],
        strings_can_be_null=False,
    )
    with pa.input_stream(path, compression="detect") as stream:
        for batch in pyarrow.csv.open_csv(stream, parse_options=parse, convert_options=convert):
            for name in found:
                found[name].update(batch.column(name).dictionary.to_pylist())
                if len(found[name]) > _MOST_LABELS:
                    return {}
    return {_bare(name): set(map(_in_one_form, texts)) for name, texts in found.items()}


def _bare(name: str) -> str:
    return composed(name.strip(SPACES))


def _in_one_form(text: str) -> str:
    return composed(with_newlines(text))


def _labels(text: str, cells: Cells) -> list[str]:
    if cells.kind == "list":
        is_printed = is_enclosed(text) and text.strip()[:1] not in ("'", '"', "`")
        return split_tokens(items_of(text, cells.split) if is_printed else text, cells.split)
    if cells.grammar == "boxes":
        forms = {"true_boxes": TRUE_VALUES, "boxes": PREDICTED_VALUES}
        values = (n for form, n in forms.items() if GRAMMARS[form].fault(text) is None)
        return box_labels(text, next(values, len(text) + 1))
    labels = split_tokens(text, cells.split) if cells.take else split_tokens(text, "\0")
    return labels[:1]
