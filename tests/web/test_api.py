from __future__ import annotations

from typing import Any

import pytest

from tests.web.site import CSV, Site


def get(site: Site, path: str, name: str = "ada") -> Any:
    return site.visitor().client.get("/api/v1/" + path, headers=site.token(name)).json


def test_competitions_are_listed_and_described(site: Site) -> None:
    (listed,) = get(site, "competitions")["competitions"]
    assert (listed["slug"], listed["phase"], listed["teams"]) == ("biopsy", "open", 1)
    shown = get(site, "competitions/biopsy")
    assert shown["metric"]["name"] == "log_loss"
    assert shown["limits"]["daily"] == 5
    assert shown["team"] == "ada"
    assert get(site, "competitions/biopsy", "bob")["team"] is None


def test_the_digest_of_the_hidden_labels_is_not_shown(site: Site) -> None:
    # With a hash of few labels, every guess could be tried offline.
    text = str([get(site, p) for p in ("competitions", "competitions/biopsy", "competitions/biopsy/files")])
    assert "s" * 64 not in text
    assert "6b86b273" not in text


def test_files_are_listed_and_fetched(site: Site) -> None:
    files = get(site, "competitions/biopsy/files")["files"]
    assert [f["name"] for f in files] == ["train.csv", "sample_submission.csv", "notes.txt"]
    assert files[0]["schema"][1]["column"] == "radius"
    client = site.visitor().client
    assert client.get(files[1]["link"], headers=site.token("ada")).data == CSV
    assert client.get("/api/v1/competitions/biopsy/files/none", headers=site.token("ada")).status_code == 404


def test_joining_submitting_and_reading_the_score(site: Site) -> None:
    client, token = site.visitor().client, site.token("bob")
    base = "/api/v1/competitions/biopsy"
    assert (
        client.post(f"{base}/submissions", headers=token, data=CSV, content_type="text/csv").status_code
        == 403
    )
    assert client.get(f"{base}/quota", headers=token).status_code == 403
    assert client.post(f"{base}/join", headers=token).json == {"competition": "biopsy", "team": "bob"}
    receipt = client.post(f"{base}/submissions", headers=token, data=CSV, content_type="text/csv").json
    assert receipt is not None
    site.score(receipt["id"], 0.25)
    shown = client.get(receipt["links"]["self"], headers=token).json
    assert shown is not None
    assert (shown["state"], shown["public"], shown["private"]) == ("scored", 0.25, None)
    assert shown["also"]["public"] == {"roc_auc": 0.9}
    assert shown["notices"] == [{"code": "ORDER", "message": "Rows were matched by id."}]
    listed = client.get(f"{base}/submissions", headers=token).json
    assert listed is not None
    assert [s["id"] for s in listed["submissions"]] == [receipt["id"]]


def test_a_rejected_submission_lists_its_problems(site: Site) -> None:
    submission_id = site.submit("ada")
    site.reject(submission_id)
    shown = get(site, f"submissions/{submission_id}")
    assert shown["state"] == "rejected"
    assert shown["problem_count"] == 1
    assert shown["problems"][0]["line"] == 2
    assert get(site, "competitions/biopsy/quota")["remaining"] == 5


def test_the_board_is_paged_searched_and_sorted(site: Site) -> None:
    site.join("bob")
    site.baseline("Prior only", 0.66, 0.65)
    site.score(site.submit("ada"), 0.3)
    site.score(site.submit("bob", b"other"), 0.2)
    board = get(site, "competitions/biopsy/leaderboard")
    assert [(r["rank"], r["team"], r["is_baseline"]) for r in board["rows"]] == [
        (1, "bob", False),
        (2, "ada", False),
        (None, "Prior only", True),
    ]
    assert board["mine"]["team"] == "ada"
    assert (board["scores"], board["total"]) == ("public", 3)
    (only,) = get(site, "competitions/biopsy/leaderboard?page_size=1&page=2")["rows"]
    assert only["team"] == "ada"
    found = get(site, "competitions/biopsy/leaderboard?search=PRIOR")["rows"]
    assert [r["team"] for r in found] == ["Prior only"]
    turned = get(site, "competitions/biopsy/leaderboard?sort=-rank")["rows"]
    assert [r["team"] for r in turned] == ["Prior only", "ada", "bob"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "competitions/none", 404),
        ("GET", "submissions/1", 404),
        ("GET", "nothing/at/all", 404),
        ("DELETE", "competitions/biopsy", 405),
        ("GET", "competitions/biopsy/leaderboard?sort=shoe", 422),
    ],
)
def test_every_refusal_is_a_problem_document(site: Site, method: str, path: str, status: int) -> None:
    answer = site.visitor().client.open("/api/v1/" + path, method=method, headers=site.token("ada"))
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json is not None
    assert answer.json.keys() >= {"type", "title", "status", "detail", "problems"}
    assert answer.json["status"] == status


def test_quota_contains_the_reset_time(site: Site) -> None:
    site.submit("ada")
    quota = get(site, "competitions/biopsy/quota")
    assert (quota["limit"], quota["used"], quota["remaining"], quota["pending"]) == (5, 1, 4, 1)
    assert quota["timezone"] == "Europe/Berlin"
    assert "T00:00:00+0" in quota["resets_at"]
