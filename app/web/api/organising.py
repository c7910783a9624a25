"""What organisers do with a competition, as on their pages."""

from __future__ import annotations

from app.base import db
from app.competing import changes, competitions
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
        given = {name: getattr(wished, name) for name in wished.model_fields_set}
        most = parts().settings.max_upload_mb
        competitions.lock(session, competition)
        now = db.now(session)
        if asked.dry_run:
            found = changes.plan(session, competition, given, now=now, most_upload_mb=most)
        else:
            found = changes.apply(
                session, competition, given, by=me.name, now=now, most_upload_mb=most, seen=asked.seen
            )
    return models.Preview(
        competition=slug,
        is_applied=not asked.dry_run,
        digest=found.digest,
        changes=[models.Change(**change.as_dict()) for change in found.changes],
    )
