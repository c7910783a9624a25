"""Measure open pages of the board that stay current, while uploads go on.

Each open page asks every five seconds. As `live` it asks for the part of the board with the tag that it has,
and after a change for the strip with its own numbers, like app/web/static/live.js. As `whole page` it asks
for its page again, as a page without that script would have to. One participant uploads meanwhile,
and workers score the files, so the board changes. Each open page is a user that is signed in.
"""

from __future__ import annotations

import argparse
import heapq
import http.client
import random
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import _common as common
from _common import Api, Server, median, ms, p95, p99

from app.base import db
from app.competing import competitions, teams
from app.people import accounts
from app.people.accounts import Viewer
from app.web.application import create_app

EVERY_SECONDS = 5.0
CLIENTS = 8
AIM_UPLOAD_MS, AIM_PAGE_MS = 300, 200


@dataclass
class Seen:
    """What the clients of one run measured."""

    polls: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    kilobytes: float = 0.0
    unchanged: int = 0
    failed: int = 0
    late: list[float] = field(default_factory=list)
    """Seconds after the planned moment: a client that cannot keep up would hide a slow server."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--pages", type=int, default=200, help="open pages (default 200)")
    arguments.add_argument("--seconds", type=float, default=60.0, help="of each way (default 60)")
    arguments.add_argument("--uploads", type=float, default=2.0, help="a second (default 2)")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.pages, asked.seconds = 20, 6.0

    about = common.machine()
    rows: list[list[object]] = []
    for way in ("live", "whole page"):
        with (
            tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder,
            common.serving(Path(folder) / "data", workers=1) as server,
        ):
            slug = common.publish(server.installation, common.write_challenge(Path(folder) / "bench", 200))
            cookies = sign_in(server, slug, asked.pages)
            _, token = common.add_user(server.installation, "uploader", slug=slug)
            common.wait_for_workers(server)
            seen = run(server, slug, cookies, token, way, asked.seconds, 1 / asked.uploads)
            threads = sum(threads_of(pid) for web in server.find("app.web") for pid in common.children(web))
        rows.append(
            [
                way,
                len(seen.polls),
                f"{100 * seen.unchanged / len(seen.polls):.0f} %",
                ms(median(seen.polls)),
                ms(p95(seen.polls)),
                ms(p99(seen.polls)),
                f"{seen.kilobytes / len(seen.polls):.1f}",
                len(seen.uploads),
                ms(median(seen.uploads)),
                ms(p95(seen.uploads)),
                threads,
                seen.failed,
                ms(p95(seen.late)),
            ]
        )
    common.print_table(
        f"{asked.pages} open boards, each asking every {EVERY_SECONDS:g} s, {asked.uploads:g} uploads a "
        f"second (aim: uploads p95 under {AIM_UPLOAD_MS} ms, pages p99 under {AIM_PAGE_MS} ms). {about}",
        (
            "way",
            "answers",
            "of them 304",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "kB each",
            "uploads",
            "p50 ms",
            "p95 ms",
            "web threads",
            "failed",
            "sent late, p95 ms",
        ),
        rows,
    )


def threads_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("Threads:")[2].split()[0])


def sign_in(server: Server, slug: str, count: int) -> list[str]:
    """Return the cookie of each of `count` new participants, each with a team."""
    installation = server.installation
    application = create_app(installation.settings, database=installation.database)
    signer = application.session_interface.get_signing_serializer(application)
    assert signer is not None
    made = []
    with installation.database.begin() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, slug)
        for number in range(count):
            user = accounts.register(session, f"reader-{number:03}", None, now=now)
            session.flush()
            teams.join(session, competition, Viewer(user.id, user.name, user.is_organiser), now=now)
            made.append(signer.dumps({"sign_in": accounts.sign_in(session, user.id, now=now, days=1)}))
    return [f"heldout={value.decode() if isinstance(value, bytes) else value}" for value in made]


def run(
    server: Server, slug: str, cookies: list[str], token: str, way: str, seconds: float, pause: float
) -> Seen:
    seen, until = Seen(), time.monotonic() + seconds
    readers = [
        threading.Thread(target=read, args=(server, slug, cookies[first::CLIENTS], way, until, seen))
        for first in range(min(CLIENTS, len(cookies)))
    ]
    for reader in readers:
        reader.start()
    api, number = Api(server.address, token), 0
    while time.monotonic() < until:
        began = time.perf_counter()
        api.submit(slug, common.predictions(200, number))
        seen.uploads.append(time.perf_counter() - began)
        number += 1
        time.sleep(max(0.0, pause - (time.perf_counter() - began)))
    for reader in readers:
        reader.join()
    return seen


def read(server: Server, slug: str, cookies: Iterable[str], way: str, until: float, seen: Seen) -> None:
    """Ask for several open pages in turn, over one connection, each when it is due."""
    host, port = server.address.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    board = f"/competitions/{slug}/leaderboard"
    dice = random.Random(7)
    due = [(time.monotonic() + EVERY_SECONDS * dice.random(), cookie, "") for cookie in cookies]
    heapq.heapify(due)

    def ask(path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        seen.polls.append(time.perf_counter() - began)
        seen.kilobytes += len(body) / 1000
        seen.unchanged += answer.status == 304
        seen.failed += answer.status not in (200, 304)
        return answer

    while due and due[0][0] < until:
        at, cookie, tag = heapq.heappop(due)
        time.sleep(max(0.0, at - time.monotonic()))
        seen.late.append(time.monotonic() - at)
        if way == "live":
            headers = {"Cookie": cookie, "Accept-Encoding": "gzip"}
            answer = ask(f"{board}?part=live", headers | ({"If-None-Match": tag} if tag else {}))
            if answer.status == 200:
                tag = answer.headers["ETag"] or ""
                ask(f"{board}?part=mine", {"Cookie": cookie})
        else:
            ask(board, {"Cookie": cookie, "Accept-Encoding": "gzip"})
        heapq.heappush(due, (at + EVERY_SECONDS * dice.uniform(0.8, 1.2), cookie, tag))
    connection.close()


if __name__ == "__main__":
    main()
