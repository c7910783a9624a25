"""What a page does, the API does: route by route, and the operations that are not in test_api.py."""

from __future__ import annotations

from typing import Any

import pytest

from app.base.models import State
from app.people.tokens import Scope
from app.web.api.operations import OPERATIONS
from scorer.report import Problem
from tests.web.site import CSV, Site

BASE = "/api/v1/competitions/biopsy"
BROWSER = "a browser's session, which the API does not have: it takes tokens"
COMMAND = "organisers have a command on the server for it, which needs no token"

POSTS: dict[str, str] = {
    "accounts.setup": BROWSER,
    "accounts.sign_in": BROWSER,
    "accounts.sign_up": BROWSER,
    "classes.join": BROWSER,
    "managing.create": "api.class_create",
    "managing.change": "api.class_change",
    "managing.add_competition": "api.class_competition_add",
    "managing.appoint": "api.class_staff_add",
    "managing.dismiss": "api.class_staff_end",
    "managing.copy": "api.class_copy",
    "students.add": "api.student_add",
    "students.change": "api.student_change",
    "importing.take": "api.roster_import",
    "strips.issue": "api.code_issue",
    "grading.set_rule": "api.grade_rule_set",
    "grading.fill": "api.grade_fill",
    "accounts.sign_out": BROWSER,
    "accounts.revoke_browser": BROWSER,
    "accounts.change_password": "a stolen token must not take an account over",
    "mail.forgot": BROWSER,
    "mail.reset": BROWSER,
    "mail.confirm": BROWSER,
    "mail.set_address": "a stolen token must not take an account over",
    "mail.choose": BROWSER,
    "mail.remove": "a stolen token must not take an account over",
    "accounts.erase": "a stolen token must not erase an account",
    "accounts.create_token": "api.token_create",
    "accounts.revoke_token": "api.token_revoke",
    "kaggle_recipe.create_token": "api.token_create",
    "client.create_token": "api.token_create",
    "teams.join": "api.join",
    "rules.accept": "api.rules_accept",
    "teams.rename": "api.team_rename",
    "teams.describe": "api.team_describe",
    "teams.leave": "api.team_leave",
    "teams.remove": "api.team_remove",
    "teams.hand_over": "api.team_hand_over",
    "teams.invite": "api.invite_create",
    "teams.revoke_invite": "api.invite_revoke",
    "teams.accept_invite": "api.invite_accept",
    "teams.offer_merge": "api.offer_create",
    "teams.accept_merge": "api.offer_accept",
    "teams.decline_merge": "api.offer_decline",
    "submissions.create": "api.submission_create",
    "submissions.pick": "api.pick",
    "submissions.cancel": "api.cancel",
    "submissions.withdraw": "api.withdraw",
    "train_files.create": "api.train_file_create",
    "organise.retry": "api.submission_retry",
    "organise.rescore": "api.rescore_begin",
    "organise.rescore_apply": "api.rescore_apply",
    "organise.rescore_discard": "api.rescore_discard",
    "organise.team_rename": "api.any_team_rename",
    "organise.extension_grant": "api.extension_grant",
    "organise.extension_revoke": "api.extension_revoke",
    "exclusions.move_team": "api.team_unrank",
    "exclusions.move_file": "api.submission_exclude",
    "exclusions.remove_method": "api.method_remove",
    "participants.files": "api.organised_files",
    "organise.pause": "api.competition_change",
    "admissions.make_link": "api.private_link_make",
    "admissions.revoke_link": "api.private_link_revoke",
    "admissions.admit": "api.admission_create",
    "admissions.remove": "api.admission_remove",
    "admissions.enter": "api.enter",
    "cloning.preview": "api.competition_clone",
    "cloning.make": "api.competition_clone",
    "hosts.add": "api.host_add",
    "hosts.remove": "api.host_remove",
    "changes.preview": "api.competition_change",
    "changes.apply": "api.competition_change",
    "questions.ask": "api.question_ask",
    "questions.edit": "api.question_edit",
    "questions.answer": "api.question_answer",
    "questions.mark": "api.question_mark",
    "questions.save_canned": "api.canned_save",
    "questions.delete_canned": "api.canned_delete",
    "questions.change_settings": "api.question_settings",
    "announcements.create": "api.announcement_create",
    "announcements.change": "api.announcement_edit",
    "announcements.withdraw": "api.announcement_withdraw",
    "announcements.site_create": "api.site_announcement_create",
    "announcements.site_change": "api.site_announcement_edit",
    "announcements.site_withdraw": "api.site_announcement_withdraw",
    "organise.close": "api.competition_close",
    "drafts.create": "api.draft_create",
    "drafts.create_of_parts": "api.draft_create",
    "drafts.upload": "api.draft_file_create",
    "drafts.remove_file": "api.draft_file_delete",
    "drafts.choose": "api.draft_change",
    "drafts.mend": "api.draft_mend",
    "drafts.repeat": "api.draft_repeat",
    "drafts.open_": "api.draft_open",
    "drafts.delete": "api.draft_delete",
    "integrity.inspect": "api.inspection_ask",
    "integrity.act": "api.case_act",
    "mcp.call": "its tools are requests of the API",
    "operate.retry": "api.submission_retry",
    "operate.lift_sign_in_limits": "api.sign_in_limits_lift",
}
"""Of each route of a page that changes something: the API's endpoint, or why it has none."""
READS: dict[str, str] = {
    "rules.show": "api.rules_show",
    "teams.show": "api.team_show",
    "teams.invited": "api.invite_accept",
    "competitions.index": "api.competition_index",
    "competitions.show": "api.competition_show",
    "competitions.data": "api.file_index",
    "competitions.download": "api.file_show",
    "competitions.bundle": "api.bundle",
    "competitions.folds": "api.folds",
    "submissions.new": "api.quota",
    "submissions.schema": "api.submission_schema",
    "submissions.index": "api.submission_index",
    "submissions.show": "api.submission_show",
    "submissions.download": "api.submission_file",
    "train_files.download": "api.train_file_show",
    "leaderboard.show": "api.board",
    "leaderboard.results": "api.board",
    "embeds.board": "api.board",
    "embeds.badge": "api.board",
    "embeds.calendar": "api.competition_show",
    "certificates.show": "api.certificate_show",
    "certificates.check": "a signature is checked with the public key alone",
    "classes.show": "its competitions are among those of api.competition_index",
    "managing.index": "api.class_index",
    "managing.new": "api.class_create",
    "managing.settings": "api.class_show",
    "students.show": "api.student_index",
    "importing.show": "api.roster_import",
    "strips.show": "api.class_show",
    "grading.show": "api.grade_index",
    "reports.show": "api.report",
    "accounts.show": "api.token_index",
    "accounts.data": "api.personal_data_show",
    "organise.show": "api.organised_show",
    "organise.rescore_show": "api.rescore_show",
    "participants.index": "api.participant_index",
    "participants.index_csv": "api.participant_csv",
    "participants.submissions": "api.organised_submissions",
    "participants.submissions_csv": "api.organised_csv",
    "changes.show": "api.competition_show",
    "hosts.show": "api.host_index",
    "cloning.show": "api.competition_clone",
    "admissions.show": "api.access_show",
    "admissions.entry": "api.enter",
    "questions.index": "api.question_index",
    "announcements.index": "api.announcement_index",
    "announcements.edit": "api.announcement_index",
    "announcements.site_index": "api.site_announcement_index",
    "announcements.site_edit": "api.site_announcement_index",
    "integrity.show": "api.case_index",
    "integrity.case": "api.case_show",
    "drafts.index": "api.draft_index",
    "drafts.show": "api.draft_show",
}
"""Of each page of a participant or organiser: the API's endpoint."""
WITHOUT_DATA = ("operate.", "doctor.", "pages.", "kaggle_recipe.", "client.")
"""Pages about the installation, whose figures `/metrics` has, and pages that say how to use the site."""


def test_every_route_of_a_page_has_a_counterpart_in_the_api_or_a_reason(site: Site) -> None:
    routes = {
        (method, rule.endpoint)
        for rule in site.app.url_map.iter_rules()
        for method in rule.methods or ()
        if not rule.rule.startswith("/api/") and rule.endpoint != "static"
    }
    assert {endpoint for method, endpoint in routes if method == "POST"} == set(POSTS)
    read = {endpoint for method, endpoint in routes if method == "GET" and endpoint not in POSTS}
    assert {endpoint for endpoint in read if not endpoint.startswith(WITHOUT_DATA)} == set(READS)
    served = {f"api.{one.endpoint}" for one in OPERATIONS}
    named = {target for target in (POSTS | READS).values() if target.startswith("api.")}
    assert named <= served


def call(site: Site, method: str, path: str, name: str = "ada", **more: Any) -> Any:
    address = path if path.startswith("/") else f"{BASE}/{path}"
    return site.visitor().client.open(
        address, method=method, headers={**site.token(name), **more.pop("headers", {})}, **more
    )


def test_team_is_shown_renamed_and_picks_its_final_submissions(site: Site) -> None:
    assert call(site, "GET", "team", "bob").status_code == 403
    renamed = call(site, "POST", "team", json={"name": "The Adas"}).json
    assert (renamed["team"], renamed["members"], renamed["most_picks"]) == ("The Adas", ["ada"], 2)
    scored = [site.submit("ada", f"{n}".encode()) for n in range(3)]
    for number in scored:
        site.score(number, 0.3)
    picked = [call(site, "POST", f"/api/v1/submissions/{n}/pick", json={"picked": True}) for n in scored]
    assert [answer.status_code for answer in picked] == [200, 200, 409]
    back = call(site, "POST", f"/api/v1/submissions/{scored[0]}/pick", json={"picked": False}).json
    assert back["final_picks"] == scored[1:2]
    assert call(site, "GET", "team").json == back
    assert call(site, "GET", f"/api/v1/submissions/{scored[1]}").json["is_picked"]
    site.close()
    assert call(site, "POST", f"/api/v1/submissions/{scored[1]}/pick", json={}).status_code == 403
    assert call(site, "POST", "team", json={"name": "Late"}).status_code == 403


def test_token_made_with_a_token_does_no_more_and_lives_no_longer(site: Site) -> None:
    made = call(site, "POST", "/api/v1/me/tokens", json={"label": "notebook", "scope": "submit", "days": 366})
    assert made.status_code == 201
    newest, own = made.json["tokens"]
    assert made.json["token"].startswith(newest["hint"])
    assert (newest["label"], newest["expires_at"]) == ("notebook", own["expires_at"])
    wider = call(site, "POST", "/api/v1/me/tokens", "grace", json={"scope": "organise"})
    assert wider.status_code == 201
    narrow = site.token("grace", Scope.SUBMIT)
    for scope, status in (("organise", 403), ("submit", 201), ("all", 422)):
        answer = call(site, "POST", "/api/v1/me/tokens", headers=narrow, json={"scope": scope})
        assert answer.status_code == status, answer.text
    reading = site.token("ada", Scope.READ)
    assert call(site, "POST", "/api/v1/me/tokens", headers=reading, json={}).status_code == 403
    left = call(site, "DELETE", f"/api/v1/me/tokens/{newest['id']}").json["tokens"]
    assert newest["id"] not in {token["id"] for token in left}
    dead = {"Authorization": f"Bearer {made.json['token']}"}
    assert call(site, "GET", "/api/v1/me", headers=dead).status_code == 401


def test_board_is_walked_by_cursors_while_it_changes_and_downloaded_as_csv(site: Site) -> None:
    for n, name in enumerate(("=1+1", "bea", "cyd", "dot", "eve")):
        if n:
            site.user(name)
        site.join(name if n else "bob")
        site.score(site.submit(name if n else "bob", name.encode()), 0.1 * (n + 1))
    call(site, "POST", "team", "bob", json={"name": "=1+1"})
    seen, cursor = [], None
    while cursor or not seen:
        page = call(
            site,
            "GET",
            "leaderboard",
            query_string={"page_size": 2, "cursor": cursor or ""} if cursor else {"page_size": 2},
        ).json
        seen += [row["team"] for row in page["rows"]]
        if cursor is None:  # a new leader moves every place; no row is shown twice or lost
            site.score(site.submit("ada"), 0.01)
        cursor = page["next_cursor"]
    assert seen == ["=1+1", "bea", "cyd", "dot", "eve"]
    text = call(site, "GET", "leaderboard.csv").text.splitlines()
    assert text[0] == "rank,team,is_baseline,score,roc_auc,entries,last_at"
    assert text[1].startswith("1,ada,False,0.01,0.9,1,")
    assert text[2].startswith("2,'=1+1,False,0.1,0.9,1,")
    assert len(text) == 7
    old = call(site, "GET", "leaderboard?page_size=1").json["next_cursor"]
    site.close()
    site.change(grace_seconds=0)
    changed = call(site, "GET", "leaderboard", query_string={"cursor": old})
    assert (changed.status_code, "other scores" in changed.text) == (422, True)


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("leaderboard?cursor=nothing", []),
        ("leaderboard?cursor=W10", []),
        ("leaderboard?sort=shoe&page_size=900", ["page_size", "sort"]),
        ("submissions?cursor=-1", []),
        ("submissions?limit=0&before=x", ["limit", "before"]),
    ],
)
def test_wrong_arguments_are_refused_all_at_once(site: Site, path: str, columns: list[str]) -> None:
    answer = call(site, "GET", path)
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert sorted(error["column"] for error in answer.json["errors"]) == sorted(columns)
    assert answer.json["problems"] == answer.json["errors"]


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 2000, b'{"name": 5}', b'{"name": ""}', CSV])
def test_wrong_bodies_are_refused_in_words(site: Site, body: bytes) -> None:
    answer = call(site, "POST", "team", data=body)
    assert (answer.status_code, "name" in answer.json["detail"]) == (422, True)


def test_waiting_submission_is_cancelled_and_its_upload_given_back(site: Site) -> None:
    number, running = site.submit("ada"), site.submit("ada", b"other")
    site.run(running)
    assert call(site, "POST", f"/api/v1/submissions/{running}/cancel").status_code == 409
    assert "Cancel submission" in site.browser("ada").get("/competitions/biopsy/submissions").text
    found = call(site, "POST", f"/api/v1/submissions/{number}/cancel").json
    assert (found["state"], found["problems"][0]["code"]) == ("rejected", "CANCELLED")
    quota = call(site, "GET", "quota").json
    assert (quota["used"], quota["pending"], quota["rejected"]) == (1, 1, 0)
    page = site.browser("ada").get("/competitions/biopsy/submissions").text
    assert "Cancelled; this upload does not count" in page
    assert "Cancel submission" not in page


def test_scored_submission_is_withdrawn_from_the_board_on_its_page_and_over_the_api(site: Site) -> None:
    first, second = site.submit("ada"), site.submit("ada", b"other")
    for number in (first, second):
        site.score(number, 0.3)
    ada = site.browser("ada")
    assert "Withdraw submission" in ada.get(f"/submissions/{first}").text
    page = ada.post(f"/submissions/{first}/withdraw", follow_redirects=True).text
    assert "It counts for no board, and its upload stays used." in page
    assert "Withdraw submission" not in page
    assert ">withdrawn</span>" in ada.get("/competitions/biopsy/submissions").text
    found = call(site, "POST", f"/api/v1/submissions/{second}/withdraw").json
    assert (found["state"], found["is_withdrawn"]) == ("scored", True)
    assert call(site, "GET", "leaderboard").json["rows"] == []
    assert call(site, "GET", "quota").json["used"] == 2
    assert call(site, "POST", f"/api/v1/submissions/{second}/pick", json={}).status_code == 409


def test_submissions_are_walked_by_cursors(site: Site) -> None:
    sent = [site.submit("ada", f"{n}".encode()) for n in range(3)]
    first = call(site, "GET", "submissions?limit=2").json
    assert [entry["id"] for entry in first["submissions"]] == sent[:0:-1]
    second = call(site, "GET", "submissions", query_string={"cursor": first["next_cursor"]}).json
    assert [entry["id"] for entry in second["submissions"]] == sent[:1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("path", ["", "leaderboard", "leaderboard.csv", "files/train.csv", "files.zip"])
def test_unchanged_answers_are_not_sent_again(site: Site, path: str) -> None:
    address = f"{BASE}/{path}".rstrip("/")
    first = call(site, "GET", address)
    assert first.status_code == 200
    again = call(site, "GET", address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    if path.startswith("files"):
        part = call(site, "GET", address, headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.data) == (206, first.data[2:5])


def test_problems_of_a_rejected_file_have_their_places(site: Site) -> None:
    number = site.submit("ada")
    site.reject(number, Problem("NOT_A_NUMBER", "No number.", line=2, id="1", column="target", value="x"))
    found = call(site, "GET", f"/api/v1/submissions/{number}").json
    assert found["state"] == State.REJECTED
    assert found["problems"] == [
        {
            "code": "NOT_A_NUMBER",
            "message": "No number.",
            "count": 1,
            "line": 2,
            "id": "1",
            "column": "target",
            "value": "x",
        }
    ]
