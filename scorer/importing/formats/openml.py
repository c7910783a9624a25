"""OpenML: a task and its data set as files.

task.xml or task.json      target_feature, evaluation_measure
*.arff                     the data set; and the splits, with the attributes type, rowid, repeat, fold
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.bundle import Bundle
from scorer.importing.foreign import Foreign, Wishes
from scorer.importing.forms import MAX_TABLE_BYTES, Columns
from scorer.importing.labelled import Score, labelled
from scorer.wording import show

NAME = "OpenML"
TEST_SHARE = 0.3
_SEED = 20
_WEIGHTED = {"average": "weighted"}
_MEASURES = {
    "predictive_accuracy": Score("predictive_accuracy", "accuracy_score", "labels", True),
    "area_under_roc_curve": Score("area_under_roc_curve", "roc_auc_score", "probabilities", True),
    "kappa": Score("kappa", "cohen_kappa_score", "labels", True),
    "f_measure": Score("f_measure", "f1_score", "labels", True, _WEIGHTED),
    "precision": Score("precision", "precision_score", "labels", True, _WEIGHTED),
    "recall": Score("recall", "recall_score", "labels", True, _WEIGHTED),
    "root_mean_squared_error": Score("root_mean_squared_error", "root_mean_squared_error", "numbers", False),
    "mean_absolute_error": Score("mean_absolute_error", "mean_absolute_error", "numbers", False),
}


def recognise(bundle: Bundle) -> str | None:
    found = _task(bundle)
    return None if found is None else f"{found[0]} is a task"


def read(bundle: Bundle, account: Account, _wishes: Wishes) -> Foreign:
    found = _task(bundle)
    assert found is not None
    name, task = found
    target = task.get("target_feature", "")
    tables = {each: _arff(bundle, each) for each in bundle.find(r"(.*/)?[^/]*\.arff")[:5]}
    data = next((table for table in tables.values() if target in table[1]), None)
    if data is None:
        account.asked.append(f"There is no ARFF file with the attribute {show(target)}: add the data set.")
        raise Incomplete(account)
    relation, columns, kinds = data
    account.taken.append(f"{name}: the target {show(target)}.")
    splits = next((table[1] for table in tables.values() if {"type", "rowid"} <= set(table[1])), None)
    n_rows = len(columns[target])
    known = [row for row in range(n_rows) if columns[target][row]]
    if len(known) < n_rows:
        account.cannot.append(f"{n_rows - len(known):,} rows without a target.")
    test = _test_rows(splits, known, columns[target], kinds[target] is None, account)
    train = [row for row in known if row not in test]
    if not train or not test:
        raise CannotImport("The split leaves no training or no test row.", account)
    classes = kinds[target] or []
    measure = task.get("evaluation_measure") or ""
    if not measure:
        measure = "predictive_accuracy" if classes else "root_mean_squared_error"
        account.guessed.append(f"The task states no measure; {measure} was taken (--metric).")
    score = _MEASURES.get(measure)
    if score is None:
        raise CannotImport(
            f"The measure {show(measure)} cannot be taken; known are {', '.join(_MEASURES)}.", account
        )
    if (score.form == "numbers") == bool(classes):
        raise CannotImport(f"The measure {show(measure)} does not fit the kind of {show(target)}.", account)
    if score.form == "probabilities" and len(classes) > 2:
        score = Score(measure, score.function, "probabilities", True, _WEIGHTED | {"multi_class": "ovr"})
    account.cannot.append("Runs, flows and further repeats and folds of the task.")
    foreign = labelled(
        bundle,
        account,
        title=task.get("name") or relation,
        train={each: [cells[row] for row in train] for each, cells in columns.items()},
        test={each: [cells[row] for row in sorted(test)] for each, cells in columns.items()},
        target=target,
        classes=classes,
        score=score,
    )
    foreign.source = {"name": f"{relation}, from OpenML"}
    return foreign


def _task(bundle: Bundle) -> tuple[str, dict[str, str]] | None:
    for name in bundle.find(r"(.*/)?[^/]*\.(xml|json)")[:50]:
        try:
            content = _xml(bundle.text(name)) if name.lower().endswith(".xml") else bundle.json(name)
        except CannotImport:
            continue
        if isinstance(content, dict) and isinstance(content.get("task"), dict):
            facts = dict(_facts(content["task"]))
            if facts.get("target_feature"):
                return name, facts
    return None


def _xml(text: str) -> dict[str, Any]:
    """Return the elements as mappings; those that repeat as a list."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return {}
    try:
        root = ET.fromstring(text)  # noqa: S314 - has neither a document type nor entities
    except ET.ParseError:
        return {}
    return {_plain(root.tag): _element(root, 0)}


def _element(element: ET.Element, depth: int) -> Any:
    children = list(element)
    if not children or depth > 20:
        return (element.text or "").strip()
    inner: dict[str, Any] = {}
    for child in children:
        inner.setdefault(_plain(child.tag), []).append(_element(child, depth + 1))
    return {name: values[0] if len(values) == 1 else values for name, values in inner.items()}


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2].removeprefix("oml:")


def _facts(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the texts of a task by their names, whatever they lie in."""
    if isinstance(value, list) and depth < 20:
        for each in value:
            yield from _facts(each, depth + 1)
    elif isinstance(value, dict) and depth < 20:
        for name, inner in value.items():
            if isinstance(inner, str) and name in ("target_feature", "evaluation_measure", "task_name"):
                yield name.removeprefix("task_"), inner
            elif not isinstance(inner, str):
                yield from _facts(inner, depth + 1)


def _arff(bundle: Bundle, name: str) -> tuple[str, Columns, dict[str, list[str] | None]]:
    """Return relation, columns and the classes of each nominal attribute; raises CannotImport."""
    lines = bundle.text(name, MAX_TABLE_BYTES).splitlines()
    relation, kinds, start = "data set", {}, len(lines)
    for number, line in enumerate(lines):
        words = line.strip()
        lower = words.lower()
        if lower.startswith("@relation"):
            relation = words[9:].strip().strip("'\"") or relation
        elif lower.startswith("@attribute"):
            match = re.match(r"""(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|([^\s{]+))\s*(.*)""", words[10:].strip())
            if match is None:
                raise CannotImport(f"{show(name)}: line {number + 1} is no attribute.")
            attribute = match[1] or match[2] or match[3]
            kind = match[4].strip()
            kinds[attribute] = _cells(kind.strip("{} ")) if kind.startswith("{") else None
        elif lower.startswith("@data"):
            start = number + 1
            break
    columns: Columns = {attribute: [] for attribute in kinds}
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip() or line.lstrip().startswith("%"):
            continue
        if line.lstrip().startswith("{"):
            raise CannotImport(f"{show(name)} is a sparse ARFF file, which cannot be read.")
        cells = _cells(line)
        if len(cells) != len(columns):
            raise CannotImport(
                f"{show(name)}: line {number} has {len(cells)} cells for {len(columns)} attributes."
            )
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append("" if cell == "?" else cell)
    return relation, columns, kinds


def _cells(line: str) -> list[str]:
    quote = "'" if line.count("'") >= line.count('"') else '"'
    row = next(csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True), [])
    return [cell.strip() for cell in row]


def _test_rows(
    splits: Columns | None, known: list[int], target: list[str], is_number: bool, account: Account
) -> set[int]:
    """Return the rows of the first fold's test, else some drawn at random, each class by itself."""
    rows = set(known)
    if splits is not None:
        firsts = [name for name in ("repeat", "fold") if name in splits]
        found = set()
        for place, (kind, rowid) in enumerate(zip(splits["type"], splits["rowid"], strict=True)):
            numbers = [rowid, *(splits[name][place] or "0" for name in firsts)]
            if not all(re.fullmatch(r"[0-9]{1,12}(\.0+)?", number) for number in numbers):
                raise CannotImport(
                    f"The splits have {', '.join(map(show, numbers))} in row {place + 1}, which are no whole "
                    "numbers: rowid, repeat and fold must be.",
                    account,
                )
            row, *place_of_fold = (int(number.partition(".")[0]) for number in numbers)
            if kind.upper() == "TEST" and not any(place_of_fold):
                found.add(row)
        account.taken.append("The test rows are those of the first repeat and fold of the splits.")
        return found & rows
    account.guessed.append(f"There are no splits; {TEST_SHARE:.0%} of the rows were drawn as the test.")
    random = np.random.default_rng(_SEED)
    groups: dict[str, list[int]] = {}
    for row in known:
        groups.setdefault("" if is_number else target[row], []).append(row)
    drawn: set[int] = set()
    for members in groups.values():
        order = random.permutation(len(members))
        drawn |= {members[i] for i in order[: max(1, round(TEST_SHARE * len(members)))]}
    return drawn
