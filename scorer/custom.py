"""Run an organiser's own metric: a file with Kaggle's `score` function.

The contract is Kaggle's, as its public metric notebooks use it:

    def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str, ...) -> float

The function gets the rows of one split, in the same order in both frames, without the Usage column; it is
called once for each split, in a fresh process each time; it returns one finite number. The text of an
exception whose class is called ParticipantVisibleError is shown to the participant, in at most 280
characters. Its content is the organiser's responsibility: a text with a label in it gives that label away.
Every other failure is for the organiser alone.

The file is never executed in this process, not even to read its signature.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scorer.report import HeldoutError, ScoringFailed
from scorer.sandbox import sandbox
from scorer.sandbox.sandbox import Limits, Outcome
from scorer.wording import printable

MAX_FILE_BYTES = 256 * 1024
MAX_PARTICIPANT_TEXT = 280
FUNCTION = "score"
USAGE_COLUMN = "Usage"
VISIBLE_ERROR = "ParticipantVisibleError"

Fault = tuple[str, int | None]
"""What is wrong with the file, in words for the organiser without a full stop, and its line if it has one."""


class UnreadableMetric(HeldoutError):
    """The file or its parameters break the contract.

    `.faults` has every fault.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(words for words, _ in self.faults))


class ParticipantRefusal(HeldoutError):
    """The metric refused the file.

    `.text` is for the participant, printable and at most 280 characters.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)


class MetricFailed(ScoringFailed):
    """The metric gave no number.

    The text and `.log`, all that it printed, are for the organiser only.
    """

    def __init__(self, text: str, log: str) -> None:
        self.log = log
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class CustomMetric:
    """A metric file and the parameters of one challenge."""

    source: bytes
    params: Mapping[str, Any]
    """As given; those left out have the file's own defaults."""
    title: str
    """First line of the function's docstring, or of the file's; without one the file's name."""
    help: str
    """The rest of it, up to its examples."""
    file: str = "metric.py"

    @property
    def name(self) -> str:
        return Path(self.file).stem

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source).hexdigest()

    @property
    def version(self) -> str:
        """The first 12 digits of the file's sha256."""
        return self.sha256[:12]

    @classmethod
    def read(cls, path: Path, params: Mapping[str, Any]) -> CustomMetric:
        """Read a metric file and check its signature without executing it.

        Parameters
        ----------
        params
            The keyword arguments of the function beyond its first three, as YAML or JSON gives them.

        Raises
        ------
        UnreadableMetric
            With every fault.
        OSError
            If there is no such file.
        """
        with path.open("rb") as file:
            source = file.read(MAX_FILE_BYTES + 1)
        if len(source) > MAX_FILE_BYTES:
            raise UnreadableMetric([(f"the file is larger than {MAX_FILE_BYTES // 1024} KiB", None)])
        tree = _parse(source)
        # As when the file is executed, the last definition counts.
        named = [node for node in tree.body if _defines(node, FUNCTION)]
        if not named or not isinstance(named[-1], ast.FunctionDef):
            words = (
                f"the file must define def {FUNCTION}(solution, submission, row_id_column_name, ...) "
                "-> float, outside of any other block"
            )
            raise UnreadableMetric([(words, getattr(named[-1], "lineno", None) if named else None)])
        function = named[-1]
        try:
            faults = [*_signature_faults(function), *_parameter_faults(function, params)]
        except RecursionError as error:
            words = f"the signature of {FUNCTION} is nested too deeply"
            raise UnreadableMetric([(words, function.lineno)]) from error
        if faults:
            raise UnreadableMetric(faults)
        text = inspect.cleandoc(ast.get_docstring(function) or ast.get_docstring(tree) or "")
        title, _, rest = text.partition("\n")
        help_text = rest.partition(">>>")[0].strip()
        return cls(source, dict(params), title.strip() or path.stem, help_text, path.name)

    def evaluate(
        self,
        solution: pd.DataFrame,
        submission: pd.DataFrame,
        id_column: str,
        splits: Mapping[str, npt.NDArray[np.bool_] | None],
        *,
        complete: bool = False,
        limits: Limits | None = None,
        allow_weak: bool = False,
    ) -> dict[str, float]:
        """Return the metric on each split, as finite floats.

        The values are in the metric's own unit and direction. Every split is computed before anything is
        raised, and the text does not depend on the split that it came from.

        Parameters
        ----------
        solution
            One row per id; a Usage column is taken out.
        submission
            The same ids in the same order, one row each, unless `complete`.
        splits
            For each split a mask over the solution's rows; None takes all rows.
        complete
            Give the whole submission in every call, whatever its rows are, and let the metric match them.
        limits
            Of each call by itself.

        Raises
        ------
        ParticipantRefusal
            If the metric raised ParticipantVisibleError on any split. Of several texts it is the first in
            alphabetical order. A refusal comes before a failure.
        MetricFailed
            If on any split it gave anything but one finite number.
        SandboxTooWeak, SandboxFailed
            If it could not be run; see scorer.sandbox.sandbox.
        ValueError
            If the frames are not aligned, or a column mixes kinds of values.
        """
        if not complete:
            _check_aligned(solution, submission, id_column)
        truth = solution.drop(columns=USAGE_COLUMN, errors="ignore")
        outcomes = {}
        for split, mask in splits.items():
            given = submission if complete else _rows(submission, mask)
            frames = (_rows(truth, mask), given.reset_index(drop=True))
            outcomes[split] = sandbox.run(
                self.source,
                FUNCTION,
                frames,
                [id_column],
                self.params,
                file=self.file,
                limits=limits,
                allow_weak=allow_weak,
            )
        refusals = [_for_participants(o.message) for o in outcomes.values() if o.raised == VISIBLE_ERROR]
        if refusals:
            raise ParticipantRefusal(min(refusals))
        failures = {split: words for split, outcome in outcomes.items() if (words := _failure(outcome))}
        if failures:
            text = " ".join(f"On the {split} rows the metric {words}." for split, words in failures.items())
            raise MetricFailed(text, "\n".join(outcomes[split].log for split in failures))
        return {split: float(outcome.value) for split, outcome in outcomes.items()}


def _check_aligned(solution: pd.DataFrame, submission: pd.DataFrame, id_column: str) -> None:
    submitted, wanted = (frame[id_column].to_numpy() for frame in (submission, solution))
    if len(submitted) != len(wanted) or not bool(np.all(submitted == wanted)):
        raise ValueError("The submission must have the solution's ids in the solution's order.")


def _rows(frame: pd.DataFrame, mask: npt.NDArray[np.bool_] | None) -> pd.DataFrame:
    return (frame if mask is None else frame[mask]).reset_index(drop=True)


def _for_participants(text: str) -> str:
    """Return the text printable, on one line and cut.

    Without a printable character it is a text of this module.
    """
    shown = "".join(character if character.isprintable() else " " for character in text)
    shown = " ".join(shown.split())
    return shown[:MAX_PARTICIPANT_TEXT] or "The metric refused this file without saying why."


def _failure(outcome: Outcome) -> str | None:
    """Return why the outcome is no finite number, or None.

    The text is the rest of a sentence.
    """
    value = outcome.value
    if outcome.stopped:
        return outcome.stopped
    if outcome.raised == "MemoryError":
        return "needed more memory than it may have"
    if outcome.raised:
        return printable(f"raised {outcome.raised[:100]}: {outcome.message or 'without a text'}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"returned {str(value)[:40]!r}, which is not a number"
    try:
        return None if math.isfinite(value) else f"returned {value}, which is not finite"
    except OverflowError:
        return "returned a whole number too large for a float"


# --- reading the file -----------------------------------------------------------------------------


def _parse(source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # About escapes in strings; Python repeats it in the log when the file is run.
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        raise UnreadableMetric([(f"it is not Python: {error.msg}", error.lineno)]) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableMetric([(f"it is not Python: {error or type(error).__name__}", None)]) from error


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name == name
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any((alias.asname or alias.name) == name for alias in node.names)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _signature_faults(function: ast.FunctionDef) -> list[Fault]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    faults: list[Fault] = []
    if len(positional) < 3:
        words = f"{FUNCTION} must take solution, submission and row_id_column_name, in this order"
        faults.append((words, function.lineno))
    if arguments.vararg:
        faults.append(
            (
                f"{FUNCTION} must name its parameters instead of taking *{arguments.vararg.arg}",
                function.lineno,
            )
        )
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function)):
        faults.append((f"{FUNCTION} must return its number, not yield it", function.lineno))
    returns = function.returns
    if returns is not None and _fits(returns, 1.0) is False:
        faults.append((f"{FUNCTION} must return a float, not {ast.unparse(returns)}", returns.lineno))
    return faults


def _own_nodes(function: ast.FunctionDef) -> list[ast.AST]:
    """Return the function's nodes without those of inner functions."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def _parameter_faults(function: ast.FunctionDef, given: Mapping[str, Any]) -> list[Fault]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    extra = positional[max(3, len(arguments.posonlyargs)) :]
    known = {argument.arg: argument for argument in [*extra, *arguments.kwonlyargs]}
    optional = {argument.arg for argument in positional[len(positional) - len(arguments.defaults) :]}
    keyword_defaults = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    optional |= {argument.arg for argument, default in keyword_defaults if default is not None}
    # Beyond the first three only keywords are given.
    unreachable = [a for a in arguments.posonlyargs[3:] if a.arg not in optional]
    faults: list[Fault] = [
        (f"{FUNCTION} must take its parameter {a.arg} by name, so not before a slash", a.lineno)
        for a in unreachable
    ]
    for name, value in given.items():
        argument = known.get(name)
        if argument is None:
            if arguments.kwarg is None or name in {a.arg for a in positional[:3]}:
                allowed = ", ".join(known) or "none"
                faults.append(
                    (f"{FUNCTION} has no parameter {name!r}; its parameters are: {allowed}", function.lineno)
                )
        elif argument.annotation is not None and _fits(argument.annotation, value) is False:
            wanted = ast.unparse(argument.annotation)
            faults.append((f"parameter {name} must be {wanted}, and {value!r} was given", argument.lineno))
    for name, argument in known.items():
        if name not in optional and name not in given:
            faults.append((f"parameter {name} has no default and must be given", argument.lineno))
    return faults


_KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "None": (type(None),),
    **dict.fromkeys(
        ("list", "List", "Sequence", "Iterable", "Collection", "tuple", "Tuple", "set", "Set"), (list, tuple)
    ),
    **dict.fromkeys(("dict", "Dict", "Mapping"), (dict,)),
}


def _fits(annotation: ast.expr, value: Any) -> bool | None:
    """Return whether a value fits an annotation, or None if unclear."""
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as text):
            try:
                return _fits(ast.parse(text, mode="eval").body, value)
            except (SyntaxError, ValueError, RecursionError):
                return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _any_fits([left, right], value)
        case ast.Subscript(value=outer, slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic_fits(outer, items, value)
        case ast.Name() | ast.Attribute():
            kinds = _KINDS.get(_last_name(annotation))
            # For Python True is an int; for an organiser it is not.
            return (
                None
                if kinds is None
                else isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
            )
    return None


def _generic_fits(outer: ast.expr, items: Sequence[ast.expr], value: Any) -> bool | None:
    name = _last_name(outer)
    if name == "Optional":
        return value is None or _fits(items[0], value)
    if name == "Union":
        return _any_fits(items, value)
    if name == "Literal":
        return value in [item.value for item in items if isinstance(item, ast.Constant)]
    plain = _fits(outer, value)
    if not plain or len(items) != 1 or not isinstance(value, list | tuple):
        return plain
    answers = [_fits(items[0], item) for item in value]
    return False if False in answers else plain


def _any_fits(options: Sequence[ast.expr], value: Any) -> bool | None:
    answers = [_fits(option, value) for option in options]
    return True if True in answers else None if None in answers else False


def _last_name(expression: ast.expr) -> str:
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
