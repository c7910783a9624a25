"""Pages of data audit, cases, shown scores, train files and report."""

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
from tests.web.site import CSV, Site

PAGE = "/competitions/biopsy/integrity"
CHALLENGES = Path(__file__).resolve().parents[2] / "challenges"


def participants_see(site: Site) -> str:
    """Return all pages that participants see without a submission."""
    paths = ("", "/data", "/leaderboard", "/submissions", "/submit")
    pages = [site.browser("ada").get(f"/competitions/biopsy{path}").text for path in paths]
    api = site.visitor().client.get("/api/v1/competitions/biopsy", headers=site.token("ada")).text
    return "\n".join([*pages, api])


def test_the_integrity_pages_do_not_exist_for_others(site: Site) -> None:
    audited(site)
    (case_id,) = suspected(site, ("probing", "ada", None))
    for name in ("ada", None):
        browser = site.browser(name) if name else site.visitor()
        for path in ("", "?part=pulse", f"/cases/{case_id}"):
            assert browser.get(PAGE + path).status_code == 404
        for path, form in (
            ("/inspect", {"kind": "scan"}),
            (f"/cases/{case_id}", {"action": "note", "reason": "x" * 20}),
        ):
            assert browser.post(PAGE + path, form).status_code == 404
    assert site.browser("grace").get(PAGE).status_code == 200


def test_findings_are_ranked_with_their_evidence_advice_and_picture(site: Site) -> None:
    audited(site)
    page = site.browser("grace").get(PAGE).text
    assert page.index("row order") < page.index("strong feature") < page.index("not checked")
    for words in (EVIDENCE_CANARY, "Shuffle the rows.", "effect 0.913", "p below 1e−300", "overridden"):
        assert words in page
    assert "The order is the order of time, as declared." in page
    assert "Share of positives by row" in page
    assert page.count('<rect class="bar"') == 3
    assert "600 more points are not drawn" in page


def test_participants_see_the_data_audit_without_findings(site: Site) -> None:
    audited(site)
    seen = participants_see(site)
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


def test_a_version_without_an_audit_says_so(site: Site) -> None:
    page = site.browser("grace").get(PAGE).text
    assert "published without a data audit" in page
    assert "published without a benchmark" in page
    assert "checks of the data" not in participants_see(site)


def test_costs_of_each_release_rule_are_listed_and_the_chosen_one_marked(site: Site) -> None:
    audited(site)
    page = site.browser("grace").get(PAGE).text
    assert re.search(r'class="is-ours">\s*<th scope="row">rounded', page)
    assert "most frequent class" in page
    assert "Its standard error on the public rows is 0.0188:" in page
    assert page.count("unlimited") == 2


def test_an_inspection_is_started_and_shown_until_it_is_done(site: Site) -> None:
    grace = site.browser("grace")
    assert 'data-every="2"' not in grace.get(PAGE).text
    assert grace.post(f"{PAGE}/inspect", {"kind": "scan"}).status_code == 303
    waiting = grace.get(f"{PAGE}?part=pulse")
    assert "Waiting for a worker" in waiting.text
    assert "<html" not in waiting.text
    assert 'data-every="2"' in waiting.text
    assert "X-Reload" not in waiting.headers
    inspected(
        site,
        Kind.SCAN,
        {"seen": 2, "new": 1, "not_judged": ["Probing: too few files."], "looked_at": {"teams": 9}},
    )
    done = grace.get(f"{PAGE}?part=pulse")
    assert done.headers["X-Reload"] == "true"
    assert "9 teams: 2 suspicions found, 1 of them new." in done.text
    assert "Probing: too few files." in done.text
    assert grace.post(f"{PAGE}/inspect", {"kind": "train_files"}).status_code == 422


def test_a_running_inspection_shows_progress_and_a_failed_one_its_error(site: Site) -> None:
    grace = site.browser("grace")
    grace.post(f"{PAGE}/inspect", {"kind": "report"})
    with site.database.begin() as session:
        now = db.now(session)
        work = inspections.claim(session, "test", lease=timedelta(minutes=5), now=now)
        assert work is not None
        inspections.renew(
            session, work, lease=timedelta(minutes=5), now=now, progress=0.4, doing="Reading files"
        )
    assert "Reading files, 40 %" in grace.get(f"{PAGE}?part=pulse").text
    with site.database.begin() as session:
        for inspection in session.query(Inspection):
            inspection.attempt = inspections.MAX_ATTEMPTS
        last = replace(work, attempt=inspections.MAX_ATTEMPTS)
        inspections.give_back(session, last, "MemoryError: too many rows", now=now)
    page = grace.get(PAGE).text
    assert "MemoryError: too many rows" in page
    assert "Make the report" in page


def test_open_cases_come_first_and_are_counted(site: Site) -> None:
    site.join("bob")
    dismissed, kept = suspected(site, ("probing", "ada", None), ("copied_predictions", "bob", "ada"))
    grace = site.browser("grace")
    assert "2 open cases" in grace.get("/competitions/biopsy/organise").text
    form = {"action": "dismiss", "reason": "They were honest: a notebook of ours."}
    assert grace.post(f"{PAGE}/cases/{dismissed}", form).status_code == 303
    page = grace.get(PAGE).text
    assert page.index(f"/cases/{kept}") < page.index(f"/cases/{dismissed}")
    assert "1 open case," in grace.get("/competitions/biopsy/organise").text
    assert "did something odd" not in participants_see(site)


def test_a_case_shows_its_numbers_chart_and_log(site: Site) -> None:
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
    (case_id,) = suspected(site, ("probing", "ada", None), detail=detail)
    page = site.browser("grace").get(f"{PAGE}/cases/{case_id}").text
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


def test_every_action_records_actor_and_reason_and_can_be_undone(site: Site) -> None:
    audited(site)
    site.score(site.submit("ada"), 0.3)
    (case_id,) = suspected(site, ("probing", "ada", None))
    grace, address = site.browser("grace"), f"{PAGE}/cases/{case_id}"
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
    ada = site.browser("ada")
    for path in ("/submit", "/submissions"):
        assert (
            "has disqualified ada: Two accounts, as they admit."
            in ada.get(f"/competitions/biopsy{path}").text
        )
    assert 'id="upload"' not in ada.get("/competitions/biopsy/submit").text
    assert (
        grace.post(address, {"action": "reinstate", "reason": "It was a family of two."}).status_code == 303
    )
    assert "ada</span>" in grace.get(board).text
    assert "has disqualified" not in ada.get("/competitions/biopsy/submit").text


def test_the_organiser_chooses_the_team_of_a_pair(site: Site) -> None:
    site.join("bob")
    (case_id,) = suspected(site, ("copied_predictions", "ada", "bob"))
    grace, address = site.browser("grace"), f"{PAGE}/cases/{case_id}"
    assert grace.get(address).text.count('type="radio"') == 2
    with site.database.read() as session:
        bob = session.query(Team).filter(Team.name == "bob").one().id
    form = {"action": "disqualify", "reason": "It is Bob who copied."}
    assert grace.post(address, form | {"team": "999"}).status_code == 422
    assert grace.post(address, form | {"team": "9" * 5000}).status_code in (303, 422)
    with site.database.begin() as session:
        for team in session.query(Team):
            team.disqualified_at = team.disqualified_why = None
    assert grace.post(address, form | {"team": str(bob)}).status_code == 303
    with site.database.read() as session:
        assert [team.name for team in session.query(Team) if team.disqualified_at] == ["bob"]


def test_a_case_of_another_competition_is_not_found(site: Site) -> None:
    assert site.browser("grace").get(f"{PAGE}/cases/77").status_code == 404


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.66, 0.01, "0.66"),
        (0.1 + 0.2, 0.1, "0.3"),
        (1500.0, 500.0, "1\u202f500"),
        (-0.655, 0.005, "−0.655"),
        (0.0, 0.01, "0.00"),
        (0.6612, 0.01, "0.66120"),  # not a multiple of the step: all digits are shown
        (0.66, 0.0, "0.66000"),
    ],
)
def test_a_rounded_score_has_the_digits_of_its_step(value: float, step: float, text: str) -> None:
    assert formats.number(value, step) == text


def test_rounded_scores_are_shown_with_their_step_and_nothing_exact_before_the_close(site: Site) -> None:
    audited(site)
    site.baseline("Prior only", 0.664321, 0.66)
    submission_id = site.submit("ada")
    site.score(submission_id, 0.312345678)
    seen = participants_see(site) + site.browser("ada").get(f"/submissions/{submission_id}").text
    assert "0.310<" in seen
    assert "0.665<" in seen
    for exact in ("0.3123", "0.66432", "0.31000", "0.66500"):
        assert exact not in seen
    assert "0.312345678" in site.browser("grace").get(f"/submissions/{submission_id}").text
    site.close()
    assert "0.312345678" in site.browser("ada").get(f"/submissions/{submission_id}").text


@pytest.mark.parametrize("mode", ["exact", "rounded", "ladder"])
def test_the_worst_score_that_is_shown_is_named_where_scores_are_rounded(mode: str, site: Site) -> None:
    audited(site, mode=mode)
    words = "Scores worse than 1.310 are shown as it."
    assert words not in site.browser("ada").get("/competitions/biopsy").text
    with site.database.begin() as session:
        version = session.query(ChallengeVersion).order_by(ChallengeVersion.id.desc()).first()
        assert version is not None
        version.benchmark = {**(version.benchmark or {}), "range": [None, 1.31]}
    assert (words in site.browser("bob").get("/competitions/biopsy").text) == (mode == "rounded")


@pytest.mark.parametrize(
    ("mode", "overview", "caption"),
    [
        ("exact", "Public scores are shown exactly.", "shown exactly"),
        ("rounded", "rounded to steps of 0.005", "rounded to 0.005; equal scores share a rank"),
        (
            "ladder",
            "better than your last shown score by more than chance",
            "only for a significant improvement",
        ),
    ],
)
def test_pages_and_api_explain_how_public_scores_are_shown(
    mode: str, overview: str, caption: str, site: Site
) -> None:
    audited(site, mode=mode)
    site.user("eve")
    assert overview in site.browser("ada").get("/competitions/biopsy").text
    assert overview in site.browser("ada").get("/competitions/biopsy/submit").text
    board = site.browser("ada").get("/competitions/biopsy/leaderboard").text
    assert caption in board
    shown_json = site.visitor().client.get("/api/v1/competitions/biopsy", headers=site.token("ada")).json
    assert shown_json is not None
    assert shown_json["public_score"] == {"shown": mode, "step": None if mode == "exact" else 0.005}


def test_without_a_step_the_release_rule_is_exact(site: Site) -> None:
    site.change(public_score="rounded")
    assert "Public scores are shown exactly." in site.browser("ada").get("/competitions/biopsy").text


def test_the_total_limit_is_shown_with_the_daily_limit(site: Site) -> None:
    site.change(total_limit=2)
    token = site.token("ada")
    assert "and 2 in total" in site.browser("bob").get("/competitions/biopsy").text
    assert "5 submissions a day, 2 in total" in site.browser("bob").get("/competitions/biopsy/submit").text
    site.score(site.submit("ada"), 0.3)
    ada = site.browser("ada")
    assert "<b>1 of 2</b> left for the whole competition" in ada.get("/competitions/biopsy/submit").text
    assert "<b>1 of 2</b> left in total" in ada.get("/competitions/biopsy/submissions").text
    quota = ada.client.get("/api/v1/competitions/biopsy/quota", headers=token).json
    assert quota is not None
    assert (quota["total_limit"], quota["total_used"], quota["remaining"]) == (2, 1, 1)
    site.score(site.submit("ada", b"another"), 0.3)
    page = ada.get("/competitions/biopsy/submit").text
    assert "You have used all 2 uploads of this competition" in page
    assert 'id="upload"' not in page


def test_folds_are_served_like_the_data(site: Site) -> None:
    audited(site)
    assert site.visitor().get("/competitions/biopsy/folds.csv").data == b"id,fold\n1,1\n2,2\n"
    token = site.token("ada")
    assert (
        site.visitor().client.get("/api/v1/competitions/biopsy/folds.csv", headers=token).status_code == 200
    )
    assert "Rows are in random folds." in site.visitor().get("/competitions/biopsy/data").text
    with site.database.read() as session:
        opens_at = db.now(session) + timedelta(days=1)
    site.change(opens_at=opens_at)
    assert site.browser("ada").get("/competitions/biopsy/folds.csv").status_code == 403
    assert site.browser("grace").get("/competitions/biopsy/folds.csv").status_code == 200


def test_without_folds_the_page_gives_the_reason_and_train_files_are_refused(site: Site) -> None:
    submission_id = site.submit("ada")
    ada = site.browser("ada")
    assert "Beside the public score" not in ada.get(f"/submissions/{submission_id}").text
    with site.database.begin() as session:
        version = session.get_one(ChallengeVersion, 1)
        version.manifest = version.manifest | {"folds": {"why": "train.csv has no ids."}}
    assert "train.csv has no ids." in ada.get(f"/submissions/{submission_id}").text
    assert "train.csv has no ids." in ada.get("/competitions/biopsy/data").text
    assert send(site, submission_id, "oof").status_code == 422
    assert site.visitor().get("/competitions/biopsy/folds.csv").status_code == 404
    assert not list((site.storage.folder / "incoming").iterdir())


def test_a_rejected_submission_offers_no_train_files(site: Site) -> None:
    audited(site)
    rejected, waits = site.submit("ada"), site.submit("ada")
    site.reject(rejected)
    ada = site.browser("ada")
    assert "Beside the public score" not in ada.get(f"/submissions/{rejected}").text
    assert "Beside the public score" in ada.get(f"/submissions/{waits}").text


def send(site: Site, submission_id: int, kind: str, content: bytes = CSV, *, name: str = "ada") -> Any:
    return site.browser(name).post(
        f"/submissions/{submission_id}/train-files/{kind}",
        {"file": (io.BytesIO(content), "oof.csv")},
        content_type="multipart/form-data",
    )


def test_a_train_file_is_stored_and_queued_for_scoring(site: Site) -> None:
    audited(site)
    submission_id = site.submit("ada")
    answer = send(site, submission_id, "oof")
    assert answer.status_code == 303
    assert answer.location == f"/submissions/{submission_id}#beside"
    ada = site.browser("ada")
    part = ada.get(f"/submissions/{submission_id}?part=beside").text
    assert "waiting for its score" in part
    assert 'data-every="2"' in part
    assert "<html" not in part
    kept = len(list(site.storage.folder.glob("??/*")))
    assert send(site, submission_id, "oof", CSV + b"3,0.5\n").status_code == 409
    assert len(list(site.storage.folder.glob("??/*"))) == kept
    assert ada.get(f"/submissions/{submission_id}/train-files/oof").data == CSV
    with site.database.read() as session:
        (waiting,) = session.query(Inspection).all()
        assert (waiting.kind, waiting.submission_id) == (Kind.TRAIN_FILES, submission_id)


def test_only_the_team_itself_uploads_train_files_and_sees_their_scores(site: Site) -> None:
    audited(site)
    submission_id = site.submit("ada")
    site.join("bob")
    for name in ("bob", "grace"):
        assert send(site, submission_id, "oof", name=name).status_code == 404
    assert "Beside the public score" not in site.browser("grace").get(f"/submissions/{submission_id}").text
    assert send(site, submission_id, "test").status_code == 404
    site.change(max_upload_bytes=1000)
    assert send(site, submission_id, "oof", b"1,0.5\n" * 1000).status_code == 413
    assert not list((site.storage.folder / "incoming").iterdir())


def test_page_and_upload_name_the_limit_of_the_scorer_for_train_files(site: Site) -> None:
    audited(site)
    with site.database.begin() as session:
        version = session.get_one(ChallengeVersion, 1)
        version.manifest = version.manifest | {"folds": version.manifest["folds"] | {"max_bytes": 50_000}}
    submission_id = site.submit("ada")
    assert "up to 50 kB" in site.browser("ada").get(f"/submissions/{submission_id}").text
    assert send(site, submission_id, "oof", b"x" * 50_000).status_code == 303
    assert send(site, submission_id, "train", b"x" * 50_001).status_code == 413


def test_the_api_accepts_train_files_and_returns_their_results(site: Site) -> None:
    audited(site)
    submission_id = site.submit("ada")
    client, token = site.visitor().client, site.token("ada")
    address = f"/api/v1/submissions/{submission_id}/train-files"
    sent = client.post(f"{address}/oof", headers=token, data=CSV, content_type="text/csv")
    assert sent.status_code == 201
    assert sent.json is not None
    assert sent.json["state"] == "queued"
    with site.database.begin() as session:
        file = train_files.get(session, submission_id, "oof")
        train_files.record(session, submission_id, "oof", file.sha256, state=State.SCORED, result=OOF)
    shown_json = client.get(address, headers=token).json
    assert shown_json is not None
    assert shown_json["train_files"][0]["result"]["folds"][0] == {"fold": 1, "rows": 80, "value": 0.26}


def test_a_rejected_train_file_lists_its_problems(site: Site) -> None:
    audited(site)
    submission_id = site.submit("ada")
    send(site, submission_id, "train")
    with site.database.begin() as session:
        file = train_files.get(session, submission_id, "train")
        problems = [{"code": "CANNOT_SCORE_TRAIN", "message": "train.csv lacks the target."}]
        train_files.record(
            session, submission_id, "train", file.sha256, state=State.REJECTED, problems=problems
        )
    page = site.browser("ada").get(f"/submissions/{submission_id}").text
    assert "train.csv lacks the target." in page
    assert "Upload another file" in page


def test_train_out_of_fold_and_public_scores_are_shown_together(site: Site) -> None:
    audited(site)
    submission_id = site.submit("ada")
    site.score(submission_id, 0.312345678, 0.4)
    own_rows(site, submission_id, oof=OOF, train=TRAIN)
    page = site.browser("ada").get(f"/submissions/{submission_id}").text
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
    site.close()
    page = site.browser("ada").get(f"/submissions/{submission_id}").text
    part = page[page.index('id="beside"') :]
    assert "0.40000" in part
    assert "± 0.0123" in part  # the benchmark's, scaled from 60 rows to 140


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        ("biopsy", "Calibration"),
        ("diabetes", "Residuals"),
        ("digits", "Confusion matrix: rows are true classes"),
    ],
)
def test_charts_of_real_out_of_fold_predictions_are_drawn(slug: str, words: str, site: Site) -> None:
    audited(site)
    submission_id = site.submit("ada")
    challenge = scorer.load(CHALLENGES / slug)
    scored = diagnosis.score_oof(challenge, noisy(challenge.folder / "public" / "train.csv", slug))
    result = OOF | {
        "value": scored.value,
        "se": scored.se,
        "n": len(scored.rows),
        "picture": dict(scored.picture),
    }
    own_rows(site, submission_id, oof=json.loads(json.dumps(result)))
    assert words in site.browser("ada").get(f"/submissions/{submission_id}").text


def noisy(
    table: Path, slug: str, *, seed: int = 1, keep: Callable[[dict[str, str]], bool] = lambda _: True
) -> bytes:
    """Return predictions equal to the table's target plus noise."""
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


def test_the_report_is_public_after_the_close_if_made_after_it(site: Site) -> None:
    page, api = "/competitions/biopsy/report", "/api/v1/competitions/biopsy/report"
    token = site.token("ada")
    inspected(site, Kind.REPORT, report(["ada", "early"]))
    grace, ada = site.browser("grace"), site.browser("ada")
    assert "The competition is not over" in grace.get(page).text
    for reader in (ada, site.visitor()):
        assert reader.get(page).status_code == 404
    assert ada.client.get(api, headers=site.token("grace")).status_code == 404
    site.close()
    assert ada.get(page).status_code == 404
    assert "Read the close report" not in ada.get("/competitions/biopsy/leaderboard").text
    inspected(site, Kind.REPORT, report(["ada", "late"]), after=timedelta(seconds=1))
    assert "late" in site.visitor().get(page).text
    assert "Read the close report" in ada.get("/competitions/biopsy/leaderboard").text
    shown_json = ada.client.get(api, headers=token)
    assert shown_json.json is not None
    assert [row["name"] for row in shown_json.json["board"]] == ["ada", "late"]
    assert "The largest gap" not in shown_json.text


def test_the_report_of_a_large_board_is_complete_and_small(site: Site) -> None:
    site.close()
    inspected(site, Kind.REPORT, report([f"team {i}" for i in range(200)]), after=timedelta(seconds=1))
    answer = site.visitor().get("/competitions/biopsy/report")
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
    mine = site.browser("grace").get("/competitions/biopsy/report").text
    assert "The largest gap is 3.1." in mine
    assert mine.count(">review</span>") == 1


@pytest.mark.parametrize("n_teams", [1, 12])
def test_a_report_as_the_worker_computes_it_is_shown(n_teams: int, site: Site) -> None:
    challenge = scorer.load(CHALLENGES / "biopsy")
    solution = challenge.folder / "private" / "solution.csv"
    made = close_report.close_report(
        challenge, board_files(solution, n_teams), progress=lambda *_: None, seed=0
    )
    site.close()
    inspected(site, Kind.REPORT, json.loads(json.dumps(made.as_dict())), after=timedelta(seconds=1))
    page = site.browser("grace").get("/competitions/biopsy/report").text
    assert page.count('class="span"') == n_teams
    assert "Public against private" in page
    assert f"team {n_teams - 1}</span>" in page


def board_files(solution: Path, n: int) -> Sequence[BoardFile]:
    return [
        BoardFile(str(i), f"team {i}", noisy(solution, "biopsy", seed=i), is_public_best=True, is_final=True)
        for i in range(n)
    ]


@pytest.mark.parametrize(("marked", "tags"), [(0, 0), (1, 0), (2, 2)])
def test_a_clear_winner_is_not_marked_as_tied_on_the_page(site: Site, marked: int, tags: int) -> None:
    # Reports of earlier versions mark the winner in any case.
    site.close()
    made = report(["ada", "bob", "cy"])
    for place, row in enumerate(made["public"]["board"]):
        row["tied_with_first"] = place < marked
    inspected(site, Kind.REPORT, made, after=timedelta(seconds=1))
    page = site.visitor().get("/competitions/biopsy/report").text
    assert page.count('<span class="tag">tied</span>') == tags
    assert ("No team is tied with the first" in page) == (tags == 0)


def test_an_empty_report_is_shown(site: Site) -> None:
    site.close()
    empty = {"notes": ["No team has both a public and a final file."], "public": {"board": [], "ties": None}}
    inspected(site, Kind.REPORT, empty, after=timedelta(seconds=1))
    assert "No team has both" in site.visitor().get("/competitions/biopsy/report").text


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


def test_integrity_pages_have_no_scripts_no_styles_and_no_unescaped_texts(site: Site) -> None:
    audited(site)
    site.browser("ada").post("/competitions/biopsy/team", {"name": "<b onclick=x>"})
    submission_id = site.submit("ada")
    site.score(submission_id, 0.3)
    (case_id,) = suspected(site, ("probing", "<b onclick=x>", None), detail={"<i>": "<script>1</script>"})
    own_rows(site, submission_id, oof=OOF)
    inspected(site, Kind.REPORT, report(["<b onclick=x>", "<script>2</script>"]))
    grace, ada = site.browser("grace"), site.browser("ada")
    pages = [
        grace.get(path).text for path in (PAGE, f"{PAGE}/cases/{case_id}", "/competitions/biopsy/report")
    ]
    for page in [*pages, ada.get(f"/submissions/{submission_id}").text]:
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", page)
        assert " style=" not in page
        for tag in ("<b onclick", "<i>", "<script>1", "<script>2"):
            assert tag not in page
