"""The verbs of the Kaggle clients for hosts, over drafts, changes and roles.

A competition of the client is a draft until it is launched, and a competition of ours afterwards. What a
client asks for and Heldout does not have is refused in words, and nothing of the request is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import g
from sqlalchemy.orm import Session

from app.authoring import draft_choices, draft_steps, draft_uploads, drafts
from app.authoring.draft_steps import Kind
from app.authoring.drafts import FileKind, Source
from app.base import db
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition, Phase
from app.base.models_drafts import Draft, DraftState
from app.competing import changes, competitions, roles, visibility
from app.people import accounts
from app.people.accounts import Viewer
from app.people.tokens import Grant, Scope
from app.web.context import organised, parts
from app.web.kaggle import verbs, wire

BLOB_TYPES = ("DATASET", "COMPETITION_SOLUTION")
PLAIN = {
    "hostSegment": "HOST_SEGMENT_COMMUNITY",
    "hasLeaderboard": True,
    "rulesRequired": False,
    "hasScripts": False,
    "requiresIdentityVerification": False,
    "enableTeamFiles": False,
    "onlyAllowKernelSubmissions": False,
    "witholdFinalLeaderboardUntilItHasBeenVerified": False,
}
"""Settings of the clients that have one value here."""
TERMS = {
    "title": "title",
    "briefDescription": "summary",
    "deadline": "closes_at",
    "maxPendingSubmissionsPerTeam": "pending_limit",
    "disableSubmissions": "paused",
}
"""Settings of the clients, and the names of their terms."""
DESCRIPTION = "description"


def host(session: Session) -> Viewer:
    """Return the owner of the token, which must have the scope organise."""
    viewer = verbs.viewer(session)
    grant: Grant = g.grant
    if not (grant.owner.is_organiser or grant.owner.hosted):
        raise NotFound("You organise no competition here.")
    grant.require(Scope.ORGANISE)
    return viewer


# -- making a competition ----------------------------------------------------------------------


def create(body: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a draft with title, name and summary."""
    slug = _plain(body.get("slug"))
    with parts().database.begin() as session:
        now = db.now(session)
        me = host(session)
        if wrong := _unknown_wishes(body):
            raise Refused(f"Nothing was created: Heldout does not have {', '.join(wrong)}.")
        if drafts.is_taken(session, slug) or _draft(session, me, slug) is not None:
            raise Conflict(f"The name {slug[:60]} is taken; choose another.")
        choices = {
            "title": _plain(body.get("title")),
            "slug": slug,
            "summary": _plain(body.get("briefDescription")) or None,
        }
        draft_id = drafts.create(session, me, Source.PARTS, now=now, choices=choices).id
    return {"id": draft_id, "ref": slug, "url": wire.page(slug)}


def _unknown_wishes(body: Mapping[str, Any]) -> list[str]:
    """Return what a new competition should be that none can be here."""
    wrong = []
    if (privacy := body.get("privacy", "PUBLIC")) != "PUBLIC":
        wrong.append(f"privacy {str(privacy)[:20]} (every account of an installation sees its competitions)")
    wrong += [name for name in ("hackathon", "restrictLinkToEmailList") if body.get(name)]
    return wrong + [name for name in ("cloneCompetitionId", "organizationId") if body.get(name) is not None]


def start_blob(*, kind: str, size_bytes: int) -> dict[str, Any]:
    """Return the token and address of a new upload."""
    with parts().database.begin() as session:
        me = host(session)
        if kind.removeprefix("API_BLOB_TYPE_") not in BLOB_TYPES:
            what = kind[:40] or "other files"
            raise Refused(f"Heldout takes data and solutions of competitions, no {what}.")
        secret = draft_uploads.issue(
            session, me, size_bytes=size_bytes, most_bytes=parts().settings.draft_bytes, now=db.now(session)
        )
    return {"token": secret, "createUrl": verbs.reachable(f"/api/v1/blobs/{secret}")}


def kind_of(name: str) -> FileKind:
    """Return what a data file is, by its name."""
    plain = name.lower().partition(".")[0].replace("_", "").replace("-", "")
    if name == "metric.py":
        return FileKind.METRIC
    if plain in ("train", "test"):
        return FileKind(plain)
    return FileKind.SAMPLE if plain in ("samplesubmission", "sample") else FileKind.DATA


def create_data(slug: str, files: Any, *, is_rerun: bool) -> dict[str, Any]:
    """Replace the data files of a draft."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, draft = _editable(session, slug)
        given = _data_files(files, is_rerun=is_rerun)
        queued: list[int] = []
        removed: list[str] = []
        for file in draft_steps.files_of(session, draft.id):
            if file.kind not in (FileKind.SOLUTION, FileKind.METRIC, draft_steps.BASELINE):
                more, stored = drafts.remove_file(session, draft, file.id, by=me.name, now=now)
                queued, removed = more, [*removed, *stored]
        for name, token in given:
            more, stored = _add(session, me, draft, kind_of(name), name, token, now=now)
            queued, removed = [*queued, *more], [*removed, *stored]
        version = {"databundleId": draft.id, "databundleVersionId": draft.revision}
    _after(queued, removed)
    return {"url": f"{wire.page(slug)}/data", **version}


def _data_files(files: Any, *, is_rerun: bool) -> list[tuple[str, str]]:
    """Return name and token of each data file of a request."""
    if is_rerun:
        raise Refused("Heldout runs no notebooks, so it has no private data for them; leave out --rerun.")
    listed = files if isinstance(files, list) else []
    given = [(_plain(f.get("name")), _plain(f.get("token"))) for f in listed if isinstance(f, dict)]
    if not given:
        raise Refused("There are no files.")
    if folders := [name for name, _ in given if "/" in name or "\\" in name]:
        raise Refused(
            f"The data of a draft have no folders: put {folders[0][:80]} beside the others, or pack it."
        )
    return given


def create_solution(slug: str, token: str) -> dict[str, Any]:
    with parts().database.begin() as session:
        now = db.now(session)
        me, draft = _editable(session, slug)
        queued, removed = _add(session, me, draft, FileKind.SOLUTION, "solution.csv", token, now=now)
    _after(queued, removed)
    return {}


def _add(
    session: Session, me: Viewer, draft: Draft, kind: FileKind, name: str, token: str, *, now: datetime
) -> tuple[list[int], list[str]]:
    sent = draft_uploads.take(session, me, token, now=now)
    _, queued, removed = drafts.add_file(
        session,
        draft,
        kind,
        sent.blob,
        name=name,
        size_bytes=sent.size_bytes,
        key_id=sent.key_id,
        by=me.name,
        now=now,
        most_bytes=parts().settings.draft_bytes,
    )
    parts().storage.refuse_unless_stored(sent.blob)
    return queued, removed


def _after(queued: Sequence[int], removed: Sequence[str]) -> None:
    """Announce steps and remove files, after the commit."""
    for step_id in queued:
        parts().hints.send_step(step_id)
    for sha256 in removed:
        parts().storage.remove(sha256)


def solution_status(slug: str) -> dict[str, Any]:
    """Return whether the solution is ready, and why not."""
    with parts().database.read() as session:
        me = host(session)
        competition, draft = _found(session, me, slug)
        if competition is not None:
            return _published_status(competition)
        assert draft is not None
        seen = drafts.view(session, draft)
    solution = next((file for file in seen.files if file.kind == FileKind.SOLUTION), None)
    step, check = seen.steps.get(Kind.CHECK), seen.result(Kind.CHECK) or {}
    rows = check.get("rows") or {}
    error = _why_not_ready(check.get("errors", ()), step, solution is not None)
    return {
        "ready": bool(check.get("ready")),
        "setupError": error,
        "solutionInfo": {
            "fileName": solution.name if solution else "",
            "fileSizeBytes": solution.size_bytes if solution else 0,
            **({"uploadDate": wire.moment(solution.received_at)} if solution else {}),
            "totalRows": sum(rows.values()),
            "publicRows": rows.get("public", 0),
            "privateRows": rows.get("private", 0),
        },
    }


def _why_not_ready(errors: Sequence[Mapping[str, Any]], step: drafts.Step | None, has_solution: bool) -> str:
    if not has_solution:
        return "There is no solution yet: send it with `solution create`."
    if step is None or not step.is_over:
        return ""
    if step.refused:
        return step.refused
    if step.result is None:
        return "The check failed for a reason that is not the file's; an organiser sees why in the log."
    return " ".join(str(error["message"]) for error in errors)


def _published_status(competition: Competition) -> dict[str, Any]:
    manifest = competition.version.manifest
    rows = manifest.get("rows") or {}
    asked = manifest["submission"]
    names = [column if isinstance(column, str) else column["name"] for column in asked["columns"]]
    return {
        "ready": True,
        "setupError": "",
        "rowIdColumnName": asked["id"],
        "columnMapping": {name: name for name in names},
        "solutionInfo": {
            "fileName": "solution.csv",
            "uploadDate": wire.moment(competition.version.created_at),
            "totalRows": sum(rows.values()),
            "publicRows": rows.get("public", 0),
            "privateRows": rows.get("private", 0),
        },
    }


def launch(slug: str, at: str) -> dict[str, Any]:
    """Open a draft now or later, or open a competition earlier or later."""
    opens_at = moment("futureTime", at) if at else None
    with parts().database.begin() as session:
        me = host(session)
        competition, draft = _found(session, me, slug)
        queued: list[int] = []
        if competition is not None:
            competitions.lock(session, competition)
            now = db.now(session)
            if competition.phase(now) is not Phase.UPCOMING:
                raise Conflict(f"{slug} has been open since {wire.moment(competition.opens_at)}.")
            _apply(session, competition, {"opens_at": opens_at or now}, me, now=now)
        else:
            assert draft is not None
            draft, now = drafts.get(session, me, draft.id, locked=True), db.now(session)
            drafts.change(session, draft, {"opens_at": opens_at}, now=now)
            queued = drafts.open_(session, draft, by=me.name, now=now)
    _after(queued, ())
    return {}


# -- settings, hosts, pages --------------------------------------------------------------------


def settings(slug: str) -> dict[str, Any]:
    with parts().database.read() as session:
        competition, draft = _found(session, host(session), slug)
    return _settings(competition, draft)


def update_settings(slug: str, given: Any, mask: str) -> dict[str, Any]:
    """Change the settings that the mask names; refuse with every one that cannot be set."""
    given = given if isinstance(given, dict) else {}
    named = [_camel(name) for name in mask.split(",") if name.strip()] or list(given)
    with parts().database.begin() as session:
        me = host(session)
        competition, draft = _found(session, me, slug)
        before = _settings(competition, draft)
        wrong, wished = [], {}
        for name in named:
            value = given.get(name)
            if name in TERMS:
                wished[TERMS[name]] = _read(name, value)
            elif value != before.get(name) and not (name in PLAIN and value == PLAIN[name]):
                wrong.append(f"{name[:60]} cannot be changed here")
        if wrong:
            raise Refused(f"Nothing was changed in {slug}: {'; '.join(wrong)}.")
        queued: list[int] = []
        if competition is not None:
            competitions.lock(session, competition)
            now = db.now(session)
            if competition.phase(now) is Phase.CLOSED and wished.get("paused") == competition.is_paused:
                del wished["paused"]
            _apply(session, competition, wished, me, now=now)
        else:
            assert draft is not None
            if wished.pop("paused", False):
                raise Refused(f"{slug} is not launched, so there are no uploads to pause.")
            draft = drafts.get(session, me, draft.id, locked=True)
            queued = drafts.change(session, draft, wished, now=db.now(session))
        after = _settings(competition, draft)
    _after(queued, ())
    return after


def _settings(competition: Competition | None, draft: Draft | None) -> dict[str, Any]:
    if competition is not None:
        terms: Mapping[str, Any] = {
            name: changes.value(competition, name) for name in TERMS.values() if name != "summary"
        } | {"summary": competition.summary}
        slug = competition.slug
    else:
        assert draft is not None
        terms = draft_choices.read(draft.choices).model_dump(mode="json") | {"paused": False}
        slug = draft.slug or ""
    found = {"competitionName": slug, **PLAIN, **{name: terms[term] for name, term in TERMS.items()}}
    if found["deadline"] is not None:
        found["deadline"] = wire.moment(datetime.fromisoformat(found["deadline"]))
    return {name: value for name, value in found.items() if value is not None}


def _read(name: str, value: Any) -> Any:
    if name == "deadline":
        return moment(name, str(value)) if value is not None else None
    if name == "disableSubmissions":
        return value is True
    if name == "maxPendingSubmissionsPerTeam":
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refused(f"{name} is a whole number.")
        return value
    return _plain(value)


def _apply(
    session: Session, competition: Competition, wished: Mapping[str, Any], me: Viewer, *, now: datetime
) -> None:
    most = parts().settings.max_upload_mb
    changes.apply(session, competition, wished, by=me.name, now=now, most_upload_mb=most)


def hosts(slug: str) -> dict[str, Any]:
    with parts().database.read() as session:
        competition, draft = _found(session, host(session), slug)
        if competition is not None:
            listed = [(entry.user_id, entry.name) for entry in roles.listed(session, competition)]
        else:
            assert draft is not None
            listed = list(accounts.names(session, [draft.owner_id]).items())
    return {
        "hosts": [
            {"id": id_, "userName": name, "displayName": name, "profileUrl": wire.page(slug)}
            for id_, name in listed
        ]
    }


def add_host(slug: str, name: str) -> dict[str, Any]:
    with parts().database.begin() as session:
        me = host(session)
        competition, _ = _found(session, me, slug)
        if competition is None:
            raise Refused(f"Launch {slug} first: a draft has one owner.")
        roles.refuse_unless_owner(session, competition, me)
        competitions.lock(session, competition)
        roles.add(session, competition, name, by=me.name, now=db.now(session))
    return {}


def pages(slug: str, name: str) -> dict[str, Any]:
    """Return the one page of a competition, its description."""
    with parts().database.read() as session:
        me = verbs.viewer(session)
        draft = _draft(session, me, slug) if me.is_organiser else None
        if draft is not None:
            content = draft_choices.read(draft.choices).description or ""
        else:
            content = visibility.find(session, slug, me).version.manifest.get("description", "")
    if name not in ("", DESCRIPTION):
        raise NotFound(f"{slug} has one page, {DESCRIPTION}.")
    return {"pages": [_page(content)]}


def write_page(slug: str, name: str, page: Any) -> dict[str, Any]:
    """Set the description of a draft; a competition's belongs to its challenge."""
    page = page if isinstance(page, dict) else {}
    content = page.get("content")
    with parts().database.begin() as session:
        me, draft = _editable(session, slug)
        if (name or page.get("name")) != DESCRIPTION or page.get("name", DESCRIPTION) != DESCRIPTION:
            raise Refused(f"A competition has one page here, {DESCRIPTION}.")
        if not isinstance(content, str) or "\x00" in content:
            raise Refused("The page has no content.")
        draft = drafts.get(session, me, draft.id, locked=True)
        queued = drafts.change(session, draft, {"description": content or None}, now=db.now(session))
    _after(queued, ())
    return _page(content)


def refuse_to_delete_page(slug: str) -> dict[str, Any]:
    with parts().database.read() as session:
        host(session)
    raise Refused(f"{slug[:60]} has one page, {DESCRIPTION}, which stays; it can change until the launch.")


def _page(content: str) -> dict[str, Any]:
    return {
        "name": DESCRIPTION,
        "content": content,
        "isPublished": True,
        "mimeType": "text/markdown",
        "postTitle": "Description",
    }


# -- finding -----------------------------------------------------------------------------------


def _found(session: Session, me: Viewer, slug: str) -> tuple[Competition | None, Draft | None]:
    """Return the competition, or the draft that is to become one; NotFound for one of others."""
    if me.is_organiser and (draft := _draft(session, me, slug)) is not None:
        return None, draft
    try:
        return organised(session, me, slug), None
    except NotFound:
        raise NotFound(f"You organise no competition {slug[:60]}.") from None


def _draft(session: Session, me: Viewer, slug: str) -> Draft | None:
    """Return the viewer's draft of this name that is not open yet."""
    mine = (draft for draft in drafts.listed(session, me) if draft.slug == slug)
    return next((draft for draft in mine if draft.state != DraftState.OPEN), None)


def _editable(session: Session, slug: str) -> tuple[Viewer, Draft]:
    """Return the host and its locked draft."""
    me = host(session)
    competition, draft = _found(session, me, slug)
    if draft is None:
        assert competition is not None
        raise Conflict(
            f"{slug} is launched: its data, solution and pages belong to its challenge, of which an "
            "organiser publishes a new version with `heldout challenge publish`."
        )
    return me, drafts.get(session, me, draft.id, locked=True)


def moment(name: str, text: str) -> datetime:
    """Return a time as the clients write it, which is `2027-01-31T23:59:00.000+00:00Z`."""
    plain = text.removesuffix("Z") if text.endswith("Z") and "+" in text[10:] else text
    try:
        at = datetime.fromisoformat(plain)
    except ValueError:
        raise Refused(f"{name} is no time: {text[:40]!r}; write it like 2027-01-31T23:59:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _plain(value: Any) -> str:
    """Return a text of a request without control characters, of which PostgreSQL takes no NUL."""
    return "".join(c for c in value if c.isprintable()) if isinstance(value, str) else ""


def _camel(name: str) -> str:
    first, *rest = name.strip().split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
