"""What pages and the API say around a deadline, and that both refuse the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from app.base import db
from app.competing import competitions, teams
from app.integrity import train_files
from app.web.formats import changes_in
from tests.web.integrity_records import audited
from tests.web.site import CSV, Site

GRACE = timedelta(seconds=120)


def at(site: Site, **offsets: float) -> None:
    """Set times of the competition, in seconds from now."""
    with site.database.read() as session:
        now = db.now(session)
    site.change(**{name: now + timedelta(seconds=seconds) for name, seconds in offsets.items()})


# -- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/data", "/submit", "/submissions", "/leaderboard"])
def test_between_close_and_settling_every_page_states_when_the_final_results_come(
    site: Site, path: str
) -> None:
    at(site, closes_at=-30)
    page = site.browser("ada").get(f"/competitions/biopsy{path}").text
    assert "final results at" in page
    assert "last uploads are still arriving" in page
    assert 'data-changes-in="' in page
    at(site, closes_at=-121)
    settled = site.browser("ada").get(f"/competitions/biopsy{path}").text
    assert "final results at" not in settled
    assert "2 minutes ago" in settled


def test_with_an_extension_the_final_results_wait_for_it_in_words_too(site: Site) -> None:
    at(site, closes_at=-300, extended_until=3600)
    page = site.visitor().get("/competitions/biopsy/leaderboard").text
    assert "a team has a later close" in page
    assert "The other rows make the final ranking: <" not in page
    assert "final results at" in page


def test_a_closed_competition_offers_no_upload_and_no_sign_in_to_take_part(site: Site) -> None:
    at(site, closes_at=-30)
    for page in (
        site.browser("ada").get("/competitions/biopsy").text,
        site.visitor().get("/competitions/biopsy").text,
    ):
        assert "See the leaderboard" in page
        assert "Submit predictions</a>" not in page
        assert "Sign in to take part" not in page


def test_the_api_states_when_the_competition_settles(site: Site) -> None:
    at(site, closes_at=10)
    found = site.visitor().client.get("/api/v1/competitions/biopsy", headers=site.token("ada")).json
    assert found is not None
    competition = site_competition(site)
    assert competition.settles_at is not None
    assert found["settles_at"] == competition.settles_at.isoformat()


def site_competition(site: Site) -> competitions.Competition:
    with site.database.read() as session:
        return competitions.by_slug(session, site.slug)


def test_a_page_announces_the_first_change_that_is_still_to_come(site: Site) -> None:
    with site.database.read() as session:
        now = db.now(session)
    assert changes_in(now, now - GRACE, None, now + GRACE, now + 2 * GRACE) == 120_000
    assert changes_in(now, now + timedelta(microseconds=1)) == 1000
    assert changes_in(now, now, None) is None


# -- page and API refuse the same ----------------------------------------------------------------

Arrange = Callable[[Site], None]

SITUATIONS: dict[str, Arrange] = {
    "open": lambda site: None,
    "not open yet": lambda site: at(site, opens_at=3600),
    "paused": lambda site: site.change(is_paused=True),
    "just closed": lambda site: at(site, closes_at=-30),
    "settled": lambda site: at(site, closes_at=-300),
    "late files allowed, just closed": lambda site: late_allowed(site, closes_at=-30),
    "late files allowed, settled": lambda site: late_allowed(site, closes_at=-300),
    "extended for another team": lambda site: at(site, closes_at=-300, extended_until=3600),
    "disqualified": lambda site: disqualify(site),
    "daily limit used": lambda site: site.change(daily_limit=1),
    "total limit used": lambda site: site.change(total_limit=1),
    "one waits": lambda site: site.change(pending_limit=1),
    "many rejected": lambda site: many_rejected(site),
}


def late_allowed(site: Site, *, closes_at: float) -> None:
    at(site, closes_at=closes_at)
    site.change(allows_late=True, is_paused=True, total_limit=1)


def disqualify(site: Site) -> None:
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        team = teams.of(session, competition, site.viewer("ada").id)
        assert team is not None
        team.disqualified_at, team.disqualified_why = db.now(session), "copied"


def many_rejected(site: Site) -> None:
    site.change(rejected_limit=1)
    for content in (b"a", b"b"):
        site.reject(site.submit("ada", content))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_api_and_page_accept_an_upload_exactly_when_the_page_offers_it(site: Site, situation: str) -> None:
    audited(site)
    if situation in ("daily limit used", "total limit used", "one waits"):
        site.submit("ada", b"first")
    SITUATIONS[situation](site)
    ada = site.browser("ada")
    offers = 'id="upload"' in ada.get("/competitions/biopsy/submit").text
    by_api = site.visitor().client.post(
        "/api/v1/competitions/biopsy/submissions", data=CSV, headers=site.token("ada")
    )
    assert (by_api.status_code == 201) == offers, by_api.text
    by_page = send(ada.post, "/competitions/biopsy/submissions")
    assert (by_page.status_code == 303) == offers


@pytest.mark.parametrize(
    "situation", ["open", "not open yet", "paused", "just closed", "settled", "extended for another team"]
)
def test_api_and_page_let_join_exactly_when_the_page_offers_it(site: Site, situation: str) -> None:
    site.user("cleo")
    SITUATIONS[situation](site)
    bob = site.browser("bob")
    for path in ("/competitions/biopsy", "/competitions/biopsy/submit", "/competitions/biopsy/data"):
        offers = 'action="/competitions/biopsy/join"' in bob.get(path).text
        assert offers == (situation in ("open", "not open yet", "paused")) or path.endswith("/data")
    offers = 'action="/competitions/biopsy/join"' in bob.get("/competitions/biopsy").text
    assert (bob.post("/competitions/biopsy/join").status_code == 303) == offers
    by_api = site.visitor().client.post("/api/v1/competitions/biopsy/join", headers=site.token("cleo"))
    assert (by_api.status_code == 200) == offers


@pytest.mark.parametrize("state", ["queued", "scored", "rejected", "failed"])
@pytest.mark.parametrize("has_sent_before", [False, True])
def test_api_and_page_take_train_files_exactly_when_the_page_offers_it(
    site: Site, state: str, has_sent_before: bool
) -> None:
    audited(site)
    submission = site.submit("ada")
    address = f"/submissions/{submission}/train-files"
    if has_sent_before:
        earlier = site.visitor().client.post(f"/api/v1{address}/train", data=CSV, headers=site.token("ada"))
        assert earlier.status_code == 201
    if state != "queued":
        {"scored": lambda s: site.score(s, 0.5), "rejected": site.reject, "failed": site.fail}[state](
            submission
        )
    ada = site.browser("ada")
    offers = f'action="{address}/oof"' in ada.get(f"/submissions/{submission}").text
    assert offers == (state != "rejected")
    by_api = site.visitor().client.post(f"/api/v1{address}/oof", data=CSV, headers=site.token("ada"))
    assert (by_api.status_code == 201) == offers, by_api.text
    if not offers:
        assert "was rejected and has no score to compare with" in by_api.text
        assert send(ada.post, f"{address}/oof").status_code == 409
        with site.database.read() as session:
            assert "oof" not in train_files.of(session, submission)


def send(post: Callable[..., TestResponse], path: str) -> TestResponse:
    return post(path, {"file": (io.BytesIO(CSV + b"\n"), "a.csv")}, content_type="multipart/form-data")


# -- the field of the file -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"message": "hello"}, "The form has no field `file`; it has no other."),
        (
            {"data": (io.BytesIO(CSV), "a.csv")},
            "The form has no field `file`; it has `data`. Send exactly one file",
        ),
        (
            {"submission": (io.BytesIO(CSV), "a.csv"), "note": "x"},
            "The form has no field `file`; it has `note`, `submission`.",
        ),
        ({"file": "id,target"}, "The form field `file` holds a text, not a file."),
    ],
)
def test_a_form_without_the_file_is_refused_naming_the_field(
    site: Site, fields: dict[str, object], words: str
) -> None:
    answer = site.visitor().client.post(
        "/api/v1/competitions/biopsy/submissions",
        data=dict(fields),
        content_type="multipart/form-data",
        headers=site.token("ada"),
    )
    assert answer.status_code == 422
    assert answer.json is not None
    assert words in answer.json["detail"]
    assert "-F file=@submission.csv" in answer.json["detail"]
