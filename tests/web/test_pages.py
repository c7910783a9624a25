from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from app.base import db
from app.base.errors import Closed
from app.base.heartbeats import beat
from app.base.models import ChallengeVersion, Evaluation, Score, State, Team
from app.competing import competitions, evaluations, extensions, rescores
from app.people import accounts
from scorer.report import Problem
from tests.web.site import CSV, House, competition


def test_the_index_shows_phase_deadline_teams_and_metric(house: House) -> None:
    page = house.stranger().get("/").text
    assert "Biopsy triage" in page
    assert "open" in page
    assert re.search(r"closes <time[^>]*>in 11 days</time>", page)
    assert "1 team" in page
    assert "log_loss" in page
    assert "lower is better" in page


def test_an_empty_house_says_how_to_begin(house: House) -> None:
    with house.database.begin() as session:
        for table in ("standing", "membership", "team", "round", "competition"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
    assert "No competition yet" in house.stranger().get("/").text
    assert "heldout challenge new" in house.browser("grace").get("/").text


def test_healthz_needs_no_account_and_notices_a_missing_database(house: House) -> None:
    answer = house.stranger().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    with house.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE competition RENAME TO elsewhere")
        connection.commit()
    assert house.stranger().get("/healthz").status_code == 503


def test_the_overview_shows_the_description_and_the_rules(house: House) -> None:
    house.baseline("Prior only", 0.66, 0.65)
    page = house.stranger().get("/competitions/biopsy").text
    assert "<em>malignant</em>" in page
    assert "30 % decide the public board" in page
    assert "Sign in to take part" in page
    assert "Prior only" in page
    assert "0.66000" in page


def test_a_manifest_with_only_what_is_needed_is_enough(house: House) -> None:
    with house.database.begin() as session:
        version = session.get_one(ChallengeVersion, 1)
        version.manifest = {
            "title": "Bare",
            "metric": {"name": "mae", "greater_is_better": False},
            "source": None,
        }
    for path in ("", "/data", "/submit", "/submissions", "/leaderboard", "/organise"):
        assert house.browser("grace").get(f"/competitions/biopsy{path}").status_code == 200
    for path in ("", "/files"):
        address = f"/api/v1/competitions/biopsy{path}"
        assert house.stranger().client.get(address, headers=house.token("ada")).status_code == 200


def test_the_data_page_lists_files_with_their_columns(house: House) -> None:
    page = house.stranger().get("/competitions/biopsy/data").text
    assert "train.csv" in page
    assert "2 rows · 3 columns" in page
    assert "<code>radius</code>" in page
    assert house.stranger().get("/competitions/biopsy/data/train.csv").data.startswith(b"id,radius")
    assert house.stranger().get("/competitions/biopsy/data.zip").data.startswith(b"PK")


def test_data_stays_closed_until_the_opening(house: House) -> None:
    with house.database.read() as session:
        house.change(opens_at=db.now(session) + timedelta(days=1))
    for path in ("/data/train.csv", "/data.zip"):
        assert house.browser("ada").get("/competitions/biopsy" + path).status_code == 403
        assert house.browser("grace").get("/competitions/biopsy" + path).status_code == 200
    page = house.browser("ada").get("/competitions/biopsy/data").text
    assert "Not open yet" in page
    assert "radius" not in page


def test_a_non_member_is_asked_to_join_and_can(house: House) -> None:
    bob = house.browser("bob")
    for path in ("/submit", "/submissions", ""):
        assert "Join competition" in bob.get("/competitions/biopsy" + path).text
    answer = bob.post("/competitions/biopsy/join", {"next": "/competitions/biopsy/submit"})
    assert answer.location == "/competitions/biopsy/submit"
    assert 'id="upload"' in bob.get("/competitions/biopsy/submit").text


def test_a_closed_competition_takes_nothing_and_says_so(house: House) -> None:
    house.close()
    ada = house.browser("ada").get("/competitions/biopsy/submit").text
    assert "This competition is over" in ada
    assert 'id="upload"' not in ada
    assert house.browser("bob").post("/competitions/biopsy/join").status_code == 403


def test_a_team_can_be_renamed_but_not_to_a_taken_name(house: House) -> None:
    house.join("bob")
    ada = house.browser("ada")
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


def test_a_waiting_file_asks_again_each_second_and_a_finished_one_stops(house: House) -> None:
    first, second = house.submit("ada"), house.submit("ada")
    ada = house.browser("ada")
    page = ada.get("/competitions/biopsy/submissions").text
    assert page.count('hx-trigger="every 1s"') == 2
    assert "next" in page
    assert "place 2" in page
    house.run(first)
    assert "scoring" in ada.get(f"/submissions/{first}?part=entry").text
    fragment = ada.get(f"/submissions/{second}?part=entry")
    assert "<html" not in fragment.text
    assert "HX-Trigger" not in fragment.headers
    house.score(second, 0.25)
    done = ada.get(f"/submissions/{second}?part=entry")
    assert "every 1s" not in done.text
    assert done.headers["HX-Trigger"] == "submission-finished"
    assert 'hx-swap-oob="innerHTML">Submission 2: scored, public score 0.25000.' in done.text


def test_a_rejected_file_lists_every_problem_with_its_place(house: House) -> None:
    submission_id = house.submit("ada")
    house.reject(
        submission_id,
        Problem("NOT_A_NUMBER", "`12%` is no number. Write 0.12.", 17, "842302", "target", "12%", 20),
        Problem("MISSING_IDS", "3 ids are missing.", count=3),
    )
    page = house.browser("ada").get("/competitions/biopsy/submissions").text
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
    assert "5<small> of 5" in page  # the upload was given back


def test_a_fault_is_told_to_the_organiser_only(house: House) -> None:
    submission_id = house.submit("ada")
    house.fail(submission_id)
    ada = house.browser("ada").get(f"/submissions/{submission_id}").text
    assert "Scoring failed on our side" in ada
    assert "MemoryError" not in ada
    assert "MemoryError" in house.browser("grace").get("/competitions/biopsy/organise?state=failed").text


def test_final_picks_are_toggled_and_limited(house: House) -> None:
    ids = [house.submit("ada", CSV + str(i).encode()) for i in range(3)]
    for submission_id in ids:
        house.score(submission_id, 0.3)
    ada = house.browser("ada")
    for submission_id in ids[:2]:
        assert ada.post(f"/submissions/{submission_id}/pick", {"picked": "1"}).status_code == 303
    assert ada.post(f"/submissions/{ids[2]}/pick", {"picked": "1"}).status_code == 409
    assert "2<small> of 2" in ada.get("/competitions/biopsy/submissions").text
    ada.post(f"/submissions/{ids[0]}/pick", {"picked": "0"})
    assert "1<small> of 2" in ada.get("/competitions/biopsy/submissions").text
    assert house.browser("grace").post(f"/submissions/{ids[0]}/pick", {"picked": "1"}).status_code == 404


def test_the_history_is_a_picture_with_the_same_numbers_in_a_table(house: House) -> None:
    house.baseline("Prior only", 0.66, 0.65)
    for score in (0.5, 0.4, 0.45):
        house.score(house.submit("ada", str(score).encode()), score)
    page = house.browser("ada").get("/competitions/biopsy/submissions").text
    assert page.count('<circle class="dot') == 3
    assert 'class="band"' in page
    assert "Prior only (baseline)" in page
    assert re.search(r"<title[^>]*>Public scores of your submissions", page)


def test_long_lists_are_paged(house: House) -> None:
    house.change(daily_limit=100, pending_limit=100)
    for i in range(52):
        house.submit("ada", str(i).encode())
    ada = house.browser("ada")
    page = ada.get("/competitions/biopsy/submissions").text
    assert page.count('class="entry ') == 50
    assert "before=3" in page
    assert ada.get("/competitions/biopsy/submissions?before=3").text.count('class="entry ') == 2


# -- the board ---------------------------------------------------------------------------------


def test_the_board_costs_three_statements(house: House, statements: Callable[[], list[str]]) -> None:
    house.baseline("Prior only", 0.66, 0.65)
    house.score(house.submit("ada"), 0.3)
    ada = house.browser("ada")
    for address in ("", "?page=1&sort=-team&q=a"):
        statements()
        assert ada.get("/competitions/biopsy/leaderboard" + address).status_code == 200
        spent = statements()
        assert len(spent) <= 3, spent
    assert "Jump to me" in ada.get("/competitions/biopsy/leaderboard").text


def test_the_board_marks_me_baselines_and_shared_ranks(house: House) -> None:
    house.baseline("Prior only", 0.66, 0.65)
    house.join("bob")
    house.score(house.submit("ada"), 0.3)
    house.score(house.submit("bob", b"other"), 0.3)
    page = house.browser("bob").get("/competitions/biopsy/leaderboard").text
    assert len(re.findall(r'<td class="num rank">1</td>', page)) == 2
    assert '<tr id="me" class="is-mine">' in page
    assert 'class="is-baseline"' in page
    assert '<span class="tag">baseline</span>' in page
    assert 'aria-sort="ascending"' in page
    assert "roc_auc" in page
    assert "Shift" not in page


def test_my_row_is_pinned_when_it_is_on_another_page(house: House) -> None:
    with house.database.begin() as session:
        now = db.now(session)
        for i in range(55):
            accounts.register(session, f"p{i}", None, now=now)
    for i in range(55):
        house.join(f"p{i}")
        house.score(house.submit(f"p{i}", str(i).encode()), 0.1)
    house.score(house.submit("ada"), 0.9)
    ada = house.browser("ada")
    first = ada.get("/competitions/biopsy/leaderboard").text
    assert 'class="pinned"' in first
    assert 'href="/competitions/biopsy/leaderboard?page=2#me"' in first
    second = ada.get("/competitions/biopsy/leaderboard?page=2").text
    assert 'class="pinned"' not in second
    assert 'id="me"' in second
    assert ada.get("/competitions/biopsy/leaderboard?page=7").location == "/competitions/biopsy/leaderboard"
    assert "p54" in ada.get("/competitions/biopsy/leaderboard?q=P54").text
    assert "No team is called that" in ada.get("/competitions/biopsy/leaderboard?q=zzz").text


def test_the_final_board_tells_who_rose_and_fell(house: House) -> None:
    house.join("bob")
    house.score(house.submit("ada"), 0.1, 0.9)
    house.score(house.submit("bob", b"other"), 0.2, 0.3)
    house.close()
    page = house.stranger().get("/competitions/biopsy/leaderboard").text
    assert "Final: private scores" in page
    assert '<span aria-hidden="true">▲</span>1<span class="aside"> places up' in page
    assert '<span aria-hidden="true">▼</span>1<span class="aside"> places down' in page


# -- organising --------------------------------------------------------------------------------


def test_the_organiser_sees_counts_workers_and_the_queue(house: House) -> None:
    house.submit("ada")
    grace = house.browser("grace")
    assert "No worker is alive" in grace.get("/competitions/biopsy/organise").text
    with house.database.begin() as session:
        beat(session, "host/12", "worker", now=db.now(session))
    page = grace.get("/competitions/biopsy/organise?part=pulse").text
    assert "<html" not in page
    assert "host/12" in page
    assert "Redis is away" in page


def test_the_organiser_pauses_resumes_and_closes(house: House) -> None:
    grace = house.browser("grace")
    grace.post("/competitions/biopsy/organise/pause", {"paused": "1"})
    assert competition(house).is_paused
    assert "paused" in house.browser("ada").get("/competitions/biopsy/submit").text
    grace.post("/competitions/biopsy/organise/pause", {"paused": "0"})
    assert not competition(house).is_paused
    assert "that teams were granted" not in grace.get("/competitions/biopsy/organise").text
    assert grace.post("/competitions/biopsy/organise/close").status_code == 303
    assert grace.post("/competitions/biopsy/organise/close").status_code == 409
    log = grace.get("/competitions/biopsy/organise").text
    for words in ("uploads paused", "uploads resumed", "competition closed"):
        assert words in log


def test_the_organiser_sends_a_failed_file_round_again(house: House) -> None:
    submission_id = house.submit("ada")
    house.fail(submission_id)
    grace = house.browser("grace")
    retry = f"/competitions/biopsy/organise/retry/{submission_id}"
    assert grace.post(retry).status_code == 303
    assert grace.post(retry).status_code == 409
    house.score(submission_id, 0.4)
    assert "0.40000" in house.browser("ada").get("/competitions/biopsy/submissions").text


def test_the_organiser_rescores_and_watches_the_progress(house: House) -> None:
    for i in range(2):
        house.score(house.submit("ada", str(i).encode()), 0.4)
    grace = house.browser("grace")
    assert grace.post("/competitions/biopsy/organise/rescore").status_code == 303
    page = grace.get("/competitions/biopsy/organise?part=pulse").text
    assert "Rescoring: asked for by grace" in page
    assert "0 of 2 done" in page
    house.score(1, 0.5)
    assert "1 of 2 done" in grace.get("/competitions/biopsy/organise?part=pulse").text


@pytest.mark.parametrize("is_over_for_others", [False, True])
def test_closing_now_is_for_everybody_and_the_page_says_so_before(
    house: House, is_over_for_others: bool
) -> None:
    with house.database.begin() as session:
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
    house.score(house.submit("ada"), 0.4)
    grace = house.browser("grace")
    assert "1 later close that teams were granted ends" in grace.get("/competitions/biopsy/organise").text
    assert grace.post("/competitions/biopsy/organise/close").status_code == 303
    page = grace.get("/competitions/biopsy/organise").text
    assert "closed for everybody, and its board shows the private scores. The later closes of teams" in page
    assert "extension revoked" in page
    with house.database.read() as session:
        found, now = competitions.by_slug(session, "biopsy"), db.now(session)
        assert found.is_settled(now)
        assert extensions.limits(session, found, session.get_one(Team, team)).closes_at == found.closes_at
    with pytest.raises(Closed):
        house.submit("ada", b"late")
    assert "0.12346" in house.stranger().get("/competitions/biopsy/leaderboard").text


def rescored(house: House, *values: float) -> tuple[str, dict[str, str]]:
    """A finished rescore as its page shows it: the page, and what its forms send."""
    ids = [house.submit("ada", str(i).encode()) for i in range(len(values))]
    for id_ in ids:
        house.score(id_, 0.4)
    house.browser("grace").post("/competitions/biopsy/organise/rescore")
    for id_, value in zip(ids, values, strict=True):
        house.score(id_, value)
    return seen(house)


def seen(house: House) -> tuple[str, dict[str, str]]:
    page = house.browser("grace").get("/competitions/biopsy/organise/rescore").text
    return page, {name: re.findall(f'name="{name}" value="([^"]+)"', page)[-1] for name in ("draft", "seen")}


RESCORE = "/competitions/biopsy/organise/rescore"


def test_a_rescore_is_applied_as_it_was_seen(house: House) -> None:
    page, sent = rescored(house, 0.5)
    assert "1 row of 1 would change" in page
    assert house.browser("grace").post(f"{RESCORE}/apply", sent).status_code == 303
    assert "0.50000" in house.browser("ada").get("/competitions/biopsy/leaderboard").text


@pytest.mark.parametrize("act", ["apply", "discard"])
def test_a_rescore_that_has_changed_since_it_was_seen_is_neither_applied_nor_discarded(
    house: House, act: str
) -> None:
    _, sent = rescored(house, 0.5, 0.6)
    with (
        house.database.begin() as session
    ):  # as when another file fails in the draft after the page was shown
        draft = competitions.draft_round(session, competitions.by_slug(session, "biopsy"))
        assert draft is not None
        evaluation = session.get_one(Evaluation, (1, draft.id))
        evaluation.state = State.FAILED
        session.delete(session.get_one(Score, (1, draft.id)))
    grace = house.browser("grace")
    refusal = grace.post(f"{RESCORE}/{act}", sent)
    assert refusal.status_code == 409
    assert "1 submissions would lose their score" in refusal.text
    assert "0.40000" in house.browser("ada").get("/competitions/biopsy/leaderboard").text
    page, sent = seen(house)
    assert "1 submission with a score today would have none" in page
    assert grace.post(f"{RESCORE}/{act}", sent).status_code == 303


def test_only_the_rescore_that_was_seen_is_ended(house: House) -> None:
    _, sent = rescored(house, 0.5)
    grace = house.browser("grace")
    refusal = grace.post(RESCORE)
    assert (refusal.status_code, "apply or discard it first" in refusal.text) == (409, True)
    with house.database.begin() as session:  # what the command may do, and this page not: begin it anew
        found = competitions.by_slug(session, "biopsy")
        rescores.begin_rescore(session, found, found.version, reason="anew", now=db.now(session))
    for act in ("apply", "discard"):
        refusal = grace.post(f"{RESCORE}/{act}", sent)
        assert (refusal.status_code, "replaced by another" in refusal.text) == (409, True)
    assert grace.post(f"{RESCORE}/discard", {"draft": sent["draft"]}).status_code == 409
    at_work = seen(house)[1] | {"seen": sent["seen"]}
    assert grace.post(f"{RESCORE}/apply", at_work).status_code == 409
    # Each score changes one that is at work: nobody could give it up as it was seen.
    assert grace.post(f"{RESCORE}/discard", at_work).status_code == 303


# -- the rest ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nowhere", "/competitions/none", "/submissions/77", "/competitions/biopsy/data/none.csv"]
)
def test_what_is_not_there_is_said_in_words(house: House, path: str) -> None:
    ada = house.browser("ada")
    page = ada.get(path)
    assert page.status_code == 404
    assert "<h1>Nothing here</h1>" in page.text
    assert ">ada</a>" in page.text  # the frame still knows who looks
    assert ada.post(path).status_code in (404, 405)


def test_the_licences_page_names_every_file_of_others(house: House) -> None:
    page = house.stranger().get("/licences").text
    for words in ("@picocss/pico 2.1.1", "htmx.org 2.0.11", "Zero-Clause BSD", "MIT License"):
        assert words in page


def test_static_files_are_named_by_their_content_and_kept(house: House) -> None:
    page = house.stranger().get("/").text
    (sheet,) = re.findall(r'href="(/static/heldout\.css\?v=\w{12})"', page)
    assert "immutable" in house.stranger().get(sheet).headers["Cache-Control"]
    assert "immutable" not in house.stranger().get("/static/heldout.css").headers["Cache-Control"]
    vendored = house.stranger().get("/static/vendor/pico-2.1.1/pico.min.css")
    assert "immutable" in vendored.headers["Cache-Control"]


def test_no_page_holds_a_script_a_style_or_an_address_of_elsewhere(house: House) -> None:
    house.score(house.submit("ada"), 0.3)
    for path in (
        "/",
        "/competitions/biopsy",
        "/competitions/biopsy/submissions",
        "/competitions/biopsy/leaderboard",
    ):
        page = house.browser("ada").get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", page)
        assert "<style" not in page
        assert " style=" not in page
        assert not re.search(r"\son\w+=", page)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


def test_a_submission_without_place_is_no_longer_waiting(house: House) -> None:
    submission_id = house.submit("ada")
    house.score(submission_id, 0.2)
    with house.database.read() as session:
        assert evaluations.place_in_queue(session, submission_id) is None
