"""The account of the token, and its tokens."""

from __future__ import annotations

from flask import g
from pydantic import Field
from sqlalchemy.orm import Session

from app.base import db
from app.competing import personal_data
from app.people import tokens
from app.people.accounts import Viewer
from app.people.tokens import Grant, Scope
from app.web.api import models
from app.web.api.operations import operation, read_body
from app.web.context import bearer, parts
from app.web.json_answers import time_text


class PersonalData(models.Answer):
    """What the server keeps of an account; scores are those that the owner may see now."""

    account: models.AnyObject
    sign_ins: list[models.AnyObject]
    tokens: list[models.AnyObject]
    mail: models.AnyObject | None = Field(description="The e-mail address; null without one.")
    letters: list[models.AnyObject] = Field(description="Mail to the account, without its text.")
    roles: list[models.AnyObject] = Field(description="In single competitions.")
    teams: list[models.AnyObject]
    classes: list[models.AnyObject] = Field(description="What rosters hold of the account.")
    rules: list[models.AnyObject] = Field(description="Accepted ones.")
    admissions: list[models.AnyObject] = Field(description="To competitions that are not public.")
    announcements_read: list[models.AnyObject]
    questions: list[models.AnyObject]
    submissions: list[models.AnyObject]
    checks: list[models.AnyObject]
    log: list[models.AnyObject] = Field(description="The account's actions in the audit log.")


@operation("GET", "/me", name="me", says="The user", answer=models.Me)
def me() -> models.Me:
    """Get the user of the token."""
    with parts().database.read() as session:
        user = bearer(session, db.now(session))
    grant: Grant = g.grant
    return models.Me(
        name=user.name,
        is_organiser=grant.owner.is_organiser,  # also where the token's scope is narrower
        token=models.OwnToken(
            label=grant.label,
            scope=grant.scope,
            expires_at=time_text(grant.expires_at),
            last_used_at=time_text(grant.last_used_at),
        ),
    )


@operation("GET", "/me/data", name="personal_data", says="The data", answer=PersonalData)
def personal_data_show() -> PersonalData:
    """Get everything that the server keeps of your account."""
    with parts().database.read() as session:
        now = db.now(session)
        return PersonalData.model_validate(personal_data.collect(session, bearer(session, now), now=now))


@operation("GET", "/me/tokens", name="tokens", says="Tokens", answer=models.Tokens)
def token_index() -> models.Tokens:
    """List the tokens of the account, without their texts."""
    with parts().database.read() as session:
        return models.Tokens(tokens=_listed(session, bearer(session, db.now(session))))


@operation(
    "POST",
    "/me/tokens",
    name="make_token",
    says="The token",
    answer=models.MadeToken,
    status=201,
    refuses=(403, 409, 422),
    body=models.NewToken,
)
def token_create() -> models.MadeToken:
    """Make a token that may do no more than this one."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = bearer(session, now, Scope.SUBMIT)
        wanted = read_body(models.NewToken)
        secret = tokens.issue(
            session, user.id, wanted.label, now=now, scope=wanted.scope, days=wanted.days, maker=g.grant
        )
        session.flush()
        return models.MadeToken(token=secret, tokens=_listed(session, user))


@operation(
    "DELETE",
    "/me/tokens/<id:token_id>",
    name="revoke_token",
    says="The other tokens",
    answer=models.Tokens,
    refuses=(403, 404),
)
def token_revoke(token_id: int) -> models.Tokens:
    """Revoke a token of the account."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = bearer(session, now, Scope.SUBMIT)
        tokens.revoke(session, user.id, token_id, now=now)
        return models.Tokens(tokens=_listed(session, user))


def _listed(session: Session, user: Viewer) -> list[models.TokenEntry]:
    return [
        models.TokenEntry(
            id=token.id,
            label=token.label,
            hint=token.hint,
            scope=Scope(token.scope),
            created_at=token.created_at.isoformat(),
            expires_at=time_text(token.expires_at),
            last_used_at=time_text(token.last_used_at),
        )
        for token in tokens.listed(session, user.id)
    ]
