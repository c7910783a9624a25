"""Kill every part with -9 while submissions are scored.

Nothing may be lost or scored twice; the time to recover is measured. Each round uploads a few large files
over HTTP and kills one part as soon as one of them is being scored. The first round kills nothing: the others
are compared with it. The tables' keys alone do not prove that a submission was scored once: a trigger of this
benchmark counts every score that is ever written.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _common as common
from _common import Api, Server
from sqlalchemy import create_engine, func, select, text

from app.base.models import Evaluation, Score, State

COUNT_EVERY_SCORE = """
CREATE TRIGGER bench_scored AFTER INSERT ON score
BEGIN INSERT INTO bench_scored VALUES (NEW.submission_id); END
"""


@dataclass(frozen=True)
class Outcome:
    """What one round left behind."""

    seconds: float
    """From the kill to the last score."""
    served_after: float
    """From the kill to a page being served again."""
    unscored: int
    scored_twice: int
    extra_attempts: int
    fenced: int
    """Runs whose lease was lost, so that their write was refused."""
    leases_open: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=600_000, help="rows of each file (default 600,000)")
    arguments.add_argument("--files", type=int, default=6, help="uploads in a round (default 6)")
    arguments.add_argument("--repeats", type=int, default=3, help="rounds of each kind (default 3)")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.rows, asked.files, asked.repeats = 100_000, 2, 1

    about = common.machine()
    found: dict[str, list[Outcome]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder,
        common.serving(Path(folder) / "data", workers=2) as server,
    ):
        installation = server.installation
        slug = common.publish(installation, common.write_challenge(Path(folder) / "bench", asked.rows))
        _, token = common.add_user(installation, "ada", slug=slug)
        count_every_score(server)
        for repeat in range(asked.repeats):
            for number, (name, kill) in enumerate(KILLS.items()):
                if asked.smoke and name not in IN_A_SMOKE:
                    continue
                bodies = [
                    slow(common.predictions(asked.rows, 1000 * repeat + 100 * number + i))
                    for i in range(asked.files)
                ]
                found.setdefault(name, []).append(one_round(server, token, slug, bodies, kill))
        peak = max(common.resident_mb(pid, "VmHWM") for pid in server.find("worker"))

    calm = common.median([outcome.seconds for outcome in found["nothing"]])
    common.print_table(
        f"kill -9 while {asked.files} files of {asked.rows:,} rows are scored by 2 workers, "
        f"{asked.repeats} rounds "
        f"each; every count must be 0 but attempts and late runs. {about}; worker peak {peak:.0f} MB",
        (
            "killed",
            "all scored after s (max)",
            "x nothing killed",
            "page after s",
            "lost",
            "scored twice",
            "extra attempts",
            "late runs fenced off",
        ),
        [
            [
                name,
                (
                    f"{common.median([o.seconds for o in outcomes]):.1f} "
                    f"({max(o.seconds for o in outcomes):.1f})"
                ),
                f"{common.median([o.seconds for o in outcomes]) / calm:.2f}",
                f"{common.median([o.served_after for o in outcomes]):.2f}",
                sum(o.unscored + o.leases_open for o in outcomes),
                sum(o.scored_twice for o in outcomes),
                sum(o.extra_attempts for o in outcomes),
                sum(o.fenced for o in outcomes),
            ]
            for name, outcomes in found.items()
        ],
    )
    wrong = sum(o.unscored + o.scored_twice + o.leases_open for outcomes in found.values() for o in outcomes)
    if wrong:
        raise SystemExit(f"{wrong} submissions were lost or scored twice")


def one_round(
    server: Server, token: str, slug: str, bodies: Sequence[bytes], kill: Callable[[Server], None]
) -> Outcome:
    common.wait_for_workers(server)
    api = Api(server.address, token)
    fenced_before = fenced(server)
    ids = [api.submit(slug, body)["id"] for body in bodies]
    wait_until_one_runs(server, ids)
    began = time.perf_counter()
    kill(server)
    served_after = wait_for_page(server) - began
    ended = wait_until_final(server, ids)
    return outcome(server, ids, ended - began, served_after, fenced_before)


def slow(body: bytes) -> bytes:
    """Put a space before one id, which the fast reader refuses.

    A plain file is scored too fast to be hit by a kill.
    """
    return body.replace(b"\n", b"\n ", 1)


# -- what is killed ------------------------------------------------------------------------------------


def kill_nothing(_server: Server) -> None:
    """The round that the others are compared with."""


def kill_horse(server: Server) -> None:
    _kill(_horses(server)[:1])


def kill_worker(server: Server) -> None:
    """Kill the worker that has a work-horse.

    The kernel kills its work-horse too.
    """
    _kill(_busy(server)[:1])


def kill_horse_and_worker(server: Server) -> None:
    """Kill both at the same moment, of every worker.

    No process is left that knows of the claim.
    """
    _kill([*_horses(server), *server.find("worker")])


def kill_valkey(server: Server) -> None:
    _kill(server.find("valkey"))


def kill_web(server: Server) -> None:
    masters = server.find("app.web")
    _kill([*masters, *(pid for master in masters for pid in common.children(master))])


def kill_supervisor(server: Server) -> None:
    """Kill the supervisor and start another, as systemd would.

    On the same data folder and port.
    """
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    server.start()


KILLS: dict[str, Callable[[Server], None]] = {
    "nothing": kill_nothing,
    "a work-horse": kill_horse,
    "a worker": kill_worker,
    "all workers and work-horses": kill_horse_and_worker,
    "Valkey": kill_valkey,
    "web": kill_web,
    "the supervisor, started again": kill_supervisor,
}
IN_A_SMOKE = ("nothing", "a work-horse", "the supervisor, started again")
"""Of each way one; tests/ kill every part, and see what comes of it."""


def _horses(server: Server) -> list[int]:
    return [horse for worker in server.find("worker") for horse in common.work_horses(worker)]


def _busy(server: Server) -> list[int]:
    return [worker for worker in server.find("worker") if common.work_horses(worker)]


def _kill(pids: Sequence[int]) -> None:
    if not pids:
        raise RuntimeError("there was nothing to kill: the files are scored too fast; use more --rows")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


# -- what came of it -----------------------------------------------------------------------------------


def wait_until_one_runs(server: Server, ids: Sequence[int]) -> None:
    running = select(func.count()).where(Evaluation.submission_id.in_(ids), Evaluation.state == State.RUNNING)
    until = time.monotonic() + common.WAIT_SECONDS
    with server.installation.database.read() as session:
        while time.monotonic() < until:
            if session.scalar(running):
                return
            session.rollback()  # the next read sees later commits
            time.sleep(0.002)
    raise RuntimeError("no submission was ever running")


def wait_for_page(server: Server) -> float:
    until = time.monotonic() + common.WAIT_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{server.address}/", timeout=30):
                return time.perf_counter()
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("no page was served any more")


def wait_until_final(server: Server, ids: Sequence[int]) -> float:
    """Return when the last one was final.

    Submissions that never become final are counted as lost afterwards.
    """
    open_ = select(func.count()).where(
        Evaluation.submission_id.in_(ids), Evaluation.state.in_((State.QUEUED, State.RUNNING))
    )
    until = time.monotonic() + common.WAIT_SECONDS
    database = server.installation.database
    while time.monotonic() < until:
        with database.read() as session:
            if not session.scalar(open_):
                break
        time.sleep(0.02)
    database.dispose()
    return time.perf_counter()


def outcome(
    server: Server, ids: Sequence[int], seconds: float, served_after: float, fenced_before: int
) -> Outcome:
    mine = Evaluation.submission_id.in_(ids)
    with server.installation.database.read() as session:
        evaluations = session.scalars(select(Evaluation).where(mine)).all()
        scored = set(session.scalars(select(Score.submission_id).where(Score.submission_id.in_(ids))))
        written = session.execute(
            text("SELECT submission_id, count(*) FROM bench_scored GROUP BY submission_id")
        ).all()
    times = {submission_id: count for submission_id, count in written if submission_id in set(ids)}
    return Outcome(
        seconds=seconds,
        served_after=served_after,
        unscored=sum(e.state != State.SCORED or e.submission_id not in scored for e in evaluations)
        + len(ids)
        - len(evaluations),
        scored_twice=sum(count > 1 for count in times.values()),
        extra_attempts=sum(e.attempt - 1 for e in evaluations),
        fenced=fenced(server) - fenced_before,
        leases_open=sum(e.lease_token is not None for e in evaluations),
    )


def fenced(server: Server) -> int:
    return len(re.findall("another run has taken over", server.log.read_text()))


def count_every_score(server: Server) -> None:
    engine = create_engine(server.installation.settings.database)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE bench_scored (submission_id INTEGER)")
        connection.exec_driver_sql(COUNT_EVERY_SCORE)
    engine.dispose()


if __name__ == "__main__":
    main()
