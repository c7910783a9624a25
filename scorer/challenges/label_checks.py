"""Check the labels of a solution and of its sample for what participants could not send by mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from scorer.challenges.challenge import MAX_SOLUTION_BYTES, Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.solution import FILE
from scorer.challenges.solution_checks import solution_problem
from scorer.challenges.spellings import label_columns, true_codes
from scorer.reading.cells import split_tokens
from scorer.reading.forms import composed, with_newlines
from scorer.reading.spelling import Spelling, folded, items_of, marks_of, without_marks
from scorer.reading.tables import SPACES, is_blank, open_table
from scorer.report import Notice, Problem
from scorer.wording import how_many, show

_PRINTED_LIST = re.compile(r"""(?:\w+\()?(?:[\[{][^\[\]{}]*[\]}]|\([^()]*['",][^()]*\)).*""", re.DOTALL)
_PRINTED_LABEL = re.compile(
    r"""(?:\w+\()?\[.*\]\)?|b?(['"]).*\1|(?:\w+\.)?\w+\((['"]?)[\w.]*\2\)""", re.DOTALL
)


def label_problems(challenge: Challenge) -> list[Problem]:
    """Return a problem for each column of the truth whose every cell is what a program prints of an object.

    Such as ['a', 'b'] in a column of lists, and [0] or b'0' in one of labels: no ordinary file can equal it.
    """
    problems = []
    for name, spelling in challenge.solution.spellings.items():
        if _marked(challenge, name, spelling):
            cells = list(_cells(challenge, name))
            printed = _PRINTED_LIST if spelling.is_list else _PRINTED_LABEL
            if cells and all(printed.fullmatch(text) for _, text in cells):
                line, text = cells[0]
                right = items_of(text, spelling.split) if spelling.is_list else without_marks(text)
                what = "a list" if spelling.is_list else "a label"
                words = f'"{show(text)}" is {what} as a program prints it; write {show(right)}.'
                message = f"Column {show(name)}, line {line}: {words}{how_many(len(cells))}"
                problems.append(
                    solution_problem(
                        "BAD_FORM", message, line=line, column=show(name), value=show(text), count=len(cells)
                    )
                )
    return problems


def label_notices(challenge: Challenge) -> list[Notice]:
    """Return notices about labels that participants will hardly spell like the truth."""
    notices = []
    for name, spelling in challenge.solution.spellings.items():
        names = _true_labels(challenge, name)
        marked = _marked(challenge, name, spelling)
        sent = _labels(challenge, name, spelling) if marked else ()
        found = [(line, label) for line, label in sent if label in marked]
        if found:
            line, label = found[0]
            noun = "item" if spelling.is_list else "label"
            words = (
                f'{FILE}, line {line}: the {noun} "{show(label)}" of column {show(name)} holds a bracket, '
                f"a quote or a separator ({len(found)} of them); only files with exactly this text are right."
            )
            notices.append(Notice("NOTICE_ODD_LABELS", words))
        by_key: dict[str, list[str]] = {}
        for label in names:
            by_key.setdefault(folded(label), []).append(label)
        alike = [labels for labels in by_key.values() if len(labels) > 1]
        if alike:
            first = " and ".join(f'"{show(label)}"' for label in alike[0][:2])
            words = f"{FILE}: the labels {first} of column {show(name)} differ in spelling only."
            more = f" There are {len(alike)} such pairs." if len(alike) > 1 else ""
            notices.append(Notice("NOTICE_SIMILAR_LABELS", words + more))
        if spelling.placeholders and spelling.known is not None:
            listed = ", ".join(f'"{show(label)}"' for label in sorted(spelling.placeholders)[:3])
            words = (
                f"{SAMPLE_FILE}: {listed} in column {show(name)} is no label of the solution or of the "
                "training data; participants copy what the sample shows."
            )
            notices.append(Notice("NOTICE_SAMPLE_LABELS", words))
    return notices


def sample_notices(notices: Sequence[Notice]) -> list[Notice]:
    """Return what was noticed about the labels of the sample submission."""
    about_labels = ("NOTICE_LABEL_SPELLING", "NOTICE_UNKNOWN_LABELS")
    return [
        replace(notice, message=f"{SAMPLE_FILE}: {notice.message}")
        for notice in notices
        if notice.code in about_labels
    ]


def _true_labels(challenge: Challenge, name: str) -> list[str]:
    codes = np.unique(true_codes(challenge.solution, name)).tolist()
    return sorted(challenge.solution.vocabulary.names[code] for code in codes)


def _marked(challenge: Challenge, name: str, spelling: Spelling) -> set[str]:
    """Return the true labels with brackets, quotes or separators."""
    names = _true_labels(challenge, name)
    if spelling.is_list:
        return {label for label in names if marks_of(label, spelling.split)}
    return {label for label in names if _PRINTED_LABEL.fullmatch(label)}


def _cells(challenge: Challenge, name: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each filled true cell of a column."""
    assert name in label_columns(challenge.solution)
    truths = [part.modifiers.truth for part in challenge.task.parts if name in part.columns]
    records = open_table(challenge.folder / FILE, max_bytes=MAX_SOLUTION_BYTES).records()
    header = [composed(name.strip(SPACES)) for name in next(records)[1]]
    places = [header.index(each) for each in (name, *truths) if isinstance(each, str) and each in header]
    usage = header.index("Usage") if "Usage" in header else None
    for line, fields in records:
        if is_blank(fields) or (usage is not None and fields[usage].strip(SPACES) == "Ignored"):
            continue
        for place in places[:1]:
            if text := composed(with_newlines(fields[place].strip(SPACES))):
                yield line, text


def _labels(challenge: Challenge, name: str, spelling: Spelling) -> Iterator[tuple[int, str]]:
    for line, text in _cells(challenge, name):
        yield from (
            (line, label) for label in split_tokens(text, spelling.split if spelling.is_list else "\0")
        )
