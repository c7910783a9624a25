"""The account of the token."""

from __future__ import annotations

from flask import g

from app.base import db
from app.people.tokens import Grant
from app.web.api import models
from app.web.api.operations import operation
from app.web.context import bearer, parts
from app.web.json_answers import time_text


@operation("GET", "/me", name="me", says="The user", answer=models.Me)
def me() -> models.Me:
    """Get the user of the token."""
    with parts().database.read() as session:
        user = bearer(session, db.now(session))
    grant: Grant = g.grant
    return models.Me(
        name=user.name,
        is_organiser=grant.is_organisers,  # also where the token's scope is narrower
        token=models.OwnToken(
            label=grant.label,
            scope=grant.scope,
            expires_at=time_text(grant.expires_at),
            last_used_at=time_text(grant.last_used_at),
        ),
    )
