"""Write a small complete challenge to start from.

It has synthetic data, examples and baselines, and passes all checks. Fixed files come from scorer/scaffold/;
the numbers are drawn here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from scorer.metrics.probability import log_loss
from scorer.report import InvalidChallenge, Problem

_N_TRAIN, _N_TEST = 200, 100
_PUBLIC_FRACTION = 0.3
_SEED = 20_261_001
FEATURES = ("dose", "age", "pressure")


def scaffold(folder: Path | str, *, title: str | None = None) -> Path:
    """Write a challenge that passes `scorer.check`; return its folder.

    Raises InvalidChallenge if the folder exists and is not empty: existing files are never overwritten.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = f"{folder.name} is not an empty folder; nothing was written."
        raise InvalidChallenge([Problem("FOLDER_NOT_EMPTY", message)])
    title = title or folder.resolve().name.replace("-", " ").replace("_", " ").capitalize()

    random = np.random.default_rng(_SEED)
    features = random.normal(size=(_N_TRAIN + _N_TEST, len(FEATURES))).round(3)
    chance = 1.0 / (1.0 + np.exp(-(features @ np.array([1.6, -1.1, 0.7]) + 0.2)))
    target = (random.random(len(features)) < chance).astype(int)
    ids = np.arange(1, len(features) + 1)
    train, test = slice(0, _N_TRAIN), slice(_N_TRAIN, None)
    # Stratified: the same share of each class is public.
    usage = np.full(_N_TEST, "Private")
    for label in (0, 1):
        rows = np.flatnonzero(target[test] == label)
        usage[random.permutation(rows)[: round(_PUBLIC_FRACTION * len(rows))]] = "Public"

    feature_rows = features.tolist()
    _write(
        folder / "public/train.csv",
        ("id", *FEATURES, "target"),
        ([i, *x, y] for i, x, y in zip(ids[train], feature_rows[train], target[train], strict=True)),
    )
    _write(
        folder / "public/test.csv",
        ("id", *FEATURES),
        ([i, *x] for i, x in zip(ids[test], feature_rows[test], strict=True)),
    )
    _write(folder / "public/sample_submission.csv", ("id", "target"), ([i, 0.5] for i in ids[test]))
    _write(
        folder / "private/solution.csv",
        ("id", "target", "Usage"),
        zip(ids[test], target[test], usage, strict=True),
    )
    share = round(float(np.mean(target[train])), 2)
    _write(folder / "examples/perfect.csv", ("id", "target"), zip(ids[test], target[test], strict=True))
    _write(folder / "examples/constant.csv", ("id", "target"), ([i, share] for i in ids[test]))
    _write(folder / "examples/missing_row.csv", ("id", "target"), ([i, share] for i in ids[test][:-1]))

    template = files("scorer") / "scaffold"
    for name in ("baselines/constant.py", "baselines/logistic_regression.py"):
        _write_text(folder / name, (template / name).read_text(encoding="utf-8"))
    scores = {
        split: _constant_loss(target[test][usage == usage_name], share)
        for split, usage_name in (("public", "Public"), ("private", "Private"))
    }
    for name in ("challenge.yaml", "description.md"):
        text = (template / name).read_text(encoding="utf-8")
        for key, value in {"title": title, **scores}.items():
            # JSON's quoting of a text is YAML's too.
            text = text.replace(
                f"<{key}>", _quoted(value) if name == "challenge.yaml" and key == "title" else value
            )
        _write_text(folder / name, text)
    return folder


def _constant_loss(truth: np.ndarray[tuple[int], np.dtype[np.int_]], share: float) -> str:
    return f"{np.mean(log_loss(truth.astype(np.float64), np.full(len(truth), share))):.4f}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
