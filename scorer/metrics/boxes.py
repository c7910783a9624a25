"""Scores of detected objects: a row is an image with its boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scorer.metrics.masks import IouThresholds, iou_thresholds
from scorer.metrics.registry import WHOLE, RowFault, metric
from scorer.reading.cells import Cells, canonical_label
from scorer.reading.columns import CodeArray, FloatArray, TextArray, Vocabulary

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    """Boxes of all images, by image and place in the cell."""

    images: IntArray
    labels: CodeArray
    confidences: FloatArray
    """1 where none is stated."""
    corners: FloatArray
    """Shape (n_boxes, 4): left, top, right, bottom."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[Any]) -> _Boxes:
        return _Boxes(self.images[rows], self.labels[rows], self.confidences[rows], self.corners[rows])

    @property
    def inverted(self) -> NDArray[np.bool_]:
        c = self.corners
        return (c[:, 2] < c[:, 0]) | (c[:, 3] < c[:, 1])

    @classmethod
    def read(
        cls, texts: TextArray, box_format: str, labels: Vocabulary, *, confident: bool, labelled: bool
    ) -> _Boxes:
        """Read boxes from the images' cells.

        A box is its label, unless they have none, its confidence, if `confident`, and four numbers.
        """
        n_values = 4 + labelled + confident
        values: list[str] = []
        n_boxes = []
        for text in texts:
            parts = text.split()
            values += parts
            n_boxes.append(len(parts) // n_values)
        table = np.array(values, dtype=np.object_).reshape(-1, n_values)
        codes = [labels.code(canonical_label(name) if labelled else "") for name in table[:, 0]]
        numbers = table[:, int(labelled) :].astype(np.float64)
        corners = numbers[:, -4:]
        if box_format == "xywh":
            corners = np.hstack((corners[:, :2], corners[:, :2] + corners[:, 2:]))
        return cls(
            np.repeat(np.arange(len(texts)), n_boxes),
            np.array(codes, dtype=np.int32),
            numbers[:, 0] if confident else np.ones(len(numbers)),
            corners,
        )


_WHAT_CORNERS_ARE = {
    "xyxy": "boxes are written left top right bottom, so the third number is not below the first, "
    "nor the fourth below the second",
    "xywh": "boxes are written left top width height, so neither width nor height is below 0",
}


def _box_faults(predicted: TextArray, parameters: Any, **_: Any) -> list[RowFault]:
    boxes = _Boxes.read(
        predicted, parameters.box_format, Vocabulary(), confident=True, labelled=parameters.labelled
    )
    words = _WHAT_CORNERS_ARE[parameters.box_format]
    return [RowFault("NOT_A_BOX", int(image), words) for image in np.unique(boxes.images[boxes.inverted])]


def _no_true_boxes(truth: TextArray, parameters: Any) -> str | None:
    boxes = _Boxes.read(
        truth, parameters.box_format, Vocabulary(), confident=False, labelled=parameters.labelled
    )
    if not len(boxes):
        return "no image has a true box"
    if np.any(boxes.inverted):
        return f"a true box is none: {_WHAT_CORNERS_ARE[parameters.box_format]}"
    return None


@metric(
    "detection_map",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="boxes",
    cells=lambda parameters: Cells("text", grammar="boxes" if parameters.labelled else "bare_boxes"),
    truth=lambda parameters: Cells(
        "text", grammar="true_boxes" if parameters.labelled else "bare_true_boxes"
    ),
    row_faults=_box_faults,
    undefined=_no_true_boxes,
    attainable=False,
    convention="""The solution's cells hold "label x y x y" and the submission's "label confidence x y x y",
    over and over; with labelled: false neither has the label, and all boxes are of one class. Per class the
    area under precision over recall of the detections of all images, then the mean over the classes that have
    true boxes, then over the thresholds. In each image the most confident detection chooses first, equals in
    the order of the cell; it is right if it overlaps a free true box by the threshold or more, and each true
    box is found once. voc2010 takes the whole area and voc2007 the mean precision at 11 recalls, and a
    detection may only choose the true box it overlaps most (VOC devkit); coco takes the mean at 101 recalls,
    and a detection may choose any free one (pycocotools, without crowds and, unless max_detections says so,
    without a limit of 100). Detections of equal confidence enter the curve together, so the order of rows
    cannot matter. Areas are continuous: the VOC devkit's one pixel more per side is not added.""",
)
def detection_mean_average_precision(
    truth: TextArray,
    predicted: TextArray,
    *,
    weights: FloatArray | None,
    iou: IouThresholds = 0.5,
    interpolation: Annotated[
        Literal["voc2010", "voc2007", "coco"],
        Field(description="How precision and recall become one number, and what a detection may match."),
    ] = "voc2010",
    box_format: Annotated[
        Literal["xyxy", "xywh"],
        Field(description="Four numbers of a box: left top right bottom, or left top width height."),
    ] = "xyxy",
    max_detections: Annotated[
        int | None,
        Field(
            ge=1, le=10**6, description="Of each image and class only so many count, the most confident ones."
        ),
        WHOLE,
    ] = None,
    labelled: Annotated[
        bool, Field(description="Whether each box begins with its label; if not, there is one class.")
    ] = True,
) -> float:
    """Mean average precision of detected boxes.

    Higher is better, 1 is perfect.
    """
    labels = Vocabulary()
    true = _Boxes.read(truth, box_format, labels, confident=False, labelled=labelled)
    n_classes = len(labels)
    found = _Boxes.read(predicted, box_format, labels, confident=True, labelled=labelled)
    if not n_classes:
        return 0.0 if len(found) else 1.0
    w = np.ones(len(truth)) if weights is None else weights
    thresholds = iou_thresholds(iou)
    precisions: list[float] = []
    for code in range(n_classes):
        targets = true.take(true.labels == code)
        detections = found.take(found.labels == code)
        detections = detections.take(np.lexsort((-detections.confidences, detections.images)))
        if max_detections is not None:
            begins = np.searchsorted(detections.images, detections.images)
            detections = detections.take(np.arange(len(detections)) - begins < max_detections)
        n_targets = float(np.sum(w[targets.images]))
        if n_targets == 0.0:
            continue
        right = _matches(targets, detections, thresholds, any_free=interpolation == "coco")
        falling = np.argsort(-detections.confidences, kind="stable")
        confidences, counted = detections.confidences[falling], w[detections.images[falling]]
        precisions += [
            _average_precision(hits * counted, counted, confidences, n_targets, interpolation)
            for hits in right[:, falling]
        ]
    return float(np.mean(precisions)) if precisions else 1.0


def _matches(
    targets: _Boxes, detections: _Boxes, thresholds: tuple[float, ...], *, any_free: bool
) -> NDArray[np.bool_]:
    """Return which detections are right, shape (n_thresholds, n_detections).

    Both arguments are in the order of images.
    """
    right = np.zeros((len(thresholds), len(detections)), dtype=np.bool_)
    for mine, theirs in _shared_images(detections.images, targets.images):
        overlaps = _iou(detections.corners[mine], targets.corners[theirs])
        highest = overlaps.max(axis=1)
        for number, threshold in enumerate(thresholds):
            free = np.ones(overlaps.shape[1], dtype=np.bool_)
            for row in np.flatnonzero(highest >= threshold):
                choice = int(np.argmax(np.where(free, overlaps[row], -1.0)))
                least = threshold if any_free else highest[row]
                if free[choice] and overlaps[row, choice] >= least:
                    right[number, mine.start + row] = True
                    free[choice] = False
    return right


def _shared_images(some: IntArray, others: IntArray) -> Iterator[tuple[slice, slice]]:
    """Yield the places of each image's boxes, if both have some."""
    images = np.intersect1d(some, others)
    ends = [
        np.searchsorted(some, images, side="left"),
        np.searchsorted(some, images, side="right"),
        np.searchsorted(others, images, side="left"),
        np.searchsorted(others, images, side="right"),
    ]
    for a, b, c, d in zip(*ends, strict=True):
        yield slice(int(a), int(b)), slice(int(c), int(d))


def _iou(some: FloatArray, others: FloatArray) -> FloatArray:
    """Return the intersection over union of each pair, shape (n_some, n_others).

    Equal boxes without area get 1.
    """
    a, b = some[:, None, :], others[None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.prod(np.maximum(sides, 0.0), axis=-1)
    union = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1) - both
    equal = np.all(a == b, axis=-1).astype(np.float64)
    overlaps: FloatArray = np.divide(both, union, out=equal, where=union > 0.0)
    return overlaps


def _average_precision(
    hits: FloatArray, weights: FloatArray, confidences: FloatArray, n_targets: float, interpolation: str
) -> float:
    """Return the area under precision over recall.

    Detections come with falling confidence; `hits` is the weight of those that are right and 0 for the
    others.
    """
    last = np.append(confidences[1:] != confidences[:-1], True)[: len(confidences)]
    n_right, n_all = np.cumsum(hits)[last], np.cumsum(weights)[last]
    recall = n_right / n_targets
    # Weights like 0.1 add up differently from the front; the last of 101 recalls must still be reached.
    recall[recall > 1.0 - 1e-12] = 1.0
    precision = np.divide(n_right, n_all, out=np.zeros(len(n_all)), where=n_all > 0.0)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "voc2010":
        return float(np.sum(np.diff(recall, prepend=0.0) * precision))
    recalls = np.linspace(0.0, 1.0, 101) if interpolation == "coco" else np.arange(11) / 10.0
    at = np.searchsorted(recall, recalls)
    return float(np.mean(np.append(precision, 0.0)[at]))
