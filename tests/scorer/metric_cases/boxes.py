"""Scores of boxes, against counts at every confidence."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase

Box = tuple[float, float, float, float]
Detection = tuple[str, float, Box]

LABEL = st.sampled_from(["cat", "dog"])
CONFIDENCE = st.sampled_from([0.1, 0.3, 0.5, 0.9])
SHIFT = st.sampled_from([0, 0, 0, 1, 2, 5])


def written(box: Box, label: str, confidence: float | None = None) -> str:
    return " ".join(
        [label, *([] if confidence is None else [str(confidence)]), *(f"{side:g}" for side in box)]
    )


@st.composite
def images(draw: st.DrawFn) -> Frames:
    """Images of boxes of about 10 x 10, and moved detections."""
    n_images = draw(st.integers(2, 5))
    truth, predicted = [], []
    for image in range(n_images):
        corners = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), LABEL), max_size=4))
        corners += [(0, 0, "cat")] * (image == 0)
        boxes = [((x, y, x + 10, y + 8), label) for x, y, label in corners]
        found = []
        for _ in range(draw(st.integers(0, 6))):
            (a, b, c, d), label = draw(
                st.sampled_from([*boxes, ((20, 20, 30, 30), "dog"), ((0, 0, 3, 3), "cow")])
            )
            right, down = draw(SHIFT), draw(SHIFT)
            box = (a + right, b + down, c + right, d + down)
            found.append(written(box, label, draw(CONFIDENCE)))
        truth.append(" ".join(written(box, label) for box, label in boxes))
        predicted.append(" ".join(found))
    ids = [f"image{i}" for i in range(n_images)]
    return pd.DataFrame({"id": ids, "boxes": truth}), pd.DataFrame({"id": ids, "boxes": predicted})


def as_width_and_height(frames: Frames) -> Frames:
    def turned(text: str, n_values: int) -> str:
        parts = text.split()
        for at in range(0, len(parts), n_values):
            a, b, c, d = (float(part) for part in parts[at + n_values - 4 : at + n_values])
            parts[at + n_values - 4 : at + n_values] = [f"{side:g}" for side in (a, b, c - a, d - b)]
        return " ".join(parts)

    solution, submission = frames
    return (
        solution.assign(boxes=[turned(text, 5) for text in solution["boxes"]]),
        submission.assign(boxes=[turned(text, 6) for text in submission["boxes"]]),
    )


def read(text: str, n_values: int, *, xywh: bool) -> list[Detection]:
    parts = text.split()
    found = []
    for at in range(0, len(parts), n_values):
        a, b, c, d = (float(part) for part in parts[at + n_values - 4 : at + n_values])
        box = (a, b, a + c, b + d) if xywh else (a, b, c, d)
        found.append((parts[at], float(parts[at + 1]) if n_values == 6 else 1.0, box))
    return found


def overlap(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    both = max(across, 0) * max(down, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def judged(
    true: list[Box], found: list[Detection], threshold: float, *, any_free: bool
) -> list[tuple[float, bool]]:
    """Return (confidence, is right) of one class in one image."""
    taken: list[int] = []
    result = []
    for _, confidence, box in sorted(found, key=lambda detection: -detection[1]):
        free = [i for i in range(len(true)) if i not in taken]
        if not any_free:
            most = max((overlap(box, other) for other in true), default=0.0)
            free = [i for i in free if overlap(box, true[i]) == most]
        choice = max(free, key=lambda i: overlap(box, true[i]), default=None)
        right = choice is not None and overlap(box, true[choice]) >= threshold
        if choice is not None and right:
            taken.append(choice)
        result.append((confidence, right))
    return result


def area(points: list[tuple[float, float]], interpolation: str) -> float:
    """Return the area below (recall, precision) points.

    At each recall the best precision at that recall or above.
    """

    def best(recall: float) -> float:
        return max((p for r, p in points if r >= recall), default=0.0)

    if interpolation == "voc2010":
        recalls = sorted({0.0} | {r for r, _ in points})
        return sum((b - a) * best(b) for a, b in pairwise(recalls))
    steps = np.linspace(0, 1, 101) if interpolation == "coco" else [i / 10 for i in range(11)]
    return float(np.mean([best(recall) for recall in steps]))


def reference(
    interpolation: str = "voc2010",
    thresholds: tuple[float, ...] = (0.5,),
    *,
    xywh: bool = False,
    limit: int = 10**9,
) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    def score(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        true = [read(text, 5, xywh=xywh) for text in solution["boxes"]]
        found = [read(text, 6, xywh=xywh) for text in submission["boxes"]]
        values = []
        for label in {box[0] for image in true for box in image}:
            for threshold in thresholds:
                verdicts: list[tuple[float, bool]] = []
                n_true = 0
                for image, detections in zip(true, found, strict=True):
                    boxes = [box for name, _, box in image if name == label]
                    mine = sorted((d for d in detections if d[0] == label), key=lambda d: -d[1])[:limit]
                    verdicts += judged(boxes, mine, threshold, any_free=interpolation == "coco")
                    n_true += len(boxes)
                points = []
                for least in {confidence for confidence, _ in verdicts}:
                    kept = [right for confidence, right in verdicts if confidence >= least]
                    points.append((sum(kept) / n_true, sum(kept) / len(kept)))
                values.append(area(points, interpolation))
        return sum(values) / len(values)

    return score


def with_certainty(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    def certain(text: str) -> str:
        parts = text.split()
        return " ".join(" ".join([parts[at], "1", *parts[at + 1 : at + 5]]) for at in range(0, len(parts), 5))

    return submission.assign(boxes=[certain(text) for text in solution["boxes"]])


def case(params: dict[str, Any], score: Callable[[pd.DataFrame, pd.DataFrame], float]) -> MetricCase:
    drawn = images().map(as_width_and_height) if params.get("box_format") == "xywh" else images()
    return MetricCase(drawn, params, score, perfect=with_certainty)


COCO = tuple(percent / 100 for percent in range(50, 100, 5))


def without_labels(frames: Frames) -> Frames:
    def bare(text: str, n_values: int) -> str:
        parts = text.split()
        return " ".join(part for at, part in enumerate(parts) if at % n_values)

    solution, submission = frames
    return (
        solution.assign(boxes=[bare(text, 5) for text in solution["boxes"]]),
        submission.assign(boxes=[bare(text, 6) for text in submission["boxes"]]),
    )


def of_one_label(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    def labelled(text: str, n_values: int) -> str:
        parts = text.split()
        return " ".join(" ".join(["x", *parts[at : at + n_values]]) for at in range(0, len(parts), n_values))

    return reference()(
        solution.assign(boxes=[labelled(text, 4) for text in solution["boxes"]]),
        submission.assign(boxes=[labelled(text, 5) for text in submission["boxes"]]),
    )


CASES: dict[str, list[MetricCase]] = {
    "detection_map": [
        case({}, reference()),
        MetricCase(images().map(without_labels), {"labelled": False}, of_one_label),
        case({"interpolation": "voc2007", "iou": 0.6}, reference("voc2007", (0.6,))),
        case({"interpolation": "coco", "iou": "0.5:0.05:0.95"}, reference("coco", COCO)),
        case(
            {"interpolation": "coco", "iou": [0.4], "box_format": "xywh", "max_detections": 2},
            reference("coco", (0.4,), xywh=True, limit=2),
        ),
    ]
}
