"""score and measure: numbers, provenance, and frames read like files."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.metrics import METRICS
from tests.scorer.conftest import IDS, TRUTH, YAML, Write, csv_text


def test_public_and_private_rows_are_scored_separately(challenge: scorer.Challenge) -> None:
    sure = [("0.9" if t == "1" else "0.1") if i < 8 else "0.5" for i, t in enumerate(TRUTH)]
    report = scorer.score(challenge, csv_text(("id", "target"), IDS, sure).encode())
    assert report.public == pytest.approx(-math.log(0.9))
    assert report.private == pytest.approx(math.log(2))
    assert report.rows == {"public": 8, "private": 12, "ignored": 0}


def test_side_metrics_are_in_the_report(write: Write) -> None:
    challenge = scorer.load(write(YAML.replace("log_loss", "log_loss\nalso: [roc_auc, mse]")))
    report = scorer.score(challenge, csv_text(("id", "target"), IDS, TRUTH).encode())
    assert report.also == {"roc_auc": {"public": 1.0, "private": 1.0}, "mse": {"public": 0.0, "private": 0.0}}


def test_the_report_names_file_challenge_and_metric(challenge: scorer.Challenge) -> None:
    data = csv_text(("id", "target"), IDS, ["0.5"] * 20).encode()
    provenance = scorer.score(challenge, data).provenance
    assert provenance["file_sha256"] == hashlib.sha256(data).hexdigest()
    assert provenance["file_bytes"] == len(data)
    assert provenance["challenge"] == challenge.digest
    assert provenance["solution"] == challenge.solution_digest
    assert provenance["metric"] == "log_loss"
    assert provenance["metric_version"] == 3
    assert provenance["metric_params"] == {"eps": 1e-15, "rows": "renormalise"}
    assert provenance["metric_digest"] == challenge.metric_digest
    assert provenance["numpy"] == np.__version__
    assert {"python", "pandas", "heldout"} <= set(provenance)


def test_a_prepared_solution_can_be_handed_in(challenge: scorer.Challenge) -> None:
    data = csv_text(("id", "target"), IDS, ["0.5"] * 20).encode()
    assert scorer.score(challenge, data, solution=challenge.solution) == scorer.score(challenge, data)


def test_labels_are_scored_as_text(write: Write) -> None:
    labels = ["cat", "dog"] * 10
    challenge = scorer.load(
        write(
            YAML.replace("log_loss", "accuracy"),
            columns=(IDS, labels, ["Public", "Public", "Private", "Private"] * 5),
        )
    )
    report = scorer.score(challenge, csv_text(("id", "target"), IDS, ["cat"] * 20).encode())
    assert (report.public, report.private) == (0.5, 0.5)
    assert [notice.code for notice in report.notices] == ["NOTICE_CONSTANT"]


# --- measure ---------------------------------------------------------------------------------------

SOLUTION = pd.DataFrame({"id": [1, 2, 3, 4], "y": [1.0, 2.0, 3.0, 4.0]})


def test_rows_are_aligned_by_id_and_columns_by_name() -> None:
    submission = pd.DataFrame({"y": [4.5, 1.0, 3.0, 2.0], "id": [4, 1, 3, 2]})
    assert scorer.measure("mse", SOLUTION, submission) == 0.0625


def test_the_index_of_a_frame_is_ignored() -> None:
    submission = SOLUTION.set_index(pd.Index([9, 9, 7, 5]))
    assert scorer.measure("mse", SOLUTION, submission) == 0.0


def test_ignored_rows_are_dropped_and_all_others_scored_together() -> None:
    solution = SOLUTION.assign(Usage=["Public", "Private", "Private", "Ignored"])
    submission = SOLUTION.assign(y=[1.0, 2.0, 6.0, 99.0])
    assert scorer.measure("mae", solution, submission) == 1.0


def test_another_column_can_be_the_id() -> None:
    solution = SOLUTION[["y", "id"]]
    assert scorer.measure("mae", solution, SOLUTION, id="id") == 0.0


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (SOLUTION.iloc[:3], "MISSING_IDS"),
        (pd.concat([SOLUTION, SOLUTION.iloc[:1]]), "DUPLICATE_IDS"),
        (SOLUTION.assign(y=[1.0, np.nan, 3.0, 4.0]), "EMPTY_VALUE"),
        (SOLUTION.assign(y=[1.0, None, "x", 4.0]), "EMPTY_VALUE"),
        (SOLUTION.assign(y=["1", "0_5", "3", "4"]), "NOT_A_NUMBER"),
        (SOLUTION.assign(y=[1.0, 1e200, 3.0, 4.0]), "VALUE_TOO_LARGE"),
        (SOLUTION.assign(y=["True", "False", "True", "True"]), "NOT_A_NUMBER"),
        (SOLUTION.assign(id=["1.0", "2.0", "3.0", "4.0"]), "ID_FORMAT"),
        (SOLUTION.assign(z=1), "EXTRA_COLUMN"),
        (SOLUTION.iloc[:0], "MISSING_IDS"),
    ],
)
def test_a_frame_has_the_problems_its_file_would_have(frame: pd.DataFrame, code: str) -> None:
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.measure("mse", SOLUTION, frame)
    assert code in {problem.code for problem in refusal.value.problems}


def test_lines_count_from_the_header_as_in_a_file() -> None:
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.measure("mse", SOLUTION, SOLUTION.assign(y=["1", "2", "x", "4"]))
    assert (refusal.value.problems[0].line, refusal.value.problems[0].id) == (4, "3")


@pytest.mark.parametrize(
    "dtype", ["int8", "int64", "float32", "Int64", "Float64", "string", "object", "category"]
)
def test_any_column_type_is_read(dtype: str) -> None:
    submission = SOLUTION.assign(y=pd.Series([1, 2, 3, 4]).astype(dtype))
    assert scorer.measure("mse", SOLUTION, submission) == 0.0


def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean rmse"):
        scorer.measure("rmsee", SOLUTION, SOLUTION)


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="no parameter 'squared'"):
        scorer.measure("mse", SOLUTION, SOLUTION, squared=False)


def test_a_solution_that_cannot_be_scored_is_the_organisers_error() -> None:
    with pytest.raises(scorer.InvalidChallenge):
        scorer.measure("mse", SOLUTION.assign(y=["a", "b", "c", "d"]), SOLUTION)
    with pytest.raises(scorer.InvalidChallenge):
        scorer.measure("mse", SOLUTION.assign(Usage="Ignored"), SOLUTION)


def test_several_columns_are_averaged_weighted_or_pooled() -> None:
    solution = pd.DataFrame({"id": [1, 2], "a": [0.0, 0.0], "b": [0.0, 0.0]})
    submission = pd.DataFrame({"id": [1, 2], "a": [1.0, 1.0], "b": [7.0, 7.0]})
    assert scorer.measure("rmse", solution, submission) == 4.0
    weighted = scorer.measure("rmse", solution, submission, columns="weighted", column_weights=[3.0, 1.0])
    assert weighted == 2.5
    assert scorer.measure("rmse", solution, submission, columns="pooled") == 5.0
    with pytest.raises(ValueError, match="2 numbers"):
        scorer.measure("rmse", solution, submission, columns="weighted", column_weights=[1.0])


def test_measure_and_score_give_the_same_number(challenge: scorer.Challenge) -> None:
    values = [0.05 * i for i in range(20)]
    solution = pd.DataFrame({"id": IDS[:8], "target": [int(t) for t in TRUTH[:8]]})
    submission = pd.DataFrame({"id": IDS[:8], "target": values[:8]})
    report = scorer.score(challenge, csv_text(("id", "target"), IDS, [repr(v) for v in values]).encode())
    assert scorer.measure("log_loss", solution, submission) == report.public


def test_the_registry_can_be_imported_from_scorer() -> None:
    assert scorer.METRICS is METRICS
    assert METRICS["roc_auc"].greater_is_better
    assert METRICS["rmse"].kind == "number"
    assert METRICS["qwk"].bounds == (-1.0, 1.0)
    with pytest.raises(TypeError):
        METRICS["mine"] = METRICS["mse"]  # type: ignore[index]
