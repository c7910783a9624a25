"""Send public files of a competition and files of a participant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, current_app, request, send_file, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from app.base.errors import Closed, NotFound
from app.base.models import Competition, Phase, Submission, TrainFile
from app.people.accounts import Viewer
from app.web.context import parts

LINK_SECONDS = 3600
"""A signed address is a permission by itself: clients resume a download without any other."""


def is_available(competition: Competition, me: Viewer | None, now: datetime) -> bool:
    """Return whether the viewer may download data: its organisers before the opening."""
    return competition.phase(now) is not Phase.UPCOMING or (me is not None and me.organises(competition.id))


def refuse_before_opening(competition: Competition, me: Viewer | None, now: datetime) -> None:
    if not is_available(competition, me, now):
        raise Closed(f"You can download the data of {competition.title} once it opens.")


def send_public(competition: Competition, name: str) -> Response:
    """Send a public file."""
    # A new version may replace the file, so browsers must revalidate it.
    return _send(_public_file(competition, name)["sha256"], name.rsplit("/", 1)[-1], "no-cache")


def send_bundle(competition: Competition) -> Response:
    return _send(_bundle(competition)["sha256"], f"{competition.slug}.zip", "no-cache")


def _public_file(competition: Competition, name: str) -> dict[str, Any]:
    """Return a public file's entry.

    The name is only looked up in the manifest and never used as a path.
    """
    file: dict[str, Any]
    for file in competition.version.manifest.get("files", []):
        if file["name"] == name:
            return file
    raise NotFound(f"{competition.title} has no file {name[:80]}.")


def _bundle(competition: Competition) -> dict[str, Any]:
    bundle: dict[str, Any] | None = competition.version.manifest.get("bundle")
    if bundle is None:
        raise NotFound("This competition has no archive of all its files.")
    return bundle


def send_folds(competition: Competition) -> Response:
    """Send the fold of each training row."""
    folds: dict[str, Any] = competition.version.manifest.get("folds") or {}
    if "sha256" not in folds:
        raise NotFound(
            f"{competition.title} has no folds: {folds.get('why', 'it was published before there were any')}"
        )
    return _send(folds["sha256"], "folds.csv", "no-cache")


def send_train_file(file: TrainFile) -> Response:
    return _send(file.sha256, f"{file.kind}-{file.submission_id}.csv", "private, no-cache")


def send_upload(submission: Submission) -> Response:
    return _send(submission.sha256, submission.filename, "private, no-cache")


def link_to_public(competition: Competition, name: str) -> str:
    """Return a signed address of a public file, as a path."""
    return _link(_public_file(competition, name)["sha256"], name, competition.version.created_at)


def link_to_bundle(competition: Competition) -> str:
    bundle = _bundle(competition)
    return _link(bundle["sha256"], f"{competition.slug}.zip", competition.version.created_at)


def link_to_upload(submission: Submission) -> str:
    name = submission.filename.rpartition("/")[2] or "submission.csv"
    return _link(submission.sha256, name, submission.received_at)


def send_linked(key: str, name: str) -> Response:
    """Send the file of a signed address; refuse an old or changed address."""
    try:
        sha256, signed_name, modified = _signer().loads(key, max_age=LINK_SECONDS)
    except BadSignature:
        raise NotFound("This address is no longer valid; begin the download again.") from None
    if signed_name != name:
        raise NotFound("This address names another file; begin the download again.")
    return _send(sha256, name.rsplit("/", 1)[-1], "private, no-cache", modified)


def _link(sha256: str, name: str, modified_at: datetime) -> str:
    key = _signer().dumps([sha256, name, int(modified_at.timestamp())])
    return url_for("kaggle_transfers.download", key=key, name=name)


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt="download")


def _send(sha256: str, download_name: str, cache: str, modified: int | None = None) -> Response:
    """Send a stored file as a download.

    Never inline: the bytes are untrusted and could be an HTML page.
    """
    path = parts().storage.path(sha256)
    response = send_file(
        path,
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=download_name,
        etag=sha256,
        last_modified=modified,
        conditional=False,
    )
    # Equal files are one file in the storage, with the time of the last upload of these bytes: neither the
    # header nor an answer to If-Modified-Since may show that another team has sent them.
    if modified is None:
        del response.headers["Last-Modified"]
    try:
        response.make_conditional(request, accept_ranges=True, complete_length=response.content_length)
    except RequestedRangeNotSatisfiable:
        response.close()
        raise
    response.headers["Cache-Control"] = cache
    part, sends_files = response.content_range, request.environ.get("wsgi.file_wrapper")
    if response.status_code == 206 and sends_files and part.start is not None:
        # A resumed download is sent as a file too, which holds no thread (app/web/slow_clients.py).
        response.close()
        file = path.open("rb")
        file.seek(part.start)
        response.response = sends_files(file)
    return response
