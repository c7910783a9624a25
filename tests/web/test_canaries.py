"""No answer contains a hidden label, or a private score too early.

Each hidden label of the challenge is a unique number. The labels are in the vault, a real work-horse scores
the files, and each role requests each address in each phase.
"""

from __future__ import annotations

import io
import multiprocessing
import random
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

import scorer
from app.authoring import publishing
from app.base import db
from app.base.config import Settings
from app.base.installation import Installation
from app.base.models import Extension, Inspection, InspectionState, Score, State
from app.base.models_teams import TeamInvite
from app.competing import competitions, extensions, statuses, teams
from app.integrity import inspections
from app.integrity.inspections import Kind
from app.web.application import create_app
from tests.web.integrity_records import suspected
from tests.web.site import Site, routes
from worker import jobs
from worker.inspections import inspect

pytestmark = pytest.mark.xdist_group("canaries")

ROWS = 120
SORTED = "?sort=-last&state=scored&page_size=200"
PUBLIC = "?scores=public"
VARIANTS = {
    "text/html": (
        "?part=entry",
        "?part=summary",
        "?part=beside",
        "?part=pulse",
        "?part=live",
        "?part=mine",
        PUBLIC,
        SORTED,
    ),
    "application/json": (SORTED, PUBLIC),
}
# Not the seconds of a time, which may start like a score.
NUMBER = re.compile(rb"(?<!\d\d:)(?<!\d)\d+\.\d{3}")
A_DAY = timedelta(days=1)
PHASES = ("upcoming", "open", "grace", "extended", "settled")
VIEWERS = (None, "ada", "bob", "grace")
TEAMMATES = ("eve", "cyd")
"""A member of Ada's team, and one that has left it before its first file."""
ASKED = [
    *((viewer, phase) for viewer in VIEWERS for phase in PHASES),
    *((viewer, phase) for viewer in TEAMMATES for phase in ("grace", "extended", "settled")),
]


@dataclass
class Vaulted:
    site: Site
    labels: set[bytes]
    private: set[bytes]
    """Private scores and side metrics; shown to participants only once settled."""
    exact: set[bytes]
    """Public scores before rounding."""
    submissions: list[int]
    """Of Ada, Bob, Ada, Bob, and a rejected one of Ada."""

    @property
    def asked_for(self) -> list[int]:
        """Return one of Ada, one of Bob, and the rejected one."""
        return [self.submissions[n] for n in (0, 1, 4)]

    def phase(self, name: str) -> None:
        """Move the competition to a phase."""
        site = self.site
        with site.database.begin() as session:
            session.query(Extension).delete()
        now: dict[str, Any] = {
            "opens_at": self._now() - 9 * A_DAY,
            "extended_until": None,
            "grace_seconds": 120,
        }
        if name == "upcoming":
            site.change(**{**now, "opens_at": self._now() + A_DAY, "closes_at": self._now() + 2 * A_DAY})
        elif name == "open":
            site.change(**now, closes_at=self._now() + A_DAY)
        elif name == "grace":
            site.change(**now, closes_at=self._now() - timedelta(seconds=20))
        elif name == "extended":
            site.change(**now, closes_at=self._now() + A_DAY)
            with site.database.begin() as session:
                moment = db.now(session)
                extensions.grant(
                    session,
                    competitions.by_slug(session, site.slug),
                    "bob",
                    reason="the network was down here",
                    by="grace",
                    now=moment,
                    closes_at=moment + 2 * A_DAY,
                )
            site.change(closes_at=self._now() - A_DAY)
        else:
            site.change(**now, closes_at=self._now() - A_DAY)

    def _now(self) -> datetime:
        return now_of(self.site)


def start(value: float) -> bytes:
    """Return the leading digits that identify a number."""
    return bytes(NUMBER.findall(f"{value:.9f}".encode())[0])


def write_challenge(folder: Path) -> list[float]:
    """Write a regression challenge of 120 hidden rows; return its labels."""
    dice = random.Random(11)
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)

    def rows(prefix: str, n: int) -> list[tuple[str, float, float]]:
        made = []
        for i in range(n):
            x = dice.uniform(0, 1)
            made.append((f"{prefix}{i:04}", round(x, 3), round(200 + 600 * x + dice.gauss(0, 40), 6)))
        return made

    hidden = rows("h", ROWS)
    (folder / "challenge.yaml").write_text(
        "format: 1\ntitle: Canary\nmetric: rmse\nalso: [mae]\nsubmission: {id: id, columns: [target]}\n"
        "competition: {daily_limit: 50, pending_limit: 50}\nsplit: {strategy: random, public_fraction: 0.4}\n"
    )
    public, private = folder / "public", folder / "private"
    public.joinpath("train.csv").write_text(
        "id,x,target\n" + "".join(f"{i},{x},{y}\n" for i, x, y in rows("t", 200))
    )
    public.joinpath("test.csv").write_text("id,x\n" + "".join(f"{i},{x}\n" for i, x, _ in hidden))
    public.joinpath("sample_submission.csv").write_text(
        "id,target\n" + "".join(f"{i},500\n" for i, *_ in hidden)
    )
    usage = ["Public"] * 48 + ["Private"] * 72
    dice.shuffle(usage)
    private.joinpath("solution.csv").write_text(
        "id,target,Usage\n"
        + "".join(f"{i},{y:.6f},{u}\n" for (i, _, y), u in zip(hidden, usage, strict=True))
    )
    return [y for *_, y in hidden]


@pytest.fixture(scope="module")
def vaulted(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Vaulted]:
    folder = tmp_path_factory.mktemp("canary")
    labels = write_challenge(folder / "canary")
    data = folder / "data"
    data.mkdir()
    shutil.copy(sqlite_template, data / "heldout.db")
    settings = Settings(data_dir=data, redis_url="unix:///nowhere/heldout.sock")
    installation = Installation(settings)
    # Findings with evidence, for the pages that show them.
    easy = {"strong_feature": "It is meant to be easy."}
    publishing.publish(installation, scorer.load(folder / "canary"), actor="test", overrides=easy)
    app = create_app(settings, database=installation.database)
    site = Site(app, installation.database, installation.storage, settings, slug="canary")
    for name in ("ada", "bob", "grace", *TEAMMATES):
        site.user(name, is_organiser=name == "grace")
    for name in ("ada", "bob"):
        site.join(name)
    for name in TEAMMATES:
        site.enlist(name, "ada")
    with site.database.begin() as session:
        teams.leave(session, competitions.by_slug(session, "canary"), site.viewer("cyd"), now=db.now(session))
    dice = random.Random(5)
    sent = []
    for by, spread in (("ada", 30), ("bob", 60), ("ada", 90), ("bob", 20)):
        guess = "".join(f"h{i:04},{y + dice.gauss(0, spread):.1f}\n" for i, y in enumerate(labels))
        sent.append(site.submit(by, f"id,target\n{guess}".encode(), f"{by}-{spread}.csv"))
    sent.append(site.submit("ada", b"id,target\nh0000,many\nh0001,1\nh0001,2\nz9,4\n", "wrong.csv"))
    suspected(site, ("probing", "ada", "bob"))
    site.change(closes_at=now_of(site) - A_DAY)
    with site.database.begin() as session:
        competition = competitions.by_slug(session, "canary")
        asked = [
            inspections.ask(session, competition, kind, by="grace", now=db.now(session)).id
            for kind in (Kind.SCAN, Kind.REPORT)
        ]
    run_in_a_work_horse(site, asked)
    with site.database.read() as session:
        scores = session.query(Score).all()
        assert len(scores) == 4
        assert {session.get_one(Inspection, number).state for number in asked} == {InspectionState.DONE}
        private = {start(v) for s in scores for v in (s.private, *(a["private"] for a in s.also.values()))}
        exact = {start(s.public) for s in scores} | {
            start(a["public"]) for s in scores for a in s.also.values()
        }
        exact -= {start(s.shown) for s in scores} | {start(v) for s in scores for v in s.shown_also.values()}
    canaries = {start(label) for label in labels}
    assert len(canaries) > ROWS - 5
    assert len(private) == len(exact) == 8
    assert not canaries & private
    yield Vaulted(site, canaries, private, exact, sent)
    site.database.dispose()


def now_of(site: Site) -> datetime:
    with site.database.read() as session:
        return db.now(session)


def run_in_a_work_horse(site: Site, asked: list[int]) -> None:
    """Score and inspect everything queued, in a child process."""

    def work() -> None:
        runner = jobs.configure(site.settings, site.database)
        while runner.run():
            pass
        for number in asked:
            inspect(number)

    site.database.dispose()  # a child must not inherit connections
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == 0


def content_of(answer: TestResponse) -> bytes:
    """Return headers, body and unpacked archive of an answer."""
    body = answer.get_data()
    if body.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = b"\n".join([name.encode() + b"\n" + archive.read(name) for name in archive.namelist()])
    return str(answer.headers).encode() + body


def crawl(vaulted: Vaulted, name: str | None, *, variants: bool = True) -> Iterator[tuple[str, str, bytes]]:
    """Yield (endpoint, address, content) of each page, part and API address."""
    site = vaulted.site
    browser = site.browser(name) if name else site.visitor()
    headers = site.token(name) if name else {}
    asked = set()
    for number in vaulted.asked_for:
        for file in ("train.csv", "test.csv", "sample_submission.csv", "solution.csv"):
            for method, endpoint, address in routes(site, number, name=file):
                if method != "GET" or endpoint == "static" or address in asked:
                    continue
                asked.add(address)
                answer = browser.client.get(address, headers=headers)
                yield endpoint, address, content_of(answer)
                if answer.status_code == 200 and not endpoint.startswith(("accounts.", "pages.")):
                    for variant in VARIANTS.get(str(answer.mimetype), ()) if variants else ():
                        yield (
                            endpoint,
                            address + variant,
                            content_of(browser.client.get(address + variant, headers=headers)),
                        )
    yield from tool_answers(vaulted, name)
    for file in (
        "/competitions/canary/data/../private/solution.csv",
        "/competitions/canary/data/private/solution.csv",
    ):
        yield "none", file, content_of(browser.client.get(file, headers=headers))


def tool_answers(vaulted: Vaulted, name: str | None) -> Iterator[tuple[str, str, bytes]]:
    """Yield what each reading tool of the MCP endpoint answers, and refusals of what must not be read."""
    client = vaulted.site.visitor().client
    headers = vaulted.site.token(name) if name else {}
    of = {"competition": "canary"}
    asked: list[tuple[str, dict[str, Any]]] = [
        *((tool, {**of, "page_size": 200} if tool == "leaderboard" else of) for tool in OF_COMPETITION),
        *(("submission", {"submission": number}) for number in vaulted.asked_for),
        *(("read_file", {**of, "name": file, "max_bytes": 65536}) for file in ("test.csv", "solution.csv")),
        ("read_file", {**of, "name": "../private/solution.csv"}),
    ]
    for tool, arguments in asked:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        call = {**message, "params": {"name": tool, "arguments": arguments}}
        answer = client.post("/mcp", json=call, headers={"Accept": "application/json", **headers})
        yield "mcp.call", f"/mcp {tool} {arguments}", content_of(answer)


OF_COMPETITION = (
    "describe_competition",
    "submission_format",
    "list_files",
    "list_submissions",
    "leaderboard",
    "team",
    "quota",
)


def test_only_the_vault_holds_hidden_labels(vaulted: Vaulted) -> None:
    """Otherwise the tests below would search for labels in the wrong place."""
    folder = vaulted.site.settings.data_dir
    holds = {
        file.relative_to(folder).parts[0]
        for file in folder.rglob("*")
        if file.is_file() and set(NUMBER.findall(file.read_bytes())) & vaulted.labels
    }
    assert holds == {vaulted.site.settings.vault.relative_to(folder).parts[0]}


@pytest.mark.parametrize(("viewer", "phase"), ASKED)
def test_no_answer_contains_a_hidden_label_or_an_early_private_score(
    vaulted: Vaulted, viewer: str | None, phase: str
) -> None:
    vaulted.phase(phase)
    may_see = viewer == "grace" or phase == "settled"
    private: set[bytes] = set()
    visited = set()
    for endpoint, address, text in crawl(vaulted, viewer):
        visited.add(endpoint)
        numbers = set(NUMBER.findall(text))
        assert not numbers & vaulted.labels, f"{address} shows {viewer or 'a visitor'} a hidden label"
        if endpoint != "pages.licences":
            assert b"Usage" not in text, address
        if not may_see:
            assert not numbers & vaulted.private, f"{address} shows {viewer or 'a visitor'} a private score"
            assert not numbers & vaulted.exact, (
                f"{address} shows {viewer or 'a visitor'} an exact public score"
            )
        private |= numbers & vaulted.private
    assert len(visited) > 25
    assert bool(private) is may_see, (
        "allowed private scores must be found, or this test searches for wrong digits"
    )


def test_a_team_never_sees_private_scores_of_another_teams_files(vaulted: Vaulted) -> None:
    """Teams see all private scores only of their own files."""
    vaulted.phase("settled")
    with vaulted.site.database.read() as session:
        by = {s.submission_id: start(s.private) for s in session.query(Score)}
    bobs_worse = by[vaulted.submissions[1]]
    seen_by = {
        name: {n for *_, text in crawl(vaulted, name, variants=False) for n in NUMBER.findall(text)}
        for name in ("ada", "bob")
    }
    assert bobs_worse in seen_by["bob"]
    assert bobs_worse not in seen_by["ada"]


def test_files_and_links_of_a_team_are_seen_by_its_members_alone(vaulted: Vaulted) -> None:
    """By name and hash; a member of before and one of another team see none of it in any answer."""
    vaulted.phase("open")
    secret = vaulted.site.invite("ada")
    with vaulted.site.database.read() as session:
        competition = competitions.by_slug(session, "canary")
        sent = statuses.statuses(session, competition, now=db.now(session), for_organiser=True)
        hashes = session.scalars(select(TeamInvite.secret_hash)).all()
    of_ada = [one for one in sent if one.team == "ada"]
    marks = {mark.encode() for one in of_ada for mark in (one.filename, one.sha256)}
    always = {secret.encode(), *hashes, *(hash_.hex().encode() for hash_ in hashes)}
    for viewer in (None, "ada", "bob", *TEAMMATES):
        seen: set[bytes] = set()
        for _, address, text in crawl(vaulted, viewer):
            seen |= {mark for mark in marks if mark in text}
            assert not any(mark in text for mark in always), (viewer, address)
        assert (seen == marks) is (viewer in ("ada", "eve")), viewer
        assert not seen or viewer in ("ada", "eve"), (viewer, seen)


def test_submissions_have_the_states_that_the_crawl_needs(vaulted: Vaulted) -> None:
    with vaulted.site.database.read() as session:
        competition = competitions.by_slug(session, "canary")
        states = [s.state for s in statuses.statuses(session, competition, now=db.now(session))]
    assert sorted(states) == sorted([State.SCORED] * 4 + [State.REJECTED])
