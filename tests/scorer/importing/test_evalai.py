"""A challenge's folder of EvalAI becomes a challenge with the scores of its own evaluate()."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

import scorer
from scorer.importing.account import CannotImport, Incomplete
from tests.scorer.importing.bundles import imported, predictions, put, rows

CONFIG = """title: Outbreaks
short_description: Find them.
description: templates/description.html
evaluation_script: evaluation_script.zip
is_docker_based: False
start_date: 2022-01-10 00:00:00
leaderboard:
  - id: 1
    schema: {"labels": ["F1", "Total"], "default_order_by": "Total",
             "metadata": {"F1": {"sort_ascending": True}}}
challenge_phases:
  - {id: 1, name: Dev Phase, codename: dev, test_annotation_file: annotations/dev.FORM,
     max_submissions_per_day: 6}
  - {id: 2, name: Test Phase, codename: test, test_annotation_file: annotations/test.FORM}
challenge_phase_splits:
  - {challenge_phase_id: 2, leaderboard_id: 1, is_leaderboard_order_descending: True}
"""
BY_TABLE = """import pandas as pd
from sklearn.metrics import f1_score

from .helpers import total


def evaluate(test_annotation_file, user_submission_file, phase_codename, **kwargs):
    print("Starting", phase_codename, kwargs["submission_metadata"])
    true = pd.read_csv(test_annotation_file).loc[:, ["id", "target"]]
    sent = pd.read_csv(user_submission_file).loc[:, ["id", "target"]]
    both = true.merge(sent, on="id", suffixes=("_true", "_sent"))
    f1 = f1_score(both["target_true"], both["target_sent"])
    return {"result": [{"test_split": {"F1": f1, "Total": total(f1)}}]}
"""
BY_KEY = """import json


def evaluate(test_annotation_file, user_submission_file, phase_codename, **kwargs):
    with open(test_annotation_file) as file:
        true = json.load(file)["labels"]
    sent = json.load(open(user_submission_file, "r"))["labels"]
    if phase_codename != "test":
        return {"result": []}
    error = sum(abs(true[key] - sent[key]) ** 3 for key in true) / len(true)
    return {"result": [{"test_split": {"F1": 0.0, "Total": error}}], "submission_result": {}}
"""


def evalai(folder: Path, **changes: object) -> Path:
    test = rows()[1][["id", "size", "target"]]
    files: dict[str, object] = {
        "challenge_config.yaml": CONFIG.replace("FORM", "csv"),
        "evaluation_script/__init__.py": "import subprocess\nsubprocess.check_call(['pip'])\n",
        "evaluation_script/main.py": BY_TABLE,
        "evaluation_script/helpers.py": "def total(f1):\n    return f1\n",
        "annotations/dev.csv": test[:25],
        "annotations/test.csv": test[25:],
        "templates/description.html": "<p>Outbreaks of &amp; in cities</p>",
    } | changes
    return put(folder, {name: content for name, content in files.items() if content is not None})


def test_table_by_id_is_scored_by_the_columns_that_the_program_names(tmp_path: Path) -> None:
    made = imported(evalai(tmp_path / "bundle"), tmp_path / "challenge")
    challenge = scorer.load(made.folder)
    assert made.metric == "f1"
    assert (challenge.id_column, challenge.columns) == ("id", ("target",))
    assert challenge.description == "Outbreaks of & in cities"
    assert challenge.competition.daily_limit == 6
    sent = np.round(predictions()).astype(int)
    submission = rows()[1][["id"]].assign(target=sent)
    report = scorer.score(challenge, submission.to_csv(index=False).encode())
    true = rows()[1]["target"]
    assert report.public == pytest.approx(f1_score(true[:25], sent[:25]), abs=1e-12)
    assert report.private == pytest.approx(f1_score(true[25:], sent[25:]), abs=1e-12)
    words = " ".join(made.account.guessed)
    assert "Dev Phase is the public board, Test Phase the private" in words
    assert "no sample submission" in words


def test_json_by_key_keeps_its_form_for_the_program(tmp_path: Path) -> None:
    truth = {str(key): size for key, size in rows()[1][["id", "size"]].to_numpy().tolist()}
    dev, test = dict(list(truth.items())[:25]), dict(list(truth.items())[25:])
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("evaluation_script/__init__.py", "from .main import evaluate\n")
        archive.writestr("evaluation_script/main.py", BY_KEY)
    changes = {
        "challenge_config.yaml": CONFIG.replace("FORM", "json").replace(
            "descending: True", "descending: False"
        ),
        **dict.fromkeys(f"evaluation_script/{name}.py" for name in ("__init__", "main", "helpers")),
        "evaluation_script.zip": sink.getvalue(),
        "annotations/dev.json": {"labels": dev},
        "annotations/test.json": {"labels": test},
    }
    made = imported(evalai(tmp_path / "bundle", **changes), tmp_path / "challenge")
    challenge = scorer.load(made.folder)
    assert made.is_own
    assert not challenge.greater_is_better
    submission = pd.DataFrame({"id": list(truth), "value": predictions()})
    report = scorer.score(challenge, submission.to_csv(index=False).encode(), allow_weak_sandbox=True)
    errors = np.abs(np.array(list(truth.values())) - predictions()) ** 3
    assert report.public == pytest.approx(errors[:25].mean(), abs=1e-12)
    assert report.private == pytest.approx(errors[25:].mean(), abs=1e-12)


def test_sample_in_a_form_of_its_own_is_taken_with_its_form(tmp_path: Path) -> None:
    """Predictions without header and id, for annotations with both."""
    program = BY_TABLE.replace(
        'sent = pd.read_csv(user_submission_file).loc[:, ["id", "target"]]',
        "sent = true.assign(target=pd.read_csv(user_submission_file, header=None)[0])",
    )
    bundle = evalai(tmp_path / "bundle", **{"evaluation_script/main.py": program})
    with pytest.raises(Incomplete, match="--sample FILE"):
        imported(bundle, tmp_path / "challenge")
    sample = tmp_path / "sample.txt"
    sample.write_text("0\n1\n")
    made = imported(bundle, tmp_path / "challenge", sample=sample)
    assert made.scores == {"public": 0.0, "private": 0.0}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"annotations/test.csv": None}, Incomplete, "annotations/test.csv of phase Test Phase are missing"),
        ({"evaluation_script/main.py": "x = 1\n"}, Incomplete, "has no function evaluate"),
        (
            {
                "evaluation_script/main.py": "import random\ndef evaluate(a, b, c, **d):\n"
                "    return {'result': [{'s': {'Total': random.randint(0, 99)}}]}\n"
            },
            CannotImport,
            "gives every file the score",
        ),
        (
            {"challenge_config.yaml": CONFIG.replace("docker_based: False", "docker_based: True")},
            CannotImport,
            "Docker images",
        ),
        (
            {"annotations/test.csv": json.dumps([{"id": 1, "boxes": [1, 2]}])},
            CannotImport,
            "a cell is one value",
        ),
    ],
)
def test_what_cannot_be_taken_is_said_in_words(
    tmp_path: Path, changes: dict[str, object], kind: type[CannotImport], words: str
) -> None:
    with pytest.raises(kind, match=words):
        imported(evalai(tmp_path / "bundle", **changes), tmp_path / "challenge")


def test_one_codename_and_the_first_split_are_guesses(tmp_path: Path) -> None:
    config = (
        CONFIG.replace("FORM", "csv")
        + "dataset_splits:\n  - {id: 1, codename: a}\n  - {id: 2, codename: b}\n"
    )
    made = imported(evalai(tmp_path / "bundle", **{"challenge_config.yaml": config}), tmp_path / "challenge")
    guessed = " ".join(made.account.guessed)
    assert "codename test for both boards. If it scores dev" in guessed
    assert "first split of the result counts, of 2" in guessed
