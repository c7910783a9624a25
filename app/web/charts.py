"""The way of a team's scores as a picture: numbers to coordinates here, the SVG itself in a template.

Made on the server, so it works without scripts, prints, and follows the page's colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 176, 18, 34
LABEL_GAP = 15  # below this, two labels run into each other
MAX_BASELINES = 12


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    id: int
    score: float
    is_best: bool
    is_cut: bool
    """Far outside the range shown; drawn at the edge."""


@dataclass(frozen=True)
class Baseline:
    y: float
    label_y: float
    name: str
    score: float
    is_cut: bool


@dataclass(frozen=True)
class Tick:
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    points: Sequence[Point]
    best: str
    """The path of the best score so far, as SVG's d attribute."""
    baselines: Sequence[Baseline]
    ticks: Sequence[Tick]
    floor: float
    """The y of the worse end, down to which a baseline's band reaches."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def history(
    scores: Sequence[tuple[int, float]],
    baselines: Sequence[tuple[str, float]],
    *,
    greater_is_better: bool,
) -> Chart | None:
    """Scores in the order they were sent, better ones higher up; None without any."""
    if not scores:
        return None
    sign = 1.0 if greater_is_better else -1.0
    heights = [sign * score for _, score in scores]
    best = [max(heights[: i + 1]) for i in range(len(heights))]
    shown = _thinned(baselines)
    low, high = _range(heights, [sign * score for _, score in shown])

    def y(height: float) -> float:
        share = (min(max(height, low), high) - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def x(i: int) -> float:
        span = WIDTH - RIGHT - LEFT - 24
        return round(LEFT + 12 + span * (i / (len(scores) - 1) if len(scores) > 1 else 0.5), 1)

    points = [
        Point(x(i), y(heights[i]), id_, score, heights[i] == best[i], heights[i] < low)
        for i, (id_, score) in enumerate(scores)
    ]
    steps = [f"M{x(0)} {y(best[0])}"] + [f"H{x(i)} V{y(best[i])}" for i in range(1, len(best))]
    return Chart(
        points=points,
        best=" ".join([*steps, f"H{WIDTH - RIGHT}"]),
        baselines=_labelled([(name, score, y(sign * score), sign * score < low) for name, score in shown]),
        ticks=[Tick(y(v), _short(sign * v, high - low)) for v in _round_values(low, high)],
        floor=y(low),
    )


def _thinned(baselines: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """All of a usual ladder; of a very long one, evenly spread rungs including both ends."""
    if len(baselines) <= MAX_BASELINES:
        return list(baselines)
    step = (len(baselines) - 1) / (MAX_BASELINES - 1)
    return [baselines[round(i * step)] for i in range(MAX_BASELINES)]


def _range(heights: Sequence[float], baselines: Sequence[float]) -> tuple[float, float]:
    """From the best to the worst that is usual: one wild score or hopeless baseline must not flatten the rest."""
    own = max(heights), sorted(heights)[len(heights) // 2]
    usual = sorted([*own, *baselines])
    low, high = usual[0], usual[-1]
    if len(baselines) > 3:  # of fewer, none can be called unusual
        middle = usual[len(usual) // 2]
        low = max(low, min(*own, middle - 3 * (high - middle)))
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _labelled(found: Sequence[tuple[str, float, float, bool]]) -> list[Baseline]:
    """Labels beside their lines, pushed apart where they would overlap."""
    placed: list[Baseline] = []
    at = float(TOP) - LABEL_GAP
    for name, score, y, is_cut in sorted(found, key=lambda b: b[2]):
        at = max(y + 4, at + LABEL_GAP)
        placed.append(Baseline(y, at, name if len(name) <= 22 else name[:21] + "…", score, is_cut))
    overflow = at - (HEIGHT - 6)
    if overflow <= 0:
        return placed
    # The lowest labels ran off the picture: push them, and those they meet, back up.
    limit = float(HEIGHT - 6)
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = replace(placed[i], label_y=min(placed[i].label_y, limit))
        limit = placed[i].label_y - LABEL_GAP
    return placed


def _round_values(low: float, high: float) -> list[float]:
    """About five round values between the two."""
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if raw <= m * magnitude)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def _short(value: float, reach: float) -> str:
    if abs(value) >= 1e5 or 0 < abs(value) < 1e-4:
        return f"{value:.3g}"
    decimals = max(0, 1 - math.floor(math.log10(reach)))
    return f"{value:.{min(decimals, 6)}f}".replace("-", "−")
