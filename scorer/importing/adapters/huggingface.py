"""Score as Hugging Face competitions do: compute(params) of metric.py, or a function of scikit-learn.

The contract scores both splits in one call, and here a call has the rows of one split. So these are given as
the public split, and once more under other ids as the private split, whose score is not used.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import pandas as pd

from scorer.importing.adapters.virtual_files import start

SETTINGS: dict[str, Any] = {}
PROGRAM: dict[str, bytes] = {}


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Return the leading public score of these rows."""
    truth, sent = (_twice(frame, row_id_column_name) for frame in (solution, submission))
    n_rows = len(solution)
    truth["split"] = ["public"] * n_rows + ["private"] * n_rows
    contents = {f"/app/program/{name}": text for name, text in PROGRAM.items()}
    contents["/app/data/solution.csv"] = truth.to_csv(index=False).encode()
    contents["/app/data/submissions/team-submission.csv"] = sent.to_csv(index=False).encode()
    start(contents, "/app/program")
    _add_hub()
    params = types.SimpleNamespace(
        competition_id="competition",
        competition_type="generic",
        metric=SETTINGS["metric"],
        token="",
        team_id="team",
        submission_id="submission",
        submission_id_col=row_id_column_name,
        submission_cols=SETTINGS["submission_columns"],
        submission_rows=len(sent),
        output_path="/app/output",
        submission_repo="",
        time_limit=60,
        dataset="",
        submission_filenames=["submission.csv"],
    )
    if SETTINGS["metric"] == "custom":
        scores = importlib.import_module("metric").compute(params)["public_score"]
        key = SETTINGS["key"] or next(iter(scores))
        return float(scores[key])
    from sklearn import metrics

    truth, sent = (frame[:n_rows].sort_values(row_id_column_name) for frame in (truth, sent))
    targets = [name for name in truth.columns if name not in (row_id_column_name, "split")]
    return float(getattr(metrics, SETTINGS["metric"])(truth[targets], sent[targets]))


def _twice(frame: pd.DataFrame, ids: str) -> pd.DataFrame:
    again = frame.copy()
    column = frame[ids]
    again[ids] = column - column.min() + column.max() + 1 if column.dtype.kind in "iu" else column + "'"
    return pd.concat([frame, again], ignore_index=True)


def _add_hub() -> None:
    hub = types.ModuleType("huggingface_hub")

    def hf_hub_download(repo_id: str, filename: str, **_: Any) -> str:
        return "/app/data/" + filename

    hub.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    hub.snapshot_download = lambda *_, **__: "/app/data"  # type: ignore[attr-defined]
    sys.modules["huggingface_hub"] = hub
