"""Check the labels of a solution and of its sample for what participants could not send by mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.public_labels import public_labels
from scorer.challenges.solution import FILE
from scorer.challenges.solution_checks import solution_problem
from scorer.challenges.solution_lines import filled_cells
from scorer.challenges.spellings import label_columns, true_labels
from scorer.custom_cells import MISSING_WORDS
from scorer.reading.cells import NUMBER, graded_item, split_tokens
from scorer.reading.columns import Lists
from scorer.reading.spelling import Spelling, folded, items_of, marks_of, without_marks
from scorer.report import Notice, Problem
from scorer.wording import how_many, show

_PRINTED_LIST = re.compile(
    r"""c\([^()]*['",:][^()]*\)|(?:\w+\()?(?:[\[{][^\[\]{}]*[\]}]|\([^()]*['",][^()]*\)).*""", re.DOTALL
)
_MOST = 0.5
_AFTER_GRADE = re.compile(r":[ \t]*[+-]?[\d.]+(?:[eE][+-]?\d+)?[ \t]*[,;|/\s]", re.ASCII)
"""A separator after a grade; U+00A0 is replaced by a blank before."""
_PRINTED_LABEL = re.compile(
    r"""(?:\w+\()?\[.*\]\)?|b?(['"]).*\1|(?:\w+\.)?\w+\((['"]?)[\w.]*\2\)""", re.DOTALL
)


def label_problems(challenge: Challenge) -> list[Problem]:
    """Return a problem for each column of the truth whose cells are what a program prints of an object.

    Every label or most lists, such as ['a', 'b'] in a column of lists,
    and [0] or b'0' in one of labels: no ordinary file can equal it.
    """
    problems = _grade_problems(challenge)
    compared = label_columns(challenge.solution)
    for name, spelling in challenge.solution.spellings.items():
        if name in compared and _marked(challenge, name, spelling):
            filled = [cell for cell in _cells(challenge, name) if cell[1].casefold() not in MISSING_WORDS]
            printed = _PRINTED_LIST if spelling.is_list else _PRINTED_LABEL
            cells = [cell for cell in filled if printed.fullmatch(cell[1])]
            if cells and (len(cells) == len(filled) or _are_printed(cells, filled, spelling)):
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


def _are_printed(
    printed: Sequence[tuple[int, str]], filled: Sequence[tuple[int, str]], spelling: Spelling
) -> bool:
    """Return whether most lists are printed ones; R prints those of one item without c(...)."""
    if not spelling.is_list:
        return False
    if any(text.startswith("c(") for _, text in printed):
        filled = [cell for cell in filled if cell in printed or spelling.split in cell[1]]
    return len(printed) > _MOST * len(filled)


def _grade_problems(challenge: Challenge) -> list[Problem]:
    """Return problems of graded lists that have no grades or other signs, and of grades in other lists.

    All of these load, as items of which each has one grade.
    """
    problems = []
    for name, spelling in challenge.solution.spellings.items():
        if not spelling.is_list:
            continue
        tokens = list(_tokens(challenge, name, spelling))
        joined = [
            (line, token) for line, token in tokens if _AFTER_GRADE.search(token.replace("\u00a0", " "))
        ]
        if not _is_graded(challenge, name):
            found = [pair for pair in tokens if _ends_in_grade(pair[1])]
            if len(found) <= _MOST * len(tokens) or _sample_has_grades(challenge, name):
                continue
            (line, token), count = found[0], len({line for line, _ in found})
            n = "every item ends" if len(found) == len(tokens) else f"{len(found)} of {len(tokens)} items end"
            words = f'{n} in :number, the first is "{show(token)}", and is compared with the number; write '
            words += (
                "graded: true beside the name of the metric if these are grades, else the items alone."
                if _may_be_graded(challenge, name)
                else f'the items alone, as in "{show(token.rpartition(":")[0])}": this metric has no grades.'
            )
        elif joined:
            (line, token), count = joined[0], len({line for line, _ in joined})
            between = "spaces" if spelling.split == " " else f'"{spelling.split}"'
            words = f'"{show(token)}" has more than one grade; separate the items by {between}, as in '
            words += f"a:3{spelling.split}b:1.{how_many(count)}"
        elif tokens and not any(":" in token for _, token in tokens):
            (line, token), count = tokens[0], len({line for line, _ in tokens})
            words = (
                f'no item has a grade, the first is "{show(token)}"; write item:grade, as in a:3, or leave '
                "out graded: true, then every item has grade 1."
            )
        elif equal := _equals_for_colons(tokens):
            (line, token), count = equal[0], len({line for line, _ in equal})
            words = f'"{show(token)}" has no grade that can be read; write item:grade, as in '
            words += f"{show(':'.join(token.rsplit('=', 1)))}.{how_many(count)}"
        else:
            continue
        problems.append(
            solution_problem(
                "BAD_FORM",
                f"Column {show(name)}, line {line}: {words}",
                line=line,
                column=show(name),
                value=show(token),
                count=count,
            )
        )
    return problems


def _ends_in_grade(token: str) -> bool:
    item, colon, grade = token.rpartition(":")
    return bool(item and colon and NUMBER.fullmatch(grade))


def _sample_has_grades(challenge: Challenge, name: str) -> bool:
    """Return whether participants send items that end so, as chr1:100: then the number is no grade."""
    shown = public_labels(challenge.folder, challenge.solution)[name].sample
    return any(map(_ends_in_grade, shown))


def _equals_for_colons(tokens: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the tokens such as x=3 of a graded list, unless other items have such signs too."""
    if any("=" in token.rpartition(":")[0] for _, token in tokens):
        return []
    return [
        (line, token)
        for line, token in tokens
        if ":" not in token and NUMBER.fullmatch(token.rpartition("=")[2]) and token.rpartition("=")[0]
    ]


def _may_be_graded(challenge: Challenge, name: str) -> bool:
    parts = [part for part in challenge.task.parts if name in part.columns]
    return any(hasattr(part.parameters, "graded") for part in parts)


def _is_graded(challenge: Challenge, name: str) -> bool:
    parts = zip(challenge.task.parts, challenge.solution.given[0], strict=True)
    return any(
        isinstance(column, Lists) and column.grades is not None
        for part, given in parts
        if name in part.columns
        for column in given.truth
    )


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
    return sorted(true_labels(challenge.solution, name)[0])


def _marked(challenge: Challenge, name: str, spelling: Spelling) -> set[str]:
    """Return the true labels with brackets, quotes or separators."""
    names = _true_labels(challenge, name)
    if spelling.is_list:
        return {label for label in names if marks_of(label, spelling.split)}
    return {label for label in names if _PRINTED_LABEL.fullmatch(label)}


def _cells(challenge: Challenge, name: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each filled true cell of a prediction column."""
    truths = [part.modifiers.truth for part in challenge.task.parts if name in part.columns]
    return filled_cells(challenge, [each for each in (name, *truths) if isinstance(each, str)])


def _labels(challenge: Challenge, name: str, spelling: Spelling) -> Iterator[tuple[int, str]]:
    graded = _is_graded(challenge, name)
    for line, token in _tokens(challenge, name, spelling):
        item = graded_item(token) if graded else token
        yield line, item if isinstance(item, str) else item[0]


def _tokens(challenge: Challenge, name: str, spelling: Spelling) -> Iterator[tuple[int, str]]:
    for line, text in _cells(challenge, name):
        yield from (
            (line, label) for label in split_tokens(text, spelling.split if spelling.is_list else "\0")
        )
