"""The OpenAPI document matches the API: routes, fields, refusals."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import schemathesis

from app.base import db, inbox, vault
from app.competing import competitions, rules, teams
from app.people.tokens import Scope
from app.web.api.openapi import document
from tests.web.integrity_records import suspected
from tests.web.site import CSV, Site
from tests.web.test_access_rules import taught

DOCUMENT = document()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def test_document_and_url_map_have_the_same_routes(site: Site) -> None:
    described = {(path, method) for path, method, _ in operations()}
    served = {
        (re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in site.app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == served


def test_every_part_of_a_path_is_described() -> None:
    for path, method, operation in operations():
        named = set()
        for given in operation.get("parameters", []):
            if "$ref" in given:
                given = DOCUMENT["components"]["parameters"][given["$ref"].rpartition("/")[2]]
            if given["in"] == "path":
                named.add(given["name"])
        assert named == set(re.findall(r"{(\w+)}", path)), (method, path)
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


def test_the_document_is_valid_openapi_and_needs_no_token(site: Site) -> None:
    answer = site.visitor().get("/api/v1/openapi.json")
    assert answer.json == DOCUMENT
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    import jsonschema  # here, since it takes two seconds in every process of the tests

    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def _closed(schema: Any) -> Any:
    """Return the schema with additional properties forbidden."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(value) for key, value in schema.items()}
    if "properties" in found and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


BODY = {"name": "Team of ada", "picked": True, "size_bytes": 9, "upload": "none"}
ANNOUNCEMENT = {"title": "News", "text": "Words.", "publish_at": "2026-01-01T00:00:00Z"}
BODIES: dict[str, Any] = {
    "change_competition": {"daily_limit": 100},
    "add_host": {"name": "bob"},
    "admit": {"names": ["bob"]},
    "clone": {"name": "next-term", "opens_at": "2999-01-01T00:00:00Z"},
    "begin_rescore": {},
    "grant_extension": {"team": "Team of ada", "reason": "was ill for a week", "daily_extra": 1},
    "rename_any_team": {"team": "Team of ada", "name": "Team of ada"},
    "decide_case": {"action": "note", "reason": "talked to the team"},
    "inspect": {"kind": "scan"},
    "lift_sign_in_limits": {"of_all": True},
    "change_draft": {"choices": {"daily_limit": 7}},
    "announce": ANNOUNCEMENT,
    "ask_question": {"title": "When?", "is_public": True},
    "answer_question": {"answer": "Soon."},
    "mark_question": {"hidden_why": "spam"},
    "change_question_settings": {"allows_public": True, "ends_with_competition": False},
    "save_canned_answer": {"title": "Soon", "text": "Soon."},
    "announce_to_all": ANNOUNCEMENT,
    "edit_announcement": ANNOUNCEMENT,
    "edit_site_announcement": ANNOUNCEMENT,
    "mend_draft": {"code": "x", "change": {}},
    "make_class": {"title": "Another", "names": "pseudonym"},
    "change_class": {"title": "Class", "columns": {"Sec": "section"}},
    "copy_class": {"title": "Next"},
    "add_class_competition": {"competition": "biopsy"},
    "appoint": {"account": "bob", "role": "assistant"},
    "add_student": {"name": "Kim Lee"},
    "change_student": {"active": True},
    "make_codes": {},
    "set_grade_rule": {"anchors": [{"anchor": "0.7", "percent": 0}, {"anchor": "0.1", "percent": 100}]},
}
"""Of operations that take no other field, or a value of its own."""
CLOSED = _closed(copy.deepcopy(DOCUMENT))


def conforms(site: Site, path: str, method: str, address: str, headers: dict[str, str], **more: Any) -> int:
    answer = site.visitor().client.open(address, method=method, headers=headers, **more)
    responses = CLOSED["paths"][path][method.lower()]["responses"]
    described = responses[str(answer.status_code)]
    if "$ref" in described:
        described = CLOSED["components"]["responses"][described["$ref"].rpartition("/")[2]]
    content = described["content"][answer.mimetype]["schema"]
    if "json" in answer.mimetype:
        import jsonschema

        jsonschema.validate(answer.json, {**content, "components": CLOSED["components"]})
    return answer.status_code


def test_answers_of_every_route_have_exactly_the_described_fields(site: Site) -> None:
    rejected, failed, scored = (site.submit("ada", CSV + b"\n" * n) for n in range(3))
    site.reject(rejected)
    site.fail(failed)
    site.score(scored, 0.3)
    site.baseline("Prior only", 0.66, 0.65)
    waiting = site.submit("ada")
    check = site.check("ada")
    site.ask("ada", "Why?", is_public=True, as_id=1)
    assert (site.announce("First"), site.announce("To all", to_all=True)) == (1, 2)
    with site.database.begin() as session:
        inbox.ensure_key(session, vault.open_(site.settings), now=db.now(session))
    site.token("ada", Scope.READ)  # number 2, which is revoked
    assert suspected(site, ("probing", "ada", None)) == [1]
    taught(site)
    seen = set()
    for name in ("ada", "bob", "grace", None):
        token = site.token(name) if name else {}
        for number in (rejected, failed, scored, waiting, 0):
            for path, method, operation in operations():
                if path.endswith(("/withdraw", "/close")):
                    continue
                address = (
                    path.replace("{slug}", site.slug)
                    .replace("{name}", "bob" if "/hosts/" in path else "train.csv")
                    .replace("{submission_id}", str(number))
                    .replace("{kind}", "oof")
                    .replace("{check_id}", str(check))
                    .replace("{token_id}", "2")
                    .replace("{invite_id}", "1")
                    .replace("{offer_id}", "1")
                    .replace("{draft_id}", "2" if operation["operationId"] == "delete_draft" else "1")
                    .replace("{file_id}", "1")
                    .replace("{extension_id}", "1")
                    .replace("{case_id}", "1")
                    .replace("{question_id}", "1")
                    .replace("{canned_id}", "1")
                    .replace("{enrolment_id}", "3" if operation["operationId"] == "dismiss" else "1")
                    .replace("{announcement_id}", "1" if "{slug}" in path else "2")
                )
                if operation["operationId"] == "send_draft_file":
                    address += "?kind=table"
                body: Any = {"data": CSV, "content_type": "text/csv"} if method == "POST" else {}
                if list(operation.get("requestBody", {}).get("content", ())) == ["application/json"]:
                    body = {"json": BODIES.get(operation["operationId"], BODY)}
                seen.add((path, method, conforms(site, path, method, address, token, **body)))
    fine = {(path, method) for path, method, status in seen if status < 300}
    # Train files need folds, the report the close, an upload its file, a draft its audit, a rescore its end:
    # refused here, as described. A withdrawn file is no pick, rules refuse uploads until accepted, and the
    # close ends all: these three are below.
    others = {
        "/folds.csv",
        "/report",
        "/train-files/{kind}",
        "/uploads/submit",
        "/withdraw",
        "/close",
        "/rescore/apply",
        "/rescore/discard",
        "/words",
        "/method/remove",
        "/unrank",
        "/rank",
        "/exclude",
        "/include",
        "/access/link",
        "/access/accounts/{name}",
        "/enter",
        "/rules",
        "/certificate",
        "/mend",
        "/open",
        "/grades/fill",
    }
    there = {(p, m) for p, m, _ in operations() if not p.endswith(tuple(others)) and "/team/" not in p}
    assert there <= fine
    withdraw = "/api/v1/submissions/{submission_id}/withdraw"
    statuses = [
        conforms(site, withdraw, "POST", withdraw.replace("{submission_id}", str(number)), site.token("ada"))
        for number in (scored, rejected, 0)
    ]
    assert statuses == [200, 409, 404]
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        rules.publish(session, competition, "Be fair.", by="grace", now=db.now(session))
    address, own = f"/api/v1/competitions/{site.slug}/rules", site.token("ada")
    path = "/api/v1/competitions/{slug}/rules"
    for method, more in (("GET", {}), ("POST", {"json": {"version": 1}}), ("GET", {})):
        assert conforms(site, path, method, address, own, **more) == 200
    closing = "/api/v1/competitions/{slug}/close"
    for status in (200, 409):
        address = closing.replace("{slug}", site.slug)
        assert conforms(site, closing, "POST", address, site.token("grace")) == status
    board = "/api/v1/competitions/{slug}/leaderboard"
    assert conforms(site, board, "GET", board.replace("{slug}", site.slug), site.token("ada")) == 200


def test_the_page_shows_every_operation_and_model_and_every_link_of_it_leads_somewhere(site: Site) -> None:
    page = site.visitor().get("/api").text
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert {operation["operationId"] for _, _, operation in operations()} <= anchors
    assert {f"model-{name}" for name in DOCUMENT["components"]["schemas"]} <= anchors
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page), "nothing is loaded from other sites"
    assert 'href="/api" aria-current="page"' in page
    assert 'href="/api"' in site.visitor().get("/").text


def test_answers_about_teams_have_exactly_the_described_fields(site: Site) -> None:
    """Apart from the others, since each changes what the next may do."""
    for name in ("cyd", "dot"):
        site.user(name)
        site.join(name)
    root = "/api/v1/competitions/{slug}/team"
    secret = site.invite("ada")
    steps: list[tuple[str, str, str, dict[str, Any] | None]] = [
        ("ada", "POST /method", "", {"text": "A forest.", "link": "https://example.org/a"}),
        ("ada", "POST /invites", "", {"uses": 2, "days": 1}),
        ("ada", "DELETE /invites/{invite_id}", "2", None),
        ("bob", "POST /join", "", {"link": f"https://there/competitions/biopsy/team/join/{secret}"}),
        ("bob", "POST /leave", "", None),
        ("ada", "POST /offers", "", {"team": "bob"}),
        ("bob", "POST /offers/{offer_id}/accept", "1", None),
        ("ada", "POST /remove", "", {"member": "bob"}),
        ("ada", "POST /offers", "", {"team": "cyd"}),
        ("cyd", "DELETE /offers/{offer_id}", "2", None),
        ("ada", "POST /offers", "", {"team": "cyd"}),
        ("cyd", "POST /offers/{offer_id}/accept", "3", None),
        ("ada", "POST /captain", "", {"member": "cyd"}),
    ]
    fine = set()
    for name, step, number, body in steps:
        method, _, path = step.partition(" ")
        address = f"{root}{path}".replace("{slug}", site.slug).replace("{invite_id}", number)
        address = address.replace("{offer_id}", number)
        more: Any = {} if body is None else {"json": body}
        status = conforms(site, root + path, method, address, site.token(name), **more)
        assert status < 300, (step, status)
        fine.add((root + path, method))
    assert fine == {(path, method) for path, method, _ in operations() if "/team/" in path}
    with site.database.read() as session:
        competition = competitions.by_slug(session, site.slug)
        team = teams.of(session, competition, site.viewer("cyd").id)
        assert team is not None
        assert teams.members(session, team) == ["ada", "cyd"]
