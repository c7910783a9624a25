"""What the sample submission shows row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from scorer.leakage.frame import Codes, Frame, Rows, codes_of
from scorer.leakage.material import Material, Side
from scorer.reading.columns import FloatArray
from scorer.wording import ID_JOINT


def sample_rows(material: Material, side: Side) -> Rows | None:
    """Return the sample submission's row of each row of a side.

    By id; -1 where there is none. None without ids.
    """
    sample = material.sample
    if sample is None or not side.ids or any(name not in sample for name in side.id_names):
        return None
    if side.name == "sample submission":
        return np.arange(len(side), dtype=np.int64)
    own = pd.Index(
        [
            ID_JOINT.join(key)
            for key in zip(*(sample.texts(name).to_pylist() for name in side.id_names), strict=True)
        ]
    )
    if not own.is_unique:
        return None
    wanted = [ID_JOINT.join(key) for key in zip(*(column.to_pylist() for column in side.ids), strict=True)]
    return np.asarray(own.get_indexer(pd.Index(wanted)), dtype=np.int64)


def sample_values(sample: Frame, names: Sequence[str]) -> Iterator[tuple[str, str, FloatArray, Codes | None]]:
    """Yield each column's values and their number of characters."""
    for name in names:
        feature = sample.feature(name)
        written = codes_of(feature.texts)
        if written.max(initial=0) == 0:
            continue
        repeats = written.max() + 1 <= max(2, len(written) / 5)
        yield name, "the values", feature.scores, written if repeats else None
        lengths = np.array(
            [len(text) for text in feature.texts.dictionary_encode().dictionary.to_pylist()], dtype=np.float64
        )
        yield name, "the number of characters", lengths[written], None
