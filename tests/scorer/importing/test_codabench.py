"""A bundle of Codabench becomes a challenge with the scores of its own scoring program."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.importing.account import CannotImport, Incomplete
from tests.scorer.importing.bundles import imported, predictions, put, rows

DEFINITION = """version: 2
title: Wheat or not
description: Two phases
docker_image: codalab/codalab-legacy:py312
terms: pages/terms.md
pages:
  - {title: Overview, file: pages/overview.html}
tasks:
  - index: 0
    name: Development
    reference_data: dev/reference
    scoring_program: &program scoring_program.zip
  - index: 1
    name: Final
    reference_data: final/reference.zip
    scoring_program: *program
solutions:
  - {index: 0, tasks: [0], path: solution/dev}
  - {index: 1, tasks: [1], path: solution/final}
phases:
  - {index: 0, name: Feedback, start: 1-1-2026, tasks: [0], public_data: public_data,
     max_submissions_per_day: 4}
  - {index: 1, name: Final, start: 1-1-2027, tasks: [1]}
leaderboards:
  - title: Results
    key: main
    columns:
      - {title: Seconds, key: duration, index: 1, sorting: asc}
      - {title: Score, key: SCORE, index: 0, sorting: desc}
"""
PROGRAM = """import json
import os
import numpy as np
from sklearn.metrics import accuracy_score

reference_dir = os.path.join('/app/input', 'ref')
prediction_dir = os.path.join('/app/input', 'res')
prediction = np.genfromtxt(os.path.join(prediction_dir, 'prediction'))
truth = np.genfromtxt(os.path.join(reference_dir, 'testing_label'))
scores = {'SCORE': accuracy_score(truth, prediction), 'duration': 1.0}
with open(os.path.join('/app/output', 'scores.json'), 'w') as score_file:
    score_file.write(json.dumps(scores))
"""
BY_ID = """#!/usr/bin/env python
import glob, os, sys
from pathlib import Path
import pandas as pd
import matplotlib.pyplot as plt
from helpers import cost

if __name__ == '__main__':
    input_dir, output_dir = sys.argv[1:3]
    true = pd.read_csv(sorted(glob.glob(os.path.join(input_dir, 'ref', '*.csv')))[0])
    sent = pd.read_csv(Path(input_dir) / 'res' / 'answer.csv')
    assert not os.path.exists(os.path.join(input_dir, 'res', 'other.csv'))
    both = true.merge(sent, on='id')
    os.makedirs(os.path.join(output_dir, 'more'), exist_ok=True)
    print('scored', len(both))
    with open(os.path.join(output_dir, 'scores.txt'), 'w') as file:
        file.write('SCORE: %0.12f\\n' % cost(both.target, both.guess))
"""


def zipped(files: dict[str, str]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


def lines(values: object) -> str:
    return "".join(f"{value}\n" for value in values)


def by_lines(folder: Path, **changes: object) -> Path:
    truth = rows()[1]["target"]
    metadata = "command: python3 scoring.py\n"
    files: dict[str, object] = {
        "competition.yaml": DEFINITION,
        "pages/overview.html": "<h2>Goal</h2><p>Tell <b>wheat</b>.</p><script>x()</script>",
        "dev/reference/testing_label": lines(truth[:25]),
        "final/reference.zip": zipped({"testing_label": lines(truth[25:])}),
        "scoring_program.zip": zipped({"metadata.yaml": metadata, "scoring.py": PROGRAM}),
        "solution/dev/prediction": lines([0] * 25),
        "solution/final/prediction": lines([0] * 15),
        "public_data/training_data": lines(range(60)),
        "public_data/testing_label": lines(truth[:25]),
    } | changes
    return put(folder, {name: content for name, content in files.items() if content is not None})


def test_rows_without_ids_are_scored_by_their_number(tmp_path: Path) -> None:
    made = imported(by_lines(tmp_path / "bundle"), tmp_path / "challenge")
    assert made.metric == "accuracy"
    challenge = scorer.load(made.folder)
    assert challenge.description == "## Goal\n\nTell wheat."
    assert challenge.competition.daily_limit == 4
    assert [path.name for path in (made.folder / "public").iterdir() if "test" in path.name] == []
    assert any("equal to the reference data" in words for words in made.account.cannot)
    sent = np.round(predictions()).astype(int)
    names = [f"1-{i}" for i in range(1, 26)] + [f"2-{i}" for i in range(1, 16)]
    submission = pd.DataFrame({"row": names, "value": sent})
    report = scorer.score(challenge, submission.to_csv(index=False).encode())
    right = (sent == rows()[1]["target"]).to_numpy()
    assert report.public == pytest.approx(right[:25].mean(), abs=1e-12)
    assert report.private == pytest.approx(right[25:].mean(), abs=1e-12)


def test_program_finds_its_files_in_the_sandbox(tmp_path: Path) -> None:
    """Arguments, glob, pathlib, a module beside it, folders, scores.txt, and ids that both phases have."""
    test = rows()[1][["target"]].assign(id=[*range(25), *range(15)])
    files = {
        "metadata": "command: python $program/score.py $input $output\n",
        "score.py": BY_ID,
        "helpers.py": "def cost(a, b):\n    return float(((a - b) ** 2).sum() / 7)\n",
    }
    changes = {
        "competition.yaml": DEFINITION.replace("desc}", "asc}"),
        "dev/reference/testing_label": None,
        "dev/reference/truth.csv": test[:25],
        "final/reference.zip": zipped({"truth.csv": test[25:].to_csv(index=False)}),
        "scoring_program.zip": zipped(files),
        "solution/dev/prediction": None,
        "solution/dev/answer.csv": test[["id"]][:25].assign(guess=0.5),
        "solution/final/prediction": None,
        "solution/final/answer.csv": test[["id"]][25:].assign(guess=0.5),
    }
    made = imported(by_lines(tmp_path / "bundle", **changes), tmp_path / "challenge")
    assert made.is_own
    challenge = scorer.load(made.folder)
    assert not challenge.greater_is_better
    names = [f"1-{i}" for i in range(25)] + [f"2-{i}" for i in range(15)]
    submission = pd.DataFrame({"row": names, "guess": predictions()})
    content = submission.sample(frac=1, random_state=1).to_csv(index=False).encode()
    report = scorer.score(challenge, content, allow_weak_sandbox=True)
    errors = ((test["target"] - predictions()) ** 2).to_numpy()
    assert report.public == pytest.approx(errors[:25].sum() / 7, abs=1e-12)
    assert report.private == pytest.approx(errors[25:].sum() / 7, abs=1e-12)


def test_numbers_of_numpy_and_one_phase_are_taken(tmp_path: Path) -> None:
    sink = io.BytesIO()
    np.save(sink, rows()[1]["size"].to_numpy())
    program = PROGRAM.replace("genfromtxt", "load").replace("'prediction'", "'prediction.npy'")
    program = program.replace("testing_label", "truth.npy").replace(
        "accuracy_score(truth, prediction)", "float(-np.abs(truth - prediction).max())"
    )
    changes = {
        "competition.yaml": DEFINITION.replace("final/reference.zip", "dev/reference"),
        "dev/reference/testing_label": None,
        "dev/reference/truth.npy": sink.getvalue(),
        "scoring_program.zip": zipped({"metadata": "command: python scoring.py\n", "scoring.py": program}),
        "solution/dev/prediction": None,
        "solution/final/prediction": None,
    }
    made = imported(by_lines(tmp_path / "bundle", **changes), tmp_path / "challenge", public_share=0.5)
    guessed = " ".join(made.account.guessed)
    assert "prediction.npy" in guessed
    assert "20 of 40 were drawn" in guessed
    content = pd.DataFrame({"row": range(1, 41), "value": predictions()}).to_csv(index=False).encode()
    report = scorer.score(scorer.load(made.folder), content, allow_weak_sandbox=True)
    errors = (rows()[1]["size"] - predictions()).abs()
    assert min(report.public, report.private) == pytest.approx(-errors.max(), abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"final/reference.zip": None}, Incomplete, "final/reference.zip is not in the bundle"),
        ({"dev/reference/other_label": "1\n2\n"}, None, ""),
        ({"competition.yaml": DEFINITION.replace("public_data: public_data", "public_data: []")}, None, ""),
        (
            {"dev/reference/testing_label": None, "dev/reference/a": "1\n", "dev/reference/b": "1\n"},
            CannotImport,
            "several tables",
        ),
        (
            {"scoring_program.zip": zipped({"metadata": "command: Rscript score.R", "score.R": ""})},
            CannotImport,
            "runs no Python file",
        ),
        (
            {
                "scoring_program.zip": zipped(
                    {"scoring.py": PROGRAM.replace("accuracy_score(truth, prediction)", "0.5")}
                )
            },
            CannotImport,
            "gives every file the score",
        ),
        (
            {"scoring_program.zip": zipped({"scoring.py": "import no_such_library\n"})},
            CannotImport,
            "a library that is not here.*No module named 'no_such_library'",
        ),
    ],
)
def test_what_cannot_be_taken_is_said_in_words(
    tmp_path: Path, changes: dict[str, object], kind: type[CannotImport] | None, words: str
) -> None:
    bundle = by_lines(tmp_path / "bundle", **changes)
    if kind is None:
        assert imported(bundle, tmp_path / "challenge").metric == "accuracy"
        return
    with pytest.raises(kind, match=words):
        imported(bundle, tmp_path / "challenge")
    assert not (tmp_path / "challenge").exists()


def test_program_cannot_leave_the_sandbox(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("label")
    program = PROGRAM.replace("prediction = np", f"open({str(secret)!r}).read()\nprediction = np")
    bundle = by_lines(tmp_path / "bundle", **{"scoring_program.zip": zipped({"scoring.py": program})})
    with pytest.raises(Incomplete, match="PermissionError"):
        imported(bundle, tmp_path / "challenge")


def test_reference_data_are_no_sample_submission(tmp_path: Path) -> None:
    """A folder of reference data with "solution" in its name was published as the sample: all labels."""
    truth = rows()[1]["target"]
    names = {
        "dev/reference": "solution_dev",
        "final/reference.zip": "solution_final.zip",
        ": solution/": ": none/",
    }
    definition = DEFINITION
    for before, after in names.items():
        definition = definition.replace(before, after)
    program = PROGRAM.replace("'prediction')", "'testing_label')")
    bundle = by_lines(
        tmp_path / "bundle",
        **{
            "competition.yaml": definition,
            "scoring_program.zip": zipped({"metadata": "command: python3 s.py\n", "s.py": program}),
            "dev/reference/testing_label": None,
            "final/reference.zip": None,
            "solution/dev/prediction": None,
            "solution/final/prediction": None,
            "solution_dev/testing_label": lines(truth[:25]),
            "solution_final.zip": zipped({"testing_label": lines(truth[25:])}),
        },
    )
    made = imported(bundle, tmp_path / "challenge")
    sample = pd.read_csv(made.folder / "public/sample_submission.csv")
    assert sample["value"].nunique() == 1
    assert any("no sample submission" in words for words in made.account.guessed)


def test_other_scoring_program_of_an_earlier_phase_is_named(tmp_path: Path) -> None:
    definition = DEFINITION.replace(
        "scoring_program: &program scoring_program.zip", "scoring_program: other.zip"
    )
    definition = definition.replace("*program", "scoring_program.zip")
    made = imported(by_lines(tmp_path / "bundle", **{"competition.yaml": definition}), tmp_path / "challenge")
    assert any("Other scoring programs" in words for words in made.account.cannot)


def test_phase_without_reference_data_is_named(tmp_path: Path) -> None:
    """It was passed over without a word, and the rows of the other phase were divided at random."""
    definition = DEFINITION.replace("tasks: [0], public", "tasks: [9], public")
    made = imported(by_lines(tmp_path / "bundle", **{"competition.yaml": definition}), tmp_path / "challenge")
    assert any("The phases Feedback" in words for words in made.account.cannot)
