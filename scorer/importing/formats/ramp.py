"""RAMP: a kit with problem.py, whose text is read and never run, and labelled tables in data/.

problem.py      problem_title, _target_column_name, Predictions, score_types; the first one ranks
data/train.csv, data/test.csv      or the same in data/public, and packed
"""

from __future__ import annotations

import ast
import bz2
import re
import warnings
from collections.abc import Iterator
from typing import Any

from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.bundle import Bundle
from scorer.importing.foreign import Foreign, Wishes
from scorer.importing.forms import MAX_TABLE_BYTES, Columns, read_csv
from scorer.importing.labelled import Score, labelled
from scorer.wording import megabytes, show

NAME = "RAMP"
_SCORES = {
    "Accuracy": Score("Accuracy", "accuracy_score", "labels", True),
    "ClassificationError": Score("ClassificationError", "accuracy_score", "labels", False, one_less=True),
    "BalancedAccuracy": Score(
        "BalancedAccuracy", "balanced_accuracy_score", "labels", True, {"adjusted": True}
    ),
    "MacroAveragedRecall": Score("MacroAveragedRecall", "recall_score", "labels", True, {"average": "macro"}),
    "ROCAUC": Score("ROCAUC", "roc_auc_score", "probability", True),
    "NegativeLogLikelihood": Score("NegativeLogLikelihood", "log_loss", "probabilities", False),
    "RMSE": Score("RMSE", "root_mean_squared_error", "numbers", False),
    "RelativeRMSE": Score("RelativeRMSE", "", "numbers", False, relative=True),
}


def recognise(bundle: Bundle) -> str | None:
    name = _problem(bundle)
    return None if name is None else f"{name} has score_types"


def read(bundle: Bundle, account: Account, _wishes: Wishes) -> Foreign:
    problem = _problem(bundle)
    assert problem is not None
    home = problem.rpartition("/")[0]
    values = _values(bundle.text(problem))
    tables = {part: _table(bundle, home, part) for part in ("train", "test")}
    for part, table in tables.items():
        if table is None:
            account.asked.append(f"data/{part}.csv is missing: run the kit's download or prepare script.")
    target = values.get("_target_column_name")
    if not isinstance(target, str):
        account.asked.append(
            "problem.py does not state _target_column_name, which is predicted, as one text."
        )
    name, keywords = _first_score(values, account)
    score = _SCORES.get(name)
    if score is None:
        account.cannot.append(
            f"The score type {show(name)}: its code is a class of RAMP's or of problem.py. Known are "
            f"{', '.join(_SCORES)}."
        )
        raise CannotImport(f"The score type {show(name)} cannot be taken.", account)
    if account.asked:
        raise Incomplete(account)
    if name == "BalancedAccuracy" and keywords.get("adjusted") is False:
        score = Score(name, score.function, "labels", True)
    train, test = tables["train"], tables["test"]
    assert train is not None
    assert test is not None
    assert isinstance(target, str)
    kind = str(values.get("Predictions"))
    if kind not in ("make_multiclass", "make_regression"):
        raise CannotImport(f"Predictions of the kind {show(kind)} cannot be taken.", account)
    classes: list[str] = []
    if score.form != "numbers":
        stated = values.get("Predictions.label_names")
        listed = stated if isinstance(stated, list) else sorted(set(train.get(target, [])))
        classes = [str(each) for each in listed]
    others = values.get("score_types") or []
    if len(others) > 1:
        account.cannot.append(f"Further score types: {', '.join(show(each) for each, _ in others[1:])}.")
    account.cannot.append(
        "Submissions of code (workflow) and its cross-validation: participants send predictions."
    )
    title = str(values.get("problem_title") or "RAMP kit")
    return labelled(
        bundle, account, title=title, train=train, test=test, target=target, classes=classes, score=score
    )


def _problem(bundle: Bundle) -> str | None:
    for name in bundle.find(r"([^/]*/)?problem\.py"):
        if re.search(r"^score_types\s*=", bundle.text(name), re.MULTILINE):
            return name
    return None


def _values(text: str) -> dict[str, Any]:
    """Return the constants that a program assigns, and what its Predictions and score types call."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CannotImport(f"problem.py is not Python: {type(error).__name__}.") from None
    values: dict[str, Any] = {}
    for node in body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        name, value = node.targets[0].id, node.value
        if name == "score_types" and isinstance(value, ast.List):
            values[name] = [(_called(each), dict(_keywords(each, values))) for each in value.elts]
        elif name == "Predictions" and isinstance(value, ast.Call):
            values[name] = _called(value)
            values.update({f"{name}.{key}": given for key, given in _keywords(value, values)})
        else:
            values[name] = _constant(value, values)
    return values


def _called(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _keywords(node: ast.expr, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for keyword in node.keywords if isinstance(node, ast.Call) else ():
        if keyword.arg is not None:
            yield keyword.arg, _constant(keyword.value, values)


def _constant(node: ast.expr, values: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return values.get(node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None


def _first_score(values: dict[str, Any], account: Account) -> tuple[str, dict[str, Any]]:
    scores = values.get("score_types")
    if not scores:
        account.asked.append("problem.py does not list score_types as calls.")
        raise Incomplete(account)
    first: tuple[str, dict[str, Any]] = scores[0]
    account.taken.append(f"problem.py: {show(first[0])} ranks.")
    return first


def _table(bundle: Bundle, home: str, part: str) -> Columns | None:
    for folder in ("data", "data/public"):
        path = f"{home}/{folder}/{part}.csv".lstrip("/")
        if path in bundle:
            return read_csv(bundle, path)
        if f"{path}.bz2" in bundle:
            unpacked = bundle.aside / f"{part}.csv"
            try:
                with bz2.open(bundle.path(f"{path}.bz2")) as stream:
                    content = stream.read(MAX_TABLE_BYTES + 1)
            except (OSError, EOFError) as error:
                raise CannotImport(f"{path}.bz2 cannot be unpacked: {error}.") from None
            if len(content) > MAX_TABLE_BYTES:
                raise CannotImport(f"{path}.bz2 unpacks to more than {megabytes(MAX_TABLE_BYTES)}.")
            unpacked.write_bytes(content)
            return read_csv(Bundle(bundle.aside, bundle.aside, [unpacked.name]), unpacked.name)
    return None
