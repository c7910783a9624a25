"""Access to a competition that is not public: its list, its private link, and entering by the link."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.base import db
from app.base.models import Competition, Visibility
from app.competing import admissions
from app.people.tokens import Scope
from app.web.api import admissions_models as models
from app.web.api.access import organiser_of, sender
from app.web.api.operations import operation, read_body
from app.web.context import parts
from app.web.json_answers import private_link, time_text


@operation(
    "GET",
    "/competitions/<slug:slug>/access",
    name="access",
    says="The admitted accounts",
    answer=models.Access,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def access_show(slug: str) -> models.Access:
    """Get visibility, private link and the accounts that are admitted."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        return _access(session, competition)


@operation(
    "POST",
    "/competitions/<slug:slug>/access/link",
    name="make_private_link",
    says="The link",
    answer=models.MadeLink,
    status=201,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def private_link_make(slug: str) -> models.MadeLink:
    """Make a private link of an unlisted competition; the one before it is revoked."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        secret = admissions.make_link(session, competition, by=me.name, now=now)
    return models.MadeLink(competition=slug, link=private_link(slug, secret))


@operation(
    "DELETE",
    "/competitions/<slug:slug>/access/link",
    name="revoke_private_link",
    says="The admitted accounts",
    answer=models.Access,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def private_link_revoke(slug: str) -> models.Access:
    """Revoke the private link; accounts that it has admitted stay admitted."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        admissions.revoke_link(session, competition, by=me.name, now=now)
        return _access(session, competition)


@operation(
    "POST",
    "/competitions/<slug:slug>/access/accounts",
    name="admit",
    says="The admitted accounts",
    answer=models.Access,
    refuses=(403, 404, 422),
    body=models.NewAdmissions,
    scope=Scope.ORGANISE,
)
def admission_create(slug: str) -> models.Access:
    """Admit accounts to a competition that is not public; all or, with an unknown name, none."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        names = read_body(models.NewAdmissions).names
        admissions.admit(session, competition, names, by=me.name, now=now)
        return _access(session, competition)


@operation(
    "DELETE",
    "/competitions/<slug:slug>/access/accounts/<slug:name>",
    name="remove_admission",
    says="The admitted accounts",
    answer=models.Access,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def admission_remove(slug: str, name: str) -> models.Access:
    """Remove an account that is admitted and has not joined."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        admissions.remove(session, competition, name, by=me.name, now=now)
        return _access(session, competition)


@operation(
    "POST",
    "/competitions/<slug:slug>/enter",
    name="enter",
    says="The competition",
    answer=models.Entered,
    refuses=(403, 404, 422),
    body=models.Entry,
)
def enter(slug: str) -> models.Entered:
    """Enter an unlisted competition by its private link: you see it from now on, and can join it."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        secret = read_body(models.Entry).link.strip().rstrip("/").rpartition("/")[2]
        competition = admissions.enter(session, slug, user, secret, now=now)
    return models.Entered(competition=slug, title=competition.title)


def _access(session: Session, competition: Competition) -> models.Access:
    live = admissions.link(session, competition)
    return models.Access(
        competition=competition.slug,
        visibility=Visibility(competition.visibility),
        link_made_at=time_text(live.made_at) if live is not None else None,
        admitted=[
            models.Admitted(
                name=one.name,
                way=one.way,
                admitted_by=one.admitted_by,
                admitted_at=one.admitted_at.isoformat(),
                has_joined=one.has_joined,
            )
            for one in admissions.listed(session, competition)
        ],
    )
