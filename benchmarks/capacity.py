"""Measure CPU seconds per submission and per view of the board.

On SQLite or PostgreSQL, for every part. One participant uploads small files one after another over the API;
then the queue is drained by one worker; then the board is read. The CPU time of web, worker (with its
work-horses) and sweeper is taken from the kernel before and after, so that a busy machine makes the wall time
longer, but hardly the cost. PostgreSQL's own time is not in it. docs/scaling.md is calculated from these
figures.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import _common as common
from _common import Api, Server

TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=1000, help="rows of each file (default 1,000)")
    arguments.add_argument("--files", type=int, default=100, help="submissions (default 100)")
    arguments.add_argument("--reads", type=int, default=200, help="views of the board (default 200)")
    arguments.add_argument("--postgres", metavar="URL", help="an empty PostgreSQL; default: SQLite")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.files, asked.reads = 10, 10

    about = common.machine()
    more = {"database_url": asked.postgres} if asked.postgres else {}
    with (
        tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder,
        common.serving(Path(folder) / "data", workers=1, **more) as server,
    ):
        installation = server.installation
        slug = common.publish(installation, common.write_challenge(Path(folder) / "bench", asked.rows))
        _, token = common.add_user(installation, "ada", slug=slug)
        api = Api(server.address, token)
        bodies = [common.predictions(asked.rows, seed) for seed in range(asked.files + 1)]
        common.wait_until_scored(api, api.submit(slug, bodies[-1])["id"])
        [worker] = server.find("worker")

        rows = []
        os.kill(worker, signal.SIGSTOP)
        with measured(server, asked.files) as found:
            for body in bodies[:-1]:
                api.submit(slug, body)
        rows.append(["upload", *found])
        os.kill(worker, signal.SIGCONT)
        with measured(server, asked.files) as found:
            common.wait_until_all_scored(installation)
        rows.append(["scoring", *found])
        for name, path in (("board, page", f"/competitions/{slug}/leaderboard"), ("board, API", None)):
            view = (
                _page(f"{server.address}{path}") if path else _call(api, f"competitions/{slug}/leaderboard")
            )
            view()
            with measured(server, asked.reads) as found:
                for _ in range(asked.reads):
                    view()
            rows.append([name, *found])
        installation.database.dispose()

    kind = "PostgreSQL" if asked.postgres else "SQLite"
    common.print_table(
        f"Each of {asked.files} submissions of {asked.rows:,} rows, and of {asked.reads} looks at the board, "
        f"{kind}, milliseconds. {about}",
        ("each", "wall", "CPU web", "CPU worker", "CPU sweeper"),
        rows,
    )


def _page(address: str) -> Callable[[], object]:
    def view() -> None:
        with urllib.request.urlopen(address, timeout=30) as answer:
            answer.read()

    return view


def _call(api: Api, path: str) -> Callable[[], object]:
    return lambda: api.call("GET", path)


@contextmanager
def measured(server: Server, times: int) -> Iterator[list[str]]:
    """Measure wall and CPU time of the block, per repetition."""
    parts = ("app.web", "worker", "worker.sweeper")
    found: list[str] = []
    before, began = [cpu_seconds(server, part) for part in parts], time.perf_counter()
    yield found
    wall = time.perf_counter() - began
    spent = [cpu - was for cpu, was in zip(settled(server, parts), before, strict=True)]
    found += [common.ms(seconds / times) for seconds in (wall, *spent)]


def settled(server: Server, parts: Sequence[str]) -> list[float]:
    """Return CPU seconds once the worker rests.

    A hint that came too late costs another look into the database.
    """
    before = [cpu_seconds(server, part) for part in parts]
    while True:
        time.sleep(1.0)
        now = [cpu_seconds(server, part) for part in parts]
        if now[1] - before[1] < 0.05:
            return now
        before = now


def cpu_seconds(server: Server, part: str) -> float:
    """Return the CPU seconds of a part and its children.

    Of its process, its living children and those already reaped.
    """
    total = 0
    for pid in server.find(part):
        for each in (pid, *common.children(pid)):
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(int(value) for value in fields[11:15])
    return total / TICK


if __name__ == "__main__":
    main()
