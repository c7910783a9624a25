"""The schema of a submission holds public knowledge alone, and what the reader refuses."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import numpy as np
import pytest

import scorer
from scorer import describe_submission
from scorer.metrics import METRICS
from scorer.metrics.probability import row_sum_rule
from tests.scorer.conftest import IDS, TRUTH, USAGE, YAML, Write, csv_text

CLASSES = YAML.replace("log_loss", "accuracy")
WORDS = ["cat" if n % 2 else "dog" for n in range(20)]


def schema(write: Write, yaml: str = YAML, **changes: Any) -> dict[str, Any]:
    return describe_submission(scorer.load(write(yaml, **changes)))


def test_ids_columns_and_rules_of_a_probability(write: Write) -> None:
    found = schema(write)
    digest = hashlib.sha256("".join(f"{id_}\n" for id_ in sorted(IDS)).encode()).hexdigest()
    assert found["ids"] == {
        "columns": ["id"],
        "form": "integer",
        "rule": "exactly_once",
        "file": "sample_submission.csv",
        "count": 20,
        "sha256": digest,
        "values": sorted(IDS),
    }
    (column,) = found["columns"]
    assert (column["name"], column["kind"], column["low"], column["high"]) == ("target", "number", 0.0, 1.0)
    assert (column["may_be_empty"], column["labels"], found["rows"]) == (False, None, [])
    assert found["metric"] == {"name": "log_loss", "kind": "probability"}


TRAIN = {"public/train.csv": csv_text(("id", "target"), [f"t{n}" for n in range(20)], WORDS)}
SAMPLE = {"public/sample_submission.csv": csv_text(("id", "target"), IDS, WORDS)}


@pytest.mark.parametrize(
    ("yaml", "truth", "files"),
    [(YAML, TRUTH, {}), (CLASSES, WORDS, TRAIN | SAMPLE), (CLASSES, WORDS, SAMPLE)],
    ids=["probabilities", "classes in train.csv", "classes that only the solution has"],
)
def test_moving_truth_and_split_between_rows_leaves_the_bytes_unchanged(
    write: Write, yaml: str, truth: list[str], files: dict[str, str]
) -> None:
    before = json.dumps(schema(write, yaml, columns=(IDS, truth, USAGE), files=files))
    for seed in range(3):
        draw = random.Random(seed)
        order = [IDS, draw.sample(truth, 20), draw.sample(USAGE, 20)]
        rows = list(zip(*order, strict=True))
        draw.shuffle(rows)
        moved = tuple(map(list, zip(*rows, strict=True)))
        assert json.dumps(schema(write, yaml, columns=moved, files=files)) == before


def test_labels_are_listed_only_where_public_files_or_the_definition_hold_all_of_them(write: Write) -> None:
    columns = (IDS, WORDS, USAGE)
    assert schema(write, CLASSES, columns=columns, files=SAMPLE)["columns"][0]["labels"] is None
    found = schema(write, CLASSES, columns=columns, files=TRAIN | SAMPLE)
    assert found["columns"][0]["labels"] == ["cat", "dog"]
    hidden = ["axolotl", *WORDS[1:10], "axolotl", *WORDS[11:]]
    found = schema(write, CLASSES, columns=(IDS, hidden, USAGE), files=TRAIN | SAMPLE)
    assert "axolotl" not in json.dumps(found)


def test_ids_are_left_out_where_no_public_file_has_exactly_those(write: Write) -> None:
    some = {"public/sample_submission.csv": csv_text(("id", "target"), IDS[:5], ["0.5"] * 5)}
    assert schema(write, files=some)["ids"]["values"] is None
    test = some | {"public/test.csv": csv_text(("id", "radius"), IDS, ["1"] * 20)}
    found = schema(write, files=test)["ids"]
    assert (found["file"], found["count"]) == ("test.csv", 20)


def test_which_public_ids_are_decoys_is_not_shown(write: Write) -> None:
    yaml = YAML.replace("columns: [target]", "columns: [target], extra_ids: ignore")
    ids = [*IDS, "98", "99"]
    sample = {"public/sample_submission.csv": csv_text(("id", "target"), ids, ["0.5"] * 22)}
    found = schema(write, yaml, files=sample)["ids"]
    assert (found["rule"], found["values"]) == ("others_ignored", sorted(ids))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("log_loss", {}),
        ("log_loss", {"rows": "reject"}),
        ("brier", {}),
        ("brier", {"rows": "reject"}),
        ("kl_divergence", {}),
    ],
)
def test_rule_of_the_row_sums_is_that_of_the_metric(name: str, parameters: dict[str, Any]) -> None:
    metric = METRICS[name]
    given = metric.parameters(**parameters)
    rule, tolerance = row_sum_rule(name, given)
    assert metric.row_faults is not None
    for error in (0.0, 1e-6, 2e-5, 5e-4, 2e-3, 0.5, 1.0):
        refused = bool(metric.row_faults(np.array([[0.0, 1.0 - error]]), given))
        expected = error > tolerance if tolerance is not None else error == 1.0
        assert (rule == "sums_to_1") == (tolerance is not None)
        assert refused == expected, error
