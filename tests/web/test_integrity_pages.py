"""The pages of integrity: audit, cases, released scores, train files, and the report at the close."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scorer
from app.base import db
from app.base.models import ChallengeVersion, Inspection, State, Team
from app.integrity import inspections, train_files
from app.integrity.inspections import Kind
from app.web import charts, formats
from scorer.overfitting import close_report, diagnosis
from scorer.overfitting.close_teams import BoardFile
from tests.web.integrity_records import (
    EVIDENCE_CANARY,
    OOF,
    TRAIN,
    audited,
    inspected,
    own_rows,
    report,
    suspected,
)
from tests.web.site import CSV, House

PAGE = "/competitions/biopsy/integrity"
CHALLENGES = Path(__file__).resolve().parents[2] / "challenges"


def everybody(house: House) -> str:
    """All that those who take part can read without an own submission, in one text."""
    paths = ("", "/data", "/leaderboard", "/submissions", "/submit")
    pages = [house.browser("ada").get(f"/competitions/biopsy{path}").text for path in paths]
    api = house.stranger().client.get("/api/v1/competitions/biopsy", headers=house.token("ada")).text
    return "\n".join([*pages, api])


# -- the organiser's page ----------------------------------------------------------------------


def test_the_integrity_pages_do_not_exist_for_others(house: House) -> None:
    audited(house)
    (case_id,) = suspected(house, ("probing", "ada", None))
    for name in ("ada", None):
        browser = house.browser(name) if name else house.stranger()
        for path in ("", "?part=pulse", f"/cases/{case_id}"):
            assert browser.get(PAGE + path).status_code == 404
        for path, form in (
            ("/inspect", {"kind": "scan"}),
            (f"/cases/{case_id}", {"action": "note", "reason": "x" * 20}),
        ):
            assert browser.post(PAGE + path, form).status_code == 404
    assert house.browser("grace").get(PAGE).status_code == 200


def test_findings_are_ranked_with_their_evidence_advice_and_picture(house: House) -> None:
    audited(house)
    page = house.browser("grace").get(PAGE).text
    assert page.index("row order") < page.index("strong feature") < page.index("not checked")
    for words in (EVIDENCE_CANARY, "Shuffle the rows.", "effect 0.913", "p below 1e−300", "overridden"):
        assert words in page
    assert "The order is the order of time, as declared." in page
    assert "Share of positives by row" in page
    assert page.count('<rect class="bar"') == 3
    assert "600 points in between are not drawn" in page


def test_everybody_reads_the_passport_and_nothing_of_the_findings(house: House) -> None:
    audited(house)
    seen = everybody(house)
    assert "4 checks of the data before publishing, 1 passed" in seen
    assert "accepted by the organiser" in seen
    for secret in (
        EVIDENCE_CANARY,
        "0.913",
        "Shuffle",
        "order of time",
        "0.661234",
        "0.664321",
        "Forty files",
    ):
        assert secret not in seen


def test_a_version_without_an_audit_says_so(house: House) -> None:
    page = house.browser("grace").get(PAGE).text
    assert "published before data were audited" in page
    assert "published before there were benchmarks" in page
    assert "checks of the data" not in everybody(house)


def test_the_costs_of_each_way_stand_beside_each_other_with_the_chosen_one_marked(house: House) -> None:
    audited(house)
    page = house.browser("grace").get(PAGE).text
    assert re.search(r'class="is-ours">\s*<th scope="row">rounded', page)
    assert "most frequent class" in page
    assert "0.0188 (one standard error)" in page
    assert page.count("no end") == 2


def test_an_inspection_is_asked_for_and_followed_until_it_is_done(house: House) -> None:
    grace = house.browser("grace")
    assert 'hx-trigger="every 2s"' not in grace.get(PAGE).text
    assert grace.post(f"{PAGE}/inspect", {"kind": "scan"}).status_code == 303
    waiting = grace.get(f"{PAGE}?part=pulse")
    assert "Waits for a worker" in waiting.text
    assert "<html" not in waiting.text
    assert 'hx-trigger="every 2s"' in waiting.text
    assert "HX-Refresh" not in waiting.headers
    inspected(
        house,
        Kind.SCAN,
        {"seen": 2, "new": 1, "not_judged": ["Probing: too few files."], "looked_at": {"teams": 9}},
    )
    done = grace.get(f"{PAGE}?part=pulse")
    assert done.headers["HX-Refresh"] == "true"
    assert "9 teams: 2 things seen, 1 of them new." in done.text
    assert "Probing: too few files." in done.text
    assert grace.post(f"{PAGE}/inspect", {"kind": "train_files"}).status_code == 422


def test_a_running_inspection_shows_how_far_it_is_and_a_failed_one_why(house: House) -> None:
    grace = house.browser("grace")
    grace.post(f"{PAGE}/inspect", {"kind": "report"})
    with house.database.begin() as session:
        now = db.now(session)
        work = inspections.claim(session, "test", lease=timedelta(minutes=5), now=now)
        assert work is not None
        inspections.renew(
            session, work, lease=timedelta(minutes=5), now=now, progress=0.4, doing="Reading files"
        )
    assert "Reading files, 40 %" in grace.get(f"{PAGE}?part=pulse").text
    with house.database.begin() as session:
        for inspection in session.query(Inspection):
            inspection.attempt = inspections.MAX_ATTEMPTS
        last = replace(work, attempt=inspections.MAX_ATTEMPTS)
        inspections.give_back(session, last, "MemoryError: too many rows", now=now)
    page = grace.get(PAGE).text
    assert "MemoryError: too many rows" in page
    assert "Make the report" in page


# -- cases -------------------------------------------------------------------------------------


def test_open_cases_come_first_and_are_counted_where_the_organiser_works(house: House) -> None:
    house.join("bob")
    dismissed, kept = suspected(house, ("probing", "ada", None), ("copied_predictions", "bob", "ada"))
    grace = house.browser("grace")
    assert "2 open cases" in grace.get("/competitions/biopsy/organise").text
    form = {"action": "dismiss", "reason": "They were honest: a notebook of ours."}
    assert grace.post(f"{PAGE}/cases/{dismissed}", form).status_code == 303
    page = grace.get(PAGE).text
    assert page.index(f"/cases/{kept}") < page.index(f"/cases/{dismissed}")
    assert "1 open case," in grace.get("/competitions/biopsy/organise").text
    assert "did something odd" not in everybody(house)


def test_a_case_shows_its_numbers_its_picture_and_its_log(house: House) -> None:
    detail = {
        "files": 12,
        "shares": {"rough": 0.8123, "sparse": 0.1},
        "changes": [0.5, 0.25],
        "picture": {
            "kind": "points",
            "title": "Changes",
            "x": [1, 2, float("nan")],
            "y": [0.1, 0.2, 0.3],
            "text": "Two.",
        },
    }
    (case_id,) = suspected(house, ("probing", "ada", None), detail=detail)
    page = house.browser("grace").get(f"{PAGE}/cases/{case_id}").text
    for words in (
        "ada did something odd.",
        "Talk to them.",
        "shares, rough",
        "0.812",
        "0.5, 0.25",
        "seen</b> by scan",
    ):
        assert words in page
    assert page.count('<circle class="dot"') == 2


def test_every_action_keeps_who_and_why_and_can_be_undone(house: House) -> None:
    audited(house)
    house.score(house.submit("ada"), 0.3)
    (case_id,) = suspected(house, ("probing", "ada", None))
    grace, address = house.browser("grace"), f"{PAGE}/cases/{case_id}"
    board = "/competitions/biopsy/leaderboard"
    assert grace.post(address, {"action": "dismiss", "reason": "short"}).status_code == 422
    assert grace.post(address, {"action": "burn", "reason": "long enough by far"}).status_code == 422
    for action, reason in (
        ("note", "Wrote to them on Monday,\nno answer yet."),
        ("coarsen", "Looks like a code in the changes."),
        ("restore", "They explained their pipeline."),
        ("disqualify", "Two accounts, as they admit."),
    ):
        assert grace.post(address, {"action": action, "reason": reason}).status_code == 303
    page = grace.get(address).text
    for words in ("Wrote to them on Monday, no answer yet.", "coarsen</b> by grace", "Reinstate", "acted"):
        assert words in page
    assert "ada</span>" not in grace.get(board).text
    ada = house.browser("ada")
    for path in ("/submit", "/submissions"):
        assert "off the board: Two accounts, as they admit." in ada.get(f"/competitions/biopsy{path}").text
    assert 'id="upload"' not in ada.get("/competitions/biopsy/submit").text
    assert (
        grace.post(address, {"action": "reinstate", "reason": "It was a family of two."}).status_code == 303
    )
    assert "ada</span>" in grace.get(board).text
    assert "off the board" not in ada.get("/competitions/biopsy/submit").text


def test_of_a_pair_the_organiser_chooses_whom_an_action_concerns(house: House) -> None:
    house.join("bob")
    (case_id,) = suspected(house, ("copied_predictions", "ada", "bob"))
    grace, address = house.browser("grace"), f"{PAGE}/cases/{case_id}"
    assert grace.get(address).text.count('type="radio"') == 2
    with house.database.read() as session:
        bob = session.query(Team).filter(Team.name == "bob").one().id
    form = {"action": "disqualify", "reason": "It is Bob who copied."}
    assert grace.post(address, form | {"team": "999"}).status_code == 422
    assert grace.post(address, form | {"team": "9" * 5000}).status_code in (303, 422)
    with house.database.begin() as session:
        for team in session.query(Team):
            team.disqualified_at = team.disqualified_why = None
    assert grace.post(address, form | {"team": str(bob)}).status_code == 303
    with house.database.read() as session:
        assert [team.name for team in session.query(Team) if team.disqualified_at] == ["bob"]


def test_a_case_of_another_competition_is_not_there(house: House) -> None:
    assert house.browser("grace").get(f"{PAGE}/cases/77").status_code == 404


# -- how public scores are shown ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.66, 0.01, "0.66"),
        (0.1 + 0.2, 0.1, "0.3"),
        (1500.0, 500.0, "1\u202f500"),
        (-0.655, 0.005, "−0.655"),
        (0.0, 0.01, "0.00"),
        (0.6612, 0.01, "0.66120"),  # not of this step: no digit may be hidden
        (0.66, 0.0, "0.66000"),
    ],
)
def test_a_rounded_score_has_the_digits_of_its_step(value: float, step: float, text: str) -> None:
    assert formats.number(value, step) == text


def test_rounded_scores_are_shown_with_their_step_and_nothing_exact_before_the_close(house: House) -> None:
    audited(house)
    house.baseline("Prior only", 0.664321, 0.66)
    submission_id = house.submit("ada")
    house.score(submission_id, 0.312345678)
    seen = everybody(house) + house.browser("ada").get(f"/submissions/{submission_id}").text
    assert "0.310<" in seen
    assert "0.665<" in seen
    for exact in ("0.3123", "0.66432", "0.31000", "0.66500"):
        assert exact not in seen
    assert "0.312345678" in house.browser("grace").get(f"/submissions/{submission_id}").text
    house.close()
    assert "0.312345678" in house.browser("ada").get(f"/submissions/{submission_id}").text


@pytest.mark.parametrize(
    ("mode", "overview", "caption"),
    [
        ("exact", "shown exactly as they are computed", "shown exactly"),
        ("rounded", "rounded to steps of 0.005", "rounded to 0.005, equal ones share a rank"),
        (
            "ladder",
            "better than your last shown one by more than chance",
            "only for a significant improvement",
        ),
    ],
)
def test_everybody_is_told_how_public_scores_are_shown(
    mode: str, overview: str, caption: str, house: House
) -> None:
    audited(house, mode=mode)
    house.user("eve")
    assert overview in house.browser("ada").get("/competitions/biopsy").text
    assert overview in house.browser("ada").get("/competitions/biopsy/submit").text
    board = house.browser("ada").get("/competitions/biopsy/leaderboard").text
    assert caption in board
    told = house.stranger().client.get("/api/v1/competitions/biopsy", headers=house.token("ada")).json
    assert told is not None
    assert told["public_score"] == {"shown": mode, "step": None if mode == "exact" else 0.005}


def test_without_a_known_step_scores_are_called_exact_whatever_was_asked_for(house: House) -> None:
    house.change(public_score="rounded")
    assert "shown exactly as they are computed" in house.browser("ada").get("/competitions/biopsy").text


def test_the_total_limit_stands_beside_the_daily_one(house: House) -> None:
    house.change(total_limit=2)
    token = house.token("ada")
    assert "and 2 in all" in house.browser("bob").get("/competitions/biopsy").text
    assert "5 predictions a day, 2 in all" in house.browser("bob").get("/competitions/biopsy/submit").text
    house.score(house.submit("ada"), 0.3)
    ada = house.browser("ada")
    assert "<b>1 of 2</b> left for the whole competition" in ada.get("/competitions/biopsy/submit").text
    assert "1<small> of 2</small>" in ada.get("/competitions/biopsy/submissions").text
    quota = ada.client.get("/api/v1/competitions/biopsy/quota", headers=token).json
    assert quota is not None
    assert (quota["total_limit"], quota["total_used"], quota["remaining"]) == (2, 1, 1)
    house.score(house.submit("ada", b"another"), 0.3)
    page = ada.get("/competitions/biopsy/submit").text
    assert "All 2 that a team has for the whole competition are used" in page
    assert 'id="upload"' not in page


# -- train files -------------------------------------------------------------------------------


def test_folds_are_served_to_whom_the_data_are(house: House) -> None:
    audited(house)
    assert house.stranger().get("/competitions/biopsy/folds.csv").data == b"id,fold\n1,1\n2,2\n"
    token = house.token("ada")
    assert (
        house.stranger().client.get("/api/v1/competitions/biopsy/folds.csv", headers=token).status_code == 200
    )
    assert "Rows are in random folds." in house.stranger().get("/competitions/biopsy/data").text
    with house.database.read() as session:
        opens_at = db.now(session) + timedelta(days=1)
    house.change(opens_at=opens_at)
    assert house.browser("ada").get("/competitions/biopsy/folds.csv").status_code == 403
    assert house.browser("grace").get("/competitions/biopsy/folds.csv").status_code == 200


def test_where_there_are_no_folds_the_page_says_why_and_nothing_is_taken(house: House) -> None:
    submission_id = house.submit("ada")
    ada = house.browser("ada")
    assert "Beside the public score" not in ada.get(f"/submissions/{submission_id}").text
    with house.database.begin() as session:
        version = session.get_one(ChallengeVersion, 1)
        version.manifest = version.manifest | {"folds": {"why": "train.csv has no ids."}}
    assert "train.csv has no ids." in ada.get(f"/submissions/{submission_id}").text
    assert "train.csv has no ids." in ada.get("/competitions/biopsy/data").text
    assert send(house, submission_id, "oof").status_code == 422
    assert house.stranger().get("/competitions/biopsy/folds.csv").status_code == 404
    assert not list((house.storage.folder / "incoming").iterdir())


def test_a_rejected_file_asks_for_nothing_beside_the_score_that_it_has_not(house: House) -> None:
    audited(house)
    rejected, waits = house.submit("ada"), house.submit("ada")
    house.reject(rejected)
    ada = house.browser("ada")
    assert "Beside the public score" not in ada.get(f"/submissions/{rejected}").text
    assert "Beside the public score" in ada.get(f"/submissions/{waits}").text


def send(house: House, submission_id: int, kind: str, content: bytes = CSV, *, name: str = "ada") -> Any:
    return house.browser(name).post(
        f"/submissions/{submission_id}/train-files/{kind}",
        {"file": (io.BytesIO(content), "oof.csv")},
        content_type="multipart/form-data",
    )


def test_a_train_file_is_kept_queued_and_asks_for_its_score(house: House) -> None:
    audited(house)
    submission_id = house.submit("ada")
    answer = send(house, submission_id, "oof")
    assert answer.status_code == 303
    assert answer.location == f"/submissions/{submission_id}#beside"
    ada = house.browser("ada")
    part = ada.get(f"/submissions/{submission_id}?part=beside").text
    assert "waits for its score" in part
    assert 'hx-trigger="every 2s"' in part
    assert "<html" not in part
    kept = len(list(house.storage.folder.glob("??/*")))
    assert send(house, submission_id, "oof", CSV + b"3,0.5\n").status_code == 409
    assert len(list(house.storage.folder.glob("??/*"))) == kept
    assert ada.get(f"/submissions/{submission_id}/train-files/oof").data == CSV
    with house.database.read() as session:
        (waiting,) = session.query(Inspection).all()
        assert (waiting.kind, waiting.submission_id) == (Kind.TRAIN_FILES, submission_id)


def test_only_the_team_itself_sends_train_files_and_sees_the_part(house: House) -> None:
    audited(house)
    submission_id = house.submit("ada")
    house.join("bob")
    for name in ("bob", "grace"):
        assert send(house, submission_id, "oof", name=name).status_code == 404
    assert "Beside the public score" not in house.browser("grace").get(f"/submissions/{submission_id}").text
    assert send(house, submission_id, "test").status_code == 404
    house.change(max_upload_bytes=1000)
    assert send(house, submission_id, "oof", b"1,0.5\n" * 1000).status_code == 413
    assert not list((house.storage.folder / "incoming").iterdir())


def test_the_api_takes_train_files_and_tells_what_came_of_them(house: House) -> None:
    audited(house)
    submission_id = house.submit("ada")
    client, token = house.stranger().client, house.token("ada")
    address = f"/api/v1/submissions/{submission_id}/train-files"
    sent = client.post(f"{address}/oof", headers=token, data=CSV, content_type="text/csv")
    assert sent.status_code == 201
    assert sent.json is not None
    assert sent.json["state"] == "queued"
    with house.database.begin() as session:
        file = train_files.get(session, submission_id, "oof")
        train_files.record(session, submission_id, "oof", file.sha256, state=State.SCORED, result=OOF)
    told = client.get(address, headers=token).json
    assert told is not None
    assert told["train_files"][0]["result"]["folds"][0] == {"fold": 1, "rows": 80, "value": 0.26}


def test_a_rejected_train_file_lists_its_problems(house: House) -> None:
    audited(house)
    submission_id = house.submit("ada")
    send(house, submission_id, "train")
    with house.database.begin() as session:
        file = train_files.get(session, submission_id, "train")
        problems = [{"code": "CANNOT_SCORE_TRAIN", "message": "train.csv lacks the target."}]
        train_files.record(
            session, submission_id, "train", file.sha256, state=State.REJECTED, problems=problems
        )
    page = house.browser("ada").get(f"/submissions/{submission_id}").text
    assert "train.csv lacks the target." in page
    assert "Send another file" in page


def test_train_out_of_fold_and_public_stand_beside_each_other(house: House) -> None:
    audited(house)
    submission_id = house.submit("ada")
    house.score(submission_id, 0.312345678, 0.4)
    own_rows(house, submission_id, oof=OOF, train=TRAIN)
    page = house.browser("ada").get(f"/submissions/{submission_id}").text
    part = page[page.index('id="beside"') :]
    for words in (
        "it overfits",
        "0.27120",
        "± 0.0101",
        "0.10340",
        "0.310",
        "± 0.0188",
        "fold 5",
        "Calibration",
    ):
        assert words in part
    assert "private" not in re.sub(r"<[^>]+>", "", part)
    assert "0.3123" not in page
    house.close()
    page = house.browser("ada").get(f"/submissions/{submission_id}").text
    part = page[page.index('id="beside"') :]
    assert "0.40000" in part
    assert "± 0.0123" in part  # the benchmark's, from 60 rows to 140


@pytest.mark.parametrize(
    ("slug", "words"),
    [("biopsy", "Calibration"), ("diabetes", "Residuals"), ("digits", "Confusion: rows are the truth")],
)
def test_the_pictures_of_real_out_of_fold_predictions_are_drawn(slug: str, words: str, house: House) -> None:
    audited(house)
    submission_id = house.submit("ada")
    challenge = scorer.load(CHALLENGES / slug)
    scored = diagnosis.score_oof(challenge, noisy(challenge.folder / "public" / "train.csv", slug))
    result = OOF | {
        "value": scored.value,
        "se": scored.se,
        "n": len(scored.rows),
        "picture": dict(scored.picture),
    }
    own_rows(house, submission_id, oof=json.loads(json.dumps(result)))
    assert words in house.browser("ada").get(f"/submissions/{submission_id}").text


def noisy(
    table: Path, slug: str, *, seed: int = 1, keep: Callable[[dict[str, str]], bool] = lambda _: True
) -> bytes:
    """Predictions of a table's own target that are right up to some noise."""
    dice = np.random.default_rng(seed)
    target = {"biopsy": "malignant", "diabetes": "progression", "digits": "digit"}[slug]
    with table.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if keep(row)]
    spread = dice.normal(size=len(rows))
    lines = [f"id,{target}"]
    for row, z in zip(rows, spread.tolist(), strict=True):
        truth = float(row[target])
        guess = {
            "biopsy": f"{1 / (1 + np.exp(-(4 * truth - 2 + 1.5 * z))):.4f}",
            "diabetes": f"{truth + 40 * z:.2f}",
            "digits": str(int(truth) if abs(z) < 1.5 else int(truth + 1) % 10),
        }[slug]
        lines.append(f"{row['id']},{guess}")
    return "\n".join(lines).encode()


# -- the report --------------------------------------------------------------------------------


def test_the_report_is_everybodys_only_after_the_close_and_only_one_made_then(house: House) -> None:
    page, api = "/competitions/biopsy/report", "/api/v1/competitions/biopsy/report"
    token = house.token("ada")
    inspected(house, Kind.REPORT, report(["ada", "early"]))
    grace, ada = house.browser("grace"), house.browser("ada")
    assert "The competition is not over" in grace.get(page).text
    for reader in (ada, house.stranger()):
        assert reader.get(page).status_code == 404
    assert ada.client.get(api, headers=house.token("grace")).status_code == 404
    house.close()
    assert ada.get(page).status_code == 404
    assert "How much of this board is chance" not in ada.get("/competitions/biopsy/leaderboard").text
    inspected(house, Kind.REPORT, report(["ada", "late"]), after=timedelta(seconds=1))
    assert "late" in house.stranger().get(page).text
    assert "How much of this board is chance" in ada.get("/competitions/biopsy/leaderboard").text
    told = ada.client.get(api, headers=token)
    assert told.json is not None
    assert [row["name"] for row in told.json["board"]] == ["ada", "late"]
    assert "The largest gap" not in told.text


def test_the_report_of_a_large_board_is_complete_and_light(house: House) -> None:
    house.close()
    inspected(house, Kind.REPORT, report([f"team {i}" for i in range(200)]), after=timedelta(seconds=1))
    answer = house.stranger().get("/competitions/biopsy/report")
    page = answer.text
    assert len(answer.data) < 400_000
    assert page.count('class="span"') == 200
    for words in (
        "3 teams are tied for first",
        "by a paired bootstrap",
        "this much is noise",
        "It overfits.",
        "Whole groups of rows",
        "6 to 16",
        "p = 0.31",
        "team 199: 0.",
    ):
        assert words in page
    assert "For organisers only" not in page
    assert "The largest gap" not in page
    mine = house.browser("grace").get("/competitions/biopsy/report").text
    assert "The largest gap is 3.1." in mine
    assert mine.count(">look</span>") == 1


@pytest.mark.parametrize("n_teams", [1, 12])
def test_a_report_as_the_worker_computes_it_is_shown(n_teams: int, house: House) -> None:
    challenge = scorer.load(CHALLENGES / "biopsy")
    solution = challenge.folder / "private" / "solution.csv"
    made = close_report.close_report(
        challenge, board_files(solution, n_teams), progress=lambda *_: None, seed=0
    )
    house.close()
    inspected(house, Kind.REPORT, json.loads(json.dumps(made.as_dict())), after=timedelta(seconds=1))
    page = house.browser("grace").get("/competitions/biopsy/report").text
    assert page.count('class="span"') == n_teams
    assert "Public against private" in page
    assert f"team {n_teams - 1}</span>" in page


def board_files(solution: Path, n: int) -> Sequence[BoardFile]:
    return [
        BoardFile(str(i), f"team {i}", noisy(solution, "biopsy", seed=i), is_public_best=True, is_final=True)
        for i in range(n)
    ]


def test_an_empty_report_still_reads(house: House) -> None:
    house.close()
    empty = {"notes": ["No team has both a public and a final file."], "public": {"board": [], "ties": None}}
    inspected(house, Kind.REPORT, empty, after=timedelta(seconds=1))
    assert "No team has both" in house.stranger().get("/competitions/biopsy/report").text


# -- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["line", "bars", "points"])
def test_a_plot_stays_inside_its_frame(kind: str) -> None:
    few = [[0.0], [5.0, 5.0], [-1.0, 2.0, -3.0], [1e-12, 1e12], [float("nan"), 1.0, float("inf")]]
    for values in [*few, list(map(float, range(5000)))]:
        for xs in (None, [f"name {i}" for i in range(len(values))]):
            picture = {"kind": kind, "x": xs, "y": values, "se": [0.1] * len(values), "reference": "zero"}
            drawn = charts.plot(picture)
            assert drawn is not None
            for x, y in [(d.x, d.y) for d in drawn.dots] + [(b.x, b.y) for b in drawn.bars]:
                assert drawn.left - 1 <= x <= drawn.right + 1
                assert drawn.top - 1 <= y <= drawn.bottom + 1
            assert len(drawn.dots) <= charts.MAX_MARKS


def test_a_plot_of_nothing_is_none() -> None:
    assert charts.plot(None) is None
    assert charts.plot({"kind": "bars", "x": [], "y": []}) is None
    assert charts.plot({"kind": "points", "x": [float("nan")], "y": [1.0]}) is None
    assert charts.whiskers([("one", 1.0, 0.1)]) is None


def test_no_integrity_page_holds_a_script_a_style_or_what_people_wrote_as_tags(house: House) -> None:
    audited(house)
    house.browser("ada").post("/competitions/biopsy/team", {"name": "<b onclick=x>"})
    submission_id = house.submit("ada")
    house.score(submission_id, 0.3)
    (case_id,) = suspected(house, ("probing", "<b onclick=x>", None), detail={"<i>": "<script>1</script>"})
    own_rows(house, submission_id, oof=OOF)
    inspected(house, Kind.REPORT, report(["<b onclick=x>", "<script>2</script>"]))
    grace, ada = house.browser("grace"), house.browser("ada")
    pages = [
        grace.get(path).text for path in (PAGE, f"{PAGE}/cases/{case_id}", "/competitions/biopsy/report")
    ]
    for page in [*pages, ada.get(f"/submissions/{submission_id}").text]:
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", page)
        assert " style=" not in page
        for tag in ("<b onclick", "<i>", "<script>1", "<script>2"):
            assert tag not in page
