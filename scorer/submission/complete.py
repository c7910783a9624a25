"""Read a submission as a whole, for an own metric that matches rows itself."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from scorer.challenges.solution import Solution
from scorer.reading.cells import ColumnBuilder
from scorer.reading.columns import Vocabulary
from scorer.reading.forms import Forms
from scorer.reading.ids import canonical_numbers
from scorer.reading.parsing import opened
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import MAX_SHOWN_PROBLEMS, MIN_UNPACKED_BYTES, SPACES, is_blank
from scorer.report import InvalidSubmission, Problem
from scorer.submission.header import match_header
from scorer.submission.ids import respelt_ids
from scorer.submission.mixtures import mixture_problems
from scorer.submission.reader import Received, cell_problems
from scorer.submission.respelling import Respelt, match, whole_number
from scorer.submission.rows import OddLines


def read_complete(
    source: Path | bytes, solution: Solution, *, max_bytes: int = MIN_UNPACKED_BYTES
) -> tuple[dict[str, list[str]], Received]:
    """Return every row of a file as texts by column, without spaces around them.

    The file is checked like any other, but its ids may be repeated, missing or unknown. Refused are ids that
    respell ids of the sample submission, and other spellings of whole numbers where all ids are whole.

    Raises
    ------
    InvalidSubmission
        With every problem, at most 20 of them.
    """
    (id_column,) = solution.id_columns
    columns = (id_column, *solution.task.columns)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        with opened(source, max_bytes=max_bytes, parquet=solution.task.parquet) as table:
            records = table.records()
            _, header = next(records)
            forms = Forms()
            names, notices = match_header(header, columns, solution, forms=forms, records=records)
            odd, place = OddLines(names, solution.id_columns), names.index(id_column)
            for line, fields in forms.of(records):
                if is_blank(fields):
                    odd.add_blank(line, fields)
                elif len(fields) != len(names):
                    odd.add_ragged(line, fields)
                elif odd.is_header(fields):
                    odd.repeated_headers.append(line)
                else:
                    row = [field.strip(SPACES) for field in fields]
                    odd.spaced_ids |= row[place] != fields[place]
                    if not row[place]:
                        odd.without_id.append((line, 0))
                    lines.append(line)
                    rows.append(row)
            received = Received(
                (*table.notices, *notices, *forms.notices(), *odd.notices()), table.sha256, table.size_bytes
            )
    except UnreadableTable as error:
        raise InvalidSubmission(error.problems) from None
    problems = odd.line_problems()
    if not rows and not problems:
        problems.append(Problem("MISSING_IDS", "The file has no rows."))
    ids = [row[place] for row in rows]
    problems.extend(respelt_ids(_respelt(ids, lines, solution), len(set(ids)), solution))
    builders = {}
    for name in solution.task.columns:
        at, builder = names.index(name), ColumnBuilder(solution.task.cells(name), len(rows), Vocabulary())
        for number, row in enumerate(rows):
            builder.put(number, row[at])
        builders[name] = builder

    def where(row: int) -> tuple[int, str]:
        return lines[row], ids[row]

    problems.extend(cell_problems(builders, where))
    problems.extend(mixture_problems(builders, where, solution.task))
    if problems:
        total = sum(problem.count for problem in problems)
        raise InvalidSubmission(problems[:MAX_SHOWN_PROBLEMS], total)
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), received


def _respelt(ids: list[str], lines: list[int], solution: Solution) -> list[Respelt]:
    """Return the ids that are spelt otherwise than in the sample submission, by cause.

    The solution's ids do not take part, as a message would tell which of them have rows; but if all of them
    are whole numbers, another spelling of a whole number equals none.
    """
    first = {key: line for key, line in zip(reversed(ids), reversed(lines), strict=True) if key}
    unknown = [(key, line) for key, line in reversed(first.items()) if key not in solution.sample_ids]
    expected = dict.fromkeys(key for key in solution.sample_ids if key not in first)
    every = [*solution.frame[solution.id_column].tolist(), *solution.sample_ids]
    if canonical_numbers(pa.array(every, type=pa.large_string())) is not None:
        whole = {key: whole_number(key) for key, _ in unknown}
        unknown = [(key, line) for key, line in unknown if whole[key] != key]
        expected |= dict.fromkeys(number for number in whole.values() if number is not None)
    return match(unknown, list(expected), solution.id_columns)[0]
