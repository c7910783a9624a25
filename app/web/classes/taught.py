"""Find the class of a request, for its staff; read the tables that they send."""

from __future__ import annotations

import base64
import binascii
import zlib
from datetime import datetime

from flask import current_app, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import RequestEntityTooLarge

from app.base.errors import NotFound, Refused, TooLarge
from app.base.models_classes import Classroom
from app.classes import staff
from app.classes.staff import Right
from app.people.accounts import Viewer
from app.web.context import viewer
from app.web.uploads import FORM_BYTES

LIMIT_BYTES = 1_000_000
"""Of a table in the browser or over the API; the command takes larger ones."""


def taught(session: Session, now: datetime, slug: str, right: Right) -> tuple[Viewer, Classroom]:
    """Return the signed-in member of a class's staff and the class; to others there is no such page."""
    me = viewer(session, now)
    if me is None:
        raise NotFound(staff.NO_PAGE)
    return me, staff.permitted(session, slug, me, right)


def table_of_form() -> bytes:
    """Return the table of a form: its file, its pasted text or what an earlier page carries; b"" for none.

    For views that are exempt from the check of the form before them, which would refuse the size: it is made
    here, after the sender is known to be one that may send a table.
    """
    if (request.content_length or 0) > 2 * LIMIT_BYTES + FORM_BYTES:
        raise TooLarge.over(LIMIT_BYTES)
    request.max_content_length = request.max_form_memory_size = 2 * LIMIT_BYTES + FORM_BYTES
    try:
        current_app.extensions["csrf"].protect()
        file = request.files.get("file")
    except RequestEntityTooLarge:
        raise TooLarge.over(LIMIT_BYTES) from None
    if file is not None and file.filename:
        content = file.stream.read(LIMIT_BYTES + 1)
        if not content:
            raise Refused("The file is empty. Choose another.")
    elif carried := request.form.get("carried"):
        content = _unpacked(carried)
    else:
        content = request.form.get("text", "").strip("\r\n").encode(errors="replace")
    if len(content) > LIMIT_BYTES:
        raise TooLarge.over(LIMIT_BYTES)
    return content


def table_of_body() -> bytes:
    """Return the table that a request of the API sends, bare or in a form."""
    request.max_content_length = LIMIT_BYTES + FORM_BYTES
    try:
        if request.mimetype == "multipart/form-data":
            files = request.files.getlist("file")
            if len(files) != 1:
                raise Refused("Send exactly one file, in the form field `file`.")
            content = files[0].stream.read(LIMIT_BYTES + 1)
        else:
            content = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise TooLarge.over(LIMIT_BYTES) from None
    if len(content) > LIMIT_BYTES:
        raise TooLarge.over(LIMIT_BYTES)
    if not content:
        raise Refused("The file is empty. Choose another.")
    return content


def packed(content: bytes) -> str:
    """Return a table for a hidden field, which carries it from the preview to the confirmation."""
    return base64.b64encode(zlib.compress(content)).decode()


def _unpacked(text: str) -> bytes:
    try:
        return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), LIMIT_BYTES + 1)
    except (zlib.error, binascii.Error, ValueError):
        raise Refused("The file did not arrive whole. Choose it again.") from None
