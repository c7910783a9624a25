"""Compare scores of train files with the public score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.base.models import Competition, State, TrainFile
from app.competing.statuses import Status
from app.web import charts
from app.web.charts import Plot, Whiskers
from app.web.formats import public_step


@dataclass(frozen=True)
class Reading:
    """One score of the table, with its standard error."""

    name: str
    value: float
    se: float | None
    rows: int | None
    step: float
    """0.0 where it is exact."""


@dataclass(frozen=True)
class Beside:
    """The section "Beside the public score" of a submission's page."""

    why_not: str
    """Why this competition accepts no train files; empty if it does."""
    folds: Mapping[str, Any]
    files: Mapping[str, TrainFile]
    problems: Mapping[str, Sequence[Mapping[str, Any]]]
    """Of rejected files."""
    is_waiting: bool
    readings: Sequence[Reading]
    picture: Whiskers | None
    diagnosis: str
    by_fold: Sequence[Mapping[str, Any]]
    fold_picture: Whiskers | None
    plots: Sequence[Plot]
    confusion: Mapping[str, Any] | None


def beside(
    competition: Competition, entry: Status, files: Mapping[str, TrainFile], now: datetime
) -> Beside | None:
    """Return the section, or None for a version without folds.

    Everything here comes from the team's own files and public labels, except the public score as shown and,
    after the close, the private one. Their standard error is the benchmark's, the same for all teams: the
    team's own would depend on hidden rows.
    """
    folds = competition.version.manifest.get("folds")
    if folds is None:
        return None
    results = {
        kind: file.result for kind, file in files.items() if file.state == State.SCORED and file.result
    }
    readings = [
        Reading(name, results[kind]["value"], results[kind].get("se"), results[kind].get("n"), 0.0)
        for kind, name in (("train", "train"), ("oof", "out of fold"))
        if kind in results
    ]
    readings += _board_readings(competition, entry, now)
    oof = results.get("oof") or {}
    picture = oof.get("picture") or {}
    by_fold = [fold for fold in oof.get("folds") or [] if fold.get("value") is not None]
    diagnosis = (oof or results.get("train") or {}).get("diagnosis") or {}
    return Beside(
        why_not="" if "sha256" in folds else folds.get("why") or "there is no fold file",
        folds=folds,
        files=files,
        problems={kind: [{"count": 1, **one} for one in file.problems or []] for kind, file in files.items()},
        is_waiting=any(file.state == State.QUEUED for file in files.values()),
        readings=readings if results else [],
        picture=charts.whiskers([(r.name, r.value, r.se) for r in readings]) if results else None,
        diagnosis=diagnosis.get("words") or "",
        by_fold=by_fold,
        fold_picture=charts.whiskers(
            [
                ("all folds", oof["value"], oof.get("se")),
                *((f"fold {f['fold']}", f["value"], None) for f in by_fold),
            ]
        )
        if by_fold
        else None,
        plots=[plot for plot in (_calibration(picture), _residuals(picture)) if plot is not None],
        confusion=picture if picture.get("kind") == "confusion" else None,
    )


def _board_readings(competition: Competition, entry: Status, now: datetime) -> list[Reading]:
    benchmark = competition.version.benchmark or {}
    rows = competition.version.manifest.get("rows") or {}
    se, n_public, n_private = benchmark.get("se_public"), rows.get("public"), rows.get("private")
    found = []
    if entry.public is not None:
        found.append(Reading("public", entry.public, se, n_public, public_step(competition)))
    if entry.private is not None and competition.is_settled(now):
        # The benchmark's, scaled to the number of rows: exact for means, approximate for other metrics.
        scaled = se * math.sqrt(n_public / n_private) if se is not None and n_public and n_private else None
        found.append(Reading("private", entry.private, scaled, n_private, 0.0))
    return found


def _calibration(picture: Mapping[str, Any]) -> Plot | None:
    shown = picture if picture.get("kind") == "calibration" else picture.get("calibration")
    if not shown:
        return None
    bins = shown.get("bins") or []
    error = shown.get("error")
    text = (
        "Each point is a bin; the bins hold about equally many of your out-of-fold predictions. "
        "On the dashed line, predicted and observed shares are equal. Whiskers are one standard error."
    )
    if error is not None:
        text += f" The expected calibration error is {error:.3g}."
    return charts.plot(
        {
            "kind": "points",
            "title": "Calibration",
            "x_title": "predicted",
            "y_title": "observed",
            "x": [b["predicted"] for b in bins],
            "y": [b["observed"] for b in bins],
            "se": [b.get("se") for b in bins],
            "reference": "diagonal",
            "text": text,
        }
    )


def _residuals(picture: Mapping[str, Any]) -> Plot | None:
    if picture.get("kind") != "residuals":
        return None
    bins = picture.get("bins") or []
    return charts.plot(
        {
            "kind": "points",
            "title": "Residuals",
            "x_title": "predicted",
            "y_title": "truth minus prediction",
            "x": [b["predicted"] for b in bins],
            "y": [b["residual"] for b in bins],
            "se": [b.get("se") for b in bins],
            "reference": "zero",
            "text": (
                "Mean residual of your out-of-fold predictions, in bins of about equally many rows. "
                "An unbiased model lies on the dashed line. Whiskers are one standard error."
            ),
        }
    )
