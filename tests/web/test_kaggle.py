"""The calls of the stock Kaggle clients: both families, files in and out, refusals in their form.

`make test-clients` runs the clients themselves; see tests/clients.
"""

from __future__ import annotations

import base64
import io
import re
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from app.base import db
from app.base.errors import Refused
from app.base.models import UploadTicket
from app.competing import competitions, upload_tickets
from app.people import accounts, tokens
from app.people.tokens import Scope
from app.web.kaggle.rpc import COMPETITIONS, METHODS
from tests.web.site import CSV, PRIVATE_CANARY, Site


def call(site: Site, method: str, body: Any = None, name: str | None = "ada") -> TestResponse:
    """Make one call of the newer clients."""
    service = next((s for s, m in METHODS if m == method), COMPETITIONS)
    headers = site.token(name) if name else {}
    return site.visitor().client.post(f"/api/v1/{service}/{method}", json=body or {}, headers=headers)


def start(site: Site, content: bytes = CSV, name: str = "ada") -> dict[str, Any]:
    body = {"competitionName": "biopsy", "contentLength": len(content), "fileName": "sub.csv"}
    answer = call(site, "StartSubmissionUpload", body, name)
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    return dict(answer.json)


def put(site: Site, address: str, content: bytes = CSV) -> TestResponse:
    return site.visitor().client.put(address, data=content)


def create(site: Site, token: str, message: str = "first try", name: str = "ada") -> TestResponse:
    body = {"competitionName": "biopsy", "blobFileTokens": token, "submissionDescription": message}
    return call(site, "CreateSubmission", body, name)


def submit(site: Site, content: bytes = CSV, message: str = "first try") -> int:
    begun = start(site, content)
    assert put(site, begun["createUrl"], content).status_code == 200
    answer = create(site, begun["token"], message)
    assert answer.json is not None
    assert answer.status_code == 200, answer.json
    return int(answer.json["ref"])


def refused(answer: TestResponse) -> str:
    """Return the sentence of a refusal, which has the form that the clients print."""
    assert answer.json is not None
    assert answer.status_code == answer.json["code"] == 400, answer.json
    assert answer.content_type == "application/json"
    return str(answer.json["message"])


def test_a_file_sent_in_three_calls_is_scored_and_listed(site: Site) -> None:
    ref = submit(site)
    one = call(site, "GetSubmission", {"ref": ref}).json
    assert one is not None
    assert (one["status"], one["publicScore"], one["fileName"]) == ("PENDING", "", "sub.csv")
    site.score(ref, 0.25)
    listed = call(site, "ListSubmissions", {"competitionName": "biopsy", "page": 1, "pageToken": ""}).json
    assert listed is not None
    (entry,) = listed["submissions"]
    assert (entry["ref"], entry["status"], entry["publicScore"], entry["privateScore"]) == (
        ref,
        "COMPLETE",
        "0.25",
        "",
    )
    assert entry["description"] == "first try"
    assert entry["submittedBy"] == "ada"
    limits = call(site, "GetSubmissionLimits", {"competitionName": "biopsy"}).json
    assert limits == {"numToday": 1, "numTotal": 1, "numAllowedNow": 4, "limitedByTotal": False}


def test_the_private_score_is_listed_only_after_the_close(site: Site) -> None:
    ref = submit(site)
    site.score(ref, 0.25)
    assert str(PRIVATE_CANARY) not in call(site, "GetSubmission", {"ref": ref}).text
    site.close()
    assert str(PRIVATE_CANARY) in call(site, "GetSubmission", {"ref": ref}).text


def test_a_rejected_file_is_an_error_with_every_located_problem(site: Site) -> None:
    ref = submit(site)
    site.reject(ref)
    one = call(site, "GetSubmission", {"ref": ref}).json
    assert one is not None
    assert one["status"] == "ERROR"
    assert one["errorDescription"] == "line 2, column target, id 1: Line 2: `abc` is no number."


def test_a_failed_evaluation_is_an_error_without_the_fault(site: Site) -> None:
    ref = submit(site)
    site.fail(ref)
    one = call(site, "GetSubmission", {"ref": ref}).json
    assert one is not None
    assert one["status"] == "ERROR"
    assert "not the file's" in one["errorDescription"]
    assert "MemoryError" not in str(one)


def test_a_token_is_taken_as_bearer_and_as_the_password_of_its_own_name(site: Site) -> None:
    client = site.visitor().client
    token = site.token("ada")["Authorization"].partition(" ")[2]

    def hello(authorization: str) -> int:
        headers = {"Authorization": authorization}
        return client.post("/api/v1/api.v1.DiagnosticsService/Hello", json={}, headers=headers).status_code

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert hello(f"Bearer {token}") == hello(basic(f"ada:{token}")) == hello(basic(f"Ada:{token}")) == 200
    for wrong in (
        f"Bearer {token}x",
        basic(f"bob:{token}"),
        basic("ada:"),
        "Basic !",
        "Basic /w==",
        "",
        token,
    ):
        assert hello(wrong) == 401, wrong


def test_a_token_is_introspected_without_credentials(site: Site) -> None:
    token = site.token("ada")["Authorization"].partition(" ")[2]
    known = call(site, "IntrospectToken", {"token": token}, None).json
    assert known is not None
    assert (known["active"], known["username"]) == (True, "ada")
    assert call(site, "IntrospectToken", {"token": "nonsense"}, None).json == {"active": False}
    with site.database.begin() as session:
        ada = accounts.by_name(session, "ada").id
        for one in tokens.listed(session, ada):
            tokens.revoke(session, ada, one.id, now=db.now(session))
    assert call(site, "IntrospectToken", {"token": token}, None).json == {"active": False}


def test_every_call_except_introspection_needs_a_token(site: Site) -> None:
    for _, method in METHODS:
        if method not in ("IntrospectToken", "CreateCodeSubmission"):
            answer = call(site, method, {"competitionName": "biopsy"}, None)
            assert answer.status_code == 401, method
            assert answer.json is not None
            assert "KAGGLE_API_TOKEN" in answer.json["message"]


def test_submitting_a_ticket_twice_charges_one_upload(site: Site) -> None:
    begun = start(site)
    put(site, begun["createUrl"])
    first, second = create(site, begun["token"]).json, create(site, begun["token"]).json
    assert first is not None
    assert second is not None
    assert first["ref"] == second["ref"]
    assert "counts once" in second["message"]
    limits = call(site, "GetSubmissionLimits", {"competitionName": "biopsy"}).json
    assert limits is not None
    assert limits["numToday"] == 1


def test_a_client_that_begins_anew_after_a_lost_answer_is_charged_once(site: Site) -> None:
    first = submit(site)
    assert submit(site) == first
    others = {submit(site, message="another idea"), submit(site, b"id,target\n1,0.75\n2,0.25\n")}
    assert len(others - {first}) == 2


def test_an_upload_address_takes_one_file_of_the_announced_size(site: Site) -> None:
    begun = start(site)
    assert "were announced" in refused(put(site, begun["createUrl"], CSV[:-2]))
    assert "larger than the limit" in refused(put(site, begun["createUrl"], CSV * 3000))
    assert put(site, begun["createUrl"]).status_code == 200
    assert "begin a new upload" in refused(put(site, begun["createUrl"]))
    unknown = put(site, "/api/v1/uploads/" + "x" * 43)
    assert unknown.status_code == 404


def test_a_ticket_without_its_file_cannot_be_submitted(site: Site) -> None:
    begun = start(site)
    assert "has not arrived" in refused(create(site, begun["token"]))


def test_a_ticket_belongs_to_its_account_and_ends_after_an_hour(site: Site) -> None:
    site.join("bob")
    begun = start(site)
    put(site, begun["createUrl"])
    assert create(site, begun["token"], name="bob").status_code == 404
    with site.database.begin() as session:
        session.execute(update(UploadTicket).values(expires_at=db.now(session)))
    assert create(site, begun["token"]).status_code == 404
    assert put(site, begun["createUrl"]).status_code == 404


def test_unsubmitted_uploads_of_an_account_are_limited(site: Site) -> None:
    site.change(daily_limit=50, pending_limit=50)
    for n in range(upload_tickets.MOST_UNSUBMITTED):
        submit(site, message=f"file {n}")  # submitted ones do not count
    begun = [start(site) for _ in range(upload_tickets.MOST_UNSUBMITTED)]
    put(site, begun[0]["createUrl"])
    body = {"competitionName": "biopsy", "contentLength": len(CSV), "fileName": "sub.csv"}
    assert "without submitting them" in refused(call(site, "StartSubmissionUpload", body))
    later(site, hours=1)
    for _ in range(upload_tickets.MOST_UNSUBMITTED - 1):  # the one with a stored file still counts
        start(site)
    assert "without submitting them" in refused(call(site, "StartSubmissionUpload", body))


def later(site: Site, **since: float) -> None:
    """Make every ticket older."""
    by = timedelta(**since)
    with site.database.begin() as session:
        for ticket in session.scalars(select(UploadTicket)):
            ticket.created_at -= by
            ticket.expires_at -= by
            ticket.received_at = ticket.received_at and ticket.received_at - by


def test_files_that_wait_to_be_submitted_count_against_the_room_of_the_team(site: Site) -> None:
    small = site.with_settings(team_mb=1)
    small.change(max_upload_bytes=900_000)
    body = {"competitionName": "biopsy", "contentLength": 600_000, "fileName": "sub.csv"}
    assert call(small, "StartSubmissionUpload", body).status_code == 200
    assert "has no room" in refused(call(small, "StartSubmissionUpload", body))


def test_an_address_takes_no_second_file_while_the_first_arrives(site: Site) -> None:
    begun = start(site)
    secret = begun["token"]
    with site.database.begin() as session:
        upload_tickets.begin(session, secret, now=db.now(session))
    assert "begin a new upload" in refused(put(site, begun["createUrl"]))


def test_a_file_sent_yesterday_counts_for_the_day_of_its_submission(site: Site) -> None:
    site.change(daily_limit=1)
    begun = start(site)
    put(site, begun["createUrl"])
    with site.database.begin() as session:
        ticket = session.scalars(select(UploadTicket)).one()
        ticket.received_at = db.now(session) - timedelta(days=1)
    assert create(site, begun["token"]).status_code == 200
    limits = call(site, "GetSubmissionLimits", {"competitionName": "biopsy"}).json
    assert limits is not None
    assert (limits["numToday"], limits["numAllowedNow"]) == (1, 0)


def test_a_file_that_began_to_arrive_before_the_close_is_in_time_within_the_grace(site: Site) -> None:
    for seconds_late, is_in_time in ((60, True), (-60, False)):
        begun = start(site)
        put(site, begun["createUrl"])
        with site.database.read() as session:
            now = db.now(session)
        with site.database.begin() as session:
            ticket = session.scalars(select(UploadTicket).order_by(UploadTicket.id.desc())).first()
            assert ticket is not None
            ticket.received_at = now - timedelta(seconds=60 + seconds_late)
        site.change(closes_at=now - timedelta(seconds=60))
        answer = create(site, begun["token"], message=f"{seconds_late} s")
        assert (answer.status_code == 200) is is_in_time, answer.json
        site.change(closes_at=now + timedelta(days=1))


def test_a_failed_file_is_sent_again_and_blanks_of_a_message_do_not_matter(site: Site) -> None:
    first = submit(site, message="one  try ")
    assert submit(site, message="one try") == first
    site.reject(first)
    site.change(rejected_limit=50)
    assert submit(site, b"id,target\n1,0.5\n2,0.5\n", message="one try") != first
    second = submit(site, message="another")
    site.fail(second)
    assert submit(site, message="another") != second


def test_odd_requests_are_refused_and_not_faults(site: Site) -> None:
    client = site.visitor().client
    deep = client.post(f"/api/v1/{COMPETITIONS}/ListCompetitions", data=b"[" * 60_000)
    assert deep.status_code == 401
    body = {"competitionName": "biopsy", "pageToken": "9" * 5000}
    for method in ("ListSubmissions", "ListDataFiles", "GetLeaderboard", "ListCompetitions"):
        assert call(site, method, body).status_code == 200, method
    body = {"competitionName": "biopsy", "contentLength": len(CSV), "fileName": "../" + "n" * 255 + ".csv"}
    begun = call(site, "StartSubmissionUpload", body).json
    assert begun is not None
    put(site, begun["createUrl"])
    ref = create(site, begun["token"]).json
    assert ref is not None
    one = call(site, "GetSubmission", {"ref": ref["ref"]}).json
    assert one is not None
    assert one["fileName"] == "n" * 200


def test_what_would_be_refused_at_the_end_is_refused_at_the_start(site: Site) -> None:
    def starting(size: int = len(CSV), name: str = "ada") -> str:
        body = {"competitionName": "biopsy", "contentLength": size, "fileName": "sub.csv"}
        return refused(call(site, "StartSubmissionUpload", body, name))

    assert "is empty" in starting(0)
    assert "larger than the limit of 0.2 MB" in starting(10**7)
    assert "Join Biopsy triage" in starting(name="bob")
    site.change(is_paused=True)
    assert "paused" in starting()
    site.change(is_paused=False, daily_limit=1)
    submit(site)
    assert "All 1 submissions of today are used" in starting()
    site.close()
    assert "closed" in starting()


def test_files_are_listed_page_by_page_and_sent_from_a_signed_address(site: Site) -> None:
    first = call(site, "ListDataFiles", {"competitionName": "biopsy", "pageSize": 2}).json
    assert first is not None
    assert [file["name"] for file in first["files"]] == ["train.csv", "sample_submission.csv"]
    body = {"competitionName": "biopsy", "pageSize": 2, "pageToken": first["nextPageToken"]}
    second = call(site, "ListDataFiles", body).json
    assert second is not None
    assert ([file["name"] for file in second["files"]], second["nextPageToken"]) == (["notes.txt"], "")

    body = {"competitionName": "biopsy", "fileName": "sample_submission.csv"}
    answer = call(site, "DownloadDataFile", body)
    assert answer.status_code == 302
    address = answer.headers["Location"]
    assert address.endswith("/sample_submission.csv")
    client = site.visitor().client
    whole = client.get(address)  # no token: clients resume a download without one
    assert whole.data == CSV
    assert {"ETag", "Last-Modified", "Content-Length"} <= set(whole.headers.keys())
    ranged = {"Range": "bytes=3-", "If-Range": whole.headers["ETag"]}
    part = client.get(address, headers=ranged)
    assert (part.status_code, part.data) == (206, CSV[3:])
    key = address.split("/")[-2]
    for changed in (address.replace(key, key[:-2] + "xx"), address.replace("sample_submission", "train")):
        assert client.get(changed).status_code == 404
    unknown = call(site, "DownloadDataFile", {"competitionName": "biopsy", "fileName": "../secret_key"})
    assert unknown.status_code == 404


def test_all_files_come_as_one_archive_named_like_the_competition(site: Site) -> None:
    address = call(site, "DownloadDataFiles", {"competitionName": "biopsy"}).headers["Location"]
    assert address.endswith("/biopsy.zip")
    assert site.visitor().client.get(address).status_code == 200


def test_data_cannot_be_listed_or_fetched_before_the_opening(site: Site) -> None:
    with site.database.read() as session:
        later = db.now(session) + timedelta(days=1)
    site.change(opens_at=later)
    for method in ("ListDataFiles", "DownloadDataFile", "DownloadDataFiles"):
        body = {"competitionName": "biopsy", "fileName": "train.csv"}
        assert "once it opens" in refused(call(site, method, body))


def test_own_files_come_back_and_those_of_other_teams_do_not_exist(site: Site) -> None:
    site.join("bob")
    ref = submit(site)
    answer = call(site, "DownloadSubmission", {"submissionId": ref})
    assert site.visitor().client.get(answer.headers["Location"]).data == CSV
    for method, body in (("DownloadSubmission", {"submissionId": ref}), ("GetSubmission", {"ref": ref})):
        assert call(site, method, body, "bob").status_code == 404
    site.score(ref, 0.25)
    team = call(site, "GetLeaderboard", {"competitionName": "biopsy"}).json
    assert team is not None
    team_id = team["submissions"][0]["teamId"]
    mine = call(site, "ListTeamPublicSubmissions", {"teamId": team_id}).json
    assert mine is not None
    assert [(one["id"], one["publicScore"]) for one in mine["submissions"]] == [(ref, "0.25")]
    assert call(site, "ListTeamPublicSubmissions", {"teamId": team_id}, "bob").status_code == 404
    assert call(site, "ListTeamPublicSubmissions", {"teamId": team_id}, "grace").status_code == 200


def test_the_board_is_shown_and_downloaded_without_baselines(site: Site) -> None:
    site.baseline("Prior only", 0.66, 0.65)
    site.score(submit(site), 0.25)
    shown = call(site, "GetLeaderboard", {"competitionName": "biopsy", "pageToken": ""}).json
    assert shown is not None
    assert [(row["teamName"], row["score"]) for row in shown["submissions"]] == [("ada", "0.25")]
    archive = zipfile.ZipFile(
        io.BytesIO(call(site, "DownloadLeaderboard", {"competitionName": "biopsy"}).data)
    )
    lines = archive.read(archive.namelist()[0]).decode().splitlines()
    assert lines[0] == "Rank,TeamId,TeamName,LastSubmissionDate,Score,SubmissionCount,TeamMemberUserNames"
    assert lines[1].startswith("1,")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("group", "names"), [("EVERYTHING", ["biopsy"]), ("ENTERED", []), ("HOSTED", []), ("UNLAUNCHED", [])]
)
def test_competitions_are_listed_by_group(site: Site, group: str, names: list[str]) -> None:
    body = {"group": f"COMPETITION_LIST_TAB_{group}", "category": "HOST_SEGMENT_UNSPECIFIED"}
    listed = call(site, "ListCompetitions", body, "bob").json
    assert listed is not None
    assert [entry["ref"] for entry in listed["competitions"]] == names


def test_a_listed_competition_has_the_own_rank(site: Site) -> None:
    site.score(submit(site), 0.25)
    listed = call(site, "ListCompetitions", {"search": "BIO"}).json
    assert listed is not None
    (entry,) = listed["competitions"]
    assert (entry["userHasEntered"], entry["userRank"], entry["teamCount"]) == (True, 1, 1)
    assert call(site, "ListCompetitions", {"search": "none such"}).json == {
        "competitions": [],
        "nextPageToken": "",
    }


def test_the_older_clients_submit_with_forms(site: Site) -> None:
    client, token = site.visitor().client, site.token("ada")
    base = "/api/v1/competitions"
    addresses = (
        (f"{base}/biopsy/submissions/url/{len(CSV)}/1796037427", {"fileName": "sub.csv"}),
        (
            f"{base}/submission-url",
            {"competitionName": "biopsy", "contentLength": str(len(CSV)), "fileName": "sub.csv"},
        ),
    )
    for n, (address, form) in enumerate(addresses):
        begun = client.post(address, data=form, headers=token, content_type="multipart/form-data").json
        assert begun is not None
        assert put(site, begun["createUrl"]).status_code == 200
        form = {"blobFileTokens": begun["token"], "submissionDescription": f"file {n}"}
        done = client.post(f"{base}/submissions/submit/biopsy", data=form, headers=token).json
        assert done is not None
        assert done["ref"] == n + 1
    listed = client.get(f"{base}/submissions/list/biopsy?sortby=date&group=all", headers=token).json
    assert listed is not None
    assert [(entry["ref"], entry["status"]) for entry in listed] == [(2, "pending"), (1, "pending")]


def test_the_older_clients_list_and_download(site: Site) -> None:
    client, token = site.visitor().client, site.token("ada")
    base = "/api/v1/competitions"

    def get(path: str) -> Any:
        return client.get(f"{base}/{path}", headers=token)

    assert client.get("/api/v1/hello", headers=token).json == {"userName": "ada"}
    assert [entry["ref"] for entry in get("list?page=1").json] == ["biopsy"]
    assert get("list?page=2").json == []
    assert isinstance(get("data/list/biopsy").json, list)  # kaggle 1.5
    paged = get("data/list/biopsy?pageToken=None&pageSize=2").json
    assert [file["name"] for file in paged["files"]] == ["train.csv", "sample_submission.csv"]
    assert paged["nextPageToken"] == "2"
    for path, name in (
        ("data/download/biopsy/train.csv", "train.csv"),
        ("data/download-all/biopsy", "biopsy.zip"),
    ):
        assert get(path).headers["Location"].endswith(f"/{name}")
    site.score(submit(site), 0.25)
    assert [row["score"] for row in get("biopsy/leaderboard/view").json["submissions"]] == ["0.25"]
    assert get("biopsy/leaderboard/download").content_type == "application/zip"


def test_version_7_prints_only_messages_of_answers_with_status_200(site: Site) -> None:
    headers = {**site.token("ada"), "User-Agent": "kaggle-api/v1.7.0"}
    answer = site.visitor().client.get("/api/v1/competitions/data/list/none", headers=headers)
    assert answer.status_code == 200
    assert answer.json == {"code": 404, "message": "There is no competition none."}


def test_an_unknown_verb_is_refused_in_words(site: Site) -> None:
    assert "does not offer ListCompetitionTopics" in refused(call(site, "ListCompetitionTopics"))
    assert "not notebooks" in refused(call(site, "CreateCodeSubmission"))


@pytest.mark.parametrize("slug", competitions.RESERVED)
def test_words_of_addresses_are_no_names_of_competitions(site: Site, slug: str) -> None:
    with site.database.begin() as session, pytest.raises(Refused, match="cannot be named"):
        version = competitions.by_slug(session, "biopsy").version
        competitions.open_(session, version, now=db.now(session), max_upload_bytes=1000, slug=slug)


def test_addresses_for_clients_behind_their_own_proxy_are_plain_http(site: Site) -> None:
    body = {"competitionName": "biopsy", "contentLength": len(CSV), "fileName": "sub.csv"}
    for base, expected in (
        ("https://localhost", "http://localhost/api/"),
        ("https://localhost:8443", "https://localhost:8443/api/"),
        ("http://class.example:7777", "http://class.example:7777/api/"),
    ):
        answer = site.visitor().client.post(
            f"/api/v1/{COMPETITIONS}/StartSubmissionUpload",
            json=body,
            headers=site.token("ada"),
            base_url=base,
        )
        assert answer.json is not None
        assert answer.json["createUrl"].startswith(expected)


def test_the_page_shows_the_lines_with_a_fresh_token(site: Site) -> None:
    browser = site.browser("ada")
    before = browser.get("/kaggle-client").text
    assert "http_proxy=http://localhost" in before
    assert "KAGGLE_API_TOKEN=hld_... " in before
    made = browser.post("/kaggle-client").text
    found = re.search(r"KAGGLE_API_TOKEN=(hld_[\w-]{43}) ", made)
    assert found
    assert call(site, "IntrospectToken", {"token": found[1]}, None).json["active"] is True  # type: ignore[index]
    assert "Kaggle client" in browser.get("/account").text


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        "competitionName",
        "fileName",
        "pageToken",
        "pageSize",
        "ref",
        "teamId",
        "submissionId",
        "token",
        "contentLength",
        "blobFileTokens",
        "submissionDescription",
        "group",
        "sortBy",
        "sandbox",
    ]
)
NAMED = st.dictionaries(FIELDS, JUNK | st.just("biopsy"), max_size=5)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(sorted({method for _, method in METHODS})), NAMED | JUNK)
def test_no_body_makes_a_call_fail(site: Site, method: str, body: Any) -> None:
    answer = call(site, method, body)
    assert answer.status_code < 500, (method, body)
    if answer.status_code >= 400:
        assert answer.json is not None
        assert isinstance(answer.json["message"], str)


def test_a_token_to_read_lists_but_does_not_submit(site: Site) -> None:
    client, headers = site.visitor().client, site.token("ada", Scope.READ)
    upload = {"competitionName": "biopsy", "contentLength": len(CSV), "fileName": "sub.csv"}
    submission = {"competitionName": "biopsy", "blobFileTokens": "x", "submissionDescription": "x"}
    for method, body, status in (  # these clients print messages of 400 only
        ("ListCompetitions", {}, 200),
        ("StartSubmissionUpload", upload, 400),
        ("CreateSubmission", submission, 400),
    ):
        answer = client.post(f"/api/v1/{COMPETITIONS}/{method}", json=body, headers=headers)
        assert answer.status_code == status, (method, answer.text)
        assert (status == 200) or "has the scope read; this needs submit" in answer.text
