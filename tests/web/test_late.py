"""Late files on pages, over the API and by the Kaggle clients: marked, and seen by their team alone."""

from __future__ import annotations

from tests.web.site import CSV, Site
from tests.web.test_kaggle import call, create, put, start

C = "/api/v1/competitions/biopsy"
PUBLIC, PRIVATE = 0.012345678, 0.087654321
SHARED = (f"{C}/leaderboard", f"{C}/leaderboard?scores=public", f"{C}/leaderboard.csv")
BY_OTHERS = ("", "/leaderboard", "/leaderboard?scores=public", "/results", "/submissions")


def test_a_late_file_is_marked_for_its_team_and_moves_nothing_that_others_see(site: Site) -> None:
    site.join("bob")
    for name, score in (("ada", 0.3), ("bob", 0.2)):
        site.score(site.submit(name, name.encode()), score, score)
    site.change(allows_late=True)
    site.close()
    ada, bob = site.browser("ada"), site.browser("bob")
    client, headers = site.visitor().client, site.token("ada")
    boards = [client.get(path, headers=site.token("bob")).text for path in SHARED]
    assert all("ada" in board for board in boards)
    submit = ada.get("/competitions/biopsy/submit").text
    assert "is late: it is scored" in submit
    assert "send late files" in ada.get("/competitions/biopsy").text
    assert "send late files" not in site.visitor().get("/competitions/biopsy").text
    quota = client.get(f"{C}/quota", headers=headers).json
    assert quota is not None
    assert quota["is_late"]

    receipt = client.post(f"{C}/submissions", data=CSV, headers=headers)
    assert receipt.status_code == 201, receipt.json
    assert receipt.json is not None
    assert (receipt.json["is_late"], receipt.json["is_ranked"]) == (True, False)
    late = receipt.json["id"]
    site.score(late, PUBLIC, PRIVATE)

    own = client.get(f"/api/v1/submissions/{late}", headers=headers).json
    assert own is not None
    assert (own["is_late"], own["is_ranked"], own["private"]) == (True, False, PRIVATE)
    for page in (f"/submissions/{late}", "/competitions/biopsy/submissions"):
        shown = ada.get(page).text
        assert ">late</span>" in shown
        assert "not ranked: submitted by the host" not in shown
        assert "0.0876" in shown
    row = ada.get("/competitions/biopsy/submissions").text.split(f'id="submission-{late}"')[1]
    assert "tag-best" not in row.split("</tbody>", 1)[0]
    grace = site.browser("grace").get("/competitions/biopsy/organise").text
    assert ">late</span>" in grace

    after = [client.get(path, headers=site.token("bob")).text for path in SHARED]
    assert after == boards
    assert bob.get(f"/submissions/{late}").status_code == 404
    for someone in (bob, site.visitor()):
        for path in BY_OTHERS:
            text = someone.get(f"/competitions/biopsy{path}").text
            assert "0.0876" not in text
            assert "0.0123" not in text


def test_a_kaggle_client_sends_a_late_file_with_a_ticket_and_lists_it_as_late(site: Site) -> None:
    site.change(allows_late=True)
    site.close()
    begun = start(site)
    assert put(site, begun["createUrl"]).status_code == 200
    done = create(site, begun["token"])
    assert done.json is not None
    assert done.json["message"].endswith("; late: scored and not ranked")
    listed = call(site, "ListSubmissions", {"competitionName": "biopsy"}).json
    assert listed is not None
    (one,) = listed["submissions"]
    assert one["description"] == "first try (late: scored and not ranked)"
    about = call(site, "GetCompetition", {"competitionName": "biopsy"}).json
    assert about is not None
    assert not about.get("submissionsDisabled")
