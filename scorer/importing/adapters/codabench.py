"""Run a scoring program of Codabench: it reads input/ref and input/res, and writes scores."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from scorer.importing.adapters.forms import written
from scorer.importing.adapters.virtual_files import run_program, start

SETTINGS: dict[str, Any] = {}
PROGRAM: dict[str, bytes] = {}


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Return the leading score of the scoring program for these rows."""
    home = "/app/program"
    ids = SETTINGS["original"], row_id_column_name
    contents = {f"{home}/{name}": text for name, text in PROGRAM.items()}
    contents["/app/input/ref/" + SETTINGS["reference_file"]] = written(solution, SETTINGS["reference"], *ids)
    contents["/app/input/res/" + SETTINGS["submission_file"]] = written(
        submission, SETTINGS["submission"], *ids
    )
    contents["/app/output/.keep"] = b""
    files = start(contents, home)
    main = f"{home}/{SETTINGS['main']}"
    run_program(main, contents[main], SETTINGS["arguments"])
    return float(_scores(files.contents)[SETTINGS["key"]])


def _scores(contents: dict[str, bytes]) -> dict[str, Any]:
    if "/app/output/scores.json" in contents:
        scores: dict[str, Any] = json.loads(contents["/app/output/scores.json"])
        return scores
    if "/app/output/scores.txt" not in contents:
        raise RuntimeError("the scoring program wrote neither scores.json nor scores.txt")
    lines = contents["/app/output/scores.txt"].decode().splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
