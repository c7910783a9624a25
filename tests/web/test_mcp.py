"""The MCP endpoint: agents take part under the same tokens, limits and rules, and are marked where asked."""

from __future__ import annotations

import asyncio
import csv
import io
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from app.base import db
from app.base.models import Submission
from app.operating import audit_log
from app.people.tokens import Scope
from app.web import mcp
from app.web.mcp import calls
from app.web.mcp.tools import TOOLS, waiting_room
from app.web.slow_clients import _UPLOAD, SMALL_BYTES
from tests.web.site import CSV, PRIVATE_CANARY, Site

ACCEPTS = {"Accept": "application/json, text/event-stream"}
OF = {"competition": "biopsy"}


def send(site: Site, method: str, params: Any = None, **headers: str) -> TestResponse:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return site.visitor().client.post("/mcp", json=message, headers={**ACCEPTS, **headers})


def call(site: Site, tool: str, by: str = "ada", scope: Scope | None = None, **arguments: Any) -> Any:
    """Return the result of a tool, as ada."""
    answer = send(site, "tools/call", {"name": tool, "arguments": arguments}, **site.token(by, scope))
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json["result"]


def given(site: Site, tool: str, **arguments: Any) -> Any:
    result = call(site, tool, **arguments)
    assert not result["isError"], result
    return result["structuredContent"]


def refused(site: Site, tool: str, **arguments: Any) -> tuple[int, str]:
    """Return status and words of a refusal."""
    result = call(site, tool, **arguments)
    assert result["isError"], result
    return result["structuredContent"]["status"], result["content"][0]["text"]


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """Serve the site on a socket."""
    serving = make_server("127.0.0.1", 0, site.app, threaded=True)
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}/mcp"
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_client_of_the_official_sdk_takes_part_in_both_eras_of_the_protocol(
    site: Site, address: str, mode: str
) -> None:
    seen: dict[str, Any] = {}

    async def take_part() -> None:
        async with httpx2.AsyncClient(headers=site.token("bob"), trust_env=False) as http:
            transport = streamable_http_client(address, http_client=http)
            async with Client(transport, mode=mode) as client:
                seen["tools"] = {tool.name: tool for tool in (await client.list_tools()).tools}

                async def do(tool: str, **arguments: Any) -> Any:
                    result = await client.call_tool(tool, arguments)
                    assert not result.is_error, result.content
                    return result.structured_content

                await do("join_competition", **OF)
                seen["read"] = await do("read_file", **OF, name="train.csv")
                seen["receipt"] = await do("submit", **OF, content=CSV.decode(), message="first try")
                ticket = await do("begin_upload", **OF, size_bytes=len(CSV), filename="big.csv")
                (await http.put(ticket["address"], content=CSV)).raise_for_status()
                seen["second"] = await do("submit", **OF, upload=ticket["upload"])
                site.score(seen["receipt"]["id"], 0.25)
                seen["result"] = await do("submission", submission=seen["receipt"]["id"], wait_seconds=5)
                seen["picks"] = await do("pick_submission", submission=seen["receipt"]["id"])
                seen["cancelled"] = await do("cancel_submission", submission=seen["second"]["id"])
                seen["board"] = await do("leaderboard", **OF)
                wrong = await client.call_tool("submit", {**OF, "upload": "x"})
                seen["refusal"] = wrong.is_error, wrong.content[0]

    asyncio.run(take_part())
    assert set(seen["tools"]) == set(TOOLS)
    assert seen["read"]["text"].startswith("id,radius,target\n1,12.5,0\n")
    assert seen["result"]["public"] == 0.25
    assert seen["result"]["is_by_agent"]
    assert seen["picks"]["final_picks"] == [seen["receipt"]["id"]]
    assert seen["cancelled"]["problems"][0]["code"] == "CANCELLED"
    assert seen["board"]["mine"]["rank"] == 1
    assert seen["refusal"][0]
    assert "no such upload" in seen["refusal"][1].text


def test_every_tool_says_what_it_does_and_what_it_takes(site: Site) -> None:
    answer = send(site, "tools/list", **site.token("ada"))
    assert answer.json is not None
    listed = {tool["name"]: tool for tool in answer.json["result"]["tools"]}
    assert set(listed) == set(TOOLS)
    for name, tool in listed.items():
        assert len(tool["description"]) > 20, name
        assert tool["inputSchema"]["type"] == "object", name
        assert tool["inputSchema"]["additionalProperties"] is False, name
        assert tool["annotations"]["readOnlyHint"] == (TOOLS[name].is_reading), name


def test_reading_tools_give_what_the_api_gives(site: Site) -> None:
    site.score(site.submit("ada"), 0.25)
    api = "/api/v1/competitions/biopsy"
    same = {
        "describe_competition": api,
        "submission_format": f"{api}/schema",
        "list_submissions": f"{api}/submissions",
        "quota": f"{api}/quota",
        "team": f"{api}/team",
        "leaderboard": f"{api}/leaderboard",
    }
    for tool, path in same.items():
        assert given(site, tool, **OF) == site.visitor().get(path, headers=site.token("ada")).json, tool


def test_team_is_changed_by_its_tool(site: Site) -> None:
    def change(name: str, **what: object) -> dict[str, Any]:
        found: dict[str, Any] = given(site, "change_team", by=name, **OF, **what)
        return found

    link = change("ada", change="invite", uses=1, days=1)["link"]
    assert change("bob", change="join", target=link)["members"] == ["ada", "bob"]
    assert change("ada", change="captain", target="bob")["captain"] == "bob"
    assert change("bob", change="remove", target="ada")["members"] == ["bob"]
    assert change("ada", change="offer_merge", target="bob")["offers"][0]["id"] == 1
    assert change("bob", change="end_offer", target="1")["offers"] == []
    change("bob", change="offer_merge", target="ada")
    assert change("ada", change="accept_merge", target="2")["members"] == ["bob", "ada"]
    assert change("ada", change="leave")["members"] == ["ada"]
    change("bob", change="invite")
    assert change("bob", change="revoke", target="2")["invites"] == []


def test_a_file_is_downloaded_from_its_address_without_a_token(site: Site) -> None:
    files = given(site, "list_files", **OF)["files"]
    sample = next(file for file in files if file["name"] == "sample_submission.csv")
    assert site.visitor().get(sample["download"]).data == CSV


def test_a_file_is_read_in_whole_lines_and_to_its_last_byte(site: Site) -> None:
    parts, offset = [], 0
    while offset is not None:
        part = given(site, "read_file", **OF, name="train.csv", offset=offset, max_bytes=20)
        parts.append(part["text"])
        offset = part["next_offset"]
    assert parts == ["id,radius,target\n", "1,12.5,0\n2,20.1,1\n"]
    status, words = refused(site, "read_file", **OF, name="train.csv", offset=999)
    assert (status, words) == (416, "The file ends before byte 999.")
    assert refused(site, "read_file", **OF, name="../private/solution.csv")[0] == 404


@pytest.mark.parametrize(
    ("tool", "arguments", "status", "words"),
    [
        ("submit", {**OF}, 422, "Give either `content` or `upload`"),
        ("submit", {**OF, "content": "a", "upload": "b"}, 422, "Give either"),
        ("submit", {"competition": "nope", "content": "a"}, 404, "There is no competition nope."),
        ("submit", {**OF, "contents": "a"}, 422, "contents: Extra inputs are not permitted"),
        ("submit", {**OF, "content": "a", "message": "x" * 501}, 422, "message: String should have at most"),
        ("submit", {**OF, "content": "a", "sandbox": True}, 403, "Only an organiser can send"),
        ("submit", {**OF, "content": "a", "idempotency_key": "\n"}, 422, "Idempotency-Key has 1 to"),
        ("begin_upload", {**OF, "size_bytes": 10**9}, 413, "larger than the limit"),
        ("submission", {"submission": 999}, 404, "There is no submission 999 of yours."),
        ("leaderboard", {**OF, "cursor": "x"}, 422, "This is no cursor"),
        ("change_team", {**OF, "change": "revoke", "target": "../x"}, 422, "needs a number as `target`"),
        ("change_team", {**OF, "change": "accept_merge", "target": "9"}, 404, "There is no such offer"),
        ("quota", {"competition": "biopsy/../biopsy"}, 422, "competition: String should match pattern"),
    ],
)
def test_a_refusal_is_an_error_of_the_tool_in_the_words_of_the_api(
    site: Site, tool: str, arguments: dict[str, Any], status: int, words: str
) -> None:
    found = refused(site, tool, **arguments)
    assert found[0] == status, found
    assert words in found[1]


def test_a_message_of_many_unknown_arguments_is_refused_in_a_few_words(site: Site) -> None:
    """Each was listed and looked for in the words of all: 700 kB held a thread for minutes."""
    many = {**{f"k{n}": 1 for n in range(60_000)}, **OF}
    status, words = refused(site, "quota", **many)
    assert status == 422
    assert words.startswith("k0: Extra inputs are not permitted; k1: ")
    assert words.endswith("; and 59995 more.")
    assert len(refused(site, "quota", **{"x" * 900_000: 1}, **OF)[1]) < 200


def test_a_rejected_file_is_answered_with_every_problem_and_its_place(site: Site) -> None:
    number = given(site, "submit", **OF, content="id,target\n1,abc\n")["id"]
    site.reject(number)
    found = given(site, "submission", submission=number)
    assert found["state"] == "rejected"
    (problem,) = found["problems"]
    assert (problem["code"], problem["line"], problem["column"]) == ("NOT_A_NUMBER", 2, "target")


def test_tokens_scopes_quotas_and_rates_hold_for_agents(site: Site) -> None:
    status, words = refused(site, "submit", scope=Scope.READ, **OF, content=CSV.decode())
    assert status == 403
    assert "submit" in words
    assert refused(site, "submit", by="bob", **OF, content=CSV.decode())[0] == 403  # has not joined
    site.change(daily_limit=1)
    first = given(site, "submit", **OF, content=CSV.decode(), idempotency_key="once")
    again = given(site, "submit", **OF, content=CSV.decode(), idempotency_key="once")
    assert (again["id"], again["is_replay"]) == (first["id"], True)
    result = call(site, "submit", **OF, content=CSV.decode())
    assert result["structuredContent"]["status"] == 429
    assert result["structuredContent"]["retry_after_seconds"] > 0
    site.close()
    assert "closed" in refused(site, "submit", **OF, content=CSV.decode())[1]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer hld_wrong"}, 401),
        ({"Authorization": "Basic YTpi"}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Accept": "text/html"}, 406),
    ],
)
def test_a_request_without_its_token_or_from_another_site_is_refused(
    site: Site, headers: dict[str, str], status: int
) -> None:
    sent = headers if status == 401 else {**site.token("ada"), **headers}
    answer = send(site, "ping", **sent)
    assert answer.status_code == status, answer.text
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_sdk_is_not_loaded_for_a_visitor_without_a_token(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request of any visitor made each web process load it, for 30 MB and seconds."""
    monkeypatch.delattr(mcp, "server", raising=False)
    monkeypatch.setitem(sys.modules, "app.web.mcp.server", None)  # an import fails
    assert send(site, "ping").status_code == 401


def test_a_host_name_that_is_not_served_is_refused(site: Site) -> None:
    """Another site can point its name at this address; the agent's browser would send it our answers."""
    careful = site.with_settings(trusted_hosts="heldout.example")
    assert send(careful, "ping", **site.token("ada"), Host="evil.example").status_code == 400
    assert send(careful, "ping", **site.token("ada"), Host="heldout.example").status_code == 200


def test_streams_and_sessions_are_not_offered(site: Site) -> None:
    browser = site.visitor().client
    assert browser.get("/mcp", headers=ACCEPTS | site.token("ada")).status_code == 405
    assert browser.delete("/mcp", headers=site.token("ada")).status_code == 405
    assert "Mcp-Session-Id" not in send(site, "ping", **site.token("ada")).headers
    assert site.browser("ada").get("/mcp").status_code == 405  # a cookie is no token


def test_a_message_holds_as_much_as_a_small_upload_and_no_more(site: Site) -> None:
    assert _UPLOAD.match(b"POST /mcp HTTP/1.1")
    message = {"name": "submit", "arguments": {**OF, "content": "x" * (SMALL_BYTES - 1000)}}
    assert send(site, "tools/call", message, **site.token("ada")).status_code == 200
    message["arguments"] = {**OF, "content": "x" * SMALL_BYTES}
    assert send(site, "tools/call", message, **site.token("ada")).status_code == 413


def test_calls_that_wait_never_take_all_threads(site: Site) -> None:
    number = site.submit("ada")
    with site.app.app_context():
        room, taken = waiting_room(), 0
    while room.acquire(blocking=False):
        taken += 1
    assert 1 <= taken <= max(1, site.settings.web_threads // 4)
    assert given(site, "submission", submission=number, wait_seconds=25)["state"] == "queued"  # at once


def test_an_accepted_file_has_its_receipt_whatever_ends_the_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that is revoked, or a database that restarts, made an error of it: the agent sent it again."""
    get = calls.get

    def failing(path: str, **query: Any) -> Any:
        if path.startswith(("/submissions/", "/checks/")):
            raise calls.RefusedByApi({"status": 503, "detail": "The database does not answer.", "errors": []})
        return get(path, **query)

    monkeypatch.setattr(calls, "get", failing)
    receipt = given(site, "submit", **OF, content=CSV.decode(), wait_seconds=5)
    assert receipt["sha256"]
    assert "result" not in receipt
    assert given(site, "check_file", **OF, content="id,target\n1,0.5\n2,0.75\n")["state"] == "queued"
    assert refused(site, "submission", submission=receipt["id"])[0] == 503


def agent_and_person(site: Site) -> tuple[int, int]:
    """Let Ada submit through an agent and Bob by hand."""
    by_agent = int(given(site, "submit", **OF, content=CSV.decode())["id"])
    site.join("bob")
    by_hand = site.submit("bob", CSV + b"\n")
    for number, score in ((by_agent, 0.2), (by_hand, 0.3)):
        site.score(number, score)
    return by_agent, by_hand


@pytest.mark.parametrize("is_over", [False, True])
def test_rows_of_agents_are_marked_on_page_api_and_csv_where_the_organiser_asks(
    site: Site, is_over: bool
) -> None:
    by_agent, by_hand = agent_and_person(site)
    path, headers = "/api/v1/competitions/biopsy/leaderboard", site.token("bob")

    def marks() -> tuple[list[bool], int, list[dict[str, str]]]:
        answer = site.visitor().get(path, headers=headers)
        assert answer.json is not None
        page = site.browser("bob").get("/competitions/biopsy/leaderboard").text
        text = site.visitor().get(f"{path}.csv", headers=headers).text
        shown = page.count("an agent has sent this file")
        return (
            [row["is_by_agent"] for row in answer.json["rows"]],
            shown,
            list(csv.DictReader(io.StringIO(text))),
        )

    if is_over:
        with site.database.read() as session:
            now = db.now(session)
        site.change(closes_at=now - timedelta(days=1))
    flags, shown, rows = marks()
    assert (flags, shown) == ([False, False], 0)
    assert "is_by_agent" not in rows[0]
    site.change(marks_agents=True)
    flags, shown, rows = marks()
    assert (flags, shown) == ([True, False], 1)
    assert [row["is_by_agent"] for row in rows] == ["True", "False"]
    for name, number, expected in (("ada", by_agent, True), ("bob", by_hand, False)):
        found = site.visitor().get(f"/api/v1/submissions/{number}", headers=site.token(name)).json
        assert found is not None
        assert found["is_by_agent"] is expected
        own = site.browser(name).get(f"/submissions/{number}").text
        assert ("sent through the MCP endpoint" in own) is expected
    about = site.visitor().get("/api/v1/competitions/biopsy", headers=headers).json
    assert about is not None
    assert about["marks_agents"]


def test_a_client_cannot_set_or_remove_the_mark(site: Site) -> None:
    site.visitor().client.post(
        "/api/v1/competitions/biopsy/submissions",
        data=CSV,
        headers={**site.token("ada"), "Heldout.By-Agent": "1", "X-By-Agent": "1"},
    )
    call(site, "submit", **OF, content=CSV.decode())
    with site.database.begin() as session:
        assert [s.is_by_agent for s in session.query(Submission).order_by(Submission.id)] == [False, True]
        audit_log.chain(session, now=db.now(session))
        assert audit_log.verify(session).faults == ()


def test_no_answer_of_a_tool_holds_a_private_score_or_another_teams_file(site: Site) -> None:
    by_agent, by_hand = agent_and_person(site)
    for tool in ("list_submissions", "leaderboard", "describe_competition", "team"):
        result = call(site, tool, **OF)
        assert str(PRIVATE_CANARY) not in str(result), tool
    assert str(PRIVATE_CANARY) not in str(call(site, "submission", submission=by_agent))
    for tool in ("submission", "cancel_submission", "pick_submission"):
        assert refused(site, tool, submission=by_hand)[0] == 404
