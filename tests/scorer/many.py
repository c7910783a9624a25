"""Challenges of every kind of column, with an acceptable submission each.

For tests of what must hold for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.scorer.conftest import IDS, USAGE, Write, csv_text

FLAGS = [0, 0, 1, 1] * 5
NAMES = ["ant", "bee", "cow", "bee"] * 5
FLOATS = [f"{(7 * i) % 20 / 3:.3f}" for i in range(20)]
WHOLE = [100 + (i * 37) % 150 for i in range(20)]
GUESSES = [f"{0.03 + (i * 7) % 20 / 21:.4f}" for i in range(20)]
OTHERS = [f"{(11 * i) % 20 / 3:.3f}" for i in range(20)]
LISTS = ["a b", "b", "c a", "b c"] * 5
CATALOGUE = [f"item{i}" for i in range(20)]
TEXTS = ["the cat sat", "a dog", "Zürich", "one two three"] * 5
MASKS = ["1 3", "2 2 8 1", "", "5 4"] * 5
BOXES = ["car 0 0 4 4", "", "car 0 0 4 4 bus 5 5 9 9", "bus 1 1 3 3"] * 5
FOUND = ["car 0.9 0 0 4 5", "bus 0.5 0 0 1 1", "car 0.8 1 0 4 4", "bus 0.7 1 1 3 3"] * 5
GROUPS = ["x", "y"] * 10
WEIGHTS = [i % 4 + 1 for i in range(20)]
IGNORED = ["Ignored", *USAGE[1:19], "Ignored"]


@dataclass(frozen=True)
class Kind:
    """The columns of a solution and a submission, without the id."""

    metric: str
    truth: dict[str, Sequence[Any]]
    sent: dict[str, Sequence[Any]]
    more: str = ""
    """Of `submission:` in challenge.yaml."""
    after: str = ""
    ids: Sequence[str] = tuple(IDS)
    exact: bool = False
    """Whether only the exact reader takes the file, since it has something to notice."""

    def yaml(self) -> str:
        columns = ", ".join(self.sent)
        return (
            f"title: Many\nmetric: {self.metric}\n{self.after}"
            f"submission: {{id: id, columns: [{columns}]{self.more}}}\n"
        )

    def folder(self, write: Write, **files: str) -> Any:
        table = {"id": self.ids, "Usage": USAGE, **self.truth}
        columns = [list(map(str, column)) for column in table.values()]
        return write(self.yaml(), header=tuple(table), columns=columns, files=files)

    def text(self) -> str:
        table = {"id": self.ids, **self.sent}
        return csv_text(tuple(table), *(list(map(str, column)) for column in table.values()))


KINDS: dict[str, Kind] = {
    "flags": Kind("log_loss", {"y": FLAGS}, {"y": GUESSES}, after="also: [roc_auc, mse]\n"),
    "flags with holes": Kind("roc_auc", {"y": ["", *FLAGS[1:]], "Usage": IGNORED}, {"y": GUESSES}),
    "floats": Kind("rmse", {"y": FLOATS}, {"y": OTHERS}, after="also: [mae, spearman]\n"),
    "whole numbers": Kind("smape", {"y": WHOLE}, {"y": OTHERS}),
    "pooled bytes": Kind(
        "{name: rmsle, columns: pooled}", {"y": WHOLE, "z": WHOLE[::-1]}, {"y": OTHERS, "z": FLOATS}
    ),
    "weights and groups": Kind(
        "{name: mae, weight: w, group_by: g}", {"y": FLOATS, "w": WEIGHTS, "g": GROUPS}, {"y": OTHERS}
    ),
    "weights": Kind("{name: mse, weight: w}", {"y": FLOATS, "w": FLOATS[::-1]}, {"y": OTHERS}),
    "several classes": Kind(
        "log_loss", {"kind": NAMES}, {"ant": GUESSES, "bee": GUESSES[::-1], "cow": ["0.5"] * 20}
    ),
    "labels": Kind("{name: f1, average: macro}", {"y": NAMES, "Usage": IGNORED}, {"y": ["bee", *NAMES[:-1]]}),
    "labels of two columns": Kind(
        "accuracy", {"y": NAMES, "z": FLAGS}, {"y": [*NAMES[1:], "cow"], "z": ["1"] * 20}
    ),
    "unknown labels": Kind(
        "accuracy", {"y": NAMES, "z": FLAGS}, {"y": [*NAMES[1:], "elk"], "z": ["1"] * 20}, exact=True
    ),
    "labels spelt otherwise": Kind("accuracy", {"y": FLAGS}, {"y": ["True", "0e0", "1", "+1"] * 5}),
    "ratings": Kind("{name: qwk, min_rating: 1, max_rating: 4}", {"y": WEIGHTS}, {"y": [2, 1, 3, 3] * 5}),
    "lists": Kind(
        "{name: map_at_k, k: 3}", {"y": LISTS, "Usage": IGNORED}, {"y": ["b a", "", "c b", "a"] * 5}
    ),
    "lists with unknown items": Kind(
        "{name: map_at_k, k: 3}", {"y": LISTS}, {"y": ["b a", "", "c d", "a"] * 5}, exact=True
    ),
    "lists of a catalogue": Kind(
        "{name: map_at_k, k: 3}", {"y": CATALOGUE}, {"y": [f"{item} n{item}" for item in CATALOGUE[::-1]]}
    ),
    "texts": Kind("{name: levenshtein, normalize: max_len}", {"y": TEXTS}, {"y": [*TEXTS[1:], "café"]}),
    "masks": Kind("dice", {"y": MASKS}, {"y": ["2 3", "", "4 1", "5 4"] * 5}),
    "boxes": Kind("detection_map", {"y": BOXES}, {"y": FOUND}),
    "text ids": Kind("rmse", {"y": FLOATS}, {"y": OTHERS}, ids=tuple(f"r{i}" for i in IDS)),
    "ids far apart": Kind("rmse", {"y": FLOATS}, {"y": OTHERS}, ids=tuple(str(10**12 * int(i)) for i in IDS)),
    "rows with unknown ids": Kind(
        "{name: f1, average: macro}", {"y": NAMES}, {"y": ["bee", *NAMES[:-1]]}, more=", extra_ids: ignore"
    ),
}
