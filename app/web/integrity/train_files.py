"""Predictions for the training rows, beside a submission: sent in, and what they say together with its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, current_app, flash, jsonify, redirect, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.models import Competition, State, TrainFile
from app.competing import submissions
from app.competing.submissions import Status
from app.integrity import train_files
from app.web import charts, uploads
from app.web.api.routes import train_file_json
from app.web.charts import Plot, Whiskers
from app.web.context import parts, signed_in
from app.web.downloads import send_train_file
from app.web.errors import wants_json
from app.web.formats import public_step

blueprint = Blueprint("train_files", __name__)

KIND = "<any(oof, train):kind>"


@blueprint.post(f"/submissions/<id:submission_id>/train-files/{KIND}")
def create(submission_id: int, kind: str) -> ResponseReturnValue:
    file = uploads.take_train_file(
        submission_id, kind, signed_in, check_form=current_app.extensions["csrf"].protect
    )
    page = url_for("submissions.show", submission_id=submission_id) + "#beside"
    if wants_json():
        return jsonify(train_file_json(file)), 201, {"Location": page}
    flash(f"The {train_files.KINDS[kind]} are here and will be scored in a moment.")
    return redirect(page, 303)


@blueprint.get(f"/submissions/<id:submission_id>/train-files/{KIND}")
def download(submission_id: int, kind: str) -> Response:
    with parts().database.read() as session:
        me = signed_in(session, db.now(session))
        submissions.visible(session, me, submission_id)
        file = train_files.get(session, submission_id, kind)
    return send_train_file(file)


# -- what stands beside the public score -------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """One score of the table, with the standard error that may be told."""

    name: str
    value: float
    se: float | None
    rows: int | None
    step: float
    """0.0 where it is exact."""


@dataclass(frozen=True)
class Beside:
    """All of the part "Beside the public score" of a submission's page."""

    why_not: str
    """Why this competition takes no train files; empty if it does."""
    folds: Mapping[str, Any]
    files: Mapping[str, TrainFile]
    problems: Mapping[str, Sequence[Mapping[str, Any]]]
    """Of a file that was rejected."""
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
    """None for a version of a time before there were folds.

    Everything here comes from the team's own files and public labels, but for the public score as it is shown
    and, after the close, the private one. Their standard error is the benchmark's, the same for everybody: the
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
        # The benchmark's, carried over to as many rows as there are: right for means, near for the rest.
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
        "Each point holds about as many of your out-of-fold predictions; on the dashed line, predicted and observed "
        "shares are equal. Whiskers are one standard error."
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
                "Mean residual of your out-of-fold predictions, in bins of about as many rows; an unbiased model lies on "
                "the dashed line. Whiskers are one standard error."
            ),
        }
    )
