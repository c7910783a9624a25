"""The calls of kaggle 1.5 to 1.7 and of kagglehub 0.3, under `/api/v1/competitions/`."""

from __future__ import annotations

from flask import jsonify, request
from flask.typing import ResponseReturnValue

from app.web.context import number_argument
from app.web.kaggle import verbs, wire
from app.web.uploads import asks_sandbox

blueprint = wire.blueprint("kaggle_rest")

READ_BY_1_6 = ("deadline", "userRank")
"""Keys that kaggle 1.6 reads without a default."""


@blueprint.get("/hello")
def hello() -> ResponseReturnValue:
    return verbs.hello()


@blueprint.get("/competitions/list")
def competition_list() -> ResponseReturnValue:
    page = number_argument("page", 1, largest=10**6)
    found, _ = verbs.competition_list(
        group=_argument("group"),
        category=_argument("category"),
        sort_by=_argument("sortBy"),
        search=_argument("search"),
        page_token=str((page - 1) * verbs.LISTED),
    )
    return jsonify([{**dict.fromkeys(READ_BY_1_6), **entry} for entry in found])


@blueprint.get("/competitions/data/list/<slug:slug>")
def file_list(slug: str) -> ResponseReturnValue:
    """List the files; kaggle 1.5, which sends no query, reads a bare list."""
    size = number_argument("pageSize", number_argument("pagesize", verbs.LISTED))
    is_bare = not request.query_string
    found, following = verbs.file_list(
        slug,
        page_token=_argument("pageToken"),
        page_size=verbs.SUBMISSIONS if is_bare else min(size, verbs.SUBMISSIONS),
    )
    return jsonify(found) if is_bare else jsonify(files=found, nextPageToken=following)


@blueprint.get("/competitions/data/download/<slug:slug>/<path:name>")
def download_file(slug: str, name: str) -> ResponseReturnValue:
    return verbs.download_file(slug, name)


@blueprint.get("/competitions/data/download-all/<slug:slug>")
def download_all(slug: str) -> ResponseReturnValue:
    return verbs.download_all(slug)


@blueprint.post("/competitions/<slug:slug>/submissions/url/<id:size_bytes>/<id:_modified>")
def start_upload(slug: str, size_bytes: int, _modified: int) -> ResponseReturnValue:
    return verbs.start_upload(slug, filename=_field("fileName"), size_bytes=size_bytes)


@blueprint.post("/competitions/submission-url")
def start_upload_of_named() -> ResponseReturnValue:
    size = request.form.get("contentLength", 0, type=int)
    return verbs.start_upload(_field("competitionName"), filename=_field("fileName"), size_bytes=size)


@blueprint.post("/competitions/submissions/submit/<slug:slug>")
def create_submission(slug: str) -> ResponseReturnValue:
    return verbs.create_submission(
        slug,
        token=_field("blobFileTokens"),
        message=_field("submissionDescription"),
        sandbox=asks_sandbox(_field("sandbox")),
    )


@blueprint.get("/competitions/submissions/list/<slug:slug>")
def submission_list(slug: str) -> ResponseReturnValue:
    found, _ = verbs.submission_list(slug, page_token=_argument("pageToken"), page_size=verbs.SUBMISSIONS)
    return jsonify([{**entry, "status": entry["status"].lower()} for entry in found])


@blueprint.get("/competitions/<slug:slug>/leaderboard/view")
def board(slug: str) -> ResponseReturnValue:
    found, _ = verbs.board(slug, page_token="")
    return jsonify(submissions=found)


@blueprint.get("/competitions/<slug:slug>/leaderboard/download")
def download_board(slug: str) -> ResponseReturnValue:
    return verbs.download_board(slug)


def _argument(name: str) -> str:
    """Return a query argument; kaggle 1.6 sends the word None for one that is not set."""
    value = request.args.get(name, "")
    return "" if value == "None" else "".join(c for c in value if c.isprintable())


def _field(name: str) -> str:
    return "".join(c for c in request.form.get(name, "") if c.isprintable())
