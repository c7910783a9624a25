"""The addresses to which the clients' files go and from which they come."""

from __future__ import annotations

from flask import Response, jsonify, request
from flask.typing import ResponseReturnValue

from app.authoring import draft_uploads
from app.base import db, inbox
from app.base.errors import Refused
from app.competing import upload_tickets
from app.web import downloads, uploads
from app.web.context import parts
from app.web.kaggle import wire

blueprint = wire.blueprint("kaggle_transfers")


@blueprint.put("/uploads/<string(length=43):secret>")
def upload(secret: str) -> ResponseReturnValue:
    """Take the file of a ticket; the address is the permission."""
    with parts().database.begin() as session:
        ticket = upload_tickets.begin(session, secret, now=db.now(session) - uploads.age())
        ticket_id, user_id, size_bytes = ticket.id, ticket.user_id, ticket.size_bytes
    is_kept = False
    try:
        with uploads.slot(user_id), uploads.receiving(parts().storage, size_bytes) as arrived:
            if arrived.incoming.size_bytes != size_bytes:
                raise Refused(
                    f"{arrived.incoming.size_bytes} bytes arrived and {size_bytes} were announced. "
                    "Nothing was stored; begin a new upload."
                )
            blob = arrived.incoming.keep()
        with parts().database.begin() as session:
            upload_tickets.fill(session, ticket_id, blob)
        is_kept = True
    finally:
        if not is_kept:
            with parts().database.begin() as session:
                upload_tickets.abandon(session, ticket_id)
    return jsonify({})


@blueprint.put("/blobs/<string(length=43):secret>")
def blob(secret: str) -> ResponseReturnValue:
    """Take a file for a draft; the address is the permission.

    Clients that lost the connection ask with an empty body how much has arrived. A file is kept as a whole
    or not at all, so the answer is all (200) or nothing (308 without a range), and they send it again.
    """
    given = request.headers.get("Content-Range", "")
    with parts().database.read() as session:
        now = db.now(session)
        upload = draft_uploads.waiting(session, secret, now=now)
        upload_id, user_id, size_bytes = upload.id, upload.user_id, upload.size_bytes
        has_arrived = upload.sha256 is not None
        key = inbox.newest_key(session)
    if given.startswith("bytes */"):
        return jsonify({}) if has_arrived else Response(status=308)
    if given and not given.startswith("bytes 0-"):
        raise Refused(f"Nothing of this file was kept, so it cannot go on at {given[:60]!r}; send it whole.")
    receiver = inbox.inbox(parts().storage, key)
    with uploads.slot(user_id), uploads.receiving(receiver, size_bytes) as arrived:
        if arrived.incoming.size_bytes != size_bytes:
            raise Refused(
                f"{arrived.incoming.size_bytes} bytes arrived and {size_bytes} were announced. "
                "Nothing was stored; begin a new upload."
            )
        kept = arrived.incoming.keep()
    with parts().database.begin() as session:
        replaced = draft_uploads.fill(session, upload_id, kept, key_id=key.id)
    if replaced is not None:
        parts().storage.remove(replaced)
    return jsonify({})


@blueprint.get("/downloads/<string:key>/<path:name>")
def download(key: str, name: str) -> ResponseReturnValue:
    """Send the file of a signed address; it needs no other permission, since clients resume without any."""
    return downloads.send_linked(key, name)
