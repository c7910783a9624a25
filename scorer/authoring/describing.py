"""Draft a challenge's description from facts: counts, columns, the form of a file, the metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from scorer.authoring.choices import Choices
from scorer.authoring.columns import Column, Profile, Target
from scorer.metrics import METRICS
from scorer.wording import show

MAX_LISTED = 60
_KINDS = {"number": "number", "date": "date", "category": "words", "text": "text", "constant": "constant"}


def describe(
    profile: Profile,
    target: Target,
    choices: Choices,
    *,
    features: Sequence[str],
    predicted: Sequence[str],
    sample: Mapping[str, str],
    positive: str | None,
    n_train: int,
    n_public: int,
    n_private: int,
    first_ids: Sequence[str],
) -> str:
    """Return description.md.

    It holds no sentence about the world that the table cannot show, so nothing is left to correct.
    """
    n_test = n_public + n_private
    lines = [
        _goal(target, choices, positive, n_train, n_test),
        "",
        "## Files",
        "",
        "| file | rows | what it holds |",
        "|---|---|---|",
        f"| `train.csv` | {n_train:,} | `id`, {_columns(len(features))}, and {_code(target.name)} |",
        f"| `test.csv` | {n_test:,} | `id` and the same {_columns(len(features))} |",
        f"| `sample_submission.csv` | {n_test:,} | a valid submission with a constant prediction |",
        "",
        "## Columns",
        "",
        "| column | holds | missing |",
        "|---|---|---|",
        *(_row(profile[name]) for name in features[:MAX_LISTED]),
    ]
    if len(features) > MAX_LISTED:
        lines += ["", f"{len(features) - MAX_LISTED} more columns are of the same kinds."]
    lines += [
        "",
        _target_words(target, positive),
        "",
        _split_words(choices, n_public, n_private),
        "",
        "## What to submit",
        "",
        "A CSV file with one line per row of `test.csv`, in any order:",
        "",
        _line(["id", *predicted]),
        *(_line([each, *(sample[name] for name in predicted)]) for each in first_ids),
        "",
        "## Evaluation",
        "",
        _metric_words(choices),
        "",
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    """Return a line of CSV as code, its line breaks shown as spaces."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return "    " + " ".join(text.getvalue().splitlines())


def _goal(target: Target, choices: Choices, positive: str | None, n_train: int, n_test: int) -> str:
    name = _code(target.name)
    rows = f"for {n_test:,} rows, from {n_train:,} rows where it is known"
    if positive is not None:
        return f"Predict the probability that {name} is `{show(positive)}` {rows}."
    if choices.predicted == "probabilities":
        return f"Predict the probability of each of the {len(target.classes)} classes of {name} {rows}."
    return f"Predict {name} {rows}."


def _columns(n: int) -> str:
    return f"{n} columns" if n != 1 else "one column"


def _code(name: str) -> str:
    return f"`{name.replace('`', chr(39)).replace('|', ' ')}`"


def _row(column: Column) -> str:
    if column.kind == "number":
        assert column.low is not None
        assert column.high is not None
        holds = f"number, {column.low:g} to {column.high:g}"
    elif column.kind == "category":
        holds = f"words, {column.n_distinct:,} distinct"
    elif column.holds_files:
        holds = "names of files"
    else:
        holds = _KINDS[column.kind]
    return f"| {_code(column.name)} | {holds} | {column.n_missing or ''} |"


def _target_words(target: Target, positive: str | None) -> str:
    name = _code(target.name)
    if target.kind == "number":
        return f"The target {name} is a number."
    listed = ", ".join(f"`{show(each)}`" for each in target.classes[:20])
    more = f" and {len(target.classes) - 20} more" if len(target.classes) > 20 else ""
    words = f"The target {name} is one of {listed}{more}."
    if positive is not None:
        words += f" A submission holds the probability of `{show(positive)}`, from 0 to 1."
    return words


def _split_words(choices: Choices, n_public: int, n_private: int) -> str:
    by_time = choices.predicted == "numbers"
    how = {
        "random": "The test rows were drawn at random. Ids were given after shuffling and mean nothing.",
        "stratified": "The test rows were drawn at random, with the same share of each class. Ids were "
        "given after "
        "shuffling and mean nothing.",
        "grouped": f"No value of {_code(choices.group or '')} is in both `train.csv` and `test.csv`, so a "
        "model is "
        "judged on ones that it has not seen. Ids were given after shuffling and mean nothing.",
        "sequential": f"The rows are in the order of {_code(choices.time or '')}: the test rows are later "
        "than all "
        f"training rows{', and the private rows later than the public ones' if by_time else ''}.",
    }[choices.strategy]
    return (
        f"{how} {n_public:,} test rows count for the public board; the other {n_private:,} decide at the end."
    )


def _metric_words(choices: Choices) -> str:
    metric = METRICS[choices.metric]
    return f"**`{metric.name}`**: {metric.help}"
