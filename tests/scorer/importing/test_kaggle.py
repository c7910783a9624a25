"""A Kaggle folder becomes a challenge with the scores of its own metric."""

from __future__ import annotations

import json
import types
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import scorer
from scorer.importing.account import CannotImport, Incomplete
from tests.scorer.importing.bundles import N_TEST, imported, predictions, put, rows, usages

AUC = '''import pandas as pd
from sklearn.metrics import roc_auc_score


class ParticipantVisibleError(Exception):
    pass


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Area under the curve."""
    return float(roc_auc_score(solution["target"], submission["target"]))
'''
COST = AUC.replace("roc_auc_score(solution", "1 - roc_auc_score(solution")
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# The metric"]},
        {"cell_type": "code", "source": ["!pip install something\n", "%matplotlib inline\n", *COST]},
        {"cell_type": "code", "source": ["%%timeit\n", "1 + 1"]},
    ]
}


def kaggle(folder: Path, **changes: object) -> Path:
    train, test = rows()
    files: dict[str, object] = {
        "train.csv": train.drop(columns="size"),
        "test.csv": test.drop(columns=["target", "size"]),
        "sample_submission.csv": test[["id"]].assign(target=0.5),
        "solution.csv": test[["id", "target"]].assign(Usage=usages()),
        "competition-metadata.json": {
            "title": "Coin, again",
            "slug": "coin-again",
            "briefDescription": "Guess.",
        },
        "metric.py": AUC,
    } | {name.replace("__", "."): content for name, content in changes.items()}
    return put(folder, {name: content for name, content in files.items() if content is not None})


def scores(metric: str, submission: pd.DataFrame) -> dict[str, float]:
    """Return what the metric's own code gives for both parts."""
    module = types.ModuleType("metric")
    exec(metric, module.__dict__)
    solution = rows()[1][["id", "target"]]
    given = {}
    for part in ("Public", "Private"):
        mask = pd.Series(usages()) == part
        frames = (frame[mask].reset_index(drop=True) for frame in (solution, submission))
        given[part.lower()] = module.score(*frames, "id")
    return given


@pytest.mark.parametrize(
    ("metric", "files", "name"),
    [(AUC, {}, "roc_auc"), (COST, {"metric__py": None, "metric__ipynb": NOTEBOOK}, "metric.py")],
)
def test_scores_are_those_of_the_bundles_own_metric(
    tmp_path: Path, metric: str, files: dict[str, object], name: str
) -> None:
    made = imported(kaggle(tmp_path / "bundle", **files), tmp_path / "challenge")
    assert made.metric == name
    challenge = scorer.load(made.folder)
    assert (challenge.title, challenge.summary) == ("Coin, again", "Guess.")
    submission = rows()[1][["id"]].assign(target=predictions())
    report = scorer.score(challenge, submission.to_csv(index=False).encode(), allow_weak_sandbox=True)
    wanted = scores(metric, submission)
    assert report.public == pytest.approx(wanted["public"], abs=1e-12)
    assert report.private == pytest.approx(wanted["private"], abs=1e-12)
    assert challenge.greater_is_better is (name == "roc_auc")


def test_files_for_download_are_copied_and_others_are_left_out(tmp_path: Path) -> None:
    bundle = kaggle(tmp_path / "bundle", test_labels__csv="id,target\n1,1\n", notes__txt="x")
    made = imported(bundle, tmp_path / "challenge")
    assert (made.folder / "public/train.csv").read_bytes() == (bundle / "train.csv").read_bytes()
    published = {path.name for path in (made.folder / "public").iterdir()}
    assert published == {"train.csv", "test.csv", "sample_submission.csv"}
    assert any("test_labels.csv" in words for words in made.account.cannot)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"solution__csv": None}, "There is no solution"),
        ({"sample_submission__csv": None}, "--sample FILE"),
        ({"metric__py": None}, "--metric NAME"),
    ],
)
def test_missing_parts_are_asked_for(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(Incomplete) as refusal:
        imported(kaggle(tmp_path / "bundle", **changes), tmp_path / "challenge")
    assert words in " ".join(refusal.value.account.asked)
    assert not (tmp_path / "challenge").exists()


def test_a_stated_metric_and_a_page_that_names_one_are_taken(tmp_path: Path) -> None:
    bundle = kaggle(tmp_path / "bundle", metric__py=None)
    assert imported(bundle, tmp_path / "stated", metric="log_loss").metric == "log_loss"
    put(bundle, {"pages/evaluation.md": "# Evaluation\nEvaluation is the area under the ROC curve."})
    made = imported(bundle, tmp_path / "named")
    assert made.metric == "roc_auc"
    assert any("by its name" in words for words in made.account.guessed)


def test_a_usage_that_is_none_is_refused(tmp_path: Path) -> None:
    solution = rows()[1][["id", "target"]].assign(Usage=["Pubic", *usages()[1:]])
    with pytest.raises(CannotImport, match="Pubic"):
        imported(kaggle(tmp_path / "bundle", solution__csv=solution), tmp_path / "challenge")


def test_metric_with_parameters_gets_the_rows_of_repeated_ids(tmp_path: Path) -> None:
    """Solution with several rows of one id, as for objects of an image."""
    test = rows()[1]
    solution = pd.concat([test, test[:5]])[["id", "target"]].assign(Usage=usages() + usages()[:5])
    metric = AUC.replace(
        'return float(roc_auc_score(solution["target"], submission["target"]))',
        'return float(solution["target"].sum() / (1 + submission["target"].sum()))',
    )
    bundle = kaggle(tmp_path / "bundle", solution__csv=solution, metric__py=metric)
    made = imported(bundle, tmp_path / "challenge", greater_is_better=False)
    report = scorer.score(
        scorer.load(made.folder), (bundle / "sample_submission.csv").read_bytes(), allow_weak_sandbox=True
    )
    parts = solution.groupby("Usage")["target"].sum()
    assert report.private == pytest.approx(parts["Private"] / (1 + N_TEST / 2), abs=1e-12)


def test_zip_that_holds_the_folder_itself_gives_the_same_files(tmp_path: Path) -> None:
    bundle = kaggle(tmp_path / "bundle")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for path in bundle.iterdir():
            archive.write(path, f"coin/2026/{path.name}")
    made = imported(tmp_path / "bundle.zip", tmp_path / "challenge")
    assert (made.folder / "public/train.csv").read_bytes() == (bundle / "train.csv").read_bytes()


def test_notebook_is_read_as_its_code(tmp_path: Path) -> None:
    from scorer.importing.formats.kaggle import notebook_code

    assert "pip" not in notebook_code(json.dumps(NOTEBOOK))
    assert notebook_code("{") == ""


CLIPPED = """import numpy as np
from sklearn.metrics import log_loss


def score(solution, submission, row_id_column_name):
    sent = submission[["0", "1"]].to_numpy()
    sent = np.clip(sent / sent.sum(axis=1, keepdims=True), 1e-7, 1 - 1e-7)
    return float(-np.log(sent[np.arange(len(sent)), solution["target"]]).mean())
"""
FLOORED = """import numpy as np
from sklearn.metrics import mean_absolute_error


def score(solution, submission, row_id_column_name):
    return float(mean_absolute_error(solution["size"], np.maximum(submission["size"], 0)))
"""


@pytest.mark.parametrize("metric", [CLIPPED, FLOORED])
def test_metric_that_clips_is_not_taken_for_one_of_ours(tmp_path: Path, metric: str) -> None:
    """Both agreed with ours on the files compared, which held no number that is clipped; and the lower log
    loss, of columns that the solution lacks, was taken for the worse one."""
    test = rows()[1]
    wide = metric == CLIPPED
    sample = test[["id"]].assign(**({"0": 0.5, "1": 0.5} if wide else {"size": 1.5}))
    bundle = kaggle(
        tmp_path / "bundle",
        metric__py=metric,
        solution__csv=test[["id", "target" if wide else "size"]].assign(Usage=usages()),
        sample_submission__csv=sample,
    )
    made = imported(bundle, tmp_path / "challenge")
    challenge = scorer.load(made.folder)
    assert (made.metric, challenge.greater_is_better) == ("metric.py", False)
    assert any("with half of the truth scores lower" in words for words in made.account.guessed)


def test_direction_is_asked_for_where_no_file_tells_it(tmp_path: Path) -> None:
    """A file that only differed from the sample was called one with half of the truth."""
    sample = rows()[1][["id"]].assign(low=0.5, high=0.7)
    metric = FLOORED.replace('submission["size"]', 'submission["low"] + submission["high"]')
    bundle = kaggle(
        tmp_path / "bundle",
        metric__py=metric,
        solution__csv=rows()[1][["id", "size"]].assign(Usage=usages()),
        sample_submission__csv=sample,
    )
    with pytest.raises(Incomplete, match="state it with --better"):
        imported(bundle, tmp_path / "challenge")
    made = imported(bundle, tmp_path / "challenge", greater_is_better=False)
    assert not scorer.load(made.folder).greater_is_better


def test_the_folder_of_the_shell_can_be_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--out .` ended in an OSError, because a folder cannot be replaced by the name "."."""
    bundle = kaggle(tmp_path / "bundle")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    imported(bundle, Path())
    assert scorer.load(Path.cwd()).title == "Coin, again"


def test_parameters_of_score_are_a_guess(tmp_path: Path) -> None:
    metric = AUC.replace("row_id_column_name: str)", "row_id_column_name: str, beta: float = 2.0)")
    made = imported(kaggle(tmp_path / "bundle", metric__py=metric), tmp_path / "challenge")
    assert any("beta" in words and "defaults" in words for words in made.account.guessed)


def test_file_of_another_program_does_not_hide_the_format(tmp_path: Path) -> None:
    """A config.yaml with the marks of a template ended the import: "is not YAML"."""
    bundle = put(kaggle(tmp_path / "bundle"), {"src/config.yaml": "a: {{ x }}\n- b\n"})
    assert imported(bundle, tmp_path / "challenge").account.format == "Kaggle"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("id,target,target,Usage", "two columns have the name target"),
        (",id,target,Usage", "column 1 has no name"),
    ],
)
def test_header_that_names_no_columns_is_refused_in_words(tmp_path: Path, header: str, words: str) -> None:
    lines = "".join(f"{key},1,1,Public\n" for key in rows()[1]["id"])
    bundle = kaggle(tmp_path / "bundle", solution__csv=f"{header}\n{lines}")
    with pytest.raises(CannotImport, match=words):
        imported(bundle, tmp_path / "challenge")
