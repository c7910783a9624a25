"""An archived competition: its pages stay, and it takes nothing until it is brought back."""

from __future__ import annotations

from typing import Any

from tests.web.site import CSV, Site

C = "/api/v1/competitions/biopsy"


def change(site: Site, **wished: Any) -> tuple[int, str]:
    answer = site.visitor().client.patch(C, json=wished, headers=site.token("grace"))
    return answer.status_code, answer.text


def test_an_archived_competition_keeps_its_pages_and_takes_nothing_until_it_is_brought_back(
    site: Site,
) -> None:
    status, words = change(site, archived=True)
    assert status == 422
    assert "its private scores are not shown yet" in words
    site.score(site.submit("ada"), 0.3, 0.2)
    site.change(allows_late=True)
    site.close()
    ada, client, token = site.browser("ada"), site.visitor().client, site.token("ada")

    def sends() -> list[int]:
        """Return the statuses of all that a participant may still send after the end."""
        asked = {"title": "Why?", "is_public": True}
        return [
            client.post(f"{C}/submissions", data=CSV, headers=token).status_code,
            client.post(f"{C}/check", data=CSV, headers=token).status_code,
            client.post(f"{C}/questions", json=asked, headers=token).status_code,
            client.post(f"{C}/team/method", json={"text": "Trees.", "link": ""}, headers=token).status_code,
        ]

    pages = ("", "/data", "/leaderboard", "/results", "/submissions", "/data/train.csv")
    assert [status // 100 for status in sends()] == [2, 2, 2, 2]
    board = client.get(f"{C}/leaderboard", headers=token).json
    assert change(site, archived=True)[0] == 200
    assert [status // 100 for status in sends()] == [4, 4, 4, 4]
    for page in pages:
        assert ada.get(f"/competitions/biopsy{page}").status_code == 200, page
    assert "It is archived" in client.post(f"{C}/submissions", data=CSV, headers=token).text
    assert client.get(f"{C}/leaderboard", headers=token).json == board
    first = site.visitor().get("/").text
    assert first.index("Past</h2>") < first.index("Biopsy triage")
    assert "archived</span>" in first
    assert "The competition is archived" in ada.get("/competitions/biopsy/announcements").text
    facts = client.get(C, headers=token).json
    assert facts is not None
    assert facts["is_archived"]

    form = dict.fromkeys(("archived",), "0") | {"seen": ""}
    grace = site.browser("grace")
    preview = grace.post("/competitions/biopsy/organise/change", {"archived": "0"}).text
    assert "listed with the others again" in preview
    form["seen"] = preview.partition('name="seen" value="')[2].partition('"')[0]
    assert grace.post("/competitions/biopsy/organise/change/apply", form).status_code == 303
    assert (
        client.post(f"{C}/team/method", json={"text": "Trees.", "link": ""}, headers=token).status_code == 200
    )
    assert "Past</h2>" not in site.visitor().get("/").text
