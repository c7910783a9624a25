"""Which columns of a solution are read, and what their cells must hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from scorer.challenges.solution import USAGE_COLUMN
from scorer.challenges.solution_checks import solution_problem
from scorer.challenges.task import Part, Task
from scorer.reading.cells import Cells
from scorer.reading.forms import composed
from scorer.reading.separators import SEPARATORS, wrong_separator
from scorer.reading.tables import SPACES
from scorer.report import Problem
from scorer.wording import show

WEIGHT = Cells("number", low=0.0, high=1e15)
GROUP = Cells("label")

_CLASSES = (
    " Give one 0/1 column per class, or a single column with the class of each row, named by truth if there "
    "are other columns."
)

_USAGE_NAMES = (
    "usage",
    "split",
    "set",
    "subset",
    "part",
    "partition",
    "fold",
    "lb",
    "leaderboard",
    "board",
    "public",
    "private",
    "is_public",
    "is_private",
    "ispublic",
    "isprivate",
    "public_private",
)
"""What organisers call the column Usage, in small letters."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One column of the solution and the cells it must hold."""

    name: str
    cells: Cells
    known: bool = False
    """Whether participants know it, as the size of an image. Then the cells of ignored rows are kept too:
    leaving them out would reveal which rows these are."""
    holes: bool = False
    """Whether a cell of a scored row may be unknown."""
    values: tuple[tuple[str, float], ...] = ()
    """The numbers that words stand for, if some are declared; then every cell is one of the words."""


@dataclass(frozen=True, slots=True)
class PartColumns:
    """The solution's columns that one part needs."""

    truth: tuple[str, ...]
    one_label: bool
    """A single column names the class of each row; the predicted columns are the classes."""
    sides: Mapping[str, str]
    """Role -> column."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns of a solution to read, by part."""

    ids: tuple[str, ...]
    """Those that the file has."""
    wanted: tuple[Wanted, ...]
    parts: tuple[tuple[PartColumns, ...], ...]
    usage: str | None
    repeated_ids: bool
    """Whether several rows may have one id, as where an own metric gets whole frames."""
    problems: tuple[Problem, ...]
    """With the header. The columns that are there can be read all the same."""
    readable: bool = True
    """Whether the file has columns at all."""


def truth_wanted(part: Part, place: PartColumns, name: str) -> Wanted:
    """Return how a part's truth column is read."""
    modifiers = part.modifiers
    holes = modifiers.truth_missing == "skip"
    if place.one_label or modifiers.truth_values:
        values = () if place.one_label else tuple((modifiers.truth_values or {}).items())
        return Wanted(name, Cells("label"), False, holes, values)
    return Wanted(name, part.truth_cells, part.metric.faults_need_truth, holes)


def bare_names(header: Sequence[str]) -> list[str]:
    """Return the names without spaces around them and in one Unicode form, as a submission's are read."""
    return [composed(name.strip(SPACES)) for name in header]


def plan_columns(
    header: Sequence[str], tasks: Sequence[Task], ids: Sequence[str], *, split_required: bool
) -> Plan:
    """Return what to read of a solution with this header.

    Parameters
    ----------
    header
        As `bare_names` returns it.
    """
    named = {name for task in tasks for name in task.columns}
    apart = (None if named & set(header) else _not_a_header(header)) or _not_separated(header)
    if apart is not None:
        return Plan((), (), tuple(() for _ in tasks), None, False, (apart,), readable=False)
    problems = [
        solution_problem("DUPLICATE_COLUMN", f"Line 1: column {show(name)} appears twice.", line=1)
        for name, times in Counter(header).items()
        if times > 1
    ]
    for name in ids:
        if name not in header:
            message = f"The id column {show(name)} is missing; {_listed(header)}{_nearest(name, header)}"
            problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=show(name)))
    if USAGE_COLUMN in ids:
        message = f"{USAGE_COLUMN} cannot be the id; state submission: {{id: ...}} or put the id first."
        problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
    for name in sorted({name for task in tasks for name in task.columns} & set(ids)):
        message = f"The column {show(name)} is the id, and submission.columns names it too."
        problems.append(solution_problem("DUPLICATE_COLUMN", message, line=1, column=show(name)))
    if split_required and USAGE_COLUMN not in header:
        problems.append(_no_usage(header, ids))
    wanted: dict[Wanted, None] = {}
    found = []
    for task in tasks:
        parts = []
        for part in task.parts:
            own = _part_columns(header, part, tuple(ids), problems)
            parts.append(own)
            wanted.update(dict.fromkeys(truth_wanted(part, own, name) for name in own.truth))
            for role, name in own.sides.items():
                what = part.metric.side_roles.get(role)
                if what is None:
                    wanted[Wanted(name, WEIGHT if role == "weight" else GROUP)] = None
                else:
                    wanted[Wanted(name, what.cells, True)] = None
        found.append(tuple(parts))
    readable = tuple(each for each in wanted if each.name in header and each.name != USAGE_COLUMN)
    once = list({(problem.code, problem.message): problem for problem in problems}.values())
    return Plan(
        tuple(name for name in ids if name in header),
        readable,
        tuple(found),
        USAGE_COLUMN if USAGE_COLUMN in header else None,
        any(task.custom is not None and task.complete for task in tasks),
        tuple(once),
    )


def _not_a_header(header: Sequence[str]) -> Problem | None:
    """Return the problem of a first line that is blank or about the file."""
    if not any(header):
        message = "Line 1 is blank; delete it, so that the file begins with the names of the columns."
        return solution_problem("NO_HEADER", message, line=1)
    if USAGE_COLUMN not in header and header[0].lower().startswith(("#", "sep=")):
        message = f'Line 1 begins with "{show(header[0])}" and names no columns; delete it.'
        return solution_problem("NO_HEADER", message, line=1)
    return None


def _not_separated(header: Sequence[str]) -> Problem | None:
    """Return the problem of a header whose columns are not separated by commas."""
    if len(header) != 1:
        return None
    if "," in header[0]:
        message = "Line 1 is one quoted value; leave out the quotes around the whole line."
        return solution_problem("SEPARATOR", message, line=1)
    for separator in SEPARATORS:
        names = header[0].split(separator)
        if len(names) > 1:
            message = wrong_separator(separator, names, ()).message
            return solution_problem("SEPARATOR", message, line=1)
    return None


def _listed(header: Sequence[str]) -> str:
    names = [show(name) or "(no name)" for name in header]
    return f"the columns are {', '.join(names[:12])}" + (f", ... ({len(names)})" if len(names) > 12 else "")


def _nearest(name: str, header: Sequence[str]) -> str:
    """Return the end of a sentence: which column may be meant."""
    folded = {other.casefold(): other for other in reversed(header)}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)
    return f"; did you mean {show(folded[near[0]])}?" if near else "."


def _no_usage(header: Sequence[str], ids: Sequence[str]) -> Problem:
    message = f"The column {USAGE_COLUMN} is missing; it says of each row Public, Private or Ignored."
    folded = {name.casefold().replace(" ", "_").replace("-", "_"): name for name in reversed(header)}
    folded = {key: name for key, name in folded.items() if name not in ids}
    near = [key for key in _USAGE_NAMES if key in folded] or get_close_matches("usage", folded, 1, 0.75)
    if near:
        name = show(folded[near[0]])
        message += f' Did you mean "{name}"? Call the column {USAGE_COLUMN}, in this spelling'
        flag = "public" in near[0] or "private" in near[0]
        message += ", and write these words instead of a flag." if flag else "."
    else:
        message += f" Here {_listed(header)}."
    return solution_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN)


def _part_columns(
    header: Sequence[str], part: Part, ids: tuple[str, ...], problems: list[Problem]
) -> PartColumns:
    metric, modifiers = part.metric, part.modifiers
    stated_sides = {"weight": modifiers.weight, "group_by": modifiers.group_by}
    sides = {role: name for role, name in stated_sides.items() if name is not None}
    for role, what in metric.side_roles.items():
        name = getattr(part.parameters, role)
        if name in header or not what.optional:
            sides[role] = name

    stated = modifiers.truth
    others = [name for name in header if name not in (*ids, USAGE_COLUMN, *sides.values())]
    classes = part.columns_are_classes and not modifiers.truth_values
    one_label = False
    if stated is not None:
        truth = [stated] if isinstance(stated, str) else list(stated)
        one_label = classes and len(truth) == 1
    elif metric.truth_roles:
        truth = [getattr(part.parameters, role) for role in metric.truth_roles]
    elif metric.n_truth == 1 and len(part.columns) > 1:
        named = [name for name in part.columns if name in header]
        truth = named[:1] or (others if len(others) == 1 else [part.columns[0]])
    else:
        truth = list(part.columns)
        if classes and not set(truth) & set(header) and len(others) == 1:
            truth, one_label = others, True
    n_truth = 1 if one_label else metric.n_truth or len(part.columns)
    if len(truth) != n_truth:
        message = (
            f"{metric.name} needs {n_truth} truth columns, {len(truth)} are named: {show(', '.join(truth))}."
        )
        problems.append(solution_problem("MISSING_COLUMN", message, line=1))
    lacking = [name for name in truth if name not in header]
    if len(lacking) == len(truth) > 1:
        problems.append(_no_truth(header, part, truth, others, classes=classes))
        truth_left: list[str] = []
    else:
        truth_left = truth
    for name in [*truth_left, *sides.values()]:
        if name == USAGE_COLUMN:
            message = f"{metric.name} cannot use {USAGE_COLUMN}, which says what a row is for."
            problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
        elif name not in header:
            if name in sides.values():
                message = f"The column {show(name)}, which {metric.name} asks for, is missing"
                message += _nearest(name, header)
            else:
                message = f"The target column {show(name)} is missing; {_listed(header)}"
                message += _nearest(name, header)
                if classes:
                    message += _CLASSES
            problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=show(name)))
    return PartColumns(tuple(truth), one_label, sides)


def _no_truth(
    header: Sequence[str], part: Part, truth: Sequence[str], others: Sequence[str], *, classes: bool
) -> Problem:
    """Return the one problem of a solution that has none of several target columns."""
    names = ", ".join(map(show, truth[:12])) + (f", ... ({len(truth)})" if len(truth) > 12 else "")
    message = f"The target columns {names} are missing; {_listed(header)}."
    if classes:
        message += _CLASSES
    elif len(others) == 1 and getattr(part.parameters, "predictions", "") == "lists":
        message += (
            f" If they hold scores of the classes in {show(others[0])}, write predictions: scores beside "
        )
        message += "the name of the metric."
    elif len(others) == 1 and part.metric.kind == "label":
        message += f" {part.metric.name} compares labels: name one column, columns: [{show(others[0])}]."
    return solution_problem("MISSING_COLUMN", message, line=1, column=show(truth[0]), count=len(truth))
