"""The labels within cells of boxes, "label confidence x y x y ..." or "label x y x y ..."."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scorer.reading.cells import canonical_label
from scorer.reading.columns import Lists, TextArray, Vocabulary

TRUE_VALUES, PREDICTED_VALUES = 5, 6
"""Of one box, its label included."""


def box_labels(text: str, n_values: int) -> list[str]:
    """Return the labels of the boxes in a cell; none if its values do not divide into boxes."""
    parts = text.split()
    return [] if len(parts) % n_values else list(map(canonical_label, parts[::n_values]))


def labels_of_boxes(texts: Iterable[str], vocabulary: Vocabulary) -> Lists:
    """Return the labels of predicted boxes as a list for each cell; the vocabulary grows."""
    return Lists.build([list(map(vocabulary.code, box_labels(text, PREDICTED_VALUES))) for text in texts])


def with_labels(texts: Iterable[str], read_as: Mapping[str, str]) -> TextArray:
    """Return cells of predicted boxes with other labels."""
    found = []
    for text in texts:
        parts = text.split()
        names = map(canonical_label, parts[::PREDICTED_VALUES])
        parts[::PREDICTED_VALUES] = [read_as.get(name, name) for name in names]
        found.append(" ".join(parts))
    return np.array(found, dtype=np.object_)
