"""Texts of users full of markup, shown in Chromium: no script runs.

The content policy would block an unescaped script. That counts as a failure here too: no violation may be
reported.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request

from app.base import db, events
from app.base.errors import Refused
from app.base.models import ChallengeVersion
from app.competing import competitions, evaluations, extensions, teams
from app.integrity.inspections import Kind
from app.people import accounts, names
from scorer.report import Notice, Problem, Report
from tests.web.integrity_records import AUDIT, audited, inspected, report, suspected
from tests.web.site import CSV, Site, build
from tests.web.test_pages_in_chromium import address, chromium  # fixtures

__all__ = ["address", "chromium"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("chromium")]

TAGS = [
    "<script>ran()</script>",
    "<img src=x onerror=ran()>",
    "<svg onload=ran()>",
    "<svg><script>ran()</script>",
    "<body onload=ran()>",
    "<input autofocus onfocus=ran()>",
    "<details open ontoggle=ran()>",
    "<audio src onerror=ran()>",
    "<iframe srcdoc='<script>top.ran()</script>'>",
    "<iframe src=javascript:top.ran()>",
    "<object data=javascript:ran()>",
    "<embed src=javascript:ran()>",
    "<style>@import '//evil.example'</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><button>x",
    "<i hx-get=/account hx-trigger=load>",
    "<i hx-on::load=ran() style=color:red>",
    "<a href=javascript:ran() id=x>x</a>",
    "<math><mi xlink:href=javascript:ran()>",
    "<template><script>ran()</script>",
    "<noscript><p title='</noscript><img src=x onerror=ran()>'>",
    "<ScRiPt/x>ran()</sCrIpT>",
    "<img/src='x'/onerror=ran()>",
    "<<script>ran()//<</script>",
    "<b onclick=ran() onmouseover=ran()>",
    "\u202e<script>ran()</script>",
    "{{ ran() }}${ran()}#{ran()}",
]
OUT_OF = [
    "",
    '">',
    "'>",
    "</title></textarea></style></script>",
    "--></q></pre>",
    '" onfocus=ran() autofocus x="',
    "]]>",
]
MARKDOWN = [
    "[a](javascript:ran())",
    "[a](JaVaScRiPt&colon;ran())",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "![a](https://evil.example/pixel.png)",
    '[a](https://x.example "onmouseover=ran()")',
    "<javascript:ran()>",
    "[x]: javascript:ran()\n\n[x]",
    "```html\n</code></pre><script>ran()</script>\n```",
    "`</code><img src=x onerror=ran()>`",
    "| a |\n|:--:|\n| <style>*{display:none}</style> |",
    "# <img src=x onerror=ran()>",
    "[a](vbscript:ran())",
    "[<script>ran()</script>](https://x.example/'onclick='ran())",
    "![x](x){onerror=ran()}",
    "[a](\tjavascript:ran())",
]
PAYLOADS = [out + tag for tag in TAGS for out in OUT_OF]

LISTENER = """
    window.seen = [];
    window.ran = () => seen.push('a script ran');
    addEventListener('securitypolicyviolation',
        e => seen.push('policy: ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));
"""
FOREIGN = """
    [...document.querySelectorAll('iframe, object, embed, base, audio, style, main script, [srcdoc], '
            + 'main form:not([action^="/"])')]
        .concat([...document.querySelectorAll('*')]
            .filter(e => [...e.attributes].some(a => /^on|^hx-on/.test(a.name))))
        .concat([...document.querySelectorAll('a[href]')].filter(a => !/^(https?|mailto):$/.test(a.protocol)))
        .map(e => e.outerHTML.slice(0, 120))
"""


def some(i: int, n: int = 1) -> str:
    """Return the i-th payload, or n of them from there."""
    return " ".join(PAYLOADS[(i * n + k) % len(PAYLOADS)] for k in range(n))


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation where each text of a user is markup: 203 pieces."""
    assert len(PAYLOADS) > 200
    site = build(tmp_path_factory.mktemp("markup"))
    site.change(daily_limit=1000, pending_limit=1000, rejected_limit=1000)
    for i, piece in enumerate(PAYLOADS):
        number = site.submit("ada", CSV + b"\n" * i, piece.replace("/", "\u2215") if i % 2 else piece, piece)
        if i % 3 == 0:
            site.reject(number, Problem("NOT_A_NUMBER", piece, 2, piece[:60], piece[:60], piece[:60]))
        elif i % 3 == 1:
            with site.database.begin() as session:
                noted = Report(
                    public=0.5, private=0.5, notices=(Notice("ORDER", piece),), provenance={"worker": piece}
                )
                evaluations.record_scored(session, site._claim(session, number), noted, now=db.now(session))
        elif i % 30 == 2:
            site.fail(number, f"{piece}\n{some(i + 1)}")
        else:
            site.reject(number)
    fitting, taken = [], set()
    for piece in PAYLOADS:
        looks = set(names.stored(piece))
        if len(piece) <= 60 and piece.isprintable() and not looks & taken:  # of two that look alike, one
            fitting.append(piece)
            taken |= looks
    for i, piece in enumerate(fitting):
        if i % 2:
            site.baseline(piece, 0.3 + i / 1000, 0.4)
    for i, piece in enumerate(fitting[:40:2]):
        site.user(f"team-{i}")
        site.join(f"team-{i}")
        with site.database.begin() as session:
            competition = competitions.by_slug(session, site.slug)
            user = accounts.by_name(session, f"team-{i}")
            team = teams.of(session, competition, user.id)
            assert team is not None
            now = db.now(session)
            teams.rename(session, competition, team, piece, by="grace", now=now, is_organiser=True)
        site.score(site.submit(f"team-{i}", f"id,target\n{i},1\n".encode()), 0.2 + i / 100)
    assert (
        site.browser("ada").post("/competitions/biopsy/team", {"name": fitting[1][:50] + "x"}).status_code
        == 303
    )
    audited(site)
    case = suspected(
        site, ("probing", fitting[0], fitting[2]), detail={piece: [piece] for piece in PAYLOADS[:150]}
    )[0]
    assert case == 1
    everywhere(site, fitting)
    yield site
    site.database.dispose()


def everywhere(site: Site, fitting: list[str]) -> None:
    """Fill texts of organisers: challenge, reasons, titles of competitions."""
    with site.database.begin() as session:
        now = db.now(session)
        version = session.get_one(ChallengeVersion, 1)
        manifest = copy.deepcopy(version.manifest)
        manifest |= {
            "title": some(0),
            "summary": some(1, 30),
            "description": "\n\n".join([*MARKDOWN, *PAYLOADS]),
        }
        manifest["metric"] |= {"convention": some(2, 20), "params": {some(3): some(4)}}
        manifest["also"] = [some(5)]
        manifest["source"] = {"name": some(6), "licence": some(7), "citation": some(8, 20)}
        for column in manifest["files"][0]["schema"]:
            column |= {"column": some(9, 3), "type": some(10), "examples": PAYLOADS[:40]}
        manifest["folds"] = manifest["folds"] | {"words": some(11, 10)}
        version.manifest = manifest
        audit = copy.deepcopy(AUDIT)
        for i, finding in enumerate(audit["findings"]):
            finding |= {"evidence": some(i, 20), "advice": some(i + 1, 20), "scope": some(i)}
            if finding["picture"]:
                finding["picture"] |= {
                    "title": some(20),
                    "x_title": some(21),
                    "y_title": some(22),
                    "text": some(23),
                }
        audit["findings"][1]["picture"]["x"] = PAYLOADS[:3]
        audit["overrides"] = {"row_order": some(24, 20)}
        version.audit = audit
        for i in range(20):
            extensions.grant(
                session,
                competitions.by_slug(session, site.slug),
                fitting[2 * i],
                reason=some(i, 2).rjust(10, "x"),
                by=some(i)[:60],
                now=now,
                daily_extra=1,
            )
        for i in range(30):
            events.log(session, some(i)[:60], some(i + 1)[:60], site.slug, now=now, reason=some(i, 7))
        short = [piece for piece in PAYLOADS if len(piece) <= 120]
        for i, piece in enumerate(short[::3]):
            competitions.open_(
                session, version, now=now, max_upload_bytes=1000, slug=f"other-{i}", changes={"title": piece}
            )


@pytest.fixture
def look(chromium: Browser, busy: Site, address: str) -> Iterator[Callable[..., Page]]:
    """Open a page and check that no text of a user became markup."""
    contexts: dict[str, Page] = {}
    wrong: list[str] = []

    def asked_us(dialog: Dialog) -> None:
        wrong.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def asked_elsewhere(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            wrong.append(request.url)

    def open_(user: str, path: str) -> Page:
        if user not in contexts:
            context = chromium.new_context(base_url=address)
            context.add_init_script(LISTENER)
            cookie = busy.browser(user).client.get_cookie("heldout")
            assert cookie is not None
            context.add_cookies([{"name": "heldout", "value": cookie.value, "url": address}])
            page = contexts[user] = context.new_page()
            page.on("dialog", asked_us)
            page.on("request", asked_elsewhere)
        page = contexts[user]
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        wrong.extend(f"{path}: {one}" for one in [*page.evaluate("seen"), *page.evaluate(FOREIGN)])
        return page

    yield open_
    for page in contexts.values():
        page.context.close()
    assert wrong == []


def test_texts_of_teams_are_escaped(look: Callable[..., Page], busy: Site) -> None:
    shown = 0
    before = ""
    for _ in range(5):
        page = look("ada", f"/competitions/biopsy/submissions{before}")
        shown += page.locator(".entry").count()
        older = page.get_by_role("link", name="Show older submissions")
        before = (
            "?before=" + str(older.get_attribute("href")).rsplit("=", 1)[1] if older.count() else "?before=1"
        )
    assert shown >= len(PAYLOADS)
    for number in (1, 2, 3, 4, 33):
        look("ada", f"/submissions/{number}")
        look("grace", f"/submissions/{number}")
    for number in (1, 2):
        look("ada", f"/competitions/biopsy/leaderboard?page={number}")
    look("ada", "/competitions/biopsy/leaderboard?q=" + "%22%3E%3Cscript%3Eran()%3C/script%3E")
    look("ada", "/competitions/biopsy/submit")


def test_texts_of_organisers_are_escaped(look: Callable[..., Page], busy: Site) -> None:
    page = look("grace", "/competitions/biopsy/organise")
    assert page.locator("text=onerror=ran()").count() > 20
    for state in ("rejected", "failed", "scored"):
        look("grace", f"/competitions/biopsy/organise?state={state}")
    look("grace", "/competitions/biopsy/integrity")
    look("grace", "/competitions/biopsy/integrity/cases/1")
    for path in ("", "/data"):
        page = look("bob", f"/competitions/biopsy{path}")
    page = look("bob", "/")
    assert page.locator(".card").count() > 40
    for i in range(6):
        look("bob", f"/competitions/other-{i}")


def test_texts_of_a_report_and_a_disqualification_are_escaped(look: Callable[..., Page], busy: Site) -> None:
    busy.close()
    inspected(busy, Kind.REPORT, report([piece[:60] for piece in PAYLOADS[:60]]))
    look("bob", "/competitions/biopsy/report")
    look("grace", "/competitions/biopsy/report")
    look("bob", "/competitions/biopsy/leaderboard")


def test_no_payload_can_be_a_user_name(busy: Site) -> None:
    for piece in PAYLOADS:
        with busy.database.begin() as session, pytest.raises(Refused):
            accounts.register(session, piece[:40], None, now=db.now(session))


def test_the_listener_reports_unescaped_payloads(chromium: Browser) -> None:
    """Unescaped payloads run, or with a content policy are reported."""
    context = chromium.new_context()
    context.add_init_script(LISTENER)
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.dismiss())
    raw = "<!doctype html><main>" + "".join(PAYLOADS[:14])
    headers: dict[str, str] = {}
    page.route("**/*", lambda route: route.fulfill(body=raw, headers=headers, content_type="text/html"))
    found = []
    for policy in ({}, {"Content-Security-Policy": "default-src 'self'"}):
        headers.update(policy)
        page.goto("http://control.invalid/")
        page.wait_for_function("seen.length > 1")
        found.append(page.evaluate("seen"))
        assert page.evaluate(FOREIGN)
    assert "a script ran" in found[0]
    assert "a script ran" not in found[1]
    assert any(one.startswith("policy") for one in found[1])
    context.close()
