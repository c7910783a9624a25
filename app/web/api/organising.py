"""What organisers do with a competition, as on their pages."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.base import db
from app.base.models import Competition
from app.competing import changes, competitions, roles
from app.people.tokens import Scope
from app.web.api import organising_models as models
from app.web.api.access import organiser_of
from app.web.api.operations import operation, read_body, read_query
from app.web.context import parts


@operation(
    "PATCH",
    "/competitions/<slug:slug>",
    name="change_competition",
    says="What changed, or would change",
    answer=models.Preview,
    refuses=(403, 404, 409, 422),
    query=models.ChangeQuery,
    body=models.Changes,
    scope=Scope.ORGANISE,
)
def competition_change(slug: str) -> models.Preview:
    """Change title, times, limits or rules of a competition, or preview it with `dry_run`."""
    with parts().database.begin() as session:
        me, competition = organiser_of(session, db.now(session), slug)
        asked = read_query(models.ChangeQuery)
        wished = read_body(models.Changes)
        given = {name: getattr(wished, name) for name in wished.model_fields_set - {"note"}}
        note = wished.note or ""
        most = parts().settings.max_upload_mb
        competitions.lock(session, competition)
        now = db.now(session)
        if asked.dry_run:
            found = changes.plan(session, competition, given, now=now, most_upload_mb=most, note=note)
        else:
            found = changes.apply(
                session,
                competition,
                given,
                by=me.name,
                now=now,
                most_upload_mb=most,
                seen=asked.seen,
                note=note,
            )
    return models.Preview(
        competition=slug,
        is_applied=not asked.dry_run,
        digest=found.digest,
        changes=[models.Change(**change.as_dict()) for change in found.changes],
        announcement=models.ChangeAnnouncement(**vars(found.announcement)) if found.announcement else None,
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/hosts",
    name="hosts",
    says="The hosts",
    answer=models.Hosts,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def host_index(slug: str) -> models.Hosts:
    """List the accounts with a role in a competition."""
    with parts().database.read() as session:
        _, competition = organiser_of(session, db.now(session), slug)
        return _hosts(session, competition)


@operation(
    "POST",
    "/competitions/<slug:slug>/hosts",
    name="add_host",
    says="The hosts",
    answer=models.Hosts,
    refuses=(403, 404, 409, 422),
    body=models.NewHost,
    scope=Scope.ORGANISE,
)
def host_add(slug: str) -> models.Hosts:
    """Give an account a role in a competition, as an owner or organiser."""
    with parts().database.begin() as session:
        me, competition = organiser_of(session, db.now(session), slug)
        roles.refuse_unless_owner(session, competition, me)
        wanted = read_body(models.NewHost)
        competitions.lock(session, competition)
        roles.add(session, competition, wanted.name, wanted.role, by=me.name, now=db.now(session))
        return _hosts(session, competition)


@operation(
    "DELETE",
    "/competitions/<slug:slug>/hosts/<slug:name>",
    name="remove_host",
    says="The hosts",
    answer=models.Hosts,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def host_remove(slug: str, name: str) -> models.Hosts:
    """Take an account's role in a competition away, as an owner or organiser."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        roles.refuse_unless_owner(session, competition, me)
        roles.remove(session, competition, name, by=me.name, now=now)
        return _hosts(session, competition)


def _hosts(session: Session, competition: Competition) -> models.Hosts:
    return models.Hosts(
        competition=competition.slug,
        hosts=[
            models.Host(
                name=host.name, role=host.role, added_by=host.added_by, added_at=host.added_at.isoformat()
            )
            for host in roles.listed(session, competition)
        ],
    )
