"""The repository of a Hugging Face competition becomes a challenge with the scores of its own metric."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import scorer
from scorer.importing.account import CannotImport, Incomplete
from tests.scorer.importing.bundles import imported, predictions, put, rows, usages

CUSTOM = """import pandas as pd
from huggingface_hub import hf_hub_download


def compute(params):
    where = {"repo_id": params.competition_id, "token": params.token, "repo_type": "dataset"}
    solution = pd.read_csv(hf_hub_download(filename="solution.csv", **where))
    name = f"submissions/{params.team_id}-{params.submission_id}.csv"
    sent = pd.read_csv(hf_hub_download(filename=name, **where))
    result = {}
    for part in ("public", "private"):
        ids = solution[solution.split == part][params.submission_id_col].values
        true = solution[solution[params.submission_id_col].isin(ids)].sort_values("id")
        mine = sent[sent[params.submission_id_col].isin(ids)].sort_values("id")
        error = (true["pred"].values - mine["pred"].values)
        result[part + "_score"] = {"other": 1.0, "cubic": float((abs(error) ** 3).mean())}
    return result
"""


def huggingface(folder: Path, target: str, *, constant: object = 0.5, **conf: object) -> Path:
    test = rows()[1]
    files: dict[str, object] = {
        "conf.json": {
            "COMPETITION_TYPE": "generic",
            "SUBMISSION_LIMIT": 7,
            "SELECTION_LIMIT": 3,
            "END_DATE": "2024-05-25",
            "EVAL_HIGHER_IS_BETTER": 1,
            "SUBMISSION_ID_COLUMN": "id",
            "SUBMISSION_COLUMNS": "id,pred",
            "SUBMISSION_ROWS": 40,
        }
        | conf,
        "solution.csv": pd.DataFrame(
            {"id": test["id"], "pred": test[target], "split": [part.lower() for part in usages()]}
        ),
        "sample_submission.csv": test[["id"]].assign(pred=constant),
        "COMPETITION_DESC.md": "Guess the coin.\n",
        "SUBMISSION_DESC.md": "Send a CSV file.\n",
        "teams.json": {},
    }
    return put(folder, files)


@pytest.mark.parametrize(
    ("name", "target", "ours"),
    [
        ("roc_auc_score", "target", "roc_auc"),
        ("accuracy_score", "target", "accuracy"),
        ("mean_absolute_error", "size", "mae"),
        ("d2_absolute_error_score", "size", "metric.py"),
    ],
)
def test_functions_of_scikit_learn_give_their_scores(
    tmp_path: Path, name: str, target: str, ours: str
) -> None:
    higher = name != "mean_absolute_error"
    labels = name == "accuracy_score"
    bundle = huggingface(
        tmp_path / "bundle",
        target,
        constant=0 if labels else 0.5,
        EVAL_METRIC=name,
        EVAL_HIGHER_IS_BETTER=int(higher),
    )
    made = imported(bundle, tmp_path / "challenge")
    assert made.metric == ours
    challenge = scorer.load(made.folder)
    assert challenge.greater_is_better is higher
    assert (challenge.competition.daily_limit, challenge.competition.final_picks) == (7, 3)
    test = rows()[1]
    sent = np.round(predictions()).astype(int) if labels else predictions()
    submission = test[["id"]].assign(pred=sent)
    report = scorer.score(challenge, submission.to_csv(index=False).encode(), allow_weak_sandbox=True)
    for part in ("Public", "Private"):
        mask = np.array(usages()) == part
        wanted = getattr(metrics, name)(test[target][mask], sent[mask])
        assert getattr(report, part.lower()) == pytest.approx(wanted, abs=1e-12)


def test_own_metric_gives_the_score_that_ranks(tmp_path: Path) -> None:
    bundle = huggingface(
        tmp_path / "bundle", "size", EVAL_METRIC="custom", SCORING_METRIC="cubic", EVAL_HIGHER_IS_BETTER=0
    )
    with pytest.raises(Incomplete, match=r"metric.py is missing"):
        imported(bundle, tmp_path / "challenge")
    put(bundle, {"metric.py": CUSTOM})
    made = imported(bundle, tmp_path / "challenge")
    submission = rows()[1][["id"]].assign(pred=predictions())
    content = submission.to_csv(index=False).encode()
    report = scorer.score(scorer.load(made.folder), content, allow_weak_sandbox=True)
    errors = (rows()[1]["size"] - predictions()).abs() ** 3
    mask = np.array(usages()) == "Public"
    assert report.public == pytest.approx(errors[mask].mean(), abs=1e-12)
    assert report.private == pytest.approx(errors[~mask].mean(), abs=1e-12)
    assert any("END_DATE" in words for words in made.account.cannot)
    assert any("teams" in words for words in made.account.cannot)


def test_files_that_may_hold_answers_are_left_out(tmp_path: Path) -> None:
    """private/test.csv was published, in the place of the test table of the same name."""
    bundle = huggingface(tmp_path / "bundle", "target", EVAL_METRIC="roc_auc_score")
    test = rows()[1].drop(columns="size")
    put(bundle, {"private/test.csv": test, "test.csv": test.drop(columns="target"), "test_answers.csv": test})
    made = imported(bundle, tmp_path / "challenge")
    assert {path.name for path in (made.folder / "public").iterdir()} == {"test.csv", "sample_submission.csv"}
    assert (made.folder / "public/test.csv").read_bytes() == (bundle / "test.csv").read_bytes()
    assert sum("may hold answers" in words for words in made.account.cannot) == 2


def test_odd_configuration_is_read_or_refused_in_words(tmp_path: Path) -> None:
    """A list of columns, a missing one and a number of 5,000 digits ended in an exception."""
    odd = {"SUBMISSION_COLUMNS": ["id", "pred"], "SUBMISSION_LIMIT": "9" * 5000}
    bundle = huggingface(tmp_path / "list", "target", EVAL_METRIC="roc_auc_score", **odd)
    challenge = scorer.load(imported(bundle, tmp_path / "challenge").folder)
    assert challenge.columns == ("pred",)
    bundle = huggingface(
        tmp_path / "lacks", "target", EVAL_METRIC="roc_auc_score", SUBMISSION_COLUMNS="id,other"
    )
    with pytest.raises(CannotImport, match="has no column other; it has id, pred"):
        imported(bundle, tmp_path / "second")
