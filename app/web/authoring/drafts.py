"""Prepare a competition: from a table to its opening in four screens; for organisers, each their own.

The screens show what workers report of the table and take choices. No row of it is ever here: a file is
encrypted while it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.authoring import draft_choices, draft_steps, drafts
from app.authoring.draft_steps import Kind
from app.authoring.drafts import FileKind, Source, View
from app.base import db
from app.base.errors import NotFound, Refused
from app.base.models_drafts import Draft, DraftState
from app.people.accounts import Viewer
from app.web.authoring import draft_files
from app.web.context import field, organiser, parts

blueprint = Blueprint("drafts", __name__)

OVERRIDE = "override:"
"""Of a field with the reason to accept a finding, before its code."""
SCREENS = {"data": "Data", "split": "Split", "metric": "Metric", "open": "Open"}
OF_PARTS = {"data": "Files", "open": "Open"}
"""The screens of a draft from given parts."""
KINDS = {
    FileKind.TRAIN: "Train: rows with labels, for participants",
    FileKind.TEST: "Test: rows without labels, for participants",
    FileKind.SAMPLE: "Sample submission: the header and a row for each row of the test",
    FileKind.SOLUTION: "Solution: id, labels, and Usage (Public, Private or Ignored); never shown",
    FileKind.METRIC: "Own metric in Python, if none of ours fits; never shown",
    FileKind.DATA: "Other files for participants",
}
LOCAL = "%Y-%m-%dT%H:%M"
"""How a datetime-local field writes a time."""
OF_TARGET = ("id", "strategy", "time", "group", "predicted", "metric")
"""Choices that are proposed anew for another target."""
SHARES = (0.1, 0.2, 0.3, 0.5)
WHOLE = ("daily_limit", "total_limit", "final_picks", "max_team_size")


@blueprint.get("/drafts")
def index() -> ResponseReturnValue:
    """Show the form for a table, and the organiser's drafts."""
    with parts().database.read() as session:
        now = db.now(session)
        me = organiser(session, now)
        found = [drafts.view(session, draft) for draft in drafts.listed(session, me)]
    return render_template(
        "authoring/drafts/index.html", drafts=found, now=now, most_bytes=parts().settings.draft_bytes
    )


@blueprint.post("/drafts")
def create() -> ResponseReturnValue:
    """Begin a draft with its table."""
    draft_id = draft_files.begin(organiser, Source.TABLE, check_form=current_app.extensions["csrf"].protect)
    return redirect(url_for("drafts.show", draft_id=draft_id, screen="data"), 303)


@blueprint.post("/drafts/parts")
def create_of_parts() -> ResponseReturnValue:
    """Begin a draft from files that were divided elsewhere."""
    with parts().database.begin() as session:
        now = db.now(session)
        draft = drafts.create(session, organiser(session, now), Source.PARTS, now=now)
    return redirect(url_for("drafts.show", draft_id=draft.id, screen="data"), 303)


@blueprint.get("/drafts/<id:draft_id>")
def show(draft_id: int) -> ResponseReturnValue:
    """Show a screen of a draft; `?part=` screen, ladder and check are the parts that poll."""
    with parts().database.read() as session:
        now = db.now(session)
        me = organiser(session, now)
        seen = drafts.view(session, drafts.get(session, me, draft_id))
    return _page(seen, _screen(seen), now)


def _page(
    seen: View, screen: str, now: datetime, *, given: Mapping[str, str] | None = None, refusal: str = ""
) -> str:
    part = request.args.get("part", "")
    template = f"_{part}.html" if part in ("screen", "ladder", "check") else "show.html"
    profile, audit = seen.result(Kind.PROFILE), seen.result(Kind.AUDIT)
    if audit is not None:
        audit = {**audit, "ok": not draft_steps.reveals(audit, seen.choices)}
    return render_template(
        f"authoring/drafts/{template}",
        draft=seen,
        screen=screen,
        screens=OF_PARTS if seen.source is Source.PARTS else SCREENS,
        kinds=KINDS,
        check=seen.result(Kind.CHECK),
        check_step=seen.steps.get(Kind.CHECK),
        now=now,
        profile=profile,
        audit=audit,
        audit_step=seen.steps.get(Kind.AUDIT),
        profile_step=seen.steps.get(Kind.PROFILE),
        train_step=seen.steps.get(Kind.TRAIN),
        build_step=seen.steps.get(Kind.BUILD),
        train=seen.result(Kind.TRAIN),
        columns=[column["name"] for column in profile["columns"]] if profile else [],
        alternatives=_alternatives(audit) if audit else [],
        given=given or _written(seen),
        refusal=refusal,
        zones=sorted(available_timezones()),
    )


def _screen(seen: View) -> str:
    """Return the screen that is asked for, else the one to go on with."""
    asked = request.args.get("screen", "")
    if asked in (OF_PARTS if seen.source is Source.PARTS else SCREENS):
        return asked
    if seen.state is not DraftState.EDITING:
        return "open"
    if seen.source is Source.PARTS:
        return "data"
    return "data" if seen.choices.target is None else "split" if not seen.is_ready else "metric"


def _alternatives(audit: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return for other public shares about what the board's error would be: it falls with the root of n."""
    rows, error = audit["rows"], audit["board"]["error"]
    n_test = rows["public"] + rows["private"]
    if not error or not rows["public"]:
        return []
    found = []
    for share in SHARES:
        n = max(1, round(share * n_test))
        scaled = error * (rows["public"] / n) ** 0.5
        detectable = audit["board"]["detectable"] / error * scaled
        found.append({"share": share, "rows": n, "error": scaled, "detectable": detectable})
    return found


@blueprint.post("/drafts/<id:draft_id>/files")
def upload(draft_id: int) -> ResponseReturnValue:
    """Receive a file of the kind that the address names, by default another table."""
    kind = request.args.get("kind", FileKind.TABLE)
    if kind not in set(FileKind):
        raise NotFound("There is no such page.")
    check_form = current_app.extensions["csrf"].protect
    draft_files.take(draft_id, FileKind(kind), organiser, check_form=check_form)
    return redirect(url_for("drafts.show", draft_id=draft_id, screen="data"), 303)


@blueprint.post("/drafts/<id:draft_id>/files/<id:file_id>/remove")
def remove_file(draft_id: int, file_id: int) -> ResponseReturnValue:
    """Delete a file of a draft."""
    removed: list[str] = []

    def work(session: Session, me: Viewer, draft: Draft, now: datetime) -> list[int]:
        queued, files = drafts.remove_file(session, draft, file_id, by=me.name, now=now)
        removed.extend(files)
        return queued

    answer = _changed(draft_id, work, screen="data")
    for sha256 in removed:
        parts().storage.remove(sha256)
    return answer


@blueprint.post("/drafts/<id:draft_id>/choices")
def choose(draft_id: int) -> ResponseReturnValue:
    """Take the choices of a screen, and show the next."""
    screen = request.form.get("screen", "")
    then = request.form.get("then", screen)

    def work(session: Session, _me: Viewer, draft: Draft, now: datetime) -> list[int]:
        choices = draft_choices.read(draft.choices)
        changes = _CHANGES.get(screen, _of_open)(choices)
        revision = field("revision")
        given = int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 10 else None
        return drafts.change(session, draft, changes, now=now, revision=given)

    return _changed(draft_id, work, screen=then if then in SCREENS else "data", back=screen)


def _changed(
    draft_id: int,
    work: Callable[[Session, Viewer, Draft, datetime], list[int]],
    *,
    screen: str,
    back: str = "",
) -> ResponseReturnValue:
    """Change a draft, send the hints, and show a screen; a refusal is shown on the screen of the form."""
    try:
        with parts().database.begin() as session:
            now = db.now(session)
            me = organiser(session, now)
            draft = drafts.get(session, me, draft_id, locked=True)
            queued = work(session, me, draft, db.now(session))
    except NotFound:
        raise
    except Refused as refusal:
        with parts().database.read() as session:
            now = db.now(session)
            me = organiser(session, now)
            seen = drafts.view(session, drafts.get(session, me, draft_id))
        shown = back if back in SCREENS else screen
        given = _written(seen) | {name: request.form[name] for name in request.form}
        return _page(seen, shown, now, given=given, refusal=refusal.message), refusal.status
    for step_id in queued:
        parts().hints.send_step(step_id)
    return redirect(url_for("drafts.show", draft_id=draft_id, screen=screen), 303)


@blueprint.post("/drafts/<id:draft_id>/mend")
def mend(draft_id: int) -> ResponseReturnValue:
    """Make a change that the audit proposes, by its place in the list that the page showed."""

    def work(session: Session, _me: Viewer, draft: Draft, now: datetime) -> list[int]:
        audit = drafts.view(session, draft).result(Kind.AUDIT) or {"mends": []}
        wanted = [each for each in audit["mends"] if _name(each) == field("mend")]
        code, change = (wanted[0]["code"], wanted[0]["change"]) if wanted else ("", {})
        return drafts.mend(session, draft, code, change, now=now)

    return _changed(draft_id, work, screen="split")


@blueprint.app_template_global("mend_name")
def _name(mend_: Mapping[str, Any]) -> str:
    """Return what the form of a change names it by."""
    return f"{mend_['code']}: {mend_['words']}"


@blueprint.post("/drafts/<id:draft_id>/repeat")
def repeat(draft_id: int) -> ResponseReturnValue:
    """Queue failed steps again."""
    screen = request.form.get("screen", "data")
    return _changed(
        draft_id,
        lambda session, _me, draft, now: draft_steps.repeat(session, draft, now=now),
        screen=screen if screen in SCREENS else "data",
    )


@blueprint.post("/drafts/<id:draft_id>/open")
def open_(draft_id: int) -> ResponseReturnValue:
    """Take the choices of the last screen, and open the competition."""

    def work(session: Session, me: Viewer, draft: Draft, now: datetime) -> list[int]:
        drafts.change(session, draft, _of_open(draft_choices.read(draft.choices)), now=now)
        return drafts.open_(session, draft, by=me.name, now=now)

    return _changed(draft_id, work, screen="open", back="open")


@blueprint.post("/drafts/<id:draft_id>/delete")
def delete(draft_id: int) -> ResponseReturnValue:
    """Delete a draft with its files."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        draft = drafts.get(session, me, draft_id, locked=True)
        removed = drafts.delete_(session, draft, by=me.name, now=now)
    for sha256 in removed:
        parts().storage.remove(sha256)
    flash("The draft and its files are deleted.")
    return redirect(url_for("drafts.index"), 303)


# -- the fields of each screen -----------------------------------------------------------------


def _of_data(choices: draft_choices.DraftChoices) -> dict[str, Any]:
    target = request.form.get("target") or None
    again = dict.fromkeys(OF_TARGET) | {"drop": []} if target != choices.target else {}
    return {"target": target} | again


def _of_split(choices: draft_choices.DraftChoices) -> dict[str, Any]:
    """Return the split, with the reasons for accepted findings; an empty reason takes its one back."""
    named = {name: " ".join(text.split()) for name, text in request.form.items() if name.startswith(OVERRIDE)}
    reasons = choices.overrides | {name.removeprefix(OVERRIDE): text for name, text in named.items()}
    strategy = request.form.get("strategy") or None
    return {
        "strategy": strategy,
        "time": (request.form.get("time") or None) if strategy == "sequential" else None,
        "group": (request.form.get("group") or None) if strategy == "grouped" else None,
        "id": request.form.get("id") or None,
        "test_share": _share("test_share"),
        "public_share": _share("public_share"),
        "drop": request.form.getlist("drop"),
        "without_duplicates": request.form.get("without_duplicates") == "1",
        "without_rare": request.form.get("without_rare") == "1",
        "overrides": {code: reason for code, reason in reasons.items() if reason},
    }


def _share(name: str) -> float:
    """Return a field in percent as a share."""
    try:
        return round(float(field(name)) / 100, 4)
    except ValueError:
        raise Refused(f"{field(name)[:20]!r} is not a share in percent.") from None


def _of_metric(_: draft_choices.DraftChoices) -> dict[str, Any]:
    """Return the metric as PREDICTED METRIC, one choice."""
    predicted, _space, metric = field("metric").partition(" ")
    return {"predicted": predicted or None, "metric": metric or None}


def _of_open(choices: draft_choices.DraftChoices) -> dict[str, Any]:
    """Return the words and terms; texts as they were drafted stay drafted."""
    zone = draft_choices.changed(choices, {"timezone": field("timezone") or "UTC"}).timezone
    found: dict[str, Any] = {
        "title": field("title").strip() or None,
        "slug": field("slug").strip() or None,
        "timezone": zone,
        "opens_at": _local("opens_at", zone),
        "closes_at": _local("closes_at", zone),
        "public_score": request.form.get("public_score") or "rounded",
        "mark_agents": request.form.get("mark_agents") == "1",
        "late_submissions": request.form.get("late_submissions") == "1",
    }
    for name in ("summary", "description"):
        text = "\n".join(request.form.get(name, "").splitlines()).strip()
        drafted = "\n".join(request.form.get(f"drafted_{name}", "").splitlines()).strip()
        own = None if text in ("", drafted) else text
        if name == "description":
            ends = len(own or "") < draft_choices.MAX_DESCRIPTION  # with a line end, if there is room for it
            found[name] = f"{own}\n" if own and ends else own
        else:
            found[name] = own and " ".join(own.split())
    for name in WHOLE:
        text = field(name)
        if text and not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Refused(f"{name}: {text[:20]!r} is not a whole number.")
        if text or name == "total_limit":
            found[name] = int(text) if text else None
    return found


def _local(name: str, zone: str) -> datetime | None:
    text = field(name)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) if text else None
    except ValueError:
        raise Refused(f"{text[:40]!r} is not a date and time. Write it like 2026-12-01T18:00.") from None


def _of_parts(_: draft_choices.DraftChoices) -> dict[str, Any]:
    greater = request.form.get("greater_is_better")
    return {
        "metric": request.form.get("metric") or None,
        "metric_parameters": {"greater_is_better": greater == "1"} if greater else {},
    }


_CHANGES = {"parts": _of_parts, "data": _of_data, "split": _of_split, "metric": _of_metric, "open": _of_open}


def _written(seen: View) -> dict[str, str]:
    """Return words and terms as the fields of the last screen have them."""
    choices = seen.choices
    train, audit = seen.result(Kind.TRAIN) or {}, seen.result(Kind.AUDIT) or {"choices": {}}
    zone = ZoneInfo(choices.timezone)
    times = {
        name: "" if at is None else f"{at.astimezone(zone):{LOCAL}}"
        for name, at in (("opens_at", choices.opens_at), ("closes_at", choices.closes_at))
    }
    whole = {name: getattr(choices, name) for name in WHOLE}
    return {
        "title": choices.title or seen.title,
        "slug": choices.slug or audit["choices"].get("slug", ""),
        "summary": choices.summary or train.get("summary", ""),
        "description": choices.description or train.get("description", ""),
        "timezone": choices.timezone,
        "public_score": choices.public_score,
        "mark_agents": "1" if choices.mark_agents else "",
        "late_submissions": "1" if choices.late_submissions else "",
        **times,
        **{name: "" if value is None else str(value) for name, value in whole.items()},
    }
