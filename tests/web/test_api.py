from __future__ import annotations

from typing import Any

import pytest

from tests.web.site import CSV, House


def get(house: House, path: str, name: str = "ada") -> Any:
    return house.stranger().client.get("/api/v1/" + path, headers=house.token(name)).json


def test_competitions_are_listed_and_described(house: House) -> None:
    (listed,) = get(house, "competitions")["competitions"]
    assert (listed["slug"], listed["phase"], listed["teams"]) == ("biopsy", "open", 1)
    shown = get(house, "competitions/biopsy")
    assert shown["metric"]["name"] == "log_loss"
    assert shown["limits"]["daily"] == 5
    assert shown["team"] == "ada"
    assert get(house, "competitions/biopsy", "bob")["team"] is None


def test_the_digest_of_the_hidden_labels_is_not_told(house: House) -> None:
    # Against a hash of few labels every guess can be tried at home.
    text = str([get(house, p) for p in ("competitions", "competitions/biopsy", "competitions/biopsy/files")])
    assert "s" * 64 not in text
    assert "6b86b273" not in text


def test_files_are_listed_and_fetched(house: House) -> None:
    files = get(house, "competitions/biopsy/files")["files"]
    assert [f["name"] for f in files] == ["train.csv", "sample_submission.csv", "notes.txt"]
    assert files[0]["schema"][1]["column"] == "radius"
    client = house.stranger().client
    assert client.get(files[1]["link"], headers=house.token("ada")).data == CSV
    assert client.get("/api/v1/competitions/biopsy/files/none", headers=house.token("ada")).status_code == 404


def test_joining_submitting_and_reading_the_score(house: House) -> None:
    client, token = house.stranger().client, house.token("bob")
    base = "/api/v1/competitions/biopsy"
    assert (
        client.post(f"{base}/submissions", headers=token, data=CSV, content_type="text/csv").status_code
        == 403
    )
    assert client.get(f"{base}/quota", headers=token).status_code == 403
    assert client.post(f"{base}/join", headers=token).json == {"competition": "biopsy", "team": "bob"}
    receipt = client.post(f"{base}/submissions", headers=token, data=CSV, content_type="text/csv").json
    assert receipt is not None
    house.score(receipt["id"], 0.25)
    shown = client.get(receipt["links"]["self"], headers=token).json
    assert shown is not None
    assert (shown["state"], shown["public"], shown["private"]) == ("scored", 0.25, None)
    assert shown["also"]["public"] == {"roc_auc": 0.9}
    assert shown["notices"] == [{"code": "ORDER", "message": "Rows were matched by id."}]
    listed = client.get(f"{base}/submissions", headers=token).json
    assert listed is not None
    assert [s["id"] for s in listed["submissions"]] == [receipt["id"]]


def test_a_rejected_submission_lists_its_problems(house: House) -> None:
    submission_id = house.submit("ada")
    house.reject(submission_id)
    shown = get(house, f"submissions/{submission_id}")
    assert shown["state"] == "rejected"
    assert shown["problem_count"] == 1
    assert shown["problems"][0]["line"] == 2
    assert get(house, "competitions/biopsy/quota")["remaining"] == 5


def test_the_board_is_paged_searched_and_sorted(house: House) -> None:
    house.join("bob")
    house.baseline("Prior only", 0.66, 0.65)
    house.score(house.submit("ada"), 0.3)
    house.score(house.submit("bob", b"other"), 0.2)
    board = get(house, "competitions/biopsy/leaderboard")
    assert [(r["rank"], r["team"], r["is_baseline"]) for r in board["rows"]] == [
        (1, "bob", False),
        (2, "ada", False),
        (None, "Prior only", True),
    ]
    assert board["mine"]["team"] == "ada"
    assert (board["scores"], board["total"]) == ("public", 3)
    (only,) = get(house, "competitions/biopsy/leaderboard?page_size=1&page=2")["rows"]
    assert only["team"] == "ada"
    found = get(house, "competitions/biopsy/leaderboard?search=PRIOR")["rows"]
    assert [r["team"] for r in found] == ["Prior only"]
    turned = get(house, "competitions/biopsy/leaderboard?sort=-rank")["rows"]
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
def test_every_refusal_is_a_problem_document(house: House, method: str, path: str, status: int) -> None:
    answer = house.stranger().client.open("/api/v1/" + path, method=method, headers=house.token("ada"))
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json is not None
    assert answer.json.keys() >= {"type", "title", "status", "detail", "problems"}
    assert answer.json["status"] == status


def test_quota_tells_when_it_resets(house: House) -> None:
    house.submit("ada")
    quota = get(house, "competitions/biopsy/quota")
    assert (quota["limit"], quota["used"], quota["remaining"], quota["pending"]) == (5, 1, 4, 1)
    assert quota["timezone"] == "Europe/Berlin"
    assert "T00:00:00+0" in quota["resets_at"]
