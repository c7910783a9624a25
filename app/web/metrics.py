"""Compute metrics of the installation as Prometheus text."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from app.base.models import State
from app.operating.health import Disk
from app.operating.statistics import Statistics

BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class Requests:
    """Counts of the requests that this process answered.

    Each web process counts separately, under its own pid.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._answered = Counter(
            "heldout_requests", "Requests answered.", ("pid", "endpoint", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "heldout_request_seconds",
            "Seconds from a request's first byte to the answer's.",
            ("pid", "endpoint"),
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=self.registry,
        )

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        pid = str(os.getpid())
        self._answered.labels(pid, endpoint, str(status)).inc()
        self._seconds.labels(pid, endpoint).observe(seconds)


class Snapshot:
    """Statistics from the database: the same in every web process."""

    def __init__(
        self,
        figures: Statistics | None,
        totals: dict[State, int],
        seconds: Sequence[float],
        hints: int | None,
        disks: Sequence[Disk],
    ) -> None:
        """`figures` is None if the database did not answer."""
        self._figures, self._totals, self._seconds = figures, totals, seconds
        self._hints, self._disks = hints, disks

    def text(self) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        is_up = 1 if self._figures is not None else 0
        yield GaugeMetricFamily("heldout_database_up", "1 if the database answered.", value=is_up)
        if self._hints is not None:
            yield GaugeMetricFamily("heldout_hints", "Hints waiting in Redis.", value=self._hints)
        yield GaugeMetricFamily(
            "heldout_redis_up", "1 if Redis answered, or none is used.", value=0 if self._hints is None else 1
        )
        free = GaugeMetricFamily("heldout_disk_free_bytes", "Room left on the disk.", labels=["holds"])
        for disk in self._disks:
            free.add_metric([disk.holds], disk.free_bytes)
        yield free
        if self._figures is not None:
            yield from self._of_database(self._figures)

    def _of_database(self, figures: Statistics) -> Iterable[Metric]:
        fresh = {state: figures.count(state) for state in (State.QUEUED, State.RUNNING, State.FAILED)}
        states = GaugeMetricFamily(
            "heldout_evaluations",
            "Evaluations by state; scored and rejected of active rounds, counted once a minute.",
            labels=["state"],
        )
        for state in State:
            states.add_metric([state.value], fresh.get(state, self._totals.get(state, 0)))
        yield states
        yield GaugeMetricFamily(
            "heldout_oldest_due_seconds",
            "Age of the oldest due evaluation that no worker has taken.",
            value=figures.oldest_due.total_seconds(),
        )
        alive = GaugeMetricFamily("heldout_alive", "Processes seen in the last half minute.", labels=["kind"])
        for kind in ("worker", "sweeper"):
            alive.add_metric([kind], len(figures.of_kind(kind)))
        yield alive
        inspections = GaugeMetricFamily(
            "heldout_inspections", "Inspections by state (scans, reports, train files).", labels=["state"]
        )
        for name, n in sorted(figures.inspections.items()):
            inspections.add_metric([name], n)
        yield inspections
        yield _histogram(self._seconds)


def _histogram(seconds: Sequence[float]) -> Metric:
    counts = [0] * (len(BUCKETS) + 1)
    for each in seconds:
        counts[bisect_left(BUCKETS, each)] += 1
    running, buckets = 0, []
    for limit, n in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        running += n
        buckets.append((limit, running))
    return HistogramMetricFamily(
        "heldout_newest_seconds_to_outcome",
        "From upload to first outcome, of the newest 1,000 submissions (a window: not for rate()).",
        buckets=buckets,
        sum_value=sum(seconds),
    )
