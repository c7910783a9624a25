"""A competition's folder of mle-bench becomes a challenge with the grades of its own program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import scorer
from scorer.importing.account import Incomplete
from tests.scorer.importing.bundles import imported, predictions, put, rows

CONFIG = """id: coin-toss
name: Coin toss
competition_type: simple
dataset:
  answers: coin-toss/prepared/private/test.csv
  sample_submission: coin-toss/prepared/public/sample_submission.csv
grader:
  name: NAME
  grade_fn: mlebench.competitions.coin-toss.grade:grade
preparer: mlebench.competitions.coin-toss.prepare:prepare
"""
AUC = """import pandas as pd
from sklearn.metrics import roc_auc_score

from mlebench.competitions.utils import prepare_for_auroc_metric


def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    inputs = prepare_for_auroc_metric(
        submission=submission, answers=answers, id_col="id", target_col="target"
    )
    return roc_auc_score(y_true=inputs["y_true"], y_score=inputs["y_score"])
"""
OWN = """import numpy as np
from pathlib import Path

from mlebench.grade_helpers import InvalidSubmissionError
from mlebench.utils import get_logger

from .weights import WEIGHTS

logger = get_logger(__name__)


def grade(submission, answers):
    if len(submission) != len(answers):
        raise InvalidSubmissionError("Another length.")
    if (submission["target"] < 0).any():
        raise InvalidSubmissionError("The target is below zero.")
    both = answers.merge(submission, on="id", suffixes=("_true", "_sent"))
    extra = float((Path(__file__).parent / "extra.txt").read_text())
    weights = np.array([WEIGHTS[int(each)] for each in both["target_true"]])
    return float((weights * (both["target_true"] - both["target_sent"]) ** 2).mean() + extra)
"""


def mlebench(folder: Path, **changes: object) -> Path:
    train, test = rows()
    prepared = "data/coin-toss/prepared"
    files: dict[str, object] = {
        "config.yaml": CONFIG.replace("NAME", "auc-roc"),
        "grade.py": AUC,
        "prepare.py": "raise RuntimeError('this must never run')\n",
        "description.md": "# Coin toss\n",
        "leaderboard.csv": "scoreNullable,score\n0.9,0.9\n0.5,0.5\n",
        f"{prepared}/public/train.csv": train.drop(columns="size"),
        f"{prepared}/public/test.csv": test.drop(columns=["target", "size"]),
        f"{prepared}/public/sample_submission.csv": test[["id"]].assign(target=0.5),
        f"{prepared}/private/test.csv": test[["id", "target"]],
    } | changes
    return put(folder, {name: content for name, content in files.items() if content is not None})


def parts(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the rows of both boards."""
    solution = pd.read_csv(folder / "private/solution.csv")
    return {part: solution[solution["Usage"] == part] for part in ("Public", "Private")}


def test_grader_that_is_one_of_ours_becomes_it(tmp_path: Path) -> None:
    made = imported(mlebench(tmp_path / "bundle"), tmp_path / "challenge")
    assert (made.metric, made.account.format) == ("roc_auc", "mle-bench")
    assert sorted(path.name for path in (made.folder / "public").iterdir()) == [
        "sample_submission.csv",
        "test.csv",
        "train.csv",
    ]
    challenge = scorer.load(made.folder)
    assert (challenge.title, challenge.description) == ("Coin toss", "# Coin toss\n")
    submission = rows()[1][["id"]].assign(target=predictions())
    report = scorer.score(challenge, submission.to_csv(index=False).encode())
    for part, truth in parts(made.folder).items():
        both = truth.merge(submission, on="id", suffixes=("", "_sent"))
        wanted = roc_auc_score(both["target"], both["target_sent"])
        assert getattr(report, part.lower()) == pytest.approx(wanted, abs=1e-12)


def test_another_grader_runs_in_the_sandbox_with_its_files(tmp_path: Path) -> None:
    changes = {
        "config.yaml": CONFIG.replace("NAME", "weighted-error"),
        "grade.py": OWN,
        "weights.py": "WEIGHTS = [1.0, 3.0]\n",
        "extra.txt": "0.25\n",
        "leaderboard.csv": "score\n0.1\n0.9\n",
    }
    made = imported(mlebench(tmp_path / "bundle", **changes), tmp_path / "challenge")
    assert made.is_own
    challenge = scorer.load(made.folder)
    assert not challenge.greater_is_better
    submission = rows()[1][["id"]].assign(target=predictions())
    report = scorer.score(challenge, submission.to_csv(index=False).encode(), allow_weak_sandbox=True)
    for part, truth in parts(made.folder).items():
        both = truth.merge(submission, on="id", suffixes=("", "_sent"))
        weights = np.where(both["target"] == 1, 3.0, 1.0)
        wanted = (weights * (both["target"] - both["target_sent"]) ** 2).mean() + 0.25
        assert getattr(report, part.lower()) == pytest.approx(wanted, abs=1e-12)
    wrong = submission.assign(target=-1.0).to_csv(index=False).encode()
    with pytest.raises(scorer.InvalidSubmission, match="below zero"):
        scorer.score(challenge, wrong, allow_weak_sandbox=True)


def test_data_that_were_not_prepared_are_asked_for(tmp_path: Path) -> None:
    gone = dict.fromkeys(
        f"data/coin-toss/prepared/{name}" for name in ("private/test.csv", "public/sample_submission.csv")
    )
    with pytest.raises(Incomplete) as refusal:
        imported(mlebench(tmp_path / "bundle", **gone), tmp_path / "challenge")
    asked = " ".join(refusal.value.account.asked)
    assert "run mle-bench's prepare()" in asked
    assert "--sample FILE" in asked


def test_direction_without_a_leaderboard_is_guessed_from_the_truth(tmp_path: Path) -> None:
    changes = {"grade.py": OWN, "weights.py": "WEIGHTS = [1.0, 3.0]\n", "extra.txt": "0"}
    made = imported(
        mlebench(tmp_path / "bundle", **changes, **{"leaderboard.csv": "version https://git-lfs\n"}),
        tmp_path / "challenge",
    )
    assert not scorer.load(made.folder).greater_is_better
    assert any("direction" in words for words in made.account.guessed)
    assert any("Git LFS" in words for words in made.account.cannot)
