"""Make a challenge of labelled training and test rows and the name of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scorer.importing.account import Account, CannotImport
from scorer.importing.assembling import csv_bytes
from scorer.importing.bundle import Bundle
from scorer.importing.foreign import Foreign
from scorer.importing.forms import Columns
from scorer.importing.own_code import composed_metric
from scorer.wording import show

ROW = "row"
Form = Literal["labels", "probability", "probabilities", "numbers"]


@dataclass(frozen=True, slots=True)
class Score:
    """A score by the function of scikit-learn that computes it, and what is predicted for it."""

    name: str
    function: str
    form: Form
    higher: bool
    keywords: Mapping[str, Any] = field(default_factory=dict)
    one_less: bool = False
    """Whether it is one minus the function's value."""
    relative: bool = False
    """Whether it is the root mean squared error relative to the truth."""


def labelled(
    bundle: Bundle,
    account: Account,
    *,
    title: str,
    train: Columns,
    test: Columns,
    target: str,
    classes: Sequence[str],
    score: Score,
) -> Foreign:
    """Return the challenge; the test rows' target becomes the solution, and rows get numbers as ids.

    `classes` are those of the target, in the original's order; of two, the second one's probability is
    predicted. Raises CannotImport.
    """
    if target not in train or target not in test:
        raise CannotImport(f"The tables have no column {show(target)}, which is predicted.", account)
    form = score.form
    if form == "probabilities" and len(classes) == 2 and score.function != "log_loss":
        form = "probability"
    if form == "probability" and len(classes) != 2:
        raise CannotImport(f"{score.name} needs two classes, and {show(target)} has {len(classes)}.", account)
    id_column = ROW if ROW not in train else f"{ROW}_name"
    n_train, n_test = len(train[target]), len(test[target])
    ids = [str(number) for number in range(1, n_train + n_test + 1)]
    columns = list(classes) if form == "probabilities" else [target]
    unknown = sorted(set(test[target]) - set(classes)) if form != "numbers" else []
    if unknown:
        raise CannotImport(f"{show(target)} is {show(unknown[0])} in a test row, which is no class.", account)
    settings = {
        "target": target,
        "columns": columns,
        "form": form,
        "positive": classes[-1] if classes else "",
        "function": score.function,
        "keywords": dict(score.keywords),
        "one_less": score.one_less,
        "relative": score.relative,
    }
    truth: Columns = {id_column: ids[n_train:], target: test[target]}
    features = {name: cells for name, cells in test.items() if name != target}
    folder = bundle.aside / "labelled"
    folder.mkdir()
    (folder / "train.csv").write_bytes(csv_bytes({id_column: ids[:n_train], **train}))
    (folder / "test.csv").write_bytes(csv_bytes({id_column: ids[n_train:], **features}))
    account.taken.append(f"{n_train:,} training and {n_test:,} test rows; {show(target)} is predicted.")
    account.guessed.append("Rows are named by their number, in the order of the tables.")
    words = {
        "labels": "its classes",
        "numbers": "its numbers",
        "probability": f"the probability of {show(str(settings['positive']))}",
        "probabilities": "the probability of each class",
    }
    account.guessed.append(f"A submission holds {words[form]}, which {score.name} needs.")
    foreign = Foreign(
        title,
        id_column,
        truth,
        columns,
        {id_column: ids[n_train:]} | _constants(n_test, columns, form, classes),
        metric=composed_metric("named", {}, settings, title=f"{score.name} of {title}."),
        names=[score.name],
        code=[f"{score.function}()"],
        greater_is_better=score.higher,
        public={name: folder / name for name in ("train.csv", "test.csv")},
    )
    if form == "probability" and tuple(classes) != ("0", "1"):
        foreign.truth_values = {name: int(name == settings["positive"]) for name in classes}
    return foreign


def _constants(n_rows: int, columns: Sequence[str], form: Form, classes: Sequence[str]) -> Columns:
    constant = {
        "labels": min(classes, default=""),
        "numbers": "1.0",
        "probability": "0.5",
        "probabilities": repr(1 / max(1, len(classes))),
    }[form]
    return {name: [constant] * n_rows for name in columns}
