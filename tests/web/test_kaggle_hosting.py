"""What hosts do with a stock Kaggle client: from `create` to `launch`, and a running competition.

`make test-newest-clients` runs the client itself; see tests/clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from werkzeug.test import TestResponse

from app.base import db
from app.base.config import Settings
from app.base.installation import Installation
from app.base.models import Phase
from app.competing import competitions, roles
from app.people import accounts, tokens
from app.people.tokens import Scope
from app.web.application import create_app
from app.web.kaggle.rpc import BLOBS, COMPETITIONS
from tests.conftest import on_sqlite
from tests.web.site import Site, competition
from tests.web.test_kaggle import call, refused
from tests.worker.drafting import Desk

LABEL = 0.123456
NAMED = {"competitionName": "slopes"}


def parts() -> dict[str, bytes]:
    """Return a competition as its host has it: three files of data and a solution."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=300).round(3)
    y = (2 * x + rng.normal(size=300)).round(3)
    y[-1] = LABEL
    hidden = range(100, 300)
    usage = ["Public", *rng.permutation(["Public"] * 59 + ["Private"] * 140)]
    return {
        "train.csv": ("id,x,y\n" + "".join(f"{i},{x[i]},{y[i]}\n" for i in range(100))).encode(),
        "test.csv": ("id,x\n" + "".join(f"{i},{x[i]}\n" for i in hidden)).encode(),
        "sample_submission.csv": ("id,y\n" + "".join(f"{i},0.0\n" for i in hidden)).encode(),
        "solution.csv": ("id,y,Usage\n" + "".join(f"{i},{y[i]},{usage[i - 100]}\n" for i in hidden)).encode(),
    }


class Client:
    """The calls of kaggle 2.2.5 as the organiser of a desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.client = create_app(desk.installation.settings, database=desk.database).test_client()
        with desk.database.begin() as session:
            user = accounts.by_name(session, desk.name)
            secret = tokens.issue(session, user.id, "test", now=db.now(session), scope=Scope.ORGANISE)
        self.headers = {"Authorization": f"Bearer {secret}"}

    def call(self, method: str, **body: Any) -> TestResponse:
        service = BLOBS if method == "StartBlobUpload" else COMPETITIONS
        return self.client.post(f"/api/v1/{service}/{method}", json=body, headers=self.headers)

    def json(self, method: str, **body: Any) -> dict[str, Any]:
        answer = self.call(method, **body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json or {})

    def start(self, name: str, content: bytes, kind: str = "DATASET") -> dict[str, Any]:
        return self.json("StartBlobUpload", type=kind, name=name, contentLength=len(content))

    def put(self, address: str, content: bytes, said: str = "") -> TestResponse:
        headers = {"Content-Range": said} if said else {}
        return self.client.put(address, data=content, headers=headers)

    def send(self, name: str, content: bytes, kind: str = "DATASET") -> str:
        begun = self.start(name, content, kind)
        assert self.put(begun["createUrl"], content).status_code == 200
        return str(begun["token"])

    def create(self, slug: str = "slopes", **more: Any) -> TestResponse:
        named = {"title": "Slopes", "slug": slug, "briefDescription": "How steep?", "privacy": "PUBLIC"}
        return self.call("CreateCompetition", **(named | more), disableKernels=False, hackathon=False)

    def update(self, *names: str) -> None:
        files = parts()
        sent = [{"name": name, "token": self.send(name, files[name])} for name in names]
        self.json("CreateCompetitionData", **NAMED, versionNotes="first", files=sent)

    def solve(self) -> None:
        token = self.send("solution.csv", parts()["solution.csv"], "COMPETITION_SOLUTION")
        self.json("CreateCompetitionSolution", **NAMED, blobToken=token)

    def status(self) -> dict[str, Any]:
        return self.json("GetCompetitionSolutionStatus", **NAMED)

    def phase(self) -> Phase:
        with self.desk.database.read() as session:
            return competitions.by_slug(session, "slopes").phase(db.now(session))


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[Client]:
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        allow_weak_sandbox=True,
        redis_url="unix:///nowhere/heldout.sock",
    )
    desk = Desk(Installation(settings))
    desk.begin()
    yield Client(desk)
    desk.database.dispose()


@on_sqlite
def test_a_competition_is_made_from_the_first_file_to_the_launch(client: Client) -> None:
    made = client.create()
    assert made.json is not None
    assert made.json["url"] == "/competitions/slopes"
    assert "taken" in refused(client.create())
    assert "no solution yet" in client.status()["setupError"]
    client.update("train.csv", "test.csv", "sample_submission.csv")
    client.solve()
    assert (client.status()["ready"], client.status()["setupError"]) == (False, "")
    assert "not checked yet" in refused(client.call("LaunchCompetition", **NAMED))
    assert client.desk.work() == 1
    status = client.status()
    assert status["setupError"] == ""
    info = status["solutionInfo"]
    assert (info["fileName"], info["totalRows"]) == ("solution.csv", 200)
    assert (info["publicRows"], info["privateRows"]) == (60, 140)
    assert str(LABEL) not in str(status)

    settings = {
        "title": "Steep slopes",
        "deadline": "2040-01-31T23:59:00.000+00:00Z",
        "hasLeaderboard": True,
        "hostSegment": "HOST_SEGMENT_COMMUNITY",
        "maxPendingSubmissionsPerTeam": 7,
    }
    mask = "title,deadline,has_leaderboard,hostSegment,maxPendingSubmissionsPerTeam"
    changed = client.json("UpdateCompetitionSettings", **NAMED, settings=settings, updateMask=mask)
    assert (changed["title"], changed["deadline"]) == ("Steep slopes", "2040-01-31T23:59:00.000Z")
    page = {"name": "description", "content": "# How steep is it?"}
    client.json("UpdateCompetitionPage", **NAMED, pageName="description", page=page)
    (shown,) = client.json("ListCompetitionPages", **NAMED)["pages"]
    assert shown["content"] == page["content"]
    (host,) = client.json("ListCompetitionHosts", **NAMED)["hosts"]
    assert host["userName"] == "grace"
    assert "Launch slopes first" in refused(client.call("AddCompetitionHost", **NAMED, userName="grace"))
    client.json("LaunchCompetition", **NAMED)
    assert "being opened" in refused(client.call("LaunchCompetition", **NAMED))
    assert client.desk.work() == 1

    with client.desk.database.read() as session:
        found = competitions.by_slug(session, "slopes")
        assert (found.title, found.pending_limit) == ("Steep slopes", 7)
        assert found.version.manifest["metric"]["name"] == "rmse"
        assert found.version.manifest["description"].strip() == page["content"]
        assert [(host.name, host.role) for host in roles.listed(session, found)] == [("grace", "owner")]
    assert client.phase() is Phase.OPEN
    assert client.status()["ready"]
    assert "has been open since" in refused(client.call("LaunchCompetition", **NAMED))
    late = client.call("CreateCompetitionSolution", **NAMED, blobToken="x" * 43)
    assert "`heldout challenge publish`" in refused(late)


@on_sqlite
def test_what_makes_no_competition_is_said_in_the_status_and_mended(client: Client) -> None:
    client.create()
    client.update("train.csv", "test.csv")
    client.solve()
    client.desk.work()
    assert "Upload a sample submission" in client.status()["setupError"]
    assert "not ready" in refused(client.call("LaunchCompetition", **NAMED))
    client.update("train.csv", "test.csv", "sample_submission.csv")
    client.desk.work()
    assert client.status()["ready"]
    client.json("LaunchCompetition", **NAMED, futureTime="2039-01-01T00:00:00.000+00:00Z")
    client.desk.work()
    assert client.phase() is Phase.UPCOMING
    client.json("LaunchCompetition", **NAMED)
    assert client.phase() is Phase.OPEN


@on_sqlite
def test_a_broken_upload_is_sent_again_from_its_beginning(client: Client) -> None:
    content = b"id,x\n" + b"1,2\n" * 1000
    size = len(content)
    address = client.start("train.csv", content)["createUrl"]
    asked = client.put(address, b"", f"bytes */{size}")
    assert (asked.status_code, "Range" in asked.headers) == (308, False)
    assert "100 bytes arrived" in refused(client.put(address, content[:100]))
    assert "send it whole" in refused(client.put(address, content[100:], f"bytes 100-{size - 1}/{size}"))
    for _ in range(2):  # also after a lost answer
        assert client.put(address, content, f"bytes 0-{size - 1}/{size}").status_code == 200
    assert client.put(address, b"", f"bytes */{size}").status_code == 200
    stored = [path for path in client.desk.installation.settings.storage.rglob("*") if path.is_file()]
    assert len(stored) == 1
    assert b"1,2" not in stored[0].read_bytes()
    assert client.put("/api/v1/blobs/" + "x" * 43, content).status_code == 404


@on_sqlite
def test_uploads_and_drafts_are_those_of_the_account_that_began_them(client: Client) -> None:
    client.create()
    token = client.send("solution.csv", parts()["solution.csv"], "COMPETITION_SOLUTION")
    desk = Desk(client.desk.installation, "hana")
    desk.begin()
    other = Client(desk)
    other.create("theirs")
    for name in ("theirs", "slopes"):
        answer = other.call("CreateCompetitionSolution", competitionName=name, blobToken=token)
        assert answer.status_code == 404, answer.text
    for method in ("GetCompetitionSettings", "GetCompetitionSolutionStatus", "LaunchCompetition"):
        assert other.call(method, **NAMED).status_code == 404
    client.json("CreateCompetitionSolution", **NAMED, blobToken=token)
    again = client.call("CreateCompetitionSolution", **NAMED, blobToken=token)
    assert again.status_code == 404


@on_sqlite
def test_what_heldout_does_not_have_is_refused_in_words_and_nothing_is_done(client: Client) -> None:
    for more, words in (
        ({"privacy": "PRIVATE"}, "privacy PRIVATE"),
        ({"cloneCompetitionId": 7}, "cloneCompetitionId"),
        ({"slug": "No slug"}, "slug"),
        ({"slug": "list"}, "reserved"),
        ({"title": "\x00" * 3}, "title"),
    ):
        assert words in refused(client.create(**more)), more
    client.create()
    for files, words in (
        ([], "no files"),
        ("all", "no files"),
        ([{"name": "a/b.csv", "token": "x"}], "no folders"),
    ):
        assert words in refused(client.call("CreateCompetitionData", **NAMED, files=files))
    unknown = client.call("CreateCompetitionData", **NAMED, files=[{"name": "a.csv", "token": "x"}])
    assert unknown.status_code == 404
    rerun = "COMPETITION_DATABUNDLE_TYPE_RERUN"
    answer = client.call("CreateCompetitionData", **NAMED, competitionDatabundleType=rerun)
    assert "leave out --rerun" in refused(answer)
    answer = client.call("StartBlobUpload", type="MODEL", name="x", contentLength=3)
    assert "takes data and solutions" in refused(answer)
    assert "empty" in refused(client.call("StartBlobUpload", type="DATASET", name="x"))
    wrong = {"onlyAllowKernelSubmissions": True, "title": "Other"}
    for mask in ("onlyAllowKernelSubmissions,title", "only_allow_kernel_submissions,title", ""):
        answer = client.call("UpdateCompetitionSettings", **NAMED, updateMask=mask, settings=wrong)
        assert "onlyAllowKernelSubmissions cannot be changed here" in refused(answer)
    assert client.json("GetCompetitionSettings", **NAMED)["title"] == "Slopes"
    assert "one page" in refused(client.call("DeleteCompetitionPage", **NAMED))
    prizes = {"name": "prizes", "content": ""}
    assert "one page" in refused(client.call("CreateCompetitionPage", **NAMED, page=prizes))


def test_a_running_competition_is_changed_and_shared_by_its_hosts_alone(site: Site) -> None:
    named = {"competitionName": "biopsy"}
    for method in ("GetCompetitionSettings", "ListCompetitionHosts", "LaunchCompetition"):
        assert call(site, method, named, "ada").status_code == 404
    client = site.visitor().client
    address = f"/api/v1/{COMPETITIONS}/GetCompetitionSettings"
    answer = client.post(address, json=named, headers=site.token("grace", Scope.SUBMIT))
    assert "this needs organise" in refused(answer)
    settings = {"title": "Who is ill?", "deadline": "2040-01-31T23:59:00Z", "disableSubmissions": True}
    body = {**named, "settings": settings, "updateMask": "title,deadline,disableSubmissions"}
    changed = call(site, "UpdateCompetitionSettings", body, "grace").json
    assert changed is not None
    assert (changed["title"], changed["disableSubmissions"]) == ("Who is ill?", True)
    assert competition(site).is_paused
    past = {**named, "settings": {"deadline": "2020-01-31T23:59:00Z"}, "updateMask": "deadline"}
    assert "is not in the future" in refused(call(site, "UpdateCompetitionSettings", past, "grace"))
    assert call(site, "AddCompetitionHost", {**named, "userName": "bob"}, "grace").json == {}
    headers = site.token("bob", Scope.ORGANISE)
    listed = client.post(f"/api/v1/{COMPETITIONS}/ListCompetitionHosts", json=named, headers=headers).json
    assert listed is not None
    assert [host["userName"] for host in listed["hosts"]] == ["bob"]
    add = f"/api/v1/{COMPETITIONS}/AddCompetitionHost"
    answer = client.post(add, json={**named, "userName": "ada"}, headers=headers)
    assert "Only an owner" in refused(answer)
    upload = {"type": "DATASET", "name": "x.csv", "contentLength": 4}
    answer = client.post(f"/api/v1/{BLOBS}/StartBlobUpload", json=upload, headers=headers)
    assert "Only organisers of the installation" in refused(answer)
    with site.database.read() as session:
        site.change(opens_at=db.now(session) + timedelta(days=1))
    answer = client.post(f"/api/v1/{COMPETITIONS}/LaunchCompetition", json=named, headers=headers)
    assert answer.json == {}
    with site.database.read() as session:
        assert competition(site).phase(db.now(session)) is Phase.OPEN
