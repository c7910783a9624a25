"""A file of an organiser is scored and never ranked: on pages, by the API and for the Kaggle clients."""

from __future__ import annotations

import pytest

from tests.web.site import CSV, Site
from tests.web.test_kaggle import call, put, refused, start

C = "/api/v1/competitions/biopsy"
WORDS = "not ranked: submitted by the host"


@pytest.fixture
def hosted(site: Site) -> Site:
    site.join("grace")
    return site


def test_an_organiser_sees_that_its_file_is_not_ranked(hosted: Site) -> None:
    hosted.change(daily_limit=1)
    client, headers = hosted.visitor().client, hosted.token("grace")
    for query in ("", "?sandbox=true"):
        answer = client.post(f"{C}/submissions{query}", data=CSV, headers=headers)
        assert answer.status_code == 201
        assert answer.json is not None
        assert not answer.json["is_ranked"]
        hosted.score(answer.json["id"], 0.0, 0.0)
    hosted.score(hosted.submit("ada"), 0.3)
    board = client.get(f"{C}/leaderboard", headers=headers).json
    assert board is not None
    assert [(row["rank"], row["team"]) for row in board["rows"]] == [(1, "ada")]
    assert board["mine"] is None
    listed = client.get(f"{C}/submissions", headers=headers).json
    assert listed is not None
    assert [entry["is_ranked"] for entry in listed["submissions"]] == [False, False]
    grace = hosted.browser("grace")
    pages = ("submit", "submissions", "organise")
    submit, own, organise = (grace.get(f"/competitions/biopsy/{page}").text for page in pages)
    assert "Your files are scored and not ranked" in submit
    assert 'id="upload"' in submit
    assert own.count(WORDS) == organise.count(WORDS) == 2
    assert "Final pick: submission" not in own
    assert "grace" not in hosted.visitor().get("/competitions/biopsy/leaderboard").text
    refused_pick = grace.post(f"/submissions/{listed['submissions'][0]['id']}/pick", {"picked": "1"})
    assert refused_pick.status_code == 409


@pytest.mark.parametrize(
    ("way", "status"), [("true", 403), ("1", 403), ("maybe", 422), ("false", 201), ("", 201)]
)
def test_only_organisers_get_a_score_without_a_rank(hosted: Site, way: str, status: int) -> None:
    client, headers = hosted.visitor().client, hosted.token("ada")
    answer = client.post(f"{C}/submissions?sandbox={way}", data=CSV, headers=headers)
    assert answer.status_code == status, answer.json
    if status == 201:
        assert answer.json is not None
        assert answer.json["is_ranked"]


def test_a_kaggle_client_submits_with_sandbox_as_an_organiser(hosted: Site) -> None:
    begun = start(hosted, name="grace")
    put(hosted, begun["createUrl"])
    body = {"competitionName": "biopsy", "blobFileTokens": begun["token"], "submissionDescription": "mine"}
    sent = call(hosted, "CreateSubmission", body | {"sandbox": True}, "grace").json
    assert sent is not None
    assert WORDS in sent["message"]
    listed = call(hosted, "ListSubmissions", {"competitionName": "biopsy"}, "grace").json
    assert listed is not None
    assert [entry["description"] for entry in listed["submissions"]] == [f"mine ({WORDS})"]
    other = start(hosted)
    put(hosted, other["createUrl"])
    body |= {"blobFileTokens": other["token"], "sandbox": True}
    assert "Only an organiser" in refused(call(hosted, "CreateSubmission", body))
