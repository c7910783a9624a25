"""Small bundles of the formats of other platforms, made anew for each test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from scorer.importing.foreign import Wishes
from scorer.importing.importing import import_challenge

N_TRAIN, N_TEST = 60, 40


def rows() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return labelled training and test rows: id, a, b, target (0 or 1), size (a number)."""
    random = np.random.default_rng(5)
    n_rows = N_TRAIN + N_TEST
    table = pd.DataFrame(random.normal(size=(n_rows, 2)).round(3), columns=["a", "b"])
    table.insert(0, "id", 1000 + random.permutation(n_rows))
    table["target"] = (table["a"] + random.normal(size=n_rows) > 0).astype(int)
    table["size"] = (3 + table["b"] + random.normal(size=n_rows) / 3).abs().round(3)
    return table[:N_TRAIN].reset_index(drop=True), table[N_TRAIN:].reset_index(drop=True)


def usages() -> list[str]:
    return ["Public" if row % 5 < 2 else "Private" for row in range(N_TEST)]


def predictions(seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).uniform(0.01, 0.99, N_TEST).round(4)


def put(folder: Path, files: Mapping[str, str | bytes | pd.DataFrame | object]) -> Path:
    """Write files: text, bytes, tables as CSV, and anything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            content.to_csv(path, index=False)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def imported(bundle: Path, folder: Path, **wishes: object):
    return import_challenge(bundle, folder, Wishes(**wishes), allow_weak_sandbox=True)
