"""A challenge whose every hidden label is a number like no other: no answer of ours to anybody holds one.

The labels lie in the vault, the files are scored by a real work-horse, and every address is asked for by
everybody in every phase. What may be told of private scores, and when, is looked for in the same answers.
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
from werkzeug.test import TestResponse

import scorer
from app.authoring import publishing
from app.base import db
from app.base.config import Settings
from app.base.installation import Installation
from app.base.models import Extension, Inspection, InspectionState, Score, State
from app.competing import competitions, extensions, submissions
from app.integrity import inspections
from app.integrity.inspections import Kind
from app.web.application import create_app
from tests.web.integrity_records import suspected
from tests.web.site import House, routes
from worker import jobs
from worker.inspections import inspect

pytestmark = pytest.mark.xdist_group("canaries")

ROWS = 120
SORTED = "?sort=-last&state=scored&page_size=200"
VARIANTS = {
    "text/html": ("?part=entry", "?part=summary", "?part=beside", "?part=pulse", SORTED),
    "application/json": (SORTED,),
}
# Not the seconds of a time, which may by chance begin like a score.
NUMBER = re.compile(rb"(?<!\d\d:)(?<!\d)\d+\.\d{3}")
A_DAY = timedelta(days=1)
PHASES = ("upcoming", "open", "grace", "extended", "settled")
PEOPLE = (None, "ada", "bob", "grace")


@dataclass
class Vaulted:
    house: House
    labels: set[bytes]
    private: set[bytes]
    """Of the private scores and of their further metrics: what organisers may see always, others once settled."""
    exact: set[bytes]
    """Of the public scores before they were rounded for the board."""
    submissions: list[int]
    """Ada's, Bob's, Ada's, Bob's, and a wrong one of Ada's."""

    @property
    def asked_for(self) -> list[int]:
        """One of each kind: Ada's, Bob's and the wrong one."""
        return [self.submissions[n] for n in (0, 1, 4)]

    def phase(self, name: str) -> None:
        """Turn the competition's clock; each phase is set as a whole, whatever the one before."""
        house = self.house
        with house.database.begin() as session:
            session.query(Extension).delete()
        now: dict[str, Any] = {
            "opens_at": self._now() - 9 * A_DAY,
            "extended_until": None,
            "grace_seconds": 120,
        }
        if name == "upcoming":
            house.change(**{**now, "opens_at": self._now() + A_DAY, "closes_at": self._now() + 2 * A_DAY})
        elif name == "open":
            house.change(**now, closes_at=self._now() + A_DAY)
        elif name == "grace":
            house.change(**now, closes_at=self._now() - timedelta(seconds=20))
        elif name == "extended":
            house.change(**now, closes_at=self._now() + A_DAY)
            with house.database.begin() as session:
                moment = db.now(session)
                extensions.grant(
                    session,
                    competitions.by_slug(session, house.slug),
                    "bob",
                    reason="the network was away here",
                    by="grace",
                    now=moment,
                    closes_at=moment + 2 * A_DAY,
                )
            house.change(closes_at=self._now() - A_DAY)
        else:
            house.change(**now, closes_at=self._now() - A_DAY)

    def _now(self) -> datetime:
        return now_of(self.house)


def start(value: float) -> bytes:
    """The digits by which a number is known again, however many more are shown."""
    return bytes(NUMBER.findall(f"{value:.9f}".encode())[0])


def write_challenge(folder: Path) -> list[float]:
    """A regression on 120 hidden rows; the labels."""
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
    # Some findings with evidence, for the pages that show it.
    easy = {"strong_feature": "It is meant to be easy."}
    publishing.publish(installation, scorer.load(folder / "canary"), actor="test", overrides=easy)
    app = create_app(settings, database=installation.database)
    house = House(app, installation.database, installation.storage, settings, slug="canary")
    for name in ("ada", "bob", "grace"):
        house.user(name, is_organiser=name == "grace")
    for name in ("ada", "bob"):
        house.join(name)
    dice = random.Random(5)
    sent = []
    for by, spread in (("ada", 30), ("bob", 60), ("ada", 90), ("bob", 20)):
        guess = "".join(f"h{i:04},{y + dice.gauss(0, spread):.1f}\n" for i, y in enumerate(labels))
        sent.append(house.submit(by, f"id,target\n{guess}".encode(), f"{by}-{spread}.csv"))
    sent.append(house.submit("ada", b"id,target\nh0000,many\nh0001,1\nh0001,2\nz9,4\n", "wrong.csv"))
    suspected(house, ("probing", "ada", "bob"))
    house.change(closes_at=now_of(house) - A_DAY)
    with house.database.begin() as session:
        competition = competitions.by_slug(session, "canary")
        asked = [
            inspections.ask(session, competition, kind, by="grace", now=db.now(session)).id
            for kind in (Kind.SCAN, Kind.REPORT)
        ]
    in_a_work_horse(house, asked)
    with house.database.read() as session:
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
    yield Vaulted(house, canaries, private, exact, sent)
    house.database.dispose()


def now_of(house: House) -> datetime:
    with house.database.read() as session:
        return db.now(session)


def in_a_work_horse(house: House, asked: list[int]) -> None:
    """Everything that waits, in a process of its own as always."""

    def work() -> None:
        runner = jobs.configure(house.settings, house.database)
        while runner.run():
            pass
        for number in asked:
            inspect(number)

    house.database.dispose()  # a child must not inherit connections
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == 0


def said(answer: TestResponse) -> bytes:
    """All that an answer tells: its headers, its body, and what is packed inside."""
    body = answer.get_data()
    if body.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = b"\n".join([name.encode() + b"\n" + archive.read(name) for name in archive.namelist()])
    return str(answer.headers).encode() + body


def crawl(vaulted: Vaulted, name: str | None, *, variants: bool = True) -> Iterator[tuple[str, str, bytes]]:
    """(endpoint, address, everything said) of every address there is, asked as a page, as a part and as the API."""
    house = vaulted.house
    browser = house.browser(name) if name else house.stranger()
    headers = house.token(name) if name else {}
    asked = set()
    for number in vaulted.asked_for:
        for file in ("train.csv", "test.csv", "sample_submission.csv", "solution.csv"):
            for method, endpoint, address in routes(house, number, name=file):
                if method != "GET" or endpoint == "static" or address in asked:
                    continue
                asked.add(address)
                answer = browser.client.get(address, headers=headers)
                yield endpoint, address, said(answer)
                if answer.status_code == 200 and not endpoint.startswith(("accounts.", "pages.")):
                    for variant in VARIANTS.get(str(answer.mimetype), ()) if variants else ():
                        yield (
                            endpoint,
                            address + variant,
                            said(browser.client.get(address + variant, headers=headers)),
                        )
    for file in (
        "/competitions/canary/data/../private/solution.csv",
        "/competitions/canary/data/private/solution.csv",
    ):
        yield "none", file, said(browser.client.get(file, headers=headers))


def test_the_labels_lie_in_the_vault_and_nowhere_else(vaulted: Vaulted) -> None:
    """So the canaries below are real: what a page could tell must have come from there."""
    folder = vaulted.house.settings.data_dir
    holds = {
        file.relative_to(folder).parts[0]
        for file in folder.rglob("*")
        if file.is_file() and set(NUMBER.findall(file.read_bytes())) & vaulted.labels
    }
    assert holds == {vaulted.house.settings.vault.relative_to(folder).parts[0]}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("who", PEOPLE)
def test_nobody_is_told_a_hidden_label_or_a_private_score_too_early(
    vaulted: Vaulted, who: str | None, phase: str
) -> None:
    vaulted.phase(phase)
    may_see = who == "grace" or phase == "settled"
    private: set[bytes] = set()
    visited = set()
    for endpoint, address, text in crawl(vaulted, who):
        visited.add(endpoint)
        numbers = set(NUMBER.findall(text))
        assert not numbers & vaulted.labels, f"{address} tells {who or 'a stranger'} a hidden label"
        if endpoint != "pages.licences":
            assert b"Usage" not in text, address
        if not may_see:
            assert not numbers & vaulted.private, f"{address} tells {who or 'a stranger'} a private score"
            assert not numbers & vaulted.exact, f"{address} tells {who or 'a stranger'} an exact public score"
        private |= numbers & vaulted.private
    assert len(visited) > 25
    assert bool(private) is may_see, "a private score is where it may be, or this looks for the wrong digits"


def test_a_score_shown_to_its_team_is_never_the_other_teams(vaulted: Vaulted) -> None:
    """Once settled a team sees its own private scores of every file, and of the others only the board's."""
    vaulted.phase("settled")
    with vaulted.house.database.read() as session:
        by = {s.submission_id: start(s.private) for s in session.query(Score)}
    bobs_worse = by[vaulted.submissions[1]]
    told = {
        name: {n for *_, text in crawl(vaulted, name, variants=False) for n in NUMBER.findall(text)}
        for name in ("ada", "bob")
    }
    assert bobs_worse in told["bob"]
    assert bobs_worse not in told["ada"]


def test_the_states_are_what_the_crawl_counts_on(vaulted: Vaulted) -> None:
    with vaulted.house.database.read() as session:
        competition = competitions.by_slug(session, "canary")
        states = [s.state for s in submissions.statuses(session, competition, now=db.now(session))]
    assert sorted(states) == sorted([State.SCORED] * 4 + [State.REJECTED])
