"""Compute coordinates of charts; templates draw the SVG.

Charts are made on the server, so they work without scripts, print well and follow the page's colours.
`history` shows the scores of a team, `plot` a picture from a check, `whiskers` values with standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 176, 18, 34
LABEL_GAP = 15  # closer labels would overlap
MAX_BASELINES = 12

PLOT_WIDTH, PLOT_HEIGHT = 440, 260
PLOT_LEFT, PLOT_RIGHT, PLOT_TOP, PLOT_BOTTOM = 62, 16, 12, 46
MAX_MARKS = 400  # of one plot: more cannot be distinguished, and a page may hold several plots
MAX_LABELS = 6
ROW = 30  # height of a row in a whisker plot

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    id: int
    score: float
    is_best: bool
    is_cut: bool
    """True if far outside the range shown; drawn at the edge."""


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
    """Path of the best score so far, as the SVG attribute `d`."""
    baselines: Sequence[Baseline]
    ticks: Sequence[Tick]
    floor: float
    """The y of the worse end, where the band of a baseline ends."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def history(
    scores: Sequence[tuple[int, float]], baselines: Sequence[tuple[str, float]], *, greater_is_better: bool
) -> Chart | None:
    """Return the chart of scores in upload order; None without scores.

    Better scores are higher.
    """
    if not scores:
        return None
    sign = 1.0 if greater_is_better else -1.0
    heights = [sign * score for _, score in scores]
    best = [max(heights[: i + 1]) for i in range(len(heights))]
    shown = _thinned(baselines, MAX_BASELINES)
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
        ticks=[Tick(y(sign * v), text) for v, text in _ticks(*sorted((sign * low, sign * high)))],
        floor=y(low),
    )


def _thinned(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items, evenly spread, with both ends."""
    if len(items) <= most:
        return list(items)
    step = (len(items) - 1) / (most - 1)
    return [items[round(i * step)] for i in range(most)]


def _range(heights: Sequence[float], baselines: Sequence[float]) -> tuple[float, float]:
    """Return the range to show, without outliers at the worse end.

    One very bad score or baseline must not flatten the rest.
    """
    own = max(heights), sorted(heights)[len(heights) // 2]
    usual = sorted([*own, *baselines])
    low, high = usual[0], usual[-1]
    if len(baselines) > 3:  # with fewer baselines there is no outlier
        middle = usual[len(usual) // 2]
        low = max(low, min(*own, middle - 3 * (high - middle)))
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _labelled(found: Sequence[tuple[str, float, float, bool]]) -> list[Baseline]:
    """Place labels beside their lines, moved apart where they overlap."""
    placed: list[Baseline] = []
    at = float(TOP) - LABEL_GAP
    for name, score, y, is_cut in sorted(found, key=lambda b: b[2]):
        at = max(y + 4, at + LABEL_GAP)
        placed.append(Baseline(y, at, name if len(name) <= 22 else name[:21] + "…", score, is_cut))
    overflow = at - (HEIGHT - 6)
    if overflow <= 0:
        return placed
    # The lowest labels are below the picture: move them up, and those they then overlap.
    limit = float(HEIGHT - 6)
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = replace(placed[i], label_y=min(placed[i].label_y, limit))
        limit = placed[i].label_y - LABEL_GAP
    return placed


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return about five round values, with the decimals of their step."""
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    multiple = next(m for m in (1, 2, 2.5, 5, 10) if raw <= m * magnitude)
    step = multiple * magnitude
    first = math.ceil(low / step)
    values = [i * step for i in range(first, math.floor(high / step) + 1)]
    decimals = max(0, -math.floor(math.log10(step)) + (multiple == 2.5))
    if decimals > 6 or any(abs(value) >= 1e5 for value in values):
        return [(value, f"{value:.3g}".replace("-", "−")) for value in values]
    return [(value, f"{value + 0.0:.{decimals}f}".replace("-", "−")) for value in values]


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    low: float | None
    high: float | None
    """The ends of its whisker."""
    words: str


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Mark:
    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    title: str
    words: str
    x_title: str
    y_title: str
    x_marks: Sequence[Mark]
    y_marks: Sequence[Mark]
    dots: Sequence[Dot]
    bars: Sequence[Bar]
    line: str
    """Path through the points, as the SVG attribute `d`; empty if not joined."""
    reference: str
    """Path of the line of perfect predictions, as `d`; may be empty."""
    table: Sequence[tuple[str, str]]
    omitted: int
    """Number of points left out because there are too many."""
    width: int = PLOT_WIDTH
    height: int = PLOT_HEIGHT
    left: int = PLOT_LEFT
    right: int = PLOT_WIDTH - PLOT_RIGHT
    top: int = PLOT_TOP
    bottom: int = PLOT_HEIGHT - PLOT_BOTTOM


def plot(picture: Mapping[str, Any] | None) -> Plot | None:
    """Return the plot of a picture; None without finite values.

    Checks describe a picture as {"kind": line|bars|points, "title", "x_title", "y_title", "x", "y", "text"}.
    `x` may hold names. Optional keys: `se` (one for each y, drawn as a whisker of one standard error on
    either side), `names` of the points, and `reference`: "diagonal" or "zero", the line of perfect
    predictions. Values that are not finite are left out.
    """
    if not picture:
        return None
    ys = list(picture.get("y") or [])
    xs = list(picture.get("x") or range(len(ys)))
    errors = list(picture.get("se") or [None] * len(ys))
    names = list(picture.get("names") or [""] * len(ys))
    found = [
        _Point(x, float(y), float(e) if _is_finite(e) else None, str(name))
        for x, y, e, name in zip(xs, ys, errors, names, strict=False)
        if _is_finite(y) and (isinstance(x, str) or _is_finite(x))
    ]
    if not found:
        return None
    shown = _thinned(found, MAX_MARKS)
    kind, reference = picture.get("kind"), picture.get("reference")
    is_slotted = kind == "bars" or any(isinstance(point.x, str) for point in shown)
    places = [float(i) for i in range(len(shown))] if is_slotted else [float(point.x) for point in shown]
    ends = [v for p in shown for v in (p.y - (p.se or 0.0), p.y + (p.se or 0.0))]
    low, high = _padded(ends + [0.0] * (kind == "bars" or reference == "zero"))
    if kind == "bars":  # a bar starts at zero
        low, high = (0.0 if min(ends) >= 0 else low), (0.0 if max(ends) <= 0 else high)
    left, right = (-0.5, len(shown) - 0.5) if is_slotted else _padded(places)
    if reference == "diagonal" and not is_slotted:
        low, high = left, right = min(low, left), max(high, right)

    def x_at(value: float) -> float:
        return round(PLOT_LEFT + (value - left) / (right - left) * (PLOT_WIDTH - PLOT_RIGHT - PLOT_LEFT), 1)

    def y_at(value: float) -> float:
        share = (value - low) / (high - low)
        return round(PLOT_HEIGHT - PLOT_BOTTOM - share * (PLOT_HEIGHT - PLOT_BOTTOM - PLOT_TOP), 1)

    dots: list[Dot] = []
    bars: list[Bar] = []
    slot = (PLOT_WIDTH - PLOT_RIGHT - PLOT_LEFT) / len(shown)
    for place, point in zip(places, shown, strict=True):
        words = f"{point.name + ': ' if point.name else ''}{_value_text(point.x)}, {_value_text(point.y)}"
        if kind == "bars":
            top, foot = y_at(max(point.y, 0.0)), y_at(min(point.y, 0.0))
            width = round(slot * 0.8, 2)
            bars.append(Bar(round(x_at(place) - width / 2, 1), top, width, max(foot - top, 0.5), words))
        if kind != "bars" or point.se:
            low_end = y_at(point.y - point.se) if point.se else None
            high_end = y_at(point.y + point.se) if point.se else None
            dots.append(Dot(x_at(place), y_at(point.y), low_end, high_end, words))
    path = " ".join(f"{'L' if i else 'M'}{dot.x} {dot.y}" for i, dot in enumerate(dots))
    return Plot(
        title=str(picture.get("title") or ""),
        words=str(picture.get("text") or ""),
        x_title=str(picture.get("x_title") or ""),
        y_title=str(picture.get("y_title") or ""),
        x_marks=_slot_marks(shown, x_at)
        if is_slotted
        else [Mark(x_at(v), text) for v, text in _ticks(left, right)],
        y_marks=[Mark(y_at(v), text) for v, text in _ticks(low, high)],
        dots=dots,
        bars=bars,
        line=path if kind == "line" else "",
        reference=_reference(reference, low, high, x_at, y_at, left, right, is_slotted=is_slotted),
        table=[
            (
                f"{p.name} ({_value_text(p.x)})" if p.name else _value_text(p.x),
                _value_text(p.y) + (f" ± {_value_text(p.se)}" if p.se else ""),
            )
            for p in shown
        ],
        omitted=len(found) - len(shown),
    )


@dataclass(frozen=True)
class _Point:
    x: Any
    y: float
    se: float | None
    name: str


def _reference(
    kind: Any, low: float, high: float, x_at: Any, y_at: Any, left: float, right: float, *, is_slotted: bool
) -> str:
    if kind == "diagonal" and not is_slotted:
        return f"M{x_at(left)} {y_at(low)}L{x_at(right)} {y_at(high)}"
    return f"M{x_at(left)} {y_at(0.0)}H{x_at(right)}" if kind == "zero" else ""


def _slot_marks(shown: Sequence[_Point], x_at: Any) -> list[Mark]:
    labels = [
        (i, point.x if isinstance(point.x, str) else _value_text(point.x)) for i, point in enumerate(shown)
    ]
    return [
        Mark(x_at(float(i)), text if len(text) <= 10 else text[:9] + "…")
        for i, text in _thinned(labels, MAX_LABELS)
    ]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}".replace("-", "−")


@dataclass(frozen=True)
class Whisker:
    name: str
    value: float
    se: float | None
    x: float
    low: float
    high: float
    y: float


@dataclass(frozen=True)
class Whiskers:
    """Values below each other, with lines of two standard errors."""

    rows: Sequence[Whisker]
    marks: Sequence[Mark]
    width: int
    height: int
    left: int
    right: int
    bottom: int


def whiskers(rows: Sequence[tuple[str, float, float | None]]) -> Whiskers | None:
    """Return the whisker plot of (name, value, standard error or None) rows.

    None with fewer than two finite values: there would be nothing to compare.
    """
    kept = [(name, value, se if _is_finite(se) else None) for name, value, se in rows if _is_finite(value)]
    if len(kept) < 2:
        return None
    low, high = _padded(
        [v for _, value, se in kept for v in (value - 2 * (se or 0.0), value + 2 * (se or 0.0))]
    )
    left, right = 92, PLOT_WIDTH - PLOT_RIGHT

    def x_at(value: float) -> float:
        return round(left + (value - low) / (high - low) * (right - left), 1)

    drawn = [
        Whisker(
            name,
            value,
            se,
            x_at(value),
            x_at(value - 2 * (se or 0.0)),
            x_at(value + 2 * (se or 0.0)),
            ROW * (i + 0.7),
        )
        for i, (name, value, se) in enumerate(kept)
    ]
    bottom = ROW * len(kept) + 8
    return Whiskers(
        rows=drawn,
        marks=[Mark(x_at(v), text) for v, text in _ticks(low, high)],
        width=PLOT_WIDTH,
        height=bottom + 24,
        left=left,
        right=right,
        bottom=bottom,
    )
