from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from app.web import charts, formats

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00000"),
        (0.123456789, "0.12346"),
        (-0.5, "−0.50000"),
        (999.999994, "999.99999"),
        (1234.5678, "1\u202f234.57"),
        (384512.4, "384\u202f512"),
        (1234567.8, "1\u202f234\u202f570"),
        (-1e6, "−1\u202f000\u202f000"),
        (0.0000123, "1.2300e-05"),
        (1e300, "1.0000e+300"),
        (999999.96, "1\u202f000\u202f000"),
        (None, "–"),
    ],
)
def test_numbers_are_rounded_and_grouped(value: float | None, text: str) -> None:
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (200_000, "200 kB"),
        (1_250_000, "1.25 MB"),
        (5e9, "5 GB"),
    ],
)
def test_sizes(n: int, text: str) -> None:
    assert formats.size(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "just now"),
        (3, "in a moment"),
        (-59, "59 seconds ago"),
        (-60, "1 minute ago"),
        (3600 * 36, "in 36 hours"),
        (86400 * 3, "in 3 days"),
        (-86400 * 800, "2 years ago"),
    ],
)
def test_relative_times(seconds: int, text: str) -> None:
    assert formats.relative(NOON + timedelta(seconds=seconds), NOON) == text


def test_times_use_the_competitions_time_zone() -> None:
    assert formats.moment(NOON, "Europe/Berlin") == "2026-11-22 13:00"
    assert formats.exact(NOON, "Asia/Kolkata") == "2026-11-22 17:30:00 Asia/Kolkata"


def test_a_chart_puts_better_scores_higher_whatever_the_direction() -> None:
    for greater in (True, False):
        chart = charts.history([(1, 0.2), (2, 0.8)], [("a", 0.5)], greater_is_better=greater)
        assert chart is not None
        first, second = chart.points
        assert (second.y < first.y) is greater
        assert second.is_best is greater


def test_a_chart_of_nothing_is_none() -> None:
    assert charts.history([], [("a", 1.0)], greater_is_better=True) is None


@pytest.mark.parametrize(
    "scores", [[0.0], [5.0, 5.0], [1e-9, 2e-9], [1e12, 3e12], [0.3, 34.5, 0.31], [-1.0, -2.0]]
)
@pytest.mark.parametrize("greater", [True, False])
def test_a_chart_stays_inside_its_frame(scores: list[float], greater: bool) -> None:
    rungs = [(f"baseline {i}", scores[0] * (1 + i / 100)) for i in range(30)]
    chart = charts.history(list(enumerate(scores)), rungs, greater_is_better=greater)
    assert chart is not None
    for point in chart.points:
        assert chart.left <= point.x <= chart.right
        assert chart.top - 1 <= point.y <= chart.bottom + 1
    labels = [b.label_y for b in chart.baselines]
    assert len(labels) <= charts.MAX_BASELINES
    assert all(0 < y < chart.height for y in labels)
    assert all(b - a >= charts.LABEL_GAP - 0.01 for a, b in pairwise(labels))


def test_one_outlier_does_not_flatten_the_others() -> None:
    chart = charts.history([(1, 34.5), (2, 0.5), (3, 0.3)], [("a", 0.2), ("b", 0.7)], greater_is_better=False)
    assert chart is not None
    assert chart.points[0].is_cut
    assert abs(chart.points[1].y - chart.points[2].y) > 15
