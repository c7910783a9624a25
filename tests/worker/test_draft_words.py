"""What a step writes of a problem into the database, which the web process reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from scorer.authoring.parts import Parts, form_of
from scorer.authoring.table import Unusable, read_tables
from scorer.report import Problem
from worker.drafting import problem_words


@pytest.mark.parametrize(
    ("failure", "kept"),
    [
        (
            "On the public rows the metric raised ValueError: a: 'secret'. On the private rows it: secret",
            "On the public rows the metric raised ValueError.",
        ),
        (
            "On the public rows the metric returned 'secret, which', which is not a number.",
            "On the public rows the metric returned something, which is not a number.",
        ),
        ("On the public rows the metric took longer than 9 s.\nsecret\n", "took longer than 9 s."),
    ],
)
def test_an_own_metric_that_fails_on_the_solution_quotes_no_label_of_it(failure: str, kept: str) -> None:
    """An exception with all labels in its text was stored with the step and shown on the page."""
    words = problem_words(Problem("METRIC_FAILED", failure))
    assert kept in words
    assert "secret" not in words


def test_a_solution_of_usage_alone_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "solution.csv"
    path.write_text("Usage\nPublic\nPrivate\n")
    with pytest.raises(Unusable, match="has no column beside Usage"):
        form_of(Parts(path), id=None, columns=None)


def test_a_broken_parquet_file_is_refused_without_the_folder_of_the_vault(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1" * 3)
    with pytest.raises(Unusable, match=r"^t.parquet could not be read") as refused:
        read_tables([path])
    assert str(tmp_path) not in str(refused.value)
