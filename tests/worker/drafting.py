"""An organiser's drafts on a real installation, and workers that do their steps."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from typing import Any

import numpy as np
import pandas as pd

from app.authoring import draft_steps, drafts
from app.authoring.draft_steps import Kind
from app.authoring.drafts import FileKind, Source, View
from app.base import db, inbox
from app.base.db import Database
from app.base.installation import Installation
from app.base.processes import this_host
from app.people import accounts
from app.people.accounts import Viewer
from worker import authoring, jobs

MOST_BYTES = 10**8
SEED = 20_261_201


def table(n: int = 200, *, canary: str = "") -> bytes:
    """A table with something to learn; rows hold the canary in a text."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=n).round(3)
    y = np.where(x + rng.normal(size=n) * 0.7 > 0, "ja", "nein")
    words = [f"{canary}{k % 9}" for k in range(n)] if canary else np.where(x > 0.3, "red", "blue").tolist()
    frame = pd.DataFrame({"x": x, "w": rng.normal(size=n).round(2), "words": words, "y": y})
    return frame.to_csv(index=False).encode()


@dataclass
class Desk:
    """One organiser at an installation; each method is one transaction."""

    installation: Installation
    name: str = "grace"

    @property
    def database(self) -> Database:
        return self.installation.database

    def begin(self) -> None:
        """Make the account and, as a worker's start does, the key of the inbox."""
        with self.database.begin() as session:
            now = db.now(session)
            accounts.register(session, self.name, None, now=now, is_organiser=True)
            inbox.ensure_key(session, self.installation.vault, now=now)

    @property
    def viewer(self) -> Viewer:
        with self.database.read() as session:
            user = accounts.by_name(session, self.name)
            return Viewer(user.id, user.name, user.is_organiser)

    def create(self, source: Source = Source.TABLE, **choices: Any) -> int:
        viewer = self.viewer
        with self.database.begin() as session:
            return drafts.create(session, viewer, source, now=db.now(session), choices=choices).id

    def upload(self, draft_id: int, kind: FileKind, content: bytes, name: str) -> list[str]:
        viewer, storage = self.viewer, self.installation.storage
        with self.database.read() as session:
            key = inbox.newest_key(session)
        with inbox.inbox(storage, key).receive(MOST_BYTES) as incoming:
            incoming.write(content)
            blob = incoming.keep()
        with self.database.begin() as session:
            draft = drafts.get(session, viewer, draft_id, locked=True)
            _, _, removed = drafts.add_file(
                session,
                draft,
                kind,
                blob,
                name=name,
                size_bytes=incoming.size_bytes,
                key_id=key.id,
                by=viewer.name,
                now=db.now(session),
                most_bytes=MOST_BYTES,
            )
        return removed

    def change(self, draft_id: int, **changes: Any) -> None:
        viewer = self.viewer
        with self.database.begin() as session:
            draft = drafts.get(session, viewer, draft_id, locked=True)
            drafts.change(session, draft, changes, now=db.now(session))

    def mend(self, draft_id: int, mend: Mapping[str, Any]) -> None:
        viewer = self.viewer
        with self.database.begin() as session:
            draft = drafts.get(session, viewer, draft_id, locked=True)
            drafts.mend(session, draft, mend["code"], mend["change"], now=db.now(session))

    def open(self, draft_id: int) -> None:
        viewer = self.viewer
        with self.database.begin() as session:
            draft = drafts.get(session, viewer, draft_id, locked=True)
            drafts.open_(session, draft, by=viewer.name, now=db.now(session))

    def view(self, draft_id: int) -> View:
        viewer = self.viewer
        with self.database.read() as session:
            return drafts.view(session, drafts.get(session, viewer, draft_id))

    def work(self, *, killed_at: Sequence[str] = (), most: int = 99) -> int:
        """Do every step that is due, each in a process of its own; return how many were finished.

        Each of `killed_at` kills one process, where its progress begins with these words.
        """
        finished, left = 0, list(killed_at)
        while finished < most and (one := self._work_once(left)) is not None:
            finished += one
        assert left == []
        return finished

    def _work_once(self, killed_at: list[str]) -> int | None:
        with self.database.read() as session:
            if not draft_steps.is_any_due(session, now=db.now(session)):
                return None
        forking = multiprocessing.get_context("fork")
        answer = forking.SimpleQueue()
        self.database.dispose()  # a child must not inherit connections
        child = forking.Process(target=_work, args=(self.installation, killed_at[:1], answer))
        child.start()
        child.join(120)
        if child.exitcode == -signal.SIGKILL:
            killed_at.pop(0)
            self._expire(child.pid)
            return 0
        assert child.exitcode == 0
        return int(answer.get())

    def _expire(self, pid: int | None) -> None:
        """End the leases of a killed work-horse, as its worker does."""
        with self.database.begin() as session:
            ended = draft_steps.LEASES.expire(session, f"{this_host()}/{pid}/{pid}", now=db.now(session))
            assert ended == 1


def _work(installation: Installation, killed_at: list[str], answer: SimpleQueue[int]) -> None:
    jobs.configure(installation.settings, installation.database)
    for place in killed_at:
        _kill_at(place)
    answer.put(authoring.work())


def _kill_at(place: str) -> None:
    """Kill this process as `kill -9` does, where its progress begins with these words."""
    report: Callable[[Any, float, str], None] = authoring.Progress.__call__

    def reported(progress: Any, share: float, doing: str) -> None:
        report(progress, share, doing)
        if doing.startswith(place):
            os.kill(os.getpid(), signal.SIGKILL)

    authoring.Progress.__call__ = reported  # type: ignore[method-assign]  # in this process alone


def steps(view: View) -> dict[Kind, str]:
    return {kind: step.state.value for kind, step in view.steps.items()}
