"""Measure a web process's memory after every kind of page.

Starts `heldout serve` with one worker, signs in with a password (argon2's memory counts), and requests each
kind of page over HTTP. The worker's memory stands beside it. The libraries that a process has loaded are read
from the kernel's map of its files.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import re
import tempfile
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import _common as common
from _common import Api, Server, proportional_mb, resident_mb

HEAVY = ("sklearn", "scipy", "pandas", "numpy", "pyarrow")
AIM_MB = 100
N_ROWS = 1000
PASSWORD = "a benchmark's password"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--pages", type=int, default=200, help="requests of each kind (default 200)")
    arguments.add_argument("--people", type=int, default=40, help="users that sign in at first (default 40)")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.pages, asked.people = 5, 8

    about = common.machine()
    rows: list[list[object]] = []
    with (
        tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder,
        common.serving(Path(folder) / "data", workers=1) as server,
    ):
        fresh = web_pids(server)
        rows.append(row("web, fresh: serves its first page", fresh))
        installation = server.installation
        slug = common.publish(installation, common.write_challenge(Path(folder) / "bench", N_ROWS))
        _, token = common.add_user(installation, "ada", slug=slug, password=PASSWORD)
        common.wait_for_workers(server)
        api = Api(server.address, token)
        submission_id = api.submit(slug, common.predictions(N_ROWS, 0))["id"]
        common.wait_until_scored(api, submission_id)
        # Several at a time, as when a class begins: each password hash takes 19 MiB for a moment.
        people = ["ada", *(f"person{number}" for number in range(2, asked.people + 1))]
        for name in people[1:]:
            common.add_user(installation, name, password=PASSWORD)
        with ThreadPoolExecutor(8) as pool:
            browser, *_ = list(pool.map(lambda name: sign_in(server.address, name), people))
        rows.append(row(f"web, after {len(people)} people have signed in, 8 at a time", fresh))
        for name, address in kinds_of_page(slug, submission_id).items():
            for _ in range(asked.pages):
                read(browser, server.address + address)
            rows.append(row(f"web, after {asked.pages} x {name}", fresh))
        for number in range(asked.pages):
            api.submit(slug, common.predictions(N_ROWS, number + 1))
        rows.append(row(f"web, after {asked.pages} x upload of {N_ROWS:,} rows", fresh))
        (worker,) = server.find("worker")
        common.wait_until_all_scored(installation)
        for name, pid in (("worker", worker), *((n, server.find(m)[0]) for n, m in OTHERS)):
            rows.append(row(f"{name}, at the end", {name: pid}))
        if web_pids(server) != fresh:
            raise RuntimeError("the web process was replaced during the run")
        loaded = set(libraries(fresh["process"])) & set(HEAVY)
    if loaded:
        raise RuntimeError(f"the web process has loaded {', '.join(sorted(loaded))}")

    common.print_table(
        f"Resident memory (aim: the web process under {AIM_MB} MB, none of {', '.join(HEAVY)}). {about}",
        ("process", "resident MB", "shared pages divided MB", "peak MB", "heavy libraries"),
        rows,
    )


OTHERS = (("sweeper", "worker.sweeper"), ("Valkey", "valkey"))


def kinds_of_page(slug: str, submission_id: int) -> dict[str, str]:
    at = f"/competitions/{slug}"
    return {
        "competitions": "/",
        "overview": at,
        "data": f"{at}/data",
        "download of a file": f"{at}/data/test.csv",
        "download of all": f"{at}/data.zip",
        "submit": f"{at}/submit",
        "my submissions": f"{at}/submissions",
        "one submission": f"/submissions/{submission_id}",
        "leaderboard": f"{at}/leaderboard",
        "account": "/account",
        "sign-in form": "/sign-in",
        "licences": "/licences",
    }


def web_pids(server: Server) -> dict[str, int]:
    """Return gunicorn's master and its process that serves pages."""
    (master,) = server.find_all("app.web", 1)
    (process,) = common.children(master)
    return {"master": master, "process": process}


def row(name: str, pids: dict[str, int]) -> list[object]:
    """Return the row of the process that serves.

    Its master, which only waits, is recognised once pages are served.
    """
    pid = pids.get("process") or next(iter(pids.values()))
    if "master" in pids and "fresh" in name:
        name += f" (its master: {resident_mb(pids['master']):.0f} MB)"
    heavy = sorted(set(libraries(pid)) & set(HEAVY))
    return [
        name,
        f"{resident_mb(pid):.1f}",
        f"{proportional_mb(pid):.1f}",
        f"{resident_mb(pid, 'VmHWM'):.1f}",
        ", ".join(heavy) or "none",
    ]


def libraries(pid: int) -> list[str]:
    """Return the Python packages with machine code in this process.

    Each of the heavy libraries has some.
    """
    return re.findall(r"/site-packages/(\w+)/", Path(f"/proc/{pid}/maps").read_text())


def sign_in(address: str, name: str) -> urllib.request.OpenerDirector:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    form = read(browser, f"{address}/sign-in").decode()
    found = re.search(r'name="csrf_token" value="([^"]+)"', form)
    if found is None:
        raise RuntimeError("the sign-in form has no CSRF token")
    fields = {"csrf_token": found[1], "name": name, "password": PASSWORD}
    page = read(browser, f"{address}/sign-in", urllib.parse.urlencode(fields).encode())
    if b"Sign out" not in page:
        raise RuntimeError("signing in did not work")
    return browser


def read(browser: urllib.request.OpenerDirector, address: str, body: bytes | None = None) -> bytes:
    with browser.open(address, body, timeout=60) as answer:
        content: bytes = answer.read()
    return content


if __name__ == "__main__":
    main()
