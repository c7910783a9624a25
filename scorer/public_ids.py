"""Compare the ids of the solution with those of the public files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.solution import FILE as SOLUTION_FILE
from scorer.challenges.solution import Solution
from scorer.reading.forms import composed, composed_column
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, open_table, stream_of
from scorer.report import Problem
from scorer.wording import ID_JOINT, LISTED, show_id

TEST_FILE = "public/test.csv"
MAX_TABLE_BYTES = 8_000_000_000


def rows_without_truth(challenge: Challenge) -> list[Problem]:
    """Return a problem if the test table has ids that the solution lacks.

    Rows without truth are decoys where the challenge says so: by Usage Ignored, or by extra_ids: ignore. A
    test table that shares no id with the solution has other rows than a submission and is left alone.
    """
    solution = challenge.solution
    if solution.task.complete or solution.task.ignore_unknown_ids:
        return []
    ids = _ids_of(challenge.folder / TEST_FILE, solution)
    lacking = _unknown(ids, solution)
    if not lacking or ids is None or len(lacking) == len(ids):
        return []
    message = (
        f"{SOLUTION_FILE} has no row for {_some(lacking)} of the {len(ids):,} ids of {TEST_FILE}. Add these "
        "rows; a decoy without truth has Usage Ignored, is predicted like any other row and never counts. "
        "Where such rows need no prediction, state submission: {extra_ids: ignore}."
    )
    return [
        Problem("TEST_WITHOUT_TRUTH", message, id=show_id(lacking[0]), count=len(lacking), file=SOLUTION_FILE)
    ]


def sample_problem(problem: Problem, challenge: Challenge) -> Problem | None:
    """Return why the sample submission is refused, in words for the organiser.

    None for unknown ids that `rows_without_truth` reports.
    """
    solution = challenge.solution
    sample, test = (_ids_of(challenge.folder / file, solution) for file in (SAMPLE_FILE, TEST_FILE))
    in_test = set() if test is None else set(test.to_pylist())
    file = SAMPLE_FILE
    message = f"The sample submission is refused. {problem.message}"
    if problem.code == "UNKNOWN_IDS" and (unknown := _unknown(sample, solution)):
        if rows_without_truth(challenge) and in_test.issuperset(unknown):
            return None
        message = f"{SAMPLE_FILE} has {_some(unknown)} that {SOLUTION_FILE} lacks."
        if in_test.issuperset(unknown):
            message += f" They are in {TEST_FILE}, so the solution needs these rows."
            file = SOLUTION_FILE
        else:
            message += " Remove these rows from the sample submission, or add them to the solution."
    elif problem.code == "MISSING_IDS" and sample is not None:
        there = set(sample.to_pylist())
        missing = [key for key in solution.ids if key not in there]
        if missing:
            message = f"{SAMPLE_FILE} lacks {_some(missing)} that {SOLUTION_FILE} has."
            if test is not None and not in_test & set(missing):
                message += f" {TEST_FILE} lacks them too, so they cannot be predicted."
    return Problem(problem.code, message, line=problem.line, id=problem.id, count=problem.count, file=file)


def _some(ids: list[str]) -> str:
    listed = ", ".join(show_id(key) for key in ids[:LISTED]) + (", ..." if len(ids) > LISTED else "")
    return f"{len(ids):,} {'id' if len(ids) == 1 else 'ids'} ({listed})"


def public_ids(challenge: Challenge, file: str) -> pa.StringArray | None:
    """Return the distinct ids of a public table; None if it has none or cannot be read.

    The parts of an id of several columns are joined by `scorer.wording.ID_JOINT`.
    """
    return _ids_of(challenge.folder / file, challenge.solution)


def _ids_of(path: Path, solution: Solution) -> pa.StringArray | None:
    names = list(solution.id_columns)
    if not path.is_file():
        return None
    types = dict.fromkeys(names, pa.string())
    convert = pyarrow.csv.ConvertOptions(
        include_columns=names, column_types=types, strings_can_be_null=False, null_values=[]
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    try:
        file = open_table(path, max_bytes=MAX_TABLE_BYTES)
        header = [composed(name.strip(SPACES)) for name in file.header()]
        if any(header.count(name) != 1 for name in names):
            return None
        read = pyarrow.csv.ReadOptions(column_names=header, skip_rows_after_names=1)
        table = pyarrow.csv.read_csv(
            stream_of(file), read_options=read, parse_options=parse, convert_options=convert
        )
    except (pa.ArrowException, OSError, UnreadableTable):
        return None
    columns = [pc.utf8_trim(composed_column(table.column(name).combine_chunks()), SPACES) for name in names]
    joined = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, ID_JOINT)
    return pc.unique(joined)


def _unknown(ids: pa.StringArray | None, solution: Solution) -> list[str]:
    if ids is None:
        return []
    found: list[str] = ids.filter(pa.array(np.asarray(solution.ids.rows_of_texts(ids)) < 0)).to_pylist()
    return [key for key in found if key]
