"""Page, command and API change a competition by the same rules."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from app.base import db
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition
from app.cli.competitions import competition_change
from tests.web.site import Site, competition

PAGE = "/competitions/biopsy/organise/change"
Outcome = tuple[dict[str, tuple[Any, Any, str, int]], str]
"""The changes by name, and the refusal."""


def by_page(site: Site, wished: Mapping[str, Any]) -> Outcome:
    """Preview and confirm in the browser, with the fields of the page itself."""
    grace, found = site.browser("grace"), competition(site)
    form = {name: field(found, value) for name, value in wished.items()}
    page = grace.post(PAGE, form)
    if page.status_code != 200:
        said = re.findall(r"<li>(.*?)\.</li>", page.text)
        return {}, html.unescape("; ".join(line[:1].lower() + line[1:] for line in said))
    shown = page.text.partition('id="preview"')[2].partition("</section>")[0]
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', shown))
    del hidden["csrf_token"]
    before = {name: getattr(competition(site), COLUMNS.get(name, name)) for name in wished}
    assert grace.post(f"{PAGE}/apply", {n: html.unescape(v) for n, v in hidden.items()}).status_code == 303
    assert {name: getattr(competition(site), COLUMNS.get(name, name)) for name in wished} != before
    cells = [
        (name, re.search(rf">{re.escape(words)}</th>.*?<td>([^<]*)</td><td class=\"num\">(\d+)", shown, re.S))
        for name, words in WORDS.items()
    ]
    return {n: (None, None, html.unescape(m[1]), int(m[2])) for n, m in cells if m}, ""


def by_command(site: Site, wished: Mapping[str, Any]) -> Outcome:
    words = ["biopsy", "--json"]
    for name, value in wished.items():
        option = name.replace("_", "-")
        if name == "paused":
            words.append("--pause" if value else "--resume")
        elif value is None:
            words.append(f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    installation = Installation(site.settings)
    vars(installation)["database"] = site.database  # which was made without revisions
    done = CliRunner().invoke(competition_change, words, obj=installation)
    if isinstance(done.exception, Refused):
        return {}, refusal(done.exception.message)
    assert done.exit_code == 0, done.output
    return answered(json.loads(done.stdout)), ""


def by_api(site: Site, wished: Mapping[str, Any]) -> Outcome:
    address, headers = "/api/v1/competitions/biopsy", site.token("grace")
    answer = site.visitor().client.patch(address, json=dict(wished), headers=headers)
    assert answer.json is not None
    if answer.status_code != 200:
        assert answer.json["errors"]
        return {}, refusal(answer.json["detail"])
    return answered(answer.json), ""


def refusal(message: str) -> str:
    return message.removeprefix("Nothing was changed in biopsy: ").removesuffix(".")


def answered(found: Mapping[str, Any]) -> dict[str, tuple[Any, Any, str, int]]:
    assert found["is_applied"]
    return {c["name"]: (c["before"], c["after"], c["effect"], c["teams"]) for c in found["changes"]}


def field(found: Competition, value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str) and re.match(r"\d{4}-", value):
        return f"{datetime.fromisoformat(value).astimezone(found.zone):%Y-%m-%dT%H:%M}"
    return "" if value is None else str(value)


COLUMNS = {"summary": "own_summary", "paused": "is_paused", "max_upload_mb": "max_upload_bytes"}
WORDS = {
    "title": "Title",
    "summary": "Summary",
    "closes_at": "Closes at",
    "daily_limit": "Uploads of a team a day",
    "total_limit": "Uploads of a team in all",
    "max_upload_mb": "Largest upload in MB",
    "final_picks": "Final picks of a team",
    "public_score": "Public scores of new files",
    "paused": "Uploads are paused",
}
LATER = "2030-05-01T18:00+02:00"
WAYS: Mapping[str, Callable[[Site, Mapping[str, Any]], Outcome]] = {
    "page": by_page,
    "command": by_command,
    "api": by_api,
}


@pytest.mark.parametrize(
    "wished",
    [
        {"title": "Who is <ill>?", "summary": "Tell ill from well & say how sure."},
        {"closes_at": LATER, "daily_limit": 9, "total_limit": 40, "max_upload_mb": 0.5},
        {"closes_at": None, "paused": True, "final_picks": 3},
        {"closes_at": "2020-01-01T00:00+00:00"},
        {"public_score": "exact"},
        {"max_upload_mb": 5000, "final_picks": 1},
    ],
    ids=lambda wished: "+".join(wished),
)
def test_page_command_and_api_have_the_same_rules(site: Site, wished: dict[str, Any]) -> None:
    """Each way starts from the same competition; effects, counts and refusals are equal."""
    for content in (b"1", b"2"):
        site.score(site.submit("ada", content), 0.4)
    kept = {
        name: getattr(competition(site), name)
        for name in ("title", "own_summary", "closes_at", "daily_limit", "total_limit", "max_upload_bytes")
    } | {"is_paused": False, "final_picks": 2}
    outcomes = {}
    for name, way in WAYS.items():
        outcomes[name] = way(site, wished)
        site.change(**kept)
    assert outcomes["command"] == outcomes["api"]
    (changed, refused), (shown, words) = outcomes["api"], outcomes["page"]
    assert words == refused
    assert {n: c[2:] for n, c in shown.items()} == {n: c[2:] for n, c in changed.items()}
    assert bool(changed) != bool(refused)
    assert set(changed) == (set() if refused else set(wished))


def test_a_preview_of_the_api_writes_nothing_and_names_what_a_confirmation_has_seen(site: Site) -> None:
    client, headers = site.visitor().client, site.token("grace")
    address = "/api/v1/competitions/biopsy"
    shown = client.patch(f"{address}?dry_run=true", json={"daily_limit": 9}, headers=headers).json
    assert shown is not None
    assert (shown["is_applied"], competition(site).daily_limit) == (False, 5)
    (one,) = shown["changes"]
    assert (one["name"], one["before"], one["after"], one["teams"]) == ("daily_limit", 5, 9, 0)
    site.change(daily_limit=6)
    stale = client.patch(f"{address}?seen={shown['digest']}", json={"daily_limit": 9}, headers=headers)
    assert (stale.status_code, competition(site).daily_limit) == (409, 6)
    for body in ({"colour": "red"}, {"daily_limit": "many"}, {"closes_at": "tomorrow"}, {"title": None}):
        assert client.patch(address, json=body, headers=headers).status_code == 422


def test_a_confirmation_on_the_page_holds_only_for_what_it_showed(site: Site) -> None:
    grace = site.browser("grace")
    shown = grace.post(PAGE, {"daily_limit": "9"}).text
    seen = re.search(r'name="seen" value="(\w+)"', shown)
    assert seen is not None
    site.change(daily_limit=6)
    answer = grace.post(f"{PAGE}/apply", {"daily_limit": "9", "seen": seen[1]})
    assert (answer.status_code, competition(site).daily_limit) == (409, 6)
    assert grace.post(PAGE, {"daily_limit": "six"}).status_code == 422
    unchanged = grace.post(PAGE, {"daily_limit": "6"})
    assert "Nothing would change" in unchanged.text


def test_participants_see_the_new_words_and_times(site: Site) -> None:
    by_page(site, {"title": "Who is <ill>?", "summary": "Say how sure.", "closes_at": LATER})
    visitor = site.visitor()
    for page in ("/", "/competitions/biopsy"):
        assert "Who is &lt;ill&gt;?" in visitor.get(page).text
        assert "Say how sure." in visitor.get(page).text
    with site.database.read() as session:
        site.change(closes_at=db.now(session) - timedelta(hours=1))
    settled = site.browser("grace").get(PAGE).text
    assert "late files and the archive can change" in settled
    assert 'name="closes_at"' not in settled


def test_the_preview_shows_the_announcement_with_the_organisers_words_and_applying_publishes_it(
    site: Site,
) -> None:
    grace, ada = site.browser("grace"), site.browser("ada")
    shown = grace.post(PAGE, {"daily_limit": "9", "note": "More *time*."}).text
    announced = shown.partition('id="announced"')[2].partition("</div></div>")[0]
    assert "More <em>time</em>." in announced
    assert "Uploads of a team a day: <strong>9</strong> from now on, 5 until now." in announced
    assert ">More *time*.</textarea>" in shown
    assert "More" not in ada.get("/competitions/biopsy/announcements").text
    seen = re.search(r'name="seen" value="(\w+)"', shown)
    assert seen is not None
    form = {"daily_limit": "9", "seen": seen[1], "note": "More *time*."}
    assert grace.post(f"{PAGE}/apply", form).status_code == 303
    page = ada.get("/competitions/biopsy/announcements").text
    assert "More <em>time</em>." in page
    assert "about a change of the competition" in page
    assert 'id="announced"' not in grace.post(PAGE, {"title": "Other"}).text
    refused = grace.post(PAGE, {"title": "Other", "note": "Why"})
    assert (refused.status_code, "leave the note out" in refused.text) == (422, True)
    client, headers = site.visitor().client, site.token("grace")
    address = "/api/v1/competitions/biopsy?dry_run=true"
    over_api = client.patch(address, json={"paused": True, "note": "Soon back."}, headers=headers).json
    assert over_api is not None
    assert over_api["announcement"] == {
        "title": "Uploads are paused",
        "text": "Soon back.\n\n- Uploads are paused: **yes** from now on, no until now.",
    }
