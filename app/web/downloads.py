"""Files that leave the house: a competition's public ones, and a participant's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, request, send_file

from app.base.errors import Closed, NotFound
from app.base.models import Competition, Phase, Submission, TrainFile
from app.people.accounts import Viewer
from app.web.context import parts


def is_available(competition: Competition, me: Viewer | None, now: datetime) -> bool:
    """The data is everybody's from the opening on; organisers may look before."""
    return competition.phase(now) is not Phase.UPCOMING or (me is not None and me.is_organiser)


def refuse_before_opening(competition: Competition, me: Viewer | None, now: datetime) -> None:
    if not is_available(competition, me, now):
        raise Closed(f"The data of {competition.title} can be had once it opens.")


def send_public(competition: Competition, name: str) -> Response:
    """The public file of this name. The name only ever finds an entry of the manifest, it is never a path."""
    for file in competition.version.manifest.get("files", []):
        if file["name"] == name:
            # The same for everybody, but a new version may replace it: asked each time whether it changed.
            return _send(file["sha256"], name.rsplit("/", 1)[-1], "no-cache")
    raise NotFound(f"{competition.title} has no file {name[:80]}.")


def send_bundle(competition: Competition) -> Response:
    bundle: dict[str, Any] | None = competition.version.manifest.get("bundle")
    if bundle is None:
        raise NotFound("This competition has no archive of all its files.")
    return _send(bundle["sha256"], f"{competition.slug}.zip", "no-cache")


def send_folds(competition: Competition) -> Response:
    """Of each training row the fold it is in."""
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


def _send(sha256: str, download_name: str, cache: str) -> Response:
    """Always a download, whatever the bytes are: shown in the browser they could be somebody's page."""
    path = parts().storage.path(sha256)
    response = send_file(
        path,
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=download_name,
        etag=sha256,
    )
    response.headers["Cache-Control"] = cache
    part, sends_files = response.content_range, request.environ.get("wsgi.file_wrapper")
    if response.status_code == 206 and sends_files and part.start is not None:
        # The rest of a broken download: as a file too, which holds no thread (app/web/slow_clients.py).
        response.close()
        file = path.open("rb")
        file.seek(part.start)
        response.response = sends_files(file)
    return response
