from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import cast

import pytest
from werkzeug.wsgi import FileWrapper

from app.base import db
from app.base.errors import Closed
from app.base.heartbeats import beat
from app.base.models import ChallengeVersion, Evaluation, Score, State, Team
from app.competing import competitions, extensions, rescores, statuses
from app.people import accounts
from app.web import application
from scorer.report import Problem
from tests.web.site import CSV, Site, competition

STATIC = Path(application.__file__).parent / "static"


def test_the_index_shows_phase_deadline_teams_and_metric(site: Site) -> None:
    page = site.visitor().get("/").text
    assert "Biopsy triage" in page
    assert "open" in page
    assert re.search(r"closes <time[^>]*>in 11 days</time>", page)
    assert "1 team" in page
    assert "Log loss" in page
    assert "lower is better" in page


def test_an_empty_installation_explains_the_first_steps(site: Site) -> None:
    with site.database.begin() as session:
        for table in ("standing", "membership", "team", "round", "competition"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
    assert "No competition yet" in site.visitor().get("/").text
    assert "heldout challenge new" in site.browser("grace").get("/").text


def test_healthz_needs_no_account_and_reports_a_missing_database(site: Site) -> None:
    answer = site.visitor().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    with site.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE competition RENAME TO elsewhere")
        connection.commit()
    assert site.visitor().get("/healthz").status_code == 503


def test_the_overview_shows_the_description_and_the_rules(site: Site) -> None:
    site.baseline("Prior only", 0.66, 0.65)
    page = site.visitor().get("/competitions/biopsy").text
    assert "<em>malignant</em>" in page
    assert "30 % make the public board" in page
    assert "Sign in to take part" in page
    assert "Prior only" in page
    assert "0.66000" in page


def test_a_minimal_manifest_is_enough(site: Site) -> None:
    with site.database.begin() as session:
        version = session.get_one(ChallengeVersion, 1)
        version.manifest = {
            "title": "Bare",
            "metric": {"name": "mae", "greater_is_better": False},
            "source": None,
        }
    for path in ("", "/data", "/submit", "/submissions", "/leaderboard", "/organise"):
        assert site.browser("grace").get(f"/competitions/biopsy{path}").status_code == 200
    for path in ("", "/files"):
        address = f"/api/v1/competitions/biopsy{path}"
        assert site.visitor().client.get(address, headers=site.token("ada")).status_code == 200


def test_the_data_page_lists_files_with_their_columns(site: Site) -> None:
    page = site.visitor().get("/competitions/biopsy/data").text
    assert "train.csv" in page
    assert "2 rows · 3 columns" in page
    assert "<code>radius</code>" in page
    assert site.visitor().get("/competitions/biopsy/data/train.csv").data.startswith(b"id,radius")
    assert site.visitor().get("/competitions/biopsy/data.zip").data.startswith(b"PK")


def test_data_cannot_be_downloaded_before_the_opening(site: Site) -> None:
    with site.database.read() as session:
        site.change(opens_at=db.now(session) + timedelta(days=1))
    for path in ("/data/train.csv", "/data.zip"):
        assert site.browser("ada").get("/competitions/biopsy" + path).status_code == 403
        assert site.browser("grace").get("/competitions/biopsy" + path).status_code == 200
    page = site.browser("ada").get("/competitions/biopsy/data").text
    assert "Not open yet" in page
    assert "radius" not in page


def test_a_user_without_a_team_is_asked_to_join(site: Site) -> None:
    bob = site.browser("bob")
    for path in ("/submit", "/submissions", ""):
        assert "Join the competition" in bob.get("/competitions/biopsy" + path).text
    answer = bob.post("/competitions/biopsy/join", {"next": "/competitions/biopsy/submit"})
    assert answer.location == "/competitions/biopsy/submit"
    assert 'id="upload"' in bob.get("/competitions/biopsy/submit").text


def test_a_closed_competition_refuses_uploads_and_joins(site: Site) -> None:
    site.close()
    ada = site.browser("ada").get("/competitions/biopsy/submit").text
    assert "This competition is over" in ada
    assert 'id="upload"' not in ada
    assert site.browser("bob").post("/competitions/biopsy/join").status_code == 403


def test_a_team_can_be_renamed_but_not_to_a_taken_name(site: Site) -> None:
    site.join("bob")
    ada = site.browser("ada")
    assert ada.post("/competitions/biopsy/team", {"name": "The  Adas"}).status_code == 303
    assert "The Adas" in ada.get("/competitions/biopsy/submissions").text
    taken = ada.post(
        "/competitions/biopsy/team",
        {"name": "bob"},
        headers={"Referer": "http://localhost/competitions/biopsy"},
    )
    assert taken.status_code == 409
    assert "The name bob is taken" in taken.text
    assert 'href="/competitions/biopsy"' in taken.text


def test_a_refused_form_is_answered_on_its_own_page(site: Site) -> None:
    site.join("bob")
    ada = site.browser("ada")
    page = "/competitions/biopsy/team"
    came_from = {"Referer": f"http://localhost{page}"}
    refused = ada.post("/competitions/biopsy/team", {"name": "bob"}, headers=came_from)
    assert refused.status_code == 409
    for words in ('id="refused" role="alert"', "The name bob is taken", "<h1>ada", 'value="bob"'):
        assert words in refused.text
    assert 'id="refused"' not in ada.get(page).text
    site.change(is_paused=True)
    upload = ada.post(
        "/competitions/biopsy/submissions",
        {"file": (io.BytesIO(CSV), "guess.csv")},
        headers={"Referer": "http://localhost/competitions/biopsy/submit"},
    )
    assert (upload.status_code, "<h1>Submit predictions" in upload.text) == (403, True)
    assert "the organiser has paused it" in upload.text
    elsewhere = (
        {"Referer": "http://elsewhere.example/competitions/biopsy/submissions"},
        {"Referer": "http://localhost/competitions/biopsy/data/train.csv"},
        {"Referer": "http://localhost/competitions/none"},
        {"Referer": "http://localhost/static/page.js"},
        {},
    )
    for headers in elsewhere:
        plain = ada.post("/competitions/biopsy/team", {"name": "bob"}, headers=headers)
        assert (plain.status_code, "fault-code" in plain.text) == (409, True), headers
    as_json = ada.post(
        "/competitions/biopsy/team", {"name": "bob"}, headers={**came_from, "Accept": "application/json"}
    )
    assert as_json.mimetype == "application/problem+json"
    assert ada.client.post("/competitions/biopsy/team", headers=came_from).status_code == 400


def test_each_page_marks_its_tab(site: Site) -> None:
    submission_id = site.submit("ada")
    site.score(submission_id, 0.3)
    tabs = {
        "": "Overview",
        "/data": "Data",
        "/submit": "Submit",
        "/submissions": "Submissions",
        "/team": "Team",
        "/leaderboard": "Leaderboard",
    }
    addresses = {f"/competitions/biopsy{path}": label for path, label in tabs.items()}
    addresses |= {f"/submissions/{submission_id}": "Submissions", "/": "Competitions"}
    for address, label in addresses.items():
        page = site.browser("ada").get(address).text
        marked = re.findall(r'aria-current="page"[^>]*>(?:<svg.*?</svg>)?([A-Z]\w+)<', page, re.DOTALL)
        assert marked == [label], address
    for path, label in (("organise", "Organise"), ("integrity", "Integrity")):
        page = site.browser("grace").get(f"/competitions/biopsy/{path}").text
        assert re.search(rf'aria-current="page"[^>]*>(?:<svg.*?</svg>)?{label}<', page, re.DOTALL)


def test_the_first_page_shows_my_competitions_with_my_standing(site: Site) -> None:
    site.score(site.submit("ada"), 0.3)
    page = site.browser("ada").get("/").text
    assert "My competitions" in page
    assert "<b>1</b> of 1" in page
    assert "0.30000" in page
    for other in (site.browser("bob"), site.visitor()):
        assert "My competitions" not in other.get("/").text


def test_results_show_podium_shifts_and_my_own_card(site: Site) -> None:
    address = "/competitions/biopsy/results"
    site.baseline("Prior only", 0.1, 0.05)
    site.join("bob")
    picked, better = site.submit("ada", b"1"), site.submit("ada", b"2")
    site.score(picked, 0.3, 0.3)
    site.score(better, 0.4, 0.1)
    site.score(site.submit("bob", b"bob"), 0.35, 0.2)
    ada = site.browser("ada")
    ada.post(f"/submissions/{picked}/pick", {"picked": "1"})
    with site.database.read() as session:
        over = db.now(session) - timedelta(seconds=10)
    site.change(closes_at=over, grace_seconds=120)
    assert ada.get(address).location == "/competitions/biopsy/leaderboard"
    site.change(grace_seconds=0)
    page = ada.get(address).text
    podium = re.findall(r'<li class="place-\d"><b[^>]*>(\d)</b><h2>(\w+)</h2>', page)
    assert podium == [("1", "bob"), ("2", "ada")]
    assert "1 up from the public board" in page
    assert "would have come to rank <b>1</b>" in page
    assert "Shake-up" in page
    for other in ("bob", "grace"):
        shown = site.browser(other).get(address).text
        assert "would have come" not in shown
        assert "0.10000" not in shown
    assert ">Results</a>" in ada.get("/competitions/biopsy").text


def test_a_waiting_submission_polls_each_second_until_it_is_final(site: Site) -> None:
    first, second = site.submit("ada"), site.submit("ada")
    ada = site.browser("ada")
    page = ada.get("/competitions/biopsy/submissions").text
    assert page.count('data-every="1"') == 2
    assert "next" in page
    assert "place 2" in page
    site.run(first)
    assert "scoring" in ada.get(f"/submissions/{first}?part=entry").text
    fragment = ada.get(f"/submissions/{second}?part=entry")
    assert "<html" not in fragment.text
    assert "X-Announce" not in fragment.headers
    site.score(second, 0.25)
    done = ada.get(f"/submissions/{second}?part=entry")
    assert "data-every" not in done.text
    assert done.headers["X-Announce"] == "submission-finished"
    assert '<div id="announce">Submission 2: scored, public score 0.25000.' in done.text


def test_a_rejected_file_lists_every_problem_with_its_place(site: Site) -> None:
    submission_id = site.submit("ada")
    site.reject(
        submission_id,
        Problem("NOT_A_NUMBER", "`12%` is no number. Write 0.12.", 17, "842302", "target", "12%", 20),
        Problem("MISSING_IDS", "3 ids are missing.", count=3),
    )
    page = site.browser("ada").get("/competitions/biopsy/submissions").text
    for words in (
        "23 problems",
        "Write 0.12.",
        "line <b>17</b>",
        "842302",
        "12%",
        "20 places",
        "MISSING_IDS",
    ):
        assert words in page
    assert "<details><summary>23 problems" in page  # folded
    assert "<b>5</b> of 5" in page  # the upload was refunded
    shown = site.browser("ada").get(f"/submissions/{submission_id}").text
    assert "line <b>17</b>" in shown
    assert "Mend the problems below" in shown


def test_only_organisers_see_the_error_of_a_failed_submission(site: Site) -> None:
    submission_id = site.submit("ada")
    site.fail(submission_id)
    ada = site.browser("ada").get(f"/submissions/{submission_id}").text
    assert "Scoring failed on the server" in ada
    assert "MemoryError" not in ada
    assert "MemoryError" in site.browser("grace").get("/competitions/biopsy/organise?state=failed").text


def test_final_picks_are_toggled_and_limited(site: Site) -> None:
    ids = [site.submit("ada", CSV + str(i).encode()) for i in range(3)]
    for submission_id in ids:
        site.score(submission_id, 0.3)
    ada = site.browser("ada")
    for submission_id in ids[:2]:
        assert ada.post(f"/submissions/{submission_id}/pick", {"picked": "1"}).status_code == 303
    assert ada.post(f"/submissions/{ids[2]}/pick", {"picked": "1"}).status_code == 409
    assert "<b>2 of 2</b> final picks" in ada.get("/competitions/biopsy/submissions").text
    ada.post(f"/submissions/{ids[0]}/pick", {"picked": "0"})
    assert "<b>1 of 2</b> final picks" in ada.get("/competitions/biopsy/submissions").text
    assert site.browser("grace").post(f"/submissions/{ids[0]}/pick", {"picked": "1"}).status_code == 404


def test_the_score_history_is_a_chart_and_a_table(site: Site) -> None:
    site.baseline("Prior only", 0.66, 0.65)
    for score in (0.5, 0.4, 0.45):
        site.score(site.submit("ada", str(score).encode()), score)
    page = site.browser("ada").get("/competitions/biopsy/submissions").text
    assert page.count('<circle class="dot') == 3
    assert 'class="band"' in page
    assert "Prior only (baseline)" in page
    assert re.search(r"<title[^>]*>Public scores of your submissions", page)


def test_files_are_filtered_and_two_are_compared(site: Site) -> None:
    site.join("bob")
    ids = [site.submit("ada", str(i).encode(), f"model_{i}.csv") for i in range(3)]
    site.score(ids[0], 0.5)
    site.score(ids[1], 0.4)
    site.reject(ids[2])
    other = site.submit("bob", b"bob")
    site.score(other, 0.3)
    ada = site.browser("ada")
    ada.post(f"/submissions/{ids[0]}/pick", {"picked": "1"})

    def files(query: str) -> list[str]:
        page = ada.get(f"/competitions/biopsy/submissions{query}").text
        return re.findall(r'<tbody class="entry [^>]* id="submission-(\d+)"', page)

    assert files("") == ["3", "2", "1"]
    assert files("?show=scored") == ["2", "1"]
    assert files("?show=rejected") == ["3"]
    assert files("?show=picked") == ["1"]
    page = ada.get(f"/competitions/biopsy/submissions?compare={ids[0]}&compare={ids[1]}").text
    assert "Submissions 1 and 2" in page
    assert "\u22120.10000" in page
    assert page.count("tag-best") == 1
    for strange in (
        f"?compare={ids[0]}&compare={other}",
        "?compare=1&compare=x",
        f"?compare=1&compare={2**70}",
    ):
        assert "compared-title" not in ada.get(f"/competitions/biopsy/submissions{strange}").text


def test_a_result_names_the_rank_that_changed_and_the_next_baseline(site: Site) -> None:
    site.change(daily_limit=20)
    site.baseline("Prior only", 0.66, 0.65)
    site.baseline("Forest", 0.2, 0.2)
    site.join("bob")
    site.score(site.submit("bob", b"bob"), 0.4)
    ada = site.browser("ada")
    first, better, worse = (site.submit("ada", str(i).encode()) for i in range(3))
    site.score(first, 0.5)
    assert "Your first score: rank <b>2</b>" in ada.get(f"/submissions/{first}").text
    site.score(better, 0.3)
    page = ada.get(f"/submissions/{better}").text
    assert re.search(r"Rank 2 → <b>1</b>", page)
    assert "The next aim is <b>Forest</b>, 0.10000 away" in page
    assert "0.36000 better" in page
    site.score(worse, 0.45)
    assert "No change of rank" in ada.get(f"/submissions/{worse}").text
    assert "What to do next" not in site.browser("grace").get(f"/submissions/{worse}").text
    assert "What to do next" in ada.get(f"/submissions/{worse}?part=result").text


def test_only_the_own_team_sees_what_an_uncounted_file_would_have_brought(site: Site) -> None:
    site.join("bob")
    site.score(site.submit("bob", b"bob"), 0.4, 0.2)
    picked, better = site.submit("ada", b"1"), site.submit("ada", b"2")
    site.score(picked, 0.3, 0.3)
    site.score(better, 0.35, 0.1)
    ada = site.browser("ada")
    ada.post(f"/submissions/{picked}/pick", {"picked": "1"})
    words = "would have come to rank <b>1</b>"
    assert words not in ada.get(f"/submissions/{better}").text, "not before the close"
    with site.database.read() as session:
        site.change(closes_at=db.now(session) - timedelta(seconds=10), grace_seconds=120)
    assert words not in ada.get(f"/submissions/{better}").text, "not in the grace period"
    site.change(grace_seconds=0)
    assert words in ada.get(f"/submissions/{better}").text
    assert words not in site.browser("grace").get(f"/submissions/{better}").text


def test_long_lists_are_paged(site: Site) -> None:
    site.change(daily_limit=100, pending_limit=100)
    for i in range(52):
        site.submit("ada", str(i).encode())
    ada = site.browser("ada")
    page = ada.get("/competitions/biopsy/submissions").text
    assert page.count('<tbody class="entry ') == 50
    assert "before=3" in page
    assert ada.get("/competitions/biopsy/submissions?before=3").text.count('<tbody class="entry ') == 2


def test_the_board_costs_six_statements(site: Site, statements: Callable[[], list[str]]) -> None:
    site.baseline("Prior only", 0.66, 0.65)
    site.score(site.submit("ada"), 0.3)
    ada = site.browser("ada")
    for address in ("", "?page=1&sort=-team&q=a"):
        statements()
        assert ada.get("/competitions/biopsy/leaderboard" + address).status_code == 200
        spent = statements()
        assert len(spent) <= 6, spent
    assert "Jump to my row" in ada.get("/competitions/biopsy/leaderboard").text


def test_the_board_marks_me_baselines_and_shared_ranks(site: Site) -> None:
    site.baseline("Prior only", 0.66, 0.65)
    site.join("bob")
    site.score(site.submit("ada"), 0.3)
    site.score(site.submit("bob", b"other"), 0.3)
    page = site.browser("bob").get("/competitions/biopsy/leaderboard").text
    assert len(re.findall(r'<td class="num rank">1</td>', page)) == 2
    assert '<tr id="me" class="is-mine"' in page
    assert 'class="is-baseline"' in page
    assert '<span class="tag">baseline</span>' in page
    assert 'aria-sort="ascending"' in page
    assert "ROC AUC" in page
    assert "Shift" not in page


def test_my_row_is_pinned_when_it_is_on_another_page(site: Site) -> None:
    with site.database.begin() as session:
        now = db.now(session)
        for i in range(55):
            accounts.register(session, f"p{i}", None, now=now)
    for i in range(55):
        site.join(f"p{i}")
        site.score(site.submit(f"p{i}", str(i).encode()), 0.1)
    site.score(site.submit("ada"), 0.9)
    ada = site.browser("ada")
    first = ada.get("/competitions/biopsy/leaderboard").text
    assert 'class="pinned"' in first
    assert 'href="/competitions/biopsy/leaderboard?page=2#me"' in first
    second = ada.get("/competitions/biopsy/leaderboard?page=2").text
    assert 'class="pinned"' not in second
    assert 'id="me"' in second
    assert ada.get("/competitions/biopsy/leaderboard?page=7").location == "/competitions/biopsy/leaderboard"
    assert "p54" in ada.get("/competitions/biopsy/leaderboard?q=P54").text
    assert "No team found" in ada.get("/competitions/biopsy/leaderboard?q=zzz").text


def test_the_final_board_shows_rank_changes(site: Site) -> None:
    site.join("bob")
    site.score(site.submit("ada"), 0.1, 0.9)
    site.score(site.submit("bob", b"other"), 0.2, 0.3)
    site.close()
    page = site.visitor().get("/competitions/biopsy/leaderboard").text
    assert "Final ranking by private scores" in page
    assert '<span aria-hidden="true">▲</span>1<span class="aside"> places up' in page
    assert '<span aria-hidden="true">▼</span>1<span class="aside"> places down' in page


def test_the_organiser_sees_counts_workers_and_the_queue(site: Site) -> None:
    site.submit("ada")
    grace = site.browser("grace")
    assert "No worker is running" in grace.get("/competitions/biopsy/organise").text
    with site.database.begin() as session:
        beat(session, "host/12", "worker", now=db.now(session))
    page = grace.get("/competitions/biopsy/organise?part=pulse").text
    assert "<html" not in page
    assert "host/12" in page
    assert "Redis does not answer" in page


def test_the_organiser_pauses_resumes_and_closes(site: Site) -> None:
    grace = site.browser("grace")
    grace.post("/competitions/biopsy/organise/pause", {"paused": "1"})
    assert competition(site).is_paused
    assert "paused" in site.browser("ada").get("/competitions/biopsy/submit").text
    grace.post("/competitions/biopsy/organise/pause", {"paused": "0"})
    assert not competition(site).is_paused
    assert "with a later close" not in grace.get("/competitions/biopsy/organise").text
    assert grace.post("/competitions/biopsy/organise/close").status_code == 303
    assert grace.post("/competitions/biopsy/organise/close").status_code == 409
    log = grace.get("/competitions/biopsy/organise").text
    for words in ("uploads paused", "uploads resumed", "competition closed"):
        assert words in log


def test_the_organiser_retries_a_failed_submission(site: Site) -> None:
    submission_id = site.submit("ada")
    site.fail(submission_id)
    grace = site.browser("grace")
    retry = f"/competitions/biopsy/organise/retry/{submission_id}"
    assert grace.post(retry).status_code == 303
    assert grace.post(retry).status_code == 409
    site.score(submission_id, 0.4)
    assert "0.40000" in site.browser("ada").get("/competitions/biopsy/submissions").text


def test_the_organiser_rescores_and_watches_the_progress(site: Site) -> None:
    for i in range(2):
        site.score(site.submit("ada", str(i).encode()), 0.4)
    grace = site.browser("grace")
    assert grace.post("/competitions/biopsy/organise/rescore").status_code == 303
    page = grace.get("/competitions/biopsy/organise?part=pulse").text
    assert "Rescoring: asked for by grace" in page
    assert "0 of 2 done" in page
    site.score(1, 0.5)
    assert "1 of 2 done" in grace.get("/competitions/biopsy/organise?part=pulse").text


@pytest.mark.parametrize("is_over_for_others", [False, True])
def test_closing_now_ends_extensions_and_the_page_warns_before(site: Site, is_over_for_others: bool) -> None:
    with site.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, "biopsy")
        found.closes_at = now + timedelta(hours=1)
        session.flush()
        team = extensions.grant(
            session,
            found,
            "ada",
            reason="was ill for a day",
            by="grace",
            now=now,
            closes_at=now + timedelta(days=3),
            daily_extra=1,
        ).team_id
        if is_over_for_others:
            found.closes_at = now - timedelta(seconds=1)
    site.score(site.submit("ada"), 0.4)
    grace = site.browser("grace")
    assert "1 extension with a later close ends" in grace.get("/competitions/biopsy/organise").text
    assert grace.post("/competitions/biopsy/organise/close").status_code == 303
    page = grace.get("/competitions/biopsy/organise").text
    assert "closed for all teams, and the board shows private scores. Extensions with a later close" in page
    assert "extension revoked" in page
    with site.database.read() as session:
        found, now = competitions.by_slug(session, "biopsy"), db.now(session)
        assert found.is_settled(now)
        assert extensions.limits(session, found, session.get_one(Team, team)).closes_at == found.closes_at
    with pytest.raises(Closed):
        site.submit("ada", b"late")
    assert "0.12346" in site.visitor().get("/competitions/biopsy/leaderboard").text


def rescored(site: Site, *values: float) -> tuple[str, dict[str, str]]:
    """Return the page of a finished rescore and its form values."""
    ids = [site.submit("ada", str(i).encode()) for i in range(len(values))]
    for id_ in ids:
        site.score(id_, 0.4)
    site.browser("grace").post("/competitions/biopsy/organise/rescore")
    for id_, value in zip(ids, values, strict=True):
        site.score(id_, value)
    return seen(site)


def seen(site: Site) -> tuple[str, dict[str, str]]:
    page = site.browser("grace").get("/competitions/biopsy/organise/rescore").text
    return page, {name: re.findall(f'name="{name}" value="([^"]+)"', page)[-1] for name in ("draft", "seen")}


RESCORE = "/competitions/biopsy/organise/rescore"


def test_a_rescore_is_applied_as_shown(site: Site) -> None:
    page, sent = rescored(site, 0.5)
    assert "1 row of 1 would change" in page
    assert site.browser("grace").post(f"{RESCORE}/apply", sent).status_code == 303
    assert "0.50000" in site.browser("ada").get("/competitions/biopsy/leaderboard").text


@pytest.mark.parametrize("act", ["apply", "discard"])
def test_a_rescore_that_changed_since_it_was_shown_is_neither_applied_nor_discarded(
    site: Site, act: str
) -> None:
    _, sent = rescored(site, 0.5, 0.6)
    with site.database.begin() as session:  # another file fails in the draft after the page was shown
        draft = competitions.draft_round(session, competitions.by_slug(session, "biopsy"))
        assert draft is not None
        evaluation = session.get_one(Evaluation, (1, draft.id))
        evaluation.state = State.FAILED
        session.delete(session.get_one(Score, (1, draft.id)))
    grace = site.browser("grace")
    refusal = grace.post(f"{RESCORE}/{act}", sent)
    assert refusal.status_code == 409
    assert "1 submissions would lose their score" in refusal.text
    assert "0.40000" in site.browser("ada").get("/competitions/biopsy/leaderboard").text
    page, sent = seen(site)
    assert "1 submission would lose the current score" in page
    assert grace.post(f"{RESCORE}/{act}", sent).status_code == 303


def test_only_the_shown_rescore_is_ended(site: Site) -> None:
    _, sent = rescored(site, 0.5)
    grace = site.browser("grace")
    refusal = grace.post(RESCORE)
    assert (refusal.status_code, "neither applied nor discarded" in refusal.text) == (409, True)
    with site.database.begin() as session:  # another organiser ends this one by command and begins another
        found = competitions.by_slug(session, "biopsy")
        rescores.discard_rescore(session, found)
        rescores.begin_rescore(session, found, found.version, reason="anew", now=db.now(session))
    for act in ("apply", "discard"):
        refusal = grace.post(f"{RESCORE}/{act}", sent)
        assert (refusal.status_code, "replaced by another" in refusal.text) == (409, True)
    assert grace.post(f"{RESCORE}/discard", {"draft": sent["draft"]}).status_code == 409
    at_work = seen(site)[1] | {"seen": sent["seen"]}
    assert grace.post(f"{RESCORE}/apply", at_work).status_code == 409
    # Each new score changes a running rescore, so discarding it does not require the shown state.
    assert grace.post(f"{RESCORE}/discard", at_work).status_code == 303


@pytest.mark.parametrize(
    "path", ["/nowhere", "/competitions/none", "/submissions/77", "/competitions/biopsy/data/none.csv"]
)
def test_unknown_addresses_get_an_error_page(site: Site, path: str) -> None:
    ada = site.browser("ada")
    page = ada.get(path)
    assert page.status_code == 404
    assert "<h1>Page not found</h1>" in page.text
    assert "<span>ada</span>" in page.text  # the header still shows the user
    assert ada.post(path).status_code in (404, 405)


def test_the_licences_page_lists_every_vendored_package(site: Site) -> None:
    page = site.visitor().get("/licences").text
    for words in ("@picocss/pico 2.1.1", "MIT License", "SIL OPEN FONT LICENSE"):
        assert words in page


def test_the_file_of_an_answer_without_a_body_is_closed(site: Site) -> None:
    tag = site.visitor().get("/static/page.js").headers["ETag"]
    for method, headers, status in (("GET", {"If-None-Match": tag}, 304), ("HEAD", {}, 200)):
        with site.app.test_request_context("/static/page.js", method=method, headers=headers):
            answer = site.app.full_dispatch_request()
        assert answer.status_code == status
        assert cast(FileWrapper, answer.response).file.closed


def test_static_files_are_versioned_by_content_and_cached(site: Site) -> None:
    page = site.visitor().get("/").text
    (sheet,) = re.findall(r'href="(/static/heldout\.css\?v=\w{12})"', page)
    assert "immutable" in site.visitor().get(sheet).headers["Cache-Control"]
    assert "immutable" not in site.visitor().get("/static/heldout.css").headers["Cache-Control"]
    vendored = site.visitor().get("/static/vendor/pico-2.1.1/pico.min.css")
    assert "immutable" in vendored.headers["Cache-Control"]


def test_style_sheets_use_the_six_type_sizes() -> None:
    for sheet in ("heldout.css", "check/panel.css"):
        text = (STATIC / sheet).read_text(encoding="utf-8")
        sizes = re.findall(r"font-size: ([^;]+);|font: ([^;]+);", text)
        for size in filter(None, chain.from_iterable(sizes)):
            assert re.search(r"var\(--t[1-6]\)|^100%$|^12px|^11\.5px", size), f"{sheet}: {size}"


def test_pages_have_no_inline_scripts_no_styles_and_no_foreign_links(site: Site) -> None:
    site.score(site.submit("ada"), 0.3)
    for path in (
        "/",
        "/competitions/biopsy",
        "/competitions/biopsy/submissions",
        "/competitions/biopsy/leaderboard",
    ):
        page = site.browser("ada").get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", page)
        assert "<style" not in page
        assert " style=" not in page
        assert not re.search(r"\son\w+=", page)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


def test_a_scored_submission_has_no_place_in_the_queue(site: Site) -> None:
    submission_id = site.submit("ada")
    site.score(submission_id, 0.2)
    with site.database.read() as session:
        assert statuses.place_in_queue(session, submission_id) is None
