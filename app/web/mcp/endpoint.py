"""The address of the MCP endpoint: the token, the size, and the way to the server of the SDK."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.base import db
from app.web.context import bearer, parts
from app.web.slow_clients import SMALL_BYTES

blueprint = Blueprint("mcp", __name__)


@blueprint.post("/mcp")
def call() -> Response:
    """Answer one message of an agent; it needs a token as the API does."""
    with parts().database.read() as session:
        bearer(session, db.now(session))
    # Imported by the first message with a token: the SDK takes 30 MB and seconds, and most installations have
    # no agents.
    from app.web.mcp import server

    request.max_content_length = SMALL_BYTES
    status, headers, body = server.answer(
        request.method, request.path, request.headers.items(), request.get_data()
    )
    return Response(body, status, headers)
