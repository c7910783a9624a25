"""Kits of RAMP and tasks of OpenML become challenges with the scores of the original's formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import scorer
from scorer.importing.account import CannotImport, Incomplete
from tests.scorer.importing.bundles import N_TEST, N_TRAIN, imported, predictions, put, rows

PROBLEM = """import os
import rampwf as rw
raise RuntimeError('this must never run')
problem_title = 'Coin'
_target_column_name = 'TARGET'
_labels = [0, 1]
Predictions = rw.prediction_types.KIND
score_types = [
    rw.score_types.SCORE,
    rw.score_types.Other(name='other'),
]
"""
TASK = """<oml:task xmlns:oml="http://openml.org/openml"><oml:task_id>7</oml:task_id>
<oml:input name="source_data"><oml:data_set><oml:data_set_id>1</oml:data_set_id>
<oml:target_feature>TARGET</oml:target_feature></oml:data_set></oml:input>
<oml:input name="evaluation_measures"><oml:evaluation_measures>
<oml:evaluation_measure>MEASURE</oml:evaluation_measure></oml:evaluation_measures></oml:input></oml:task>
"""


def ramp(folder: Path, score: str, target: str, kind: str) -> Path:
    train, test = (table.drop(columns="id") for table in rows())
    problem = PROBLEM.replace("SCORE", score).replace("TARGET", target).replace("KIND", kind)
    return put(folder, {"problem.py": problem, "data/train.csv": train, "data/test.csv": test})


def submission(columns: dict[str, object]) -> bytes:
    ids = range(N_TRAIN + 1, N_TRAIN + N_TEST + 1)
    return pd.DataFrame({"row": ids, **columns}).to_csv(index=False).encode()


def parts(folder: Path) -> dict[str, np.ndarray]:
    usage = pd.read_csv(folder / "private/solution.csv")["Usage"].to_numpy()
    return {part: usage == part for part in ("Public", "Private")}


CLASSES = "make_multiclass(label_names=_labels)"


@pytest.mark.parametrize(
    ("score", "target", "kind", "function", "ours"),
    [
        ("ROCAUC(name='auc')", "target", CLASSES, metrics.roc_auc_score, "roc_auc"),
        ("Accuracy()", "target", CLASSES, metrics.accuracy_score, "accuracy"),
        (
            "BalancedAccuracy()",
            "target",
            CLASSES,
            lambda true, sent: metrics.balanced_accuracy_score(true, sent, adjusted=True),
            "balanced_accuracy (adjusted True)",
        ),
        ("RMSE()", "size", "make_regression()", metrics.root_mean_squared_error, "rmse"),
        (
            "RelativeRMSE()",
            "size",
            "make_regression()",
            lambda true, sent: np.sqrt((((true - sent) / true) ** 2).mean()),
            "metric.py",
        ),
    ],
)
def test_score_types_of_ramp_give_their_scores(
    tmp_path: Path, score: str, target: str, kind: str, function: object, ours: str
) -> None:
    made = imported(ramp(tmp_path / "bundle", score, target, kind), tmp_path / "challenge")
    assert made.metric == ours
    labels = score.startswith(("Accuracy", "Balanced"))
    sent = np.round(predictions()).astype(int) if labels else predictions()
    challenge = scorer.load(made.folder)
    report = scorer.score(challenge, submission({target: sent}), allow_weak_sandbox=True)
    true = rows()[1][target].to_numpy()
    for part, mask in parts(made.folder).items():
        assert getattr(report, part.lower()) == pytest.approx(function(true[mask], sent[mask]), abs=1e-12)
    assert any("Other" in words for words in made.account.cannot)


def test_log_loss_of_ramp_takes_the_probability_of_each_class(tmp_path: Path) -> None:
    bundle = ramp(tmp_path / "bundle", "NegativeLogLikelihood()", "target", CLASSES)
    made = imported(bundle, tmp_path / "challenge")
    sent = predictions()
    challenge = scorer.load(made.folder)
    report = scorer.score(challenge, submission({"0": 1 - sent, "1": sent}), allow_weak_sandbox=True)
    true = rows()[1]["target"].to_numpy()
    for part, mask in parts(made.folder).items():
        wanted = metrics.log_loss(true[mask], np.c_[1 - sent, sent][mask])
        assert getattr(report, part.lower()) == pytest.approx(wanted, abs=1e-12)


def test_code_of_a_kit_is_read_and_never_run(tmp_path: Path) -> None:
    bundle = ramp(tmp_path / "bundle", "MyScore()", "target", CLASSES)
    with pytest.raises(CannotImport, match="MyScore cannot be taken"):
        imported(bundle, tmp_path / "challenge")
    (bundle / "data/test.csv").unlink()
    put(bundle, {"problem.py": PROBLEM.replace("SCORE", "Accuracy()").replace("KIND", CLASSES)})
    with pytest.raises(Incomplete, match=r"data/test.csv is missing"):
        imported(bundle, tmp_path / "challenge")


def openml(folder: Path, target: str, measure: str, *, splits: bool = True) -> Path:
    table = pd.concat(rows(), ignore_index=True).drop(columns="id")
    table["target"] = table["target"].map({0: "no, never", 1: "it's so"})
    lines = ["% made for a test", "@RELATION 'coin toss'", "@attribute a REAL", "@ATTRIBUTE 'b' numeric"]
    lines += ["@attribute target {'no, never','it\\'s so'}", "@attribute size numeric", "@data"]
    for a, b, name, size in table.itertuples(index=False):
        quoted = "'" + name.replace("'", "\\'") + "'"
        lines.append(f"{a},{b},{quoted},{size}")
    lines[7] = "?" + lines[7][lines[7].index(",") :]
    files: dict[str, object] = {
        "task.xml": TASK.replace("TARGET", target).replace("MEASURE", measure),
        "dataset.arff": "\n".join(lines) + "\n",
    }
    if splits:
        head = (
            "@relation s\n@attribute type {TRAIN,TEST}\n@attribute rowid numeric\n@attribute repeat numeric\n"
        )
        kinds = ["TRAIN"] * N_TRAIN + ["TEST"] * N_TEST
        body = [f"{kind},{row},0,0" for row, kind in enumerate(kinds)] + ["TEST,0,0,1"]
        files["splits.arff"] = head + "@attribute fold numeric\n@data\n" + "\n".join(body) + "\n"
    return put(folder, files)


@pytest.mark.parametrize(
    ("target", "measure", "function", "ours"),
    [
        ("target", "predictive_accuracy", metrics.accuracy_score, "accuracy"),
        ("target", "area_under_roc_curve", metrics.roc_auc_score, "roc_auc"),
        ("target", "kappa", metrics.cohen_kappa_score, "cohen_kappa"),
        ("size", "mean_absolute_error", metrics.mean_absolute_error, "mae"),
    ],
)
def test_measures_of_openml_give_their_scores(
    tmp_path: Path, target: str, measure: str, function: object, ours: str
) -> None:
    made = imported(openml(tmp_path / "bundle", target, measure), tmp_path / "challenge")
    assert made.metric == ours
    sent: object = predictions()
    if measure in ("predictive_accuracy", "kappa"):
        sent = np.where(predictions() > 0.5, "it's so", "no, never")
    challenge = scorer.load(made.folder)
    report = scorer.score(challenge, submission({target: sent}), allow_weak_sandbox=True)
    true = pd.read_csv(made.folder / "private/solution.csv")[target].to_numpy()
    if ours == "roc_auc":
        true = (true == "it's so").astype(int)
    for part, mask in parts(made.folder).items():
        assert getattr(report, part.lower()) == pytest.approx(function(true[mask], sent[mask]), abs=1e-12)
    train = pd.read_csv(made.folder / "public/train.csv")
    assert len(train) == N_TRAIN
    assert train["a"].isna().sum() == 1


def test_task_without_splits_and_measure_is_guessed_and_said(tmp_path: Path) -> None:
    bundle = openml(tmp_path / "bundle", "target", "", splits=False)
    made = imported(bundle, tmp_path / "challenge")
    words = " ".join(made.account.guessed)
    assert "no splits; 30% of the rows" in words
    assert "no measure; predictive_accuracy" in words
    (bundle / "dataset.arff").unlink()
    with pytest.raises(Incomplete, match="add the data set"):
        imported(bundle, tmp_path / "other")


def test_xml_with_entities_is_no_task(tmp_path: Path) -> None:
    bundle = put(tmp_path / "bundle", {"task.xml": '<!DOCTYPE a [<!ENTITY b "c">]>' + TASK})
    with pytest.raises(CannotImport, match="No known format"):
        imported(bundle, tmp_path / "challenge")


@pytest.mark.parametrize("cell", ["x", "1e999", "nan", "-1"])
def test_splits_that_name_no_row_are_refused_in_words(tmp_path: Path, cell: str) -> None:
    """They ended in a ValueError or OverflowError."""
    splits = "@relation s\n@attribute type {TRAIN,TEST}\n@attribute rowid integer\n"
    splits += "@attribute fold integer\n@data\n"
    data = "@relation d\n@attribute a numeric\n@attribute target {0,1}\n@data\n" + "1,0\n2,1\n" * 30
    task = TASK.replace("TARGET", "target").replace("MEASURE", "predictive_accuracy")
    files = {"task.xml": task, "data.arff": data, "splits.arff": f"{splits}TEST,{cell},0\n"}
    with pytest.raises(CannotImport, match="are no whole numbers"):
        imported(put(tmp_path / "bundle", files), tmp_path / "challenge")


@pytest.mark.parametrize("content", [b"no bz2", b"BZh91AY&SY"])
def test_packed_table_that_is_broken_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    bundle = ramp(tmp_path / "bundle", "Accuracy()", "target", CLASSES)
    (bundle / "data/test.csv").unlink()
    put(bundle, {"data/test.csv.bz2": content})
    with pytest.raises(CannotImport, match="cannot be unpacked"):
        imported(bundle, tmp_path / "challenge")
