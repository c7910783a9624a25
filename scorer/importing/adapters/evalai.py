"""Call EvalAI's evaluate(test_annotation_file, user_submission_file, phase_codename)."""

from __future__ import annotations

import importlib
from typing import Any

import pandas as pd

from scorer.importing.adapters.forms import written
from scorer.importing.adapters.virtual_files import start

SETTINGS: dict[str, Any] = {}
PROGRAM: dict[str, bytes] = {}


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Return the label that orders the leaderboard, of the first split of the result."""
    places = ("/app/program/", "/app/program/evaluation_script/")  # programs import both ways
    contents = {place + name: text for name, text in PROGRAM.items() for place in places}
    ids = SETTINGS["original"], row_id_column_name
    truth = f"/app/annotations/{SETTINGS['reference_file']}"
    sent = f"/app/submission/{SETTINGS['submission_file']}"
    contents[truth] = written(solution, SETTINGS["reference"], *ids)
    contents[sent] = written(submission, SETTINGS["submission"], *ids)
    start(contents, "/app/program")
    evaluate = importlib.import_module(SETTINGS["module"]).evaluate
    output = evaluate(truth, sent, SETTINGS["codename"], submission_metadata={})
    results = output["result"]
    first = results[0] if isinstance(results, list) else results
    scores = next(iter(first.values())) if isinstance(next(iter(first.values())), dict) else first
    return float(next(scores[key] for key in SETTINGS["keys"] if key in scores))
