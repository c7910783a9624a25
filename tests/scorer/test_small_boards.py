"""Tests of copies and exact matches on boards of a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.overfitting import small_boards
from scorer.overfitting.copies import copies
from scorer.overfitting.scan import File, Scan, Team, scan
from scorer.overfitting.too_good import judgeable_rate, usual_rate
from scorer.reading.columns import FloatArray

N_TEAMS, N_ROWS = 15, 120


def independent(seed: int, kind: str, *, n_teams: int = N_TEAMS, n_rows: int = N_ROWS) -> FloatArray:
    """Honest files: one truth, own errors, skills from half to one and a half."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n_rows)
    skill = rng.uniform(0.5, 1.5, (n_teams, 1))
    if kind == "labels":
        right = rng.random((n_teams, n_rows)) > 0.2 * skill
        return np.where(right, truth > 0, truth <= 0).astype(np.float64)[:, :, None]
    numbers = truth + 0.7 * skill * rng.normal(size=(n_teams, n_rows))
    return (numbers if kind == "numbers" else np.round(numbers, 1))[:, :, None]


@pytest.mark.parametrize("kind", ["numbers", "rounded numbers", "labels"])
def test_boards_of_independent_teams_have_false_pairs_in_less_than_the_declared_share(kind: str) -> None:
    boards = [copies(independent(seed, kind, n_teams=8, n_rows=300)) for seed in range(25)]
    assert all(board.judged for board in boards)
    # At the declared 5 %, 25 boards would have one or two; the exact test of independent teams has none.
    assert sum(len(board.pairs) > 0 for board in boards) == 0


@pytest.mark.parametrize("disguise", ["noise", "scale", "ranks", "some rows", "labels"])
def test_a_planted_copy_is_found_in_a_class_of_fifteen(disguise: str) -> None:
    kind = "labels" if disguise == "labels" else "numbers"
    for seed in range(2):
        files, rng = (independent(seed, kind, n_rows=400), np.random.default_rng(seed))
        source = files[3, :, 0]
        own = rng.permutation(len(source))[:4]
        files[11, :, 0] = {
            "noise": source + 0.05 * rng.normal(size=len(source)),
            "scale": 3.0 * source + 1.0,
            "ranks": np.argsort(np.argsort(source)) / len(source),
            "some rows": np.where(np.isin(np.arange(len(source)), own), files[11, :, 0], source),
            "labels": np.where(np.isin(np.arange(len(source)), own), 1.0 - source, source),
        }[disguise]
        found = copies(files)
        assert [(pair.first, pair.second) for pair in found.pairs] == [(3, 11)]
        assert found.pairs[0].strength >= found.threshold == 1.0
        assert "nearer to each other" in found.pairs[0].evidence


def test_two_teams_on_a_registered_notebook_are_no_copies_on_a_small_board() -> None:
    files = independent(5, "numbers")
    notebook = independent(6, "numbers")[0]
    rng = np.random.default_rng(7)
    for team in (2, 9):
        files[team] = notebook + 0.2 * rng.normal(size=notebook.shape)
    assert [(pair.first, pair.second) for pair in copies(files).pairs] in ([(2, 9)], [])
    files[2], files[9] = (notebook + 0.01 * rng.normal(size=notebook.shape) for _ in range(2))
    assert [(pair.first, pair.second) for pair in copies(files).pairs] == [(2, 9)]
    assert copies(files, notebook[None]).pairs == ()


@pytest.mark.parametrize(("n_teams", "n_rows"), [(4, 500), (15, small_boards.rows_needed(15) - 1)])
def test_boards_too_small_for_the_exact_test_say_so(n_teams: int, n_rows: int) -> None:
    found = copies(independent(1, "numbers", n_teams=n_teams, n_rows=n_rows))
    assert not found.judged
    assert f"{n_teams} teams and {n_rows} rows" in found.reason


def test_two_good_files_of_labels_with_equal_counts_are_no_pair() -> None:
    # Their midranks are equal in every row with the same label.
    truth = np.arange(400) % 2 == 0
    files = np.repeat(truth[None], 8, axis=0)
    for team in range(8):
        wrong = np.random.default_rng(team).choice(200, 10 + 2 * (team // 2), replace=False)
        files[team, 2 * wrong] ^= True
        files[team, 2 * wrong[: 5 + (team % 2)] + 1] ^= True
    assert copies(files.astype(np.float64)[:, :, None]).pairs == ()


def test_files_that_differ_in_too_few_rows_are_counted() -> None:
    files = np.repeat(independent(2, "labels")[:1], N_TEAMS, axis=0)
    for team in range(N_TEAMS):
        files[team, team * 3 : team * 3 + 3] = 1.0 - files[team, team * 3 : team * 3 + 3]
    found = copies(files)
    assert not found.judged
    assert "105 of 105 pairs" in found.reason


# --- the scan ---------------------------------------------------------------------------------------------


def class_board(
    folder: Path, right: list[float], *, n_private: int = 60, files: int = 1
) -> tuple[scorer.Challenge, list[Team]]:
    """Teams that are right in these shares of the rows; three labels."""
    rng = np.random.default_rng(3)
    n = n_private + 40
    (folder / "private").mkdir(parents=True)
    (folder / "public").mkdir()
    truth = rng.choice(["ant", "bee", "cow"], n)
    usage = np.where(np.arange(n) < 40, "Public", "Private")
    pd.DataFrame({"id": range(n), "y": truth, "Usage": usage}).to_csv(
        folder / "private/solution.csv", index=False
    )
    pd.DataFrame({"id": range(n), "y": "ant"}).to_csv(folder / "public/sample_submission.csv", index=False)
    (folder / "challenge.yaml").write_text("metric: accuracy\nsubmission: {id: id, columns: [y]}\n")
    challenge = scorer.load(folder)
    teams = []
    for number, share in enumerate(right):
        own = []
        for turn in range(files):
            file = folder / f"{number}-{turn}.csv"
            guesses = np.where(rng.random(n) < share, truth, rng.choice(["ant", "bee", "cow"], n))
            pd.DataFrame({"id": range(n), "y": guesses}).to_csv(file, index=False)
            report = scorer.score(challenge, file)
            own.append(File(100 * number + turn, file, report.public, report.private))
        teams.append(Team(number, f"team {number}", False, own, own[-1].submission_id))
    return challenge, teams


def scanned(challenge: scorer.Challenge, teams: list[Team]) -> Scan:
    return scan(challenge, teams, progress=lambda *_: None)


def test_every_right_label_of_sixty_rows_is_a_case_where_the_others_are_ordinary(tmp_path: Path) -> None:
    found = scanned(*class_board(tmp_path / "c", [0.4, 0.5, 0.3, 0.45, 0.4, 1.0]))
    assert [(s.code, s.team_id) for s in found.suspicions if s.code == "exact_match"] == [("exact_match", 5)]
    assert not any("Exact matches" in words for words in found.not_judged)


def test_full_match_on_few_rows_is_listed_as_not_judged_where_others_are_nearly_as_good(
    tmp_path: Path,
) -> None:
    found = scanned(*class_board(tmp_path / "c", [0.9, 0.95, 1.0, 0.4, 0.4]))
    assert not any(s.code == "exact_match" for s in found.suspicions)
    (words,) = [words for words in found.not_judged if "Exact matches" in words]
    assert "60 private rows" in words


def test_a_scan_of_a_small_class_lists_every_skipped_judgement(tmp_path: Path) -> None:
    found = scanned(*class_board(tmp_path / "c", [0.9, 0.95, 0.8]))
    for judgement in (
        "Copies: 3 teams",
        "Exact matches",
        "Probing",
        "Public-private gaps",
        "Too good to be true",
    ):
        assert any(judgement in words for words in found.not_judged), (judgement, found.not_judged)


def test_rates_are_bounds_of_the_binomial_law() -> None:
    assert judgeable_rate(60) ** 60 == pytest.approx(1e-6)
    assert usual_rate([], 60) == 1.0
    assert usual_rate([0.5, 0.2], 60) == pytest.approx(0.656, abs=0.002)
    assert usual_rate([1.0], 60) == 1.0
