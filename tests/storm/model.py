"""A model of evaluations in plain dictionaries, for tests/storm/test_state_machine.py.

It uses neither SQL nor `app`; times come from the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

ATTEMPTS = 3
BACKOFF, AWAY_BACKOFF = timedelta(seconds=5), timedelta(seconds=30)
BEHIND = timedelta(seconds=20)
HINTED = timedelta(seconds=15)
SLACK = timedelta(minutes=1)
GRACE = timedelta(seconds=120)
ZONE = ZoneInfo("Europe/Berlin")


@dataclass
class Run:
    """A competition: its limits, disqualified teams and final picks."""

    slug: str
    closes_at: datetime | None
    daily: int
    total: int | None
    pending: int
    rejected: int
    picks: int
    grace: timedelta = GRACE
    greater: bool = False
    version: int = 1
    disqualified: set[str] = field(default_factory=set)
    picked: set[int] = field(default_factory=set)


@dataclass
class Grant:
    slug: str
    team: str
    closes_at: datetime | None
    daily: int
    total: int
    is_revoked: bool = False


@dataclass
class Round:
    slug: str
    state: str
    version: int
    repeat_of: int | None = None
    applies_itself: bool = False
    turn: int = 0
    """Number of its last claim; competitions take turns by it."""
    passed_over: int = 0
    """Claims given to other rounds while it had a waiting file."""


@dataclass
class Upload:
    slug: str
    team: str
    received_at: datetime
    day: date
    sha256: str
    key: str | None
    is_charged: bool = True


@dataclass
class Evaluation:
    next_try_at: datetime
    hinted_at: datetime | None
    state: str = "queued"
    attempt: int = 0
    token: str | None = None
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def finish(self, state: str, now: datetime) -> None:
        assert self.state == "running", "a finished evaluation does not change"
        self.state, self.token, self.lease_until, self.finished_at = state, None, None, now


Key = tuple[int, int]
"""A submission and a round."""


@dataclass
class Life:
    runs: dict[str, Run]
    rounds: dict[int, Round]
    grants: dict[int, Grant] = field(default_factory=dict)
    uploads: dict[int, Upload] = field(default_factory=dict)
    evaluations: dict[Key, Evaluation] = field(default_factory=dict)
    scores: dict[Key, tuple[float, float]] = field(default_factory=dict)
    turns: int = 0
    most_workers: int = 0
    """Workers that one competition may hold; 0: no limit."""

    # -- limits and uploads ------------------------------------------------------------------

    def closes_at(self, slug: str, team: str) -> datetime | None:
        own = self.runs[slug].closes_at
        granted = [g.closes_at for g in self.granted(slug, team) if g.closes_at]
        return own and max([own, *granted])

    def granted(self, slug: str, team: str | None = None) -> list[Grant]:
        return [
            g for g in self.grants.values() if g.slug == slug and team in (None, g.team) and not g.is_revoked
        ]

    def extended_until(self, slug: str) -> datetime | None:
        return max((g.closes_at for g in self.granted(slug) if g.closes_at), default=None)

    def is_settled(self, slug: str, now: datetime) -> bool:
        run = self.runs[slug]
        last = run.closes_at and max(run.closes_at, self.extended_until(slug) or run.closes_at)
        return last is not None and now >= last + run.grace

    def of(self, slug: str, team: str) -> dict[int, Upload]:
        return {id_: u for id_, u in self.uploads.items() if (u.slug, u.team) == (slug, team)}

    def left(self, slug: str, team: str, day: date) -> int:
        run, extra = self.runs[slug], self.granted(slug, team)
        charged = [u for u in self.of(slug, team).values() if u.is_charged]
        left = run.daily + sum(g.daily for g in extra) - sum(u.day == day for u in charged)
        if run.total is not None:
            left = min(left, run.total + sum(g.total for g in extra) - len(charged))
        return max(0, left)

    def waiting(self, slug: str, team: str) -> int:
        return sum(e.state in ("queued", "running") for e in self.counting(slug, team).values())

    def counting(self, slug: str, team: str | None = None) -> dict[int, Evaluation]:
        """Return the evaluations of the active round, by submission."""
        return {
            s: e
            for (s, r), e in self.evaluations.items()
            if self.rounds[r] is self.rounds[self.active(slug)] and team in (None, self.uploads[s].team)
        }

    def refusal(
        self, slug: str, team: str, *, received_at: datetime, now: datetime, sha256: str | None = None
    ) -> str | None:
        run, closes_at = self.runs[slug], self.closes_at(slug, team)
        if team in run.disqualified:
            return "Forbidden"
        if closes_at and (received_at >= closes_at or now >= closes_at + run.grace):
            return "Closed"
        day = received_at.astimezone(ZONE).date()
        rejected = {
            s: e
            for s, e in self.counting(slug, team).items()
            if e.state == "rejected" and self.uploads[s].day == day
        }
        above = len(rejected) - run.rejected
        ended = {s: e for s, e in rejected.items() if e.finished_at}
        latest = max(ended, key=lambda s: (ended[s].finished_at, s), default=None)
        last, check = now, timedelta()
        if latest is not None:
            last = ended[latest].finished_at or now
            check = max(timedelta(), last - (ended[latest].started_at or last))
        minutes = timedelta(minutes=min(2 ** max(0, above - 40), 15))
        wait = min(max(minutes, 10 * check), timedelta(minutes=15)) if above > 0 else timedelta()
        is_full = self.waiting(slug, team) >= (1 if above >= 0 else run.pending)
        is_early = last <= now + SLACK and last + wait > now
        if is_full or is_early:
            return "QuotaExhausted"
        if above >= 0 and sha256 in {self.uploads[s].sha256 for s in rejected}:
            return "Conflict"
        return None if self.left(slug, team, day) else "QuotaExhausted"

    def accept(self, id_: int, upload: Upload, now: datetime) -> None:
        assert id_ not in self.uploads
        place = now + BEHIND * self.waiting(upload.slug, upload.team)
        self.uploads[id_] = upload
        for number, round_ in self.rounds.items():
            if round_.slug == upload.slug and round_.state in ("active", "draft"):
                self.evaluations[id_, number] = Evaluation(place, now)

    # -- order of claims ---------------------------------------------------------------------

    def is_lost(self, evaluation: Evaluation, now: datetime) -> bool:
        until = evaluation.lease_until
        return evaluation.state == "running" and until is not None and until < now

    def waits(self, evaluation: Evaluation, now: datetime) -> bool:
        return evaluation.state == "queued" and (evaluation.attempt == 0 or evaluation.next_try_at <= now)

    def full(self, now: datetime) -> set[int]:
        """Return the rounds of competitions at their cap of workers."""
        held = Counter(
            self.rounds[r].slug
            for (_, r), e in self.evaluations.items()
            if e.state == "running" and not self.is_lost(e, now)
        )
        return {r for r, round_ in self.rounds.items() if 0 < self.most_workers <= held[round_.slug]}

    def next(self, now: datetime) -> Key | None:
        """Return the next evaluation to claim.

        First expired leases of active rounds, then waiting files of active rounds in turns, then drafts and
        repeats.
        """
        lost = [k for k, e in self.evaluations.items() if self.is_lost(e, now) and e.attempt < ATTEMPTS]
        waiting = [k for k, e in self.evaluations.items() if self.waits(e, now)]
        by_turn = sorted(self.rounds.keys() - self.full(now), key=lambda r: (self.rounds[r].turn, r))
        active = [r for r in by_turn if self.rounds[r].state == "active"]
        aside = [r for r in by_turn if self.rounds[r].state in ("draft", "repeat")]
        looks = [(lost, active), *((waiting, [r]) for r in active)]
        looks += [*((lost, [r]) for r in aside), *((waiting, [r]) for r in aside)]
        for keys, rounds in looks:
            if here := [k for k in keys if k[1] in rounds]:
                return min(here, key=lambda k: (self.evaluations[k].next_try_at, k[0]))
        return None

    def claim(self, key: Key, token: str, lease: timedelta, now: datetime) -> None:
        evaluation = self.evaluations[key]
        assert evaluation.attempt < ATTEMPTS
        if evaluation.state == "queued" and self.rounds[key[1]].state == "active":
            waiting = {k[1] for k, e in self.evaluations.items() if self.waits(e, now)}
            for number in waiting - {key[1]} - self.full(now):
                self.rounds[number].passed_over += 1
        self.rounds[key[1]].passed_over = 0
        self.turns += 1
        self.rounds[key[1]].turn = self.turns
        evaluation.state, evaluation.token, evaluation.lease_until = "running", token, now + lease
        evaluation.attempt += 1
        evaluation.started_at = now

    def holds(self, key: Key, token: str) -> bool:
        evaluation = self.evaluations.get(key)
        return evaluation is not None and (evaluation.state, evaluation.token) == ("running", token)

    # -- outcomes ----------------------------------------------------------------------------

    def score(self, key: Key, public: float, private: float, now: datetime) -> None:
        self.evaluations[key].finish("scored", now)
        self.scores[key] = public, private
        if self.rounds[key[1]].state == "active":
            self.uploads[key[0]].is_charged = True

    def reject(self, key: Key, now: datetime) -> None:
        self.evaluations[key].finish("rejected", now)
        self.give_back(key)

    def fail(self, key: Key, now: datetime, *, is_away: bool) -> None:
        evaluation = self.evaluations[key]
        if evaluation.attempt < ATTEMPTS:
            evaluation.state, evaluation.token, evaluation.lease_until = "queued", None, None
        else:
            evaluation.finish("failed", now)
            self.give_back(key)
        pause = AWAY_BACKOFF if is_away else BACKOFF
        evaluation.next_try_at, evaluation.hinted_at = now + pause * evaluation.attempt, None

    def give_back(self, key: Key) -> None:
        if self.rounds[key[1]].state == "active":
            self.uploads[key[0]].is_charged = False

    def hint(self, now: datetime) -> set[int]:
        full = self.full(now)
        due = [
            k
            for k, e in self.evaluations.items()
            if k[1] not in full and (self.is_lost(e, now) or self.waits(e, now))
        ]
        recent = [
            k for k in due if (at := self.evaluations[k].hinted_at) and now - HINTED <= at <= now + SLACK
        ]
        due = [k for k in due if k not in recent]
        for key in due:
            self.evaluations[key].hinted_at = now
        return {submission for submission, _ in due}

    def follow_clock(self, lease: timedelta, now: datetime) -> int:
        """Correct times that a clock set back left in the future."""
        running = [e for e in self.evaluations.values() if e.state == "running"]
        ahead = [e for e in running if e.lease_until and e.lease_until > now + lease + SLACK]
        for evaluation in ahead:
            evaluation.lease_until = now + max(lease, SLACK)
        for evaluation in running:
            if evaluation.started_at and evaluation.started_at > now + SLACK:
                evaluation.started_at = now
        latest = now + ATTEMPTS * AWAY_BACKOFF + SLACK
        put_off = [
            e
            for e in self.evaluations.values()
            if e.state == "queued" and e.attempt > 0 and e.next_try_at > latest
        ]
        for evaluation in put_off:
            evaluation.next_try_at = now
        return len(ahead) + len(put_off)

    def fail_exhausted(self, now: datetime) -> list[int]:
        silent = [k for k, e in self.evaluations.items() if self.is_lost(e, now) and e.attempt >= ATTEMPTS]
        for key in silent:
            self.evaluations[key].finish("failed", now)
            self.give_back(key)
        return [submission for submission, _ in silent]

    # -- rescores ----------------------------------------------------------------------------

    def active(self, slug: str) -> int:
        (found,) = (n for n, r in self.rounds.items() if (r.slug, r.state) == (slug, "active"))
        return found

    def draft(self, slug: str) -> int | None:
        return next((n for n, r in self.rounds.items() if (r.slug, r.state) == (slug, "draft")), None)

    def repeats(self, draft: int) -> list[int]:
        return [n for n, r in self.rounds.items() if (r.repeat_of, r.state) == (draft, "repeat")]

    def begin(self, number: int, round_: Round, now: datetime) -> None:
        self.rounds[number] = round_
        for id_, upload in self.uploads.items():
            if upload.slug == round_.slug:
                self.evaluations[id_, number] = Evaluation(now, None)

    def discard(self, *numbers: int) -> None:
        for number in numbers:
            for key in [k for k in self.evaluations if k[1] == number]:
                self.scores.pop(key, None)
                del self.evaluations[key]
            self.rounds[number].state = "retired"

    def is_finished(self, draft: int) -> bool:
        together = {draft, *self.repeats(draft)}
        return not any(
            e.state in ("queued", "running") for (_, r), e in self.evaluations.items() if r in together
        )

    def apply(self, draft: int, *, accept_losses: bool) -> bool:
        if self.rounds[draft].state != "draft" or not self.is_finished(draft):
            return False
        slug = self.rounds[draft].slug
        active, repeats = self.active(slug), self.repeats(draft)
        mine = {s: e for (s, r), e in self.evaluations.items() if r == draft}
        is_worse = any(
            (e.state in ("rejected", "failed") and (s, active) in self.scores)
            or any(
                self.evaluations[s, r].state != e.state
                or self.scores.get((s, r)) != self.scores.get((s, draft))
                for r in repeats
                if (s, r) in self.evaluations  # a repeat has the files of when it began
            )
            for s, e in mine.items()
        )
        if is_worse and not accept_losses:
            self.rounds[draft].applies_itself = False
            return False
        self.discard(*repeats)
        for id_, evaluation in mine.items():
            self.uploads[id_].is_charged = evaluation.state == "scored"
        for key in [k for k in self.evaluations if k[1] == active]:
            if self.evaluations[key].state in ("queued", "running"):
                del self.evaluations[key]
        self.rounds[active].state, self.rounds[draft].state = "retired", "active"
        run = self.runs[slug]
        run.version = self.rounds[draft].version
        run.greater = is_greater(run.version)
        return True

    # -- expected quota, board and checks ----------------------------------------------------

    def used(self) -> Counter[tuple[str, str, date]]:
        return Counter((u.slug, u.team, u.day) for u in self.uploads.values() if u.is_charged)

    def board(self, slug: str) -> dict[str, tuple[int, float, int, float, int]]:
        """Return by team: entries, public key and submission, private key and submission."""
        run, active = self.runs[slug], self.active(slug)
        sign = -1.0 if run.greater else 1.0
        found = {}
        for team in {u.team for u in self.uploads.values() if u.slug == slug} - run.disqualified:
            mine = [
                (upload.received_at, id_, sign * score[0], sign * score[1])
                for id_, upload in self.of(slug, team).items()
                if (score := self.scores.get((id_, active)))
            ]
            if not mine:
                continue
            by_public = sorted(mine, key=lambda m: (m[2], m[0], m[1]))
            finals = [m for m in mine if m[1] in run.picked] or by_public[: run.picks]
            private = min(
                finals, key=lambda m: (m[3], *((m[0], m[1]) if m[1] in run.picked else (by_public.index(m),)))
            )
            found[team] = (len(mine), by_public[0][2], by_public[0][1], private[3], private[1])
        return found

    def troubles(self, now: datetime) -> Iterator[str]:
        """Return the checks that `heldout doctor` must fail."""
        standing = [e for (_, r), e in self.evaluations.items() if self.rounds[r].state != "retired"]
        if any(
            (e.state == "running" and e.lease_until and e.lease_until < now - timedelta(minutes=2))
            or (e.state == "queued" and e.next_try_at < now - timedelta(minutes=15))
            for e in standing
        ):
            yield "Nothing is stuck"
        if any(e.state == "failed" for slug in self.runs for e in self.counting(slug).values()):
            yield "No evaluation failed"


def is_greater(version: int) -> bool:
    """The third version sorts the board descending."""
    return version == 3
