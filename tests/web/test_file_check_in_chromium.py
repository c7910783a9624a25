"""The browser's own check of a file: its verdicts, and the page that shows them."""

from __future__ import annotations

import base64
import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy.orm import Session

import scorer
from app.base.models import Team
from app.competing import competitions, statuses, teams
from heldout_client.checking import Schema
from heldout_client.content import Content
from heldout_client.participant import cells_of
from tests.client.conftest import SCHEMA, describe
from tests.client.test_checking import FILES, MAX_BYTES, compared, mutated, of_client, of_server
from tests.scorer.conftest import Write, csv_text, write
from tests.scorer.many import KINDS
from tests.scorer.test_causes import CAUSES, load
from tests.scorer.test_submission import ACCEPTED, CASES, GOOD, REFUSED, payload, zipped
from tests.web.site import Site, build
from tests.web.test_pages_in_chromium import (  # fixtures, and how to look at a page
    DESKTOP,
    PHONE,
    address,
    chromium,
    picture,
    serious,
    visit,
)

__all__ = ["address", "chromium", "visit", "write"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("chromium")]

GOOD_OF_20 = GOOD.encode()
STATIC = Path(__file__).parents[2] / "app" / "web" / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}

RUN = """
async ({schemas, files}) => {
    const {check, cellsOf, schemaOf} = await import("/check/checking.js");
    const bytes = text => Uint8Array.fromBase64 ? Uint8Array.fromBase64(text)
        : Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const read = [];
    for (const {document, sample} of schemas) {
        const {columns} = document.ids;
        const found = await cellsOf(new Blob([bytes(sample)]), columns, document.columns.map(c => c.name));
        const takesIds = document.ids.file && !document.ids.values;
        read.push(schemaOf(document, {sample: found.sample, ids: takesIds ? found.ids : null}));
    }
    const verdicts = [];
    for (const [schema, data] of files) verdicts.push(await check(new Blob([bytes(data)]), read[schema]));
    return verdicts;
}
"""


@pytest.fixture
def bare(chromium: Browser) -> Iterator[Page]:
    """A page with the static files and nothing else."""
    page = chromium.new_page()

    def answer(route: Route) -> None:
        path = STATIC / route.request.url.partition("//")[2].partition("/")[2]
        if path.is_file():
            route.fulfill(path=path, content_type=TYPES[path.suffix])
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    page.route("**/*", answer)
    page.goto("http://check.example/page")
    yield page
    page.close()


class Files:
    """Files to check, each with its challenge, to be read by server, client and browser."""

    def __init__(self) -> None:
        self.schemas: list[dict[str, Any]] = []
        self.files: list[tuple[int, bytes]] = []
        self.names: list[str] = []
        self.clients: list[Schema] = []

    def challenge(self, challenge: scorer.Challenge) -> None:
        """Let the files that are added next be of this challenge."""
        document = {**scorer.describe_submission(challenge), "max_bytes": MAX_BYTES, "formats": ["csv"]}
        if challenge.solution.task.parquet:
            document["formats"].append("parquet")
        data = (challenge.folder / "public" / "sample_submission.csv").read_bytes()
        names = [column["name"] for column in document["columns"]]
        ids, cells = cells_of(Content("sample.csv", data=data), document["ids"]["columns"], names)
        more: dict[str, Any] = {"sample": cells}
        if document["ids"]["file"] and document["ids"]["values"] is None:
            more["ids"] = ids
        self.clients.append(Schema.of(document, **more))
        self.schemas.append({"document": document, "sample": base64.b64encode(data).decode()})

    def add(self, name: str, data: bytes) -> None:
        self.names.append(name)
        self.files.append((len(self.schemas) - 1, data))

    def browser(self, page: Page) -> list[dict[str, Any]]:
        """Return the verdicts of the browser, all from one call."""
        files = [(schema, base64.b64encode(data).decode()) for schema, data in self.files]
        verdicts: list[dict[str, Any]] = page.evaluate(RUN, {"schemas": self.schemas, "files": files})
        for verdict in verdicts:
            del verdict["preview"], verdict["isWhole"]
            for found in (*verdict["problems"], *verdict["warnings"]):
                for name in [name for name, value in found.items() if value is None]:
                    del found[name]
        return verdicts

    def client(self) -> list[dict[str, Any]]:
        return [of_client(self.clients[schema], data)[1].as_dict() for schema, data in self.files]


def differences(files: Files, verdicts: list[dict[str, Any]]) -> list[str]:
    """Return in which files, and in what, the browser's verdicts differ from the client's."""
    pairs = zip(files.names, verdicts, files.client(), strict=True)
    return [f"{name}:\n  browser {mine}\n  client  {other}" for name, mine, other in pairs if mine != other]


def test_shared_bad_files_get_the_verdict_of_client_and_server(write: Write, bare: Page) -> None:
    files, server = Files(), []
    challenge = scorer.load(write())
    files.challenge(challenge)
    shared: dict[str, bytes | str] = {case["name"]: payload(case) for case in CASES}
    shared |= {name: given for name, (given, *_) in (ACCEPTED | REFUSED).items()}
    for name, given in shared.items():
        data = given.encode() if isinstance(given, str) else given
        files.add(name, data)
        server.append(of_server(challenge, data))
    for name, (yaml, data, code, _) in CAUSES.items():
        challenge = load(write, yaml)
        ids, columns = list(challenge.solution.ids), challenge.solution.task.columns
        sample = csv_text(("id", *columns), ids, *[["0.5"] * len(ids)] * len(columns))
        (challenge.folder / "public" / "sample_submission.csv").write_text(sample)
        files.challenge(challenge)
        files.add(name, data)
        server.append({code})
    verdicts = files.browser(bare)
    assert differences(files, verdicts) == []
    mine = [compared({found["code"] for found in verdict["problems"]}) for verdict in verdicts]
    pairs = zip(files.names, mine, map(compared, server), strict=True)
    assert [(name, mine, other) for name, mine, other in pairs if mine != other] == []


PACKED = {
    "gzip of several parts": gzip.compress(GOOD_OF_20[:50]) + gzip.compress(GOOD_OF_20[50:]),
    "gzip with zeros behind it": gzip.compress(GOOD_OF_20) + bytes(512),
}
"""What browsers cannot unpack and the server can."""

FORMS: dict[str, bytes] = {
    "gzip that ends early": gzip.compress(GOOD_OF_20)[:-20],
    "gzip with other bytes behind it": gzip.compress(GOOD_OF_20) + b"behind",
    "gzip of a gzip": gzip.compress(gzip.compress(GOOD_OF_20)),
    "gzip of a bomb": gzip.compress(bytes(MAX_BYTES + 1)),
    "zip that ends early": zipped(("sub.csv", GOOD_OF_20))[:-30],
    "zip with a wrong checksum": zipped(("sub.csv", GOOD_OF_20)).replace(
        zlib.crc32(GOOD_OF_20).to_bytes(4, "little"), bytes(4)
    ),
    "zip of two files": zipped(("a.csv", GOOD_OF_20), ("b.csv", GOOD_OF_20)),
    "zip of nothing": zipped(),
    "a mark and white space": b"\xef\xbb\xbf \n\n",
    "cp1252": GOOD_OF_20 + "\u00e9,0.5\n".encode("cp1252"),
    "UTF-8 cut within a character": GOOD_OF_20 + "\u20ac".encode()[:2],
    "surrogates": GOOD_OF_20 + b"\xed\xa0\x80,0.5\n",
    "a wrong byte behind a wrong row": b"id,target\n1,2,3\n" + GOOD_OF_20 * 9000 + b"\xff",
    "an open quote at the end": GOOD_OF_20 + b'"1,0.5\n' + b"x\n" * 50,
    "a quoted value over many lines": b'id,target\n"1' + b"\n" * 1_000_001 + b'",0.5\n',
    "letters beyond 16 bits": GOOD_OF_20.replace(b"\n7,", "\n\U0001f600,".encode())
    + "\U0001f601,0.5\n".encode(),
    "doubled quotes": GOOD_OF_20 + b'"a""b","0.""5"\n1,"""0.5"""\n',
    "CR, LF and CRLF": GOOD_OF_20.replace(b"\n", b"\r", 3).replace(b"\n", b"\r\n", 3),
    "large, in several blocks": b"id,target\n" + b"".join(b'"%d",0.5\r\n' % n for n in range(1, 900)),
}


def test_packed_and_misspelt_bytes_get_the_verdict_of_the_client(write: Write, bare: Page) -> None:
    files = Files()
    files.challenge(scorer.load(write()))
    for name, data in FORMS.items():
        files.add(name, data)
    assert differences(files, files.browser(bare)) == []
    files = Files()
    files.challenge(scorer.load(write()))
    for name, data in PACKED.items():
        files.add(name, data)
    words = "all of a gzip file of several parts, or a damaged one"
    for verdict in files.browser(bare):
        assert (verdict["problems"], verdict["unchecked"]) == ([], [words])


def test_labels_that_are_public_get_the_verdict_of_client_and_server(write: Write, bare: Page) -> None:
    files, server = Files(), []
    for kind in ("labels", "labels of two columns", "labels spelt otherwise"):
        made = KINDS[kind]
        names = [name for name in made.truth if name != "Usage"]
        cells = [list(map(str, made.truth[name])) for name in names]
        train = csv_text(("id", *names), [f"t{number}" for number in range(20)], *cells)
        sent = csv_text(("id", *made.sent), list(made.ids), *(list(map(str, c)) for c in made.sent.values()))
        public = {"public/sample_submission.csv": sent, "public/train.csv": train}
        challenge = scorer.load(made.folder(write, **public))
        files.challenge(challenge)
        assert files.schemas[-1]["document"]["columns"][-1]["labels"]
        rows = sent.splitlines()
        for cell in ("elk", "True", "0.5", "1e0", ""):
            for n_wrong in (1, 12, 19):  # one, most and nearly all cells of a column
                wrong = [f"{row.rpartition(',')[0]},{cell}" for row in rows[1 : n_wrong + 1]]
                data = "\n".join([rows[0], *wrong, *rows[n_wrong + 1 :]]).encode()
                files.add(f"{kind}, {n_wrong} times {cell}", data)
                server.append(compared(of_server(challenge, data)))
    verdicts = files.browser(bare)
    assert differences(files, verdicts) == []
    mine = [compared({found["code"] for found in verdict["problems"]}) for verdict in verdicts]
    assert [one for one in zip(files.names, mine, server, strict=True) if one[1] != one[2]] == []


def test_ids_are_compared_by_their_digest_where_the_list_is_not_at_hand(write: Write, bare: Page) -> None:
    files = Files()
    challenge = scorer.load(write())
    files.challenge(challenge)
    files.schemas[0]["document"]["ids"] |= {"values": None, "file": None}
    files.clients[0] = replace(files.clients[0], ids=None)
    lines = GOOD_OF_20.decode().splitlines()
    wanted = {
        "right": (lines, set()),
        "one is missing": (lines[:-1], {"MISSING_IDS"}),
        "one too many": ([*lines, "999,0.5"], {"UNKNOWN_IDS"}),
        "another": ([*lines[:-1], "\U0001f600,0.5"], {"UNKNOWN_IDS"}),
        "one twice": ([*lines, lines[-1]], {"DUPLICATE_IDS"}),
    }
    for name, (text, _) in wanted.items():
        files.add(name, "\n".join(text).encode())
    verdicts = files.browser(bare)
    assert differences(files, verdicts) == []
    found = [{problem["code"] for problem in verdict["problems"]} for verdict in verdicts]
    assert found == [codes for _, codes in wanted.values()]


def test_two_thousand_mutated_files_get_the_verdict_of_the_client(write: Write, bare: Page) -> None:
    """The client's is the server's: tests/client/test_checking.py compares the two on the same files."""
    files = Files()
    for kind, made in KINDS.items():
        columns = (list(map(str, column)) for column in made.sent.values())
        sample = csv_text(("id", *made.sent), list(made.ids), *columns)
        files.challenge(scorer.load(made.folder(write, **{"public/sample_submission.csv": sample})))
        text, draw = made.text(), random.Random(kind)
        files.add(kind, text.encode())
        rows = text.splitlines()
        for n_wrong in (5, 12, 19):  # some, most and nearly all cells of a column
            wrong = [f"{row.rpartition(',')[0]},elk" for row in rows[1 : n_wrong + 1]]
            files.add(f"{kind}, {n_wrong} wrong", "\n".join([rows[0], *wrong, *rows[n_wrong + 1 :]]).encode())
        for number in range(FILES // len(KINDS) + 1):
            files.add(f"{kind} {number}", mutated(text, draw))
    assert len(files.files) > FILES
    assert differences(files, files.browser(bare)) == []


IDENTIFIERS = [f"b{number:04}" for number in range(1, 201)]
ONE = SCHEMA["columns"][0]
FORM: dict[str, Any] = {
    **SCHEMA,
    "ids": {**SCHEMA["ids"], "form": "text", "count": len(IDENTIFIERS), "values": IDENTIFIERS},
    "columns": [{**ONE, "holds": "a probability, 0 to 1"}],
}
FITTING = csv_text(("id", "target"), IDENTIFIERS, [f"0.{number:03}" for number in range(200)])
BAD = FITTING.replace("b0007,0.006", "b0007,12%").replace("b0020,0.019\n", "").replace("b0009,", "b0008,")
HARD = csv_text(("id", "target"), IDENTIFIERS, ["0", "1"] * 100)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = build(tmp_path_factory.mktemp("checked"))
    describe(site, FORM)
    yield site
    site.database.dispose()


@pytest.fixture
def submit(visit: Callable[..., Page]) -> Page:
    page = visit("ada", viewport=DESKTOP)
    page.goto("/competitions/biopsy/submit")
    return page


def choose(page: Page, content: str, name: str = "mine.csv") -> None:
    page.locator("#file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content.encode()})


def state(page: Page, kind: str) -> Any:
    """Wait for a verdict; return its place."""
    expect(page.locator(f".check[data-kind={kind}]")).to_be_visible(timeout=60_000)
    return page.locator(".check")


def is_fit_to_show(page: Page, name: str) -> None:
    """Fail on what axe finds in both colours, and on what is wider than a phone."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        picture(page, f"check-{name}-{scheme}-desktop")
        assert serious(page, only=None if scheme == "light" else ["color-contrast"]) == []
    page.set_viewport_size(PHONE)
    picture(page, f"check-{name}-dark-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")


def test_a_chosen_file_gets_ticks_crosses_and_a_preview_and_can_be_sent_all_the_same(
    submit: Page, busy: Site
) -> None:
    loaded: list[str] = []
    posted: list[str] = []
    submit.on("request", lambda request: (loaded if request.method == "GET" else posted).append(request.url))
    submit.reload()
    assert [url for url in loaded if "/check/" in url or url.endswith("/schema")] == []

    choose(submit, FITTING)
    check = state(submit, "good")
    expect(check.get_by_role("status")).to_have_text("This file fits. 200 rows read.")
    expect(check.locator(".rules > li")).to_have_text(
        [
            "A CSV file in UTF-8: kept",
            "The columns id,target: kept",
            "2 values in every line: kept",
            "Each of the 200 ids exactly once: kept",
            "target: a probability, 0 to 1: kept",
        ]
    )
    expect(check.locator("tbody tr")).to_have_count(5)
    expect(check.locator("tbody tr").first).to_have_text("b00010.000")
    is_fit_to_show(submit, "good")

    choose(submit, BAD)
    check = state(submit, "bad")
    expect(check.get_by_role("status")).to_have_text("The server would reject this file: 3 problems.")
    expect(check.locator(".rule-bad")).to_have_count(2)
    found = check.locator(".problems > li")
    expect(found.nth(0)).to_contain_text("Id b0008 appears 2 times (lines 9 and 10).")
    expect(found.nth(1)).to_contain_text("2 of 200 required ids missing: b0009, b0020.")
    expect(found.nth(2)).to_contain_text('"12%" is not a probability, 0 to 1 - write 0.45 for 45%.')
    expect(found.nth(2).locator(".where")).to_have_text("NOT_A_NUMBERline 8id b0007column targetgot 12%")
    is_fit_to_show(submit, "bad")

    assert posted == []
    submit.get_by_role("button", name="Upload the file").click()
    submit.wait_for_url("**/submissions/*")
    with busy.database.read() as session:
        sent = statuses.files_sent(session, own_team(session, busy), most=5)
    assert [size for _, _, size in sent] == [len(BAD)]


def own_team(session: Session, site: Site) -> Team:
    team = teams.of(session, competitions.by_slug(session, site.slug), site.viewer("ada").id)
    assert team is not None
    return team


def test_a_file_that_is_legal_but_rarely_meant_is_warned_about_before_it_is_sent(
    submit: Page, busy: Site
) -> None:
    earlier = busy.submit("ada", HARD.encode())
    choose(submit, HARD)
    check = state(submit, "warn")
    expect(check.locator(".warnings li")).to_have_text(
        [
            "All predictions are 0 or 1; this metric rewards probabilities.",
            f"These bytes were sent before, as submission {earlier}.",
        ]
    )
    expect(check.locator(".rule-good")).to_have_count(5)
    is_fit_to_show(submit, "warning")


def test_a_check_shows_its_progress_and_is_stopped_by_keyboard(submit: Page, busy: Site) -> None:
    """The schema is withheld until the check is stopped, so that no speed of a machine matters."""
    held: list[Route] = []
    submit.context.route("**/submit/schema", lambda route: held.append(route))
    choose(submit, FITTING)
    check = state(submit, "doing")
    expect(check.get_by_role("progressbar", name="Check of the file")).to_be_visible()
    submit.locator("#file").focus()
    submit.keyboard.press("Tab")
    expect(submit.get_by_role("button", name="Stop the check")).to_be_focused()
    is_fit_to_show(submit, "running")
    submit.keyboard.press("Enter")
    expect(check.get_by_role("status")).to_contain_text("The check was stopped.")
    expect(submit.get_by_role("button", name="Upload the file")).to_be_focused()
    submit.context.unroute("**/submit/schema")
    choose(submit, FITTING, "again.csv")
    state(submit, "good")


def test_without_a_schema_or_an_answer_the_page_says_that_the_server_checks(submit: Page, busy: Site) -> None:
    submit.context.route("**/submit/schema", lambda route: route.abort())
    choose(submit, FITTING)
    expect(state(submit, "open").get_by_role("status")).to_contain_text(
        "The server checks it when you upload it."
    )
    submit.context.unroute("**/submit/schema")
    submit.context.route("**/check/worker.js", lambda route: route.abort())
    choose(submit, FITTING, "again.csv")
    expect(submit.locator("[data-chosen]")).to_contain_text("again.csv")
    expect(state(submit, "open").get_by_role("status")).to_contain_text(
        "The server checks it when you upload it."
    )
    expect(submit.get_by_role("button", name="Upload the file")).to_be_enabled()
