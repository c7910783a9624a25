"""The addresses to which the clients' files go and from which they come."""

from __future__ import annotations

from flask import jsonify
from flask.typing import ResponseReturnValue

from app.base import db
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


@blueprint.get("/downloads/<string:key>/<path:name>")
def download(key: str, name: str) -> ResponseReturnValue:
    """Send the file of a signed address; it needs no other permission, since clients resume without any."""
    return downloads.send_linked(key, name)
