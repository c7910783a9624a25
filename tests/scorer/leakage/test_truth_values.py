"""Words that stand for numbers are compared with the labels, in train as in the solution."""

from __future__ import annotations

from pathlib import Path

import pytest

import scorer
from scorer.leakage.material import gather


@pytest.mark.parametrize(
    ("words", "values", "metric"),
    [
        ({"no": 0, "yes": 1}, [0.0, 1.0], "log_loss"),
        ({"low": 1, "mid": 2, "high": 3}, [1.0, 2.0, 3.0], "mae"),
    ],
)
def test_words_of_train_are_compared_as_the_numbers_that_they_stand_for(
    words: dict[str, int], values: list[float], metric: str, tmp_path: Path
) -> None:
    """The audit left the checks of train out: no column looked like the target."""
    listed = ", ".join(f"{word}: {number}" for word, number in words.items())
    (tmp_path / "challenge.yaml").write_text(
        f"metric: {{name: {metric}, truth_values: {{{listed}}}}}\nsubmission: {{columns: [y]}}\n"
    )
    cells = list(words) * 8
    for name in ("public", "private"):
        (tmp_path / name).mkdir()
    usage = ["Public", "Private"] * len(cells)
    rows = [f"{n},{cell},{use}" for n, (cell, use) in enumerate(zip(cells, usage, strict=False))]
    (tmp_path / "private/solution.csv").write_text("\n".join(["id,y,Usage", *rows]) + "\n")
    train = [f"{n + 100},{n % 5},{cell}" for n, cell in enumerate(cells)]
    (tmp_path / "public/train.csv").write_text("\n".join(["id,x,y", *train]) + "\n")
    (tmp_path / "public/test.csv").write_text(
        "\n".join(["id,x", *(f"{n},{n % 5}" for n in range(len(cells)))])
    )
    material = gather(scorer.load(tmp_path))
    assert material.train is not None
    assert [target.values.tolist() for target in material.train.targets] == [values * 8]
