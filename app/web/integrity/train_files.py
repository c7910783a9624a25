"""Receive and download train files: predictions for the training rows."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, flash, jsonify, redirect, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.competing import statuses
from app.integrity import train_files
from app.web import uploads
from app.web.context import parts, signed_in
from app.web.downloads import send_train_file
from app.web.errors import wants_json
from app.web.json_answers import train_file_json

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
    flash(f"Your {train_files.KINDS[kind]} were received and will be scored in a moment.")
    return redirect(page, 303)


@blueprint.get(f"/submissions/<id:submission_id>/train-files/{KIND}")
def download(submission_id: int, kind: str) -> Response:
    with parts().database.read() as session:
        me = signed_in(session, db.now(session))
        statuses.visible(session, me, submission_id)
        file = train_files.get(session, submission_id, kind)
    return send_train_file(file)
