"""Make database records of audits, scans and reports."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from app.base import db
from app.base.models import ChallengeVersion, State, Team, TrainFile
from app.competing import competitions
from app.integrity import cases, inspections
from app.integrity.cases import Suspicion
from app.integrity.inspections import Kind
from tests.web.site import Site

EVIDENCE_CANARY = "hidden labels rise with the row number"

AUDIT: dict[str, Any] = {
    "findings": [
        {
            "code": "row_order",
            "severity": "block",
            "scope": "rows: solution.csv",
            "evidence": f"The {EVIDENCE_CANARY}.",
            "advice": "Shuffle the rows.",
            "effect": 0.913,
            "p": 1e-300,
            "picture": {
                "kind": "line",
                "title": "Share of positives by row",
                "x_title": "row",
                "y_title": "share",
                "x": list(range(0, 2000, 2)),
                "y": [i / 2000 for i in range(0, 2000, 2)],
                "text": "It rises evenly.",
            },
        },
        {
            "code": "strong_feature",
            "severity": "warn",
            "scope": "columns: radius",
            "evidence": "radius alone separates.",
            "advice": "Ask where it comes from.",
            "effect": 0.99,
            "p": None,
            "picture": {
                "kind": "bars",
                "title": "By value",
                "x_title": "radius",
                "y_title": "share",
                "x": ["small", "middling and then some", "large"],
                "y": [0.1, 0.5, 0.9],
                "text": "It rises.",
            },
        },
        {
            "code": "not_checked",
            "severity": "info",
            "scope": "challenge",
            "evidence": "Not checked (id_signal): no ids.",
            "advice": "Look yourself.",
            "effect": None,
            "p": None,
            "picture": None,
        },
    ],
    "passport": [
        {
            "code": "row_order",
            "title": "Rows do not stand in an order that tells the target",
            "version": 1,
            "result": "accepted by the organiser",
        },
        {
            "code": "strong_feature",
            "title": "No feature says the target by itself",
            "version": 2,
            "result": "warn",
        },
        {"code": "id_signal", "title": "Ids tell nothing", "version": 1, "result": "not checked"},
        {"code": "duplicate_rows", "title": "No test row is in train", "version": 1, "result": "pass"},
    ],
    "overrides": {"row_order": "The order is the order of time, as declared."},
    "versions": {"python": "3.11", "numpy": "2.3"},
}

BENCHMARK: dict[str, Any] = {
    "name": "most frequent class",
    "public": 0.664321,
    "private": 0.661234,
    "se_public": 0.0188,
    "why": "",
    "n_public": 60,
    "step": 0.005,
    "also_steps": {"roc_auc": 0.01},
    "costs": [
        {"mode": "exact", "submissions": 2, "days": 0.4, "share": 1.0, "words": "Two files read all labels."},
        {
            "mode": "rounded",
            "submissions": 40,
            "days": 8.0,
            "share": 1.0,
            "words": "Forty files read all labels.",
        },
        {
            "mode": "ladder",
            "submissions": None,
            "days": None,
            "share": 0.2,
            "words": "No known attack reads them all.",
        },
    ],
}


def audited(site: Site, *, mode: str = "rounded", **benchmark: Any) -> None:
    """Give the version a data audit, a benchmark and folds."""
    with site.storage.receive(1000) as incoming:
        incoming.write(b"id,fold\n1,1\n2,2\n")
        blob = incoming.keep()
    folds = {
        "sha256": blob.sha256,
        "size": blob.size_bytes,
        "strategy": "stratified",
        "words": "Rows are in random folds.",
    }
    with site.database.begin() as session:
        version = session.get_one(ChallengeVersion, 1)
        version.audit, version.benchmark = AUDIT, BENCHMARK | benchmark
        version.manifest = version.manifest | {"folds": folds}
    site.change(public_score=mode)


def suspected(
    site: Site, *seen: tuple[str, str, str | None], detail: dict[str, Any] | None = None
) -> list[int]:
    """Record cases of (code, team, other team); return their ids."""
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        teams = session.scalars(select(Team).where(Team.competition_id == competition.id))
        ids = {team.name: team.id for team in teams}
        found = [
            Suspicion(
                code,
                ids[team],
                f"{team} did something odd.",
                "Talk to them.",
                5.0 - i,
                ids[other] if other else None,
                detail if detail is not None else {"files": 12, "rough_share": 0.8123},
            )
            for i, (code, team, other) in enumerate(seen)
        ]
        cases.record(session, competition, found, now=db.now(session))
        return [view.case.id for view in cases.listed(session, competition)]


def inspected(site: Site, kind: Kind, result: dict[str, Any], *, after: timedelta = timedelta()) -> int:
    """Record a finished inspection through the worker's own states."""
    with site.database.begin() as session:
        now: datetime = db.now(session) + after
        competition = competitions.by_slug(session, site.slug)
        inspection = inspections.ask(session, competition, kind, by="test", now=now)
        work = inspections.claim(
            session, "test", lease=timedelta(minutes=5), now=now, inspection_id=inspection.id
        )
        assert work is not None
        inspections.finish(session, work, result, now=now)
        return inspection.id


def report(teams: list[str], *, seed: int = 3) -> dict[str, Any]:
    """Return a report in the shape of `scorer.overfitting.close_report`."""
    dice = random.Random(seed)
    n = len(teams)
    rows = [
        {
            "team_id": str(i),
            "name": name,
            "rank_private": i + 1,
            "rank_public": dice.randint(1, n),
            "private": 0.1 + i / 1000,
            "public": 0.1 + dice.random() / 10,
            "se_private": 0.0123,
            "tied_with_first": i < 3,
            "may_be_best": i < 5,
            "p_first": 0.4 / (i + 1),
            "rank_low": max(1, i - 4),
            "rank_high": min(n, i + 6),
            "diagnosis": {"code": "overfit", "words": "It overfits.", "gaps": []} if i == 1 else None,
        }
        for i, name in enumerate(teams)
    ]
    return {
        "version": 1,
        "metric": "log_loss",
        "greater_is_better": False,
        "rows": {"public": 60, "private": 140},
        "seed": 0,
        "notes": ["Whole groups of rows are drawn, not single rows."],
        "public": {
            "board": rows,
            "ties": {"tied": 3, "may_be_best": 5, "words": "3 teams are tied for first within noise."},
            "top": {
                "test": "bootstrap",
                "words": "First against second: p = .412 by a paired bootstrap.",
                "against_first": [
                    {"team_id": r["team_id"], "name": r["name"], "p": 0.4, "p_holm": 1.0} for r in rows[1:10]
                ],
            },
            "shake_up": {
                "mean_move": 0.11,
                "kendall": 0.62,
                "top": 10,
                "top_kept": 4,
                "null": {
                    "mean_move": [0.08, 0.1, 0.13],
                    "kendall": [0.5, 0.6, 0.7],
                    "top_kept": [2.0, 4.0, 6.0],
                },
                "p": 0.31,
                "words": "Teams moved by 11 %: this much is noise.",
            },
            "scatter": [{k: r[k] for k in ("team_id", "name", "public", "private")} for r in rows],
        },
        "organiser": {
            "gaps": {
                "largest": 3.1,
                "p": 0.02,
                "median": 0.1,
                "p_median": 0.4,
                "words": "The largest gap is 3.1.",
                "teams": [
                    {
                        "team_id": r["team_id"],
                        "name": r["name"],
                        "z": 3.1 - i,
                        "centred": 3.0 - i,
                        "look": i == 0,
                    }
                    for i, r in enumerate(rows)
                ],
            }
        },
    }


OOF: dict[str, Any] = {
    "value": 0.2712,
    "se": 0.0101,
    "why_no_se": "",
    "n": 400,
    "folds": [{"fold": i, "rows": 80, "value": 0.25 + i / 100} for i in range(1, 6)],
    "picture": {
        "kind": "calibration",
        "bins": [{"predicted": i / 10, "observed": i / 10 + 0.02, "se": 0.03, "rows": 40} for i in range(10)],
        "error": 0.02,
    },
    "diagnosis": {
        "code": "overfit",
        "words": "The model is better on rows it was trained on: it overfits.",
        "gaps": [],
    },
}
CONFUSION: dict[str, Any] = OOF | {
    "picture": {
        "kind": "confusion",
        "classes": [f"class {i}" for i in range(10)],
        "counts": [[300 if i == j else 40 * (i + 1 == j) for j in range(10)] for i in range(10)],
    }
}
TRAIN: dict[str, Any] = OOF | {"value": 0.1034, "folds": [], "n": 400}


def own_rows(site: Site, submission_id: int, **results: dict[str, Any]) -> None:
    """Record scored train files of a submission, by kind."""
    with site.storage.receive(1000) as incoming:
        incoming.write(b"id,target\n1,0.5\n")
        blob = incoming.keep()
    with site.database.begin() as session:
        for kind, result in results.items():
            session.merge(
                TrainFile(
                    submission_id=submission_id,
                    kind=kind,
                    sha256=blob.sha256,
                    size_bytes=blob.size_bytes,
                    received_at=db.now(session),
                    state=State.SCORED,
                    result=result,
                    problems=None,
                )
            )
