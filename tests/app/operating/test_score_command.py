"""`heldout score` refuses what `heldout challenge check` refuses of the truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.challenges import score_command

YAML = "title: T\nmetric: {name: map_at_k, k: 3}\nsubmission: {id: id, columns: [y]}\n"


@pytest.mark.parametrize(
    ("truth", "refused"),
    [(["['a', 'b']", "['c']"], True), (['c("a")', "[b c]"], True), (["a b", "c"], False)],
)
def test_a_truth_of_printed_lists_is_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: list[str], refused: bool
) -> None:
    """It loaded, and the ideal file scored 0."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private").mkdir()
    (tmp_path / "challenge.yaml").write_text(YAML)
    first, second = ('"' + cell.replace('"', '""') + '"' for cell in truth)
    (tmp_path / "private/solution.csv").write_text(f"id,y,Usage\n1,{first},Public\n2,{second},Private\n")
    (tmp_path / "sent.csv").write_text("id,y\n1,a b\n2,c\n")
    done = CliRunner().invoke(score_command, [str(tmp_path), str(tmp_path / "sent.csv"), "--json"])
    found = json.loads(done.stdout)
    if refused:
        assert [problem["code"] for problem in found["problems"]] == ["BAD_FORM"]
    else:
        assert (found["public"], found["private"]) == (1.0, 1.0)
