"""A small challenge on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

import scorer

IDS = [str(number) for number in range(1, 21)]
TRUTH = [str((number + 1) % 2) for number in range(1, 21)]
USAGE = ["Public"] * 8 + ["Private"] * 12

YAML = """\
format: 1
title: Tiny
metric: log_loss
submission: {id: id, columns: [target]}
"""

Write = Callable[..., Path]


def csv_text(header: Sequence[str], *columns: Sequence[str]) -> str:
    return "".join(",".join(row) + "\n" for row in [list(header), *map(list, zip(*columns, strict=True))])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a challenge folder.

    Keyword arguments change the yaml, the truth or any other file.
    """

    def write(
        yaml: str = YAML,
        *,
        header: Sequence[str] = ("id", "target", "Usage"),
        columns: Sequence[Sequence[str]] = (IDS, TRUTH, USAGE),
        files: Mapping[str, str] | None = None,
    ) -> Path:
        folder = tmp_path / "tiny"
        texts = {
            "challenge.yaml": yaml,
            "private/solution.csv": csv_text(header, *columns),
            "public/sample_submission.csv": csv_text(("id", "target"), IDS, ["0.5"] * 20),
            **(files or {}),
        }
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        return folder

    return write


@pytest.fixture
def challenge(write: Write) -> scorer.Challenge:
    return scorer.load(write())
