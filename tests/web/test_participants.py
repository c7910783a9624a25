"""The organisers' tables of teams and submissions: pages, API, CSV and command agree."""

from __future__ import annotations

import csv
import io
import random
import re
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, event

from app.base import db
from app.base.installation import Installation
from app.base.models import Team
from app.cli.participants import competition_participants, competition_submissions
from app.competing import competitions, exclusions, extensions, participants, standings, statuses
from app.competing.participants import Order, TeamPlace, Wanted
from scorer.report import Problem
from tests.web.site import Site

PATH = "/competitions/biopsy/organise"
NAMES = ("=1+1", "bea", "cyd", "dot", "eve")


@pytest.fixture
def filled(site: Site) -> Site:
    """Return an installation with teams of every place and files of every state."""
    for n, name in enumerate(NAMES):
        account = name if name.isalnum() else "sum"
        site.user(account)
        site.join(account)
        for m in range(n):
            number = site.submit(account, f"{n}{m}".encode(), filename=f"{name}{m}.csv")
            if m == 2:
                site.reject(number, Problem("MISSING_IDS", "2 ids are missing."))
            else:
                site.score(number, 0.1 * (n + m + 1), 0.3)
    with site.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, "biopsy")
        by_name = {team.name: team for team in session.query(Team)}
        by_name["sum"].name = "=1+1"
        exclusions.take_off_team(session, found, by_name["cyd"], "reads the labels", by="grace", now=now)
        by_name["dot"].disqualified_at, by_name["dot"].disqualified_why = now, "two accounts"
        standings.refresh(session, by_name["dot"].id)
        later = found.closes_at + timedelta(days=2) if found.closes_at else None
        extensions.grant(
            session, found, "bea", reason="was ill for days", by="grace", now=now, closes_at=later
        )
    site.baseline("Prior only", 0.7, 0.7)
    site.join("grace")
    site.submit("grace", b"host")
    return site


def walked(site: Site, wanted: Wanted, limit: int) -> list[str]:
    """Return the names on all pages, following the cursors."""
    found: list[str] = []
    cursor = None
    with site.database.read() as session:
        competition = competitions.by_slug(session, "biopsy")
        while True:
            page = participants.page(session, competition, wanted, limit=limit, cursor=cursor)
            found += [row.name for row in page.rows]
            cursor = page.following
            if cursor is None:
                return found


def test_pages_of_every_order_and_filter_join_to_the_whole_table_without_gap_or_repeat(filled: Site) -> None:
    with filled.database.read() as session:
        competition = competitions.by_slug(session, "biopsy")
        whole = participants.page(session, competition, Wanted(), limit=100).rows
    names = [row.name for row in whole]
    assert names == sorted(names)
    assert len(names) == 8
    assert " ".join(f"{row.name}: {row.place};" for row in whole) == (
        "=1+1: no score; Prior only: baseline; ada: no score; bea: ranked; cyd: off the board; "
        "dot: disqualified; eve: ranked; grace: host;"
    )
    for order in Order:
        for limit in (1, 2, 3, 7, 8, 50):
            assert sorted(walked(filled, Wanted(order=order), limit)) == names, (order, limit)
        for place in TeamPlace:
            expected = sorted(row.name for row in whole if row.place is place)
            assert sorted(walked(filled, Wanted(order=order, place=place), 1)) == expected, (order, place)
    assert walked(filled, Wanted(order=Order.SCORE), 2)[0] == "bea"  # a lower loss is better
    assert walked(filled, Wanted(search="DO"), 2) == ["dot"]
    assert walked(filled, Wanted(search="sum"), 2) == ["=1+1"]  # the name of a member
    assert walked(filled, Wanted(search="%"), 2) == []
    assert walked(filled, Wanted(is_extended=True), 2) == ["bea"]
    eve = next(row for row in whole if row.name == "eve")
    assert (eve.uploads, eve.rejected, eve.members) == (4, 1, ("eve",))
    assert eve.public == pytest.approx(0.5)
    assert eve.private == 0.3


def test_walking_meets_every_team_once_while_rows_of_the_board_move(filled: Site) -> None:
    draws = random.Random(7)
    found: list[str] = []
    cursor = None
    while True:
        with filled.database.read() as session:
            competition = competitions.by_slug(session, "biopsy")
            page = participants.page(session, competition, Wanted(), limit=2, cursor=cursor)
        found += [row.name for row in page.rows]
        if (cursor := page.following) is None:
            break
        number = filled.submit("ada", str(draws.random()).encode())
        filled.score(number, draws.random(), 0.2)
    assert len(found) == len(set(found)) == 8


def test_page_api_csv_and_command_show_the_same_and_no_formula(filled: Site) -> None:
    browser, token = filled.browser("grace"), filled.token("grace")
    page = browser.get(f"{PATH}/participants?state=ranked&sort=score").text
    assert re.findall(r'<th scope="row" class="clip" title="([^"]+)"', page) == ["bea", "eve"]
    listed = filled.visitor().client.get(f"/api/v1{PATH}/participants?limit=3", headers=token).json
    assert listed is not None
    more = (
        filled.visitor()
        .client.get(
            f"/api/v1{PATH}/participants",
            query_string={"limit": 200, "cursor": listed["next_cursor"]},
            headers=token,
        )
        .json
    )
    assert more is not None
    assert more["next_cursor"] is None
    names = [row["team"] for row in listed["participants"] + more["participants"]]
    for text in (
        browser.get(f"{PATH}/participants.csv").text,
        filled.visitor().client.get(f"/api/v1{PATH}/participants.csv", headers=token).text,
        command(filled, "participants", "biopsy", "--csv"),
    ):
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["team"].removeprefix("'") for row in rows] == names
        assert rows[0]["team"] == "'=1+1"
        assert [row["state"] for row in rows if row["team"] == "dot"] == ["disqualified"]


def test_submissions_are_filtered_by_state_kind_problem_and_words(filled: Site) -> None:
    browser, token = filled.browser("grace"), filled.token("grace")
    with filled.database.read() as session:
        competition = competitions.by_slug(session, "biopsy")
        every = statuses.statuses(session, competition, now=db.now(session), for_organiser=True, limit=200)
    expected = {
        "state=rejected": [e.id for e in every if e.state == "rejected"],
        "state=queued": [e.id for e in every if e.state == "queued"],
        "code=MISSING_IDS": [e.id for e in every if e.problems],
        "code=MISSING": [],
        "kind=host": [e.id for e in every if not e.is_ranked],
        "kind=baseline": [e.id for e in every if e.is_baseline],
        f"search={every[3].sha256[:20]}": [every[3].id],
        "search=eve1": [e.id for e in every if e.filename == "eve1.csv"],
        "sort=oldest": [e.id for e in reversed(every)],
    }
    for query, ids in expected.items():
        address = f"/api/v1{PATH}/submissions?limit=200&{query}"
        answer = filled.visitor().client.get(address, headers=token).json
        assert answer is not None
        assert [e["id"] for e in answer["submissions"]] == ids, query
        exported = filled.visitor().client.get(f"/api/v1{PATH}/submissions.csv?{query}", headers=token).text
        assert [int(row["submission"]) for row in csv.DictReader(io.StringIO(exported))] == ids, query
    page = browser.get(f"{PATH}/submissions?code=MISSING_IDS").text
    assert page.count("<code>MISSING_IDS</code>") == len(expected["code=MISSING_IDS"]) == 2
    assert browser.get(f"{PATH}/submissions?after={every[1].id}&q=%F0%9F&team=1").status_code == 200
    printed = command(filled, "submissions", "biopsy", "--kind", "host", "--csv")
    assert [row["file"] for row in csv.DictReader(io.StringIO(printed))] == ["guess.csv"]


def test_wrong_cursors_are_refused(filled: Site) -> None:
    for cursor in ("x", "[]", '["name",1,2,false]', '["score",1,[1,"x"],false]', '["newest",-1,1,false]'):
        for address in (f"/api/v1{PATH}/participants?cursor={cursor}", f"{PATH}/participants?after={cursor}"):
            if address.startswith("/api"):
                status = filled.visitor().client.get(address, headers=filled.token("grace")).status_code
            else:
                status = filled.browser("grace").get(address).status_code
            assert status == 422, (cursor, address)


def test_no_order_sorts_or_scans_all_teams_to_show_one_page(filled: Site) -> None:
    plans: list[str] = []

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT team.id"):
            cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend(row[3] for row in cursor.fetchall())

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        for order in Order:
            walked(filled, Wanted(order=order), 2)
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
    assert len(plans) > 20
    assert not [plan for plan in plans if "USE TEMP B-TREE FOR ORDER BY" in plan], plans


def command(site: Site, name: str, *arguments: str) -> str:
    installation = Installation(site.settings)
    installation.__dict__["database"] = site.database  # its tables were made without revisions
    made = {"participants": competition_participants, "submissions": competition_submissions}[name]
    done = CliRunner().invoke(made, arguments, obj=installation)
    assert done.exit_code == 0, done.output
    return done.stdout
