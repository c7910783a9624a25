"""Competitions, their files, and what a submission to them must look like."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, request, url_for

from app.base import db
from app.base.models import Competition
from app.competing import competitions, teams, visibility
from app.web import downloads
from app.web.api import models
from app.web.api.operations import BYTES, operation
from app.web.context import bearer, parts
from app.web.formats import public_step, release_rule
from app.web.json_answers import schema_json, time_text


@operation("GET", "/competitions", name="competitions", says="Competitions", answer=models.Competitions)
def competition_index() -> models.Competitions:
    """List the competitions that you may see."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        listed = competitions.listed(session, visibility.seen_by(user))
    return models.Competitions(
        competitions=[models.ListedCompetition(**_facts(c, now), teams=count) for c, count in listed]
    )


@operation(
    "GET",
    "/competitions/<slug:slug>",
    name="competition",
    says="The competition",
    answer=models.Competition,
    refuses=(404,),
    is_conditional=True,
)
def competition_show(slug: str) -> models.Competition:
    """Get a competition: its task, metric, limits and your team."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = visibility.find(session, slug, user)
        team = teams.of(session, competition, user.id)
    manifest = competition.version.manifest
    submission = {key: value for key, value in manifest.get("submission", {}).items() if key != "schema"}
    return models.Competition(
        **_facts(competition, now),
        description=manifest.get("description", ""),
        metric=manifest["metric"],
        submission=submission,
        split=manifest.get("split", {}),
        baselines=manifest.get("baselines", []),
        version=competition.version.number,
        limits=models.Limits(
            daily=competition.daily_limit,
            total=competition.total_limit,
            pending=competition.pending_limit,
            final_picks=competition.final_picks,
            team_size=competition.max_team_size,
            upload_bytes=competition.upload_limit_bytes,
            entry_closes_at=time_text(competition.entry_closes_at),
            teams_close_at=time_text(competition.teams_close_at),
        ),
        public_score=models.ShownScore(
            shown=release_rule(competition), step=public_step(competition) or None
        ),
        marks_agents=competition.marks_agents,
        late_submissions=competition.allows_late,
        passport=(competition.version.audit or {}).get("passport", []),
        folds=manifest.get("folds"),
        team=team.name if team else None,
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/schema",
    name="schema",
    says="The schema",
    answer=models.Schema,
    refuses=(403, 404),
    is_conditional=True,
)
def submission_schema(slug: str) -> models.Schema:
    """Get what a file of predictions must look like."""
    return models.Schema.model_validate(schema_json(_opened(slug)))


@operation(
    "GET",
    "/competitions/<slug:slug>/files",
    name="files",
    says="Files",
    answer=models.Files,
    refuses=(403, 404),
)
def file_index(slug: str) -> models.Files:
    """List the public files."""
    competition = _opened(slug)
    return models.Files(
        files=[
            models.File(
                name=file["name"],
                size=file["size"],
                sha256=file["sha256"],
                n_rows=file.get("n_rows"),
                schema=file.get("schema"),
                link=url_for("api.file_show", slug=slug, name=file["name"]),
                download=request.host_url.rstrip("/") + downloads.link_to_public(competition, file["name"]),
            )
            for file in competition.version.manifest.get("files", [])
        ]
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/files/<path:name>",
    name="file",
    says="The file",
    answer=BYTES,
    refuses=(403, 404),
)
def file_show(slug: str, name: str) -> Response:
    """Download a public file."""
    return downloads.send_public(_opened(slug), name)


@operation(
    "GET",
    "/competitions/<slug:slug>/files.zip",
    name="all_files",
    says="A zip archive",
    answer=BYTES,
    refuses=(403, 404),
)
def bundle(slug: str) -> Response:
    """Download all public files as one archive."""
    return downloads.send_bundle(_opened(slug))


@operation(
    "GET",
    "/competitions/<slug:slug>/folds.csv",
    name="folds",
    says="A CSV file",
    answer=BYTES,
    refuses=(403, 404),
)
def folds(slug: str) -> Response:
    """Download the fold of each training row."""
    return downloads.send_folds(_opened(slug))


def _opened(slug: str) -> Competition:
    """Return a competition whose files the viewer may download."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = visibility.find(session, slug, user)
        downloads.refuse_before_opening(competition, user, now)
    return competition


def _facts(competition: Competition, now: datetime) -> dict[str, Any]:
    manifest = competition.version.manifest
    return {
        "slug": competition.slug,
        "title": competition.title,
        "summary": competition.summary,
        "phase": competition.phase(now),
        "is_paused": competition.is_paused,
        "is_archived": competition.is_archived,
        "opens_at": time_text(competition.opens_at),
        "closes_at": time_text(competition.closes_at),
        "settles_at": time_text(competition.settles_at),
        "timezone": competition.timezone,
        "metric_name": manifest["metric"]["name"],
        "greater_is_better": competition.greater_is_better,
    }
