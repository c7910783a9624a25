"""The four screens of a draft, and the same over the API."""

from __future__ import annotations

import io
import re
from typing import Any

import pandas as pd

from app.authoring import draft_choices
from app.authoring.draft_steps import Kind
from app.base import db, inbox
from app.base.installation import Installation
from app.people.tokens import Scope
from tests.web.site import Browser, Site
from tests.web.test_access_rules import drafted
from tests.worker.drafting import Desk, table

CANARY = "XCANARYX"


def desk_of(site: Site) -> Desk:
    desk = Desk(Installation(site.settings), "grace")
    desk.installation.__dict__["database"] = site.database  # made from the models, without Alembic
    with site.database.begin() as session:
        inbox.ensure_key(session, desk.installation.vault, now=db.now(session))
    return desk


def uploaded(browser: Browser, content: bytes, path: str = "/drafts", name: str = "Coin_tosses.csv") -> Any:
    return browser.post(path, {"file": (io.BytesIO(content), name)}, content_type="multipart/form-data")


def test_a_table_is_walked_through_the_screens_and_no_row_of_it_is_shown(site: Site) -> None:
    desk, grace = desk_of(site), site.browser("grace")
    answer = uploaded(grace, table(canary=CANARY))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/drafts/1?screen=data")
    pages = [grace.get("/drafts/1").text]
    assert "Waiting for a worker" in pages[0]
    assert 'data-part="/drafts/1?screen=data&amp;part=screen"' in pages[0]
    desk.work()
    pages.append(grace.get("/drafts/1?screen=data&part=screen").text)
    assert "<option selected>y</option>" in pages[-1]
    assert "data-every" not in pages[-1]
    data = {"screen": "data", "then": "split", "target": "y", "revision": revision(grace)}
    assert grace.post("/drafts/1/choices", data).headers["Location"] == "/drafts/1?screen=split"
    assert grace.post("/drafts/1/choices", data).status_code == 409, "of a page from before"
    desk.work(most=1)
    pages += [grace.get(f"/drafts/1?screen={name}").text for name in ("split", "metric", "open")]
    assert "Split: at random, with the same share of each class" in pages[-3]
    assert "Smallest detectable difference" in pages[-3]
    assert "log_loss, from probabilities" in pages[-2]
    split = {"screen": "split", "then": "split", "test_share": "x", "public_share": "30"}
    refused = grace.post("/drafts/1/choices", split)
    assert (refused.status_code, "is not a share in percent" in refused.text) == (422, True)
    opening = {
        "screen": "open",
        "title": "Coin tosses",
        "slug": "biopsy",
        "timezone": "Europe/Berlin",
        "closes_at": "2001-01-01T10:00",
        "description": "Own words.",
        "daily_limit": "3",
    }
    refused = grace.post("/drafts/1/open", opening)
    assert refused.status_code == 422
    for words in ("The name biopsy is taken", "The close is past", "Own words."):
        assert words in refused.text
    opening |= {"slug": "coin-tosses", "closes_at": "2099-01-01T10:00"}
    assert grace.post("/drafts/1/open", opening).status_code == 303
    pages.append(grace.get("/drafts/1").text)
    assert "Opening the competition" in pages[-1]
    choices = desk.view(1).choices
    assert (choices.description, choices.daily_limit) == ("Own words.\n", 3)
    assert str(choices.closes_at) == "2099-01-01 10:00:00+01:00"
    assert grace.post("/drafts/1/delete").status_code == 409
    assert [page for page in pages if CANARY in page] == []
    stored = [path for path in site.settings.data_dir.rglob("*") if path.is_file()]
    stored = [path for path in stored if "vault" not in path.parts]
    assert [path for path in stored if CANARY.encode() in path.read_bytes()] == []


def revision(browser: Browser, screen: str = "data") -> str:
    found = re.search(r'name="revision" value="(\d+)"', browser.get(f"/drafts/1?screen={screen}").text)
    assert found is not None
    return found[1]


def test_a_description_may_be_as_long_as_the_page_says(site: Site) -> None:
    """100,000 characters of German are 300 kB as a form; no other form may be larger than 64 kB."""
    drafted(site)
    text = ("Größe und Maß der Tüten übersät; " * 4000)[:99_990].rstrip() + " 数据 ß ."
    text += "." * (draft_choices.MAX_DESCRIPTION - len(text))
    grace = site.browser("grace")
    form = {
        "screen": "open",
        "description": text,
        "drafted_description": text[:-1],
        "revision": revision(grace, "open"),
    }
    assert grace.post("/drafts/1/choices", form).status_code == 303
    assert text in grace.get("/drafts/1?screen=open").text
    answer = grace.post(
        "/drafts/1/choices", {**form, "description": text + "x", "revision": revision(grace, "open")}
    )
    assert answer.status_code == 422
    assert "100000 characters" in answer.text
    client = site.visitor().client
    sent = {"choices": {"description": text}}
    api = client.patch("/api/v1/drafts/1", json=sent, headers=site.token("grace"))
    assert api.status_code == 200
    assert client.patch("/api/v1/drafts/1", json=sent).status_code == 401
    assert client.post("/drafts/1/choices", data=form).status_code == 413
    assert grace.post("/account/tokens", {"label": text}).status_code == 413


def test_the_api_does_what_the_screens_do(site: Site) -> None:
    desk = desk_of(site)
    client, token = site.visitor().client, site.token("grace")

    def call(method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = client.open(f"/api/v1/drafts{path}", method=method, headers=token, **more)
        assert answer.status_code == status, answer.text
        return answer.json

    assert call("GET", "") == {"drafts": []}
    made = call("POST", "", 201, json={"source": "table"})
    assert (made["id"], made["state"], made["steps"]) == (1, "editing", [])
    csv = {"data": table(canary=CANARY), "content_type": "text/csv"}
    refused = call("POST", "/1/files?kind=solution&filename=s.csv", 422, **csv)
    assert "takes no file of the kind solution" in refused["detail"]
    call("POST", "/1/files?kind=table&filename=coins.csv", 202, **csv)
    desk.work()
    seen = call("GET", "/1")
    (profile,) = seen["steps"]
    assert (profile["kind"], profile["state"]) == ("profile", "done")
    assert profile["result"]["guesses"]["target"]["column"] == "y"
    assert [file["name"] for file in seen["files"]] == ["coins.csv"]
    changed = call("PATCH", "/1", json={"choices": {"target": "y", "seed": 5}, "revision": seen["revision"]})
    assert changed["choices"]["target"] == "y"
    assert "seed" not in changed["choices"]
    call("PATCH", "/1", 409, json={"choices": {"target": "x"}, "revision": seen["revision"]})
    wrong = call("PATCH", "/1", 422, json={"choices": {"test_share": 7, "metrc": "mae"}})
    assert len(wrong["problems"]) == 2
    assert "Give it a title." in call("POST", "/1/open", 422)["detail"]
    call("POST", "/1/mend", 409, json={"code": "x", "change": {}})
    call("POST", "/1/repeat")
    assert call("DELETE", f"/1/files/{seen['files'][0]['id']}")["files"] == []
    assert CANARY not in str(seen)
    narrow = client.get("/api/v1/drafts", headers=site.token("grace", Scope.SUBMIT))
    assert narrow.status_code == 403
    assert client.get("/api/v1/drafts/1", headers=site.token("ada")).status_code == 404
    call("DELETE", "/1", 200)
    assert call("GET", "") == {"drafts": []}


def test_given_parts_are_uploaded_one_by_one_and_checked_on_the_page(site: Site) -> None:
    desk, grace = desk_of(site), site.browser("grace")
    assert grace.post("/drafts/parts").headers["Location"] == "/drafts/1?screen=data"
    assert "Upload the solution and a sample submission" in grace.get("/drafts/1").text
    sample = b"id,y\n" + b"".join(b"r%d,0.5\n" % n for n in range(40))
    rows = (f"r{n},{n % 7}.5,{'Public' if (n * n) % 3 else 'Private'}\n" for n in range(40))
    solution = ("id,y,Usage\n" + "".join(rows)).encode()
    uploaded(grace, sample, "/drafts/1/files?kind=sample", "sample_submission.csv")
    uploaded(grace, b"PK", "/drafts/1/files?kind=data", "pictures.bin")
    uploaded(grace, solution.replace(b"Usage", b"Use"), "/drafts/1/files?kind=solution", "solution.csv")
    assert uploaded(grace, b"x", "/drafts/1/files?kind=wrong").status_code == 404
    desk.work()
    assert "The solution has no column Usage" in grace.get("/drafts/1?part=check").text
    uploaded(grace, solution, "/drafts/1/files?kind=solution", "solution.csv")
    assert 'data-part="/drafts/1?screen=data&amp;part=check"' in grace.get("/drafts/1").text
    desk.work()
    page = grace.get("/drafts/1").text
    assert "as proposed: rmse" in page
    chosen = {"screen": "parts", "then": "data", "metric": "mae"}
    assert grace.post("/drafts/1/choices", chosen).status_code == 303
    desk.work()
    page = grace.get("/drafts/1").text
    assert "The solution has 26 public rows, 14 private." in page
    names = [file.name for file in desk.view(1).files]
    assert names == ["sample_submission.csv", "pictures.bin", "solution.csv"]
    assert grace.post("/drafts/1/files/2/remove").status_code == 303
    assert "pictures.bin" not in grace.get("/drafts/1").text


def test_drafts_of_others_and_tables_before_a_worker_started_are_refused(site: Site) -> None:
    grace = site.browser("grace")
    early = uploaded(grace, table())
    assert (early.status_code, "Try again once a worker has started" in early.text) == (503, True)
    desk = desk_of(site)
    assert uploaded(grace, b"").status_code == 422
    draft_id = desk.create()
    site.user("heidi", is_organiser=True)
    for path in (f"/drafts/{draft_id}", "/drafts/77"):
        assert site.browser("heidi").get(path).status_code == 404
    assert site.browser("heidi").post(f"/drafts/{draft_id}/delete").status_code == 404
    assert Kind.PROFILE not in desk.view(draft_id).steps


def test_a_finding_is_accepted_with_a_reason_and_taken_back(site: Site) -> None:
    desk, grace = desk_of(site), site.browser("grace")
    frame = pd.read_csv(io.BytesIO(table()))
    frame.insert(0, "copy", (frame.y == "ja").astype(int))
    uploaded(grace, frame.to_csv(index=False).encode())
    desk.work()
    desk.change(1, target="y")
    desk.work(most=1)
    page = grace.get("/drafts/1?screen=split").text
    assert "The data reveal the labels" in page
    codes = re.findall(r'name="override:(\w+)"', page)
    split = {"screen": "split", "then": "split", "test_share": "30", "public_share": "30"}
    short = grace.post("/drafts/1/choices", split | {f"override:{codes[0]}": "<b>no"})
    assert (short.status_code, "at least 10 characters" in short.text) == (422, True)
    assert 'value="&lt;b&gt;no"' in short.text, "what was written stays"
    reasons = {f"override:{code}": "known before the fact" for code in codes}
    assert grace.post("/drafts/1/choices", split | reasons).status_code == 303
    page = grace.get("/drafts/1?screen=split").text
    assert page.count("Accepted: <q>known before the fact</q>") >= len(codes) > 0
    assert "Keep this split, choose the metric" in page
    assert desk.view(1).choices.overrides == dict.fromkeys(codes, "known before the fact")
    assert grace.post("/drafts/1/choices", split | dict.fromkeys(reasons, "")).status_code == 303
    assert "The data reveal the labels" in grace.get("/drafts/1?screen=split").text
