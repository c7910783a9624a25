"""Tests of notices, probing, copies and too good scores.

On synthetic teams with realistic structure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from scorer.overfitting import small_boards
from scorer.overfitting.copies import copies
from scorer.overfitting.notices import fingerprint, notices
from scorer.overfitting.probing import MIN_FILES, neighbourhood, neighbourhoods, probing
from scorer.overfitting.too_good import exact_match, public_gap, too_good
from scorer.overfitting.views import NotComparable, is_hard, logit, sample_rows, standardised, view
from scorer.reading.columns import Column, FloatArray, Labels, Lists

N = 600


def models(n_teams: int, *, seed: int = 0, n: int = N) -> FloatArray:
    """Return logits of models that share features.

    They see the same truth through shared, smooth features, and each has errors of its own.
    """
    rng = np.random.default_rng(seed)
    # Rows and their features do not depend on the seed: all crowds predict the same rows.
    features = np.random.default_rng(99).normal(size=(n, 6))
    weights = rng.normal([2.0, 1.0, 0.0, 0.0, 0.0, 0.0], 0.6, size=(n_teams, 6))
    bends = rng.normal(0.0, 0.8, size=(n_teams, 6))
    own = rng.normal(0.0, 0.25, size=(n_teams, n))
    found: FloatArray = weights @ features.T + bends @ np.tanh(2.0 * features.T) + own
    return found


def stacked(logits: FloatArray) -> FloatArray:
    return logits[:, :, None]


def codes(columns: Mapping[str, Column], kind: str, *history: Mapping[str, Column]) -> list[str]:
    return [notice.code for notice in notices(columns, kind, history)]


def probabilities(seed: int = 0) -> dict[str, Column]:
    return {"p": expit(models(1, seed=seed)[0])}


# --- views ------------------------------------------------------------------------------------------------


def test_a_view_of_probabilities_is_their_logit_cut_at_a_millionth() -> None:
    seen = view({"p": np.array([0.5, 0.0, 1.0])}, "probability")
    assert seen[:, 0] == pytest.approx([0.0, -13.8155, 13.8155], abs=1e-4)


def test_class_probabilities_that_do_not_sum_to_one_have_the_view_of_those_that_do() -> None:
    share = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.0, 0.0, 0.0]])
    columns = {name: share[:, i] for i, name in enumerate("abc")}
    doubled = {name: 2.0 * share[:, i] for i, name in enumerate("abc")}
    assert view(columns, "classes") == pytest.approx(view(doubled, "classes"))
    assert view(columns, "classes").sum(axis=1) == pytest.approx(0.0)


def test_a_view_of_scores_depends_on_their_order_only() -> None:
    scores = np.random.default_rng(0).normal(size=50)
    assert view({"s": scores}, "score") == pytest.approx(view({"s": np.exp(scores)}, "score"))


def test_unknown_labels_are_one_label_and_many_labels_share_columns() -> None:
    seen = view({"y": Labels(np.array([0, 1, 5, -1], dtype=np.int32))}, "label", n_labels=3)
    assert seen.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    many = view({"y": Labels(np.arange(1000, dtype=np.int32))}, "label", n_labels=1000)
    assert many.shape == (1000, 65)
    assert (many.sum(axis=1) == 1.0).all()


@pytest.mark.parametrize(
    "column",
    [Lists.build([[0], [1, 2]]), np.array(["a", "b"], dtype=np.object_), np.array([1.0, np.nan])],
    ids=["lists", "texts", "nan"],
)
def test_predictions_without_a_view_are_refused(column: Column) -> None:
    with pytest.raises(NotComparable):
        view({"y": column}, "number")


def test_one_extreme_number_does_not_set_the_unit() -> None:
    crowd = np.random.default_rng(0).normal(10.0, 2.0, size=(N, 1))
    absurd = crowd.copy()
    absurd[0] = 1e300
    seen = standardised(np.array([crowd, absurd]), crowd)
    assert np.isfinite(seen).all()
    assert seen[0].std() == pytest.approx(1.0, abs=0.1)
    assert np.array_equal(seen[0][1:], seen[1][1:])


def test_a_constant_with_one_odd_row_is_no_file_of_labels() -> None:
    odd = np.where(np.arange(N) == 3, 13.8, 0.0)[:, None]
    labels = np.where(models(1)[0] > 0, 1.0, -1.0)[:, None]
    assert not is_hard([odd], "probability")
    assert is_hard([labels], "probability")


# --- notices ------------------------------------------------------------------------------------------------


def test_an_ordinary_file_gets_no_notice() -> None:
    assert codes(probabilities(), "probability") == []
    assert codes(probabilities(), "probability", probabilities(1), probabilities(2)) == []


@pytest.mark.parametrize(
    ("column", "kind", "code"),
    [
        (np.full(N, 0.3), "probability", "NOTICE_CONSTANT"),
        (Labels(np.zeros(N, dtype=np.int32)), "label", "NOTICE_CONSTANT"),
        (np.arange(N) % 2.0, "probability", "NOTICE_HARD_LABELS"),
        (np.arange(N) % 2.0, "score", "NOTICE_HARD_LABELS"),
        (np.arange(N) % 5 / 4.0, "probability", "NOTICE_FEW_VALUES"),
    ],
)
def test_each_mistake_in_a_file_gets_one_notice(column: Column, kind: str, code: str) -> None:
    assert codes({"p": column}, kind) == [code]


def test_labels_and_counts_may_have_few_values() -> None:
    assert codes({"y": Labels((np.arange(N) % 2).astype(np.int32))}, "label") == []
    assert codes({"y": np.arange(N) % 4.0}, "number") == []


def test_equal_predictions_get_a_notice_despite_other_digits() -> None:
    first, other = probabilities(), probabilities(1)
    again: dict[str, Column] = {"p": np.asarray(first["p"]) * (1.0 + 1e-12)}
    assert codes(again, "probability", first) == ["NOTICE_SAME_PREDICTIONS"]
    (notice,) = notices(again, "probability", [other, first])
    assert "2 files ago" in notice.message
    assert codes({"p": np.asarray(first["p"]) * 1.001}, "probability", first) == []


def test_shuffled_and_inverted_files_are_detected_from_earlier_files() -> None:
    history = [probabilities(seed) for seed in (1, 2, 3)]
    now = np.asarray(probabilities()["p"])
    shuffled = np.random.default_rng(0).permutation(now)
    assert codes({"p": shuffled}, "probability", *history) == ["NOTICE_LOOKS_PERMUTED"]
    assert codes({"p": 1.0 - now}, "probability", *history) == ["NOTICE_LOOKS_INVERTED"]


def test_without_agreeing_earlier_files_the_order_gets_no_notice() -> None:
    noise = [{"p": np.random.default_rng(seed).random(N)} for seed in range(3)]
    assert codes(probabilities(), "probability", *noise) == []
    assert codes({"p": 1.0 - np.asarray(probabilities()["p"])}, "probability", probabilities(1)) == []


def test_fingerprints_use_label_names_and_ignore_column_order() -> None:
    one = {"y": Labels(np.array([0, 1, -1], dtype=np.int32))}
    other = {"y": Labels(np.array([1, 0, -1], dtype=np.int32))}
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one, ["cat", "dog"]) == fingerprint(other, ["dog", "cat"])
    a, b = np.arange(5.0), np.arange(5.0) + 1
    assert fingerprint({"a": a, "b": b}) == fingerprint({"b": b, "a": a}) != fingerprint({"a": b, "b": a})
    texts = [np.array(words, dtype=np.object_) for words in (["ab", "c"], ["a", "bc"])]
    assert fingerprint({"t": texts[0]}) != fingerprint({"t": texts[1]})
    assert fingerprint({"p": np.array([0.0, 1e-310])}) == fingerprint({"p": np.array([-0.0, 1e-310])})


def test_notices_on_a_million_rows_against_five_files_are_fast() -> None:
    history = [{"p": np.random.default_rng(seed).random(1_000_000)} for seed in range(6)]
    began = time.process_time()
    notices(history[0], "probability", history[1:])
    assert time.process_time() - began < 3.0  # 1 s on an idle core; others run beside


# --- copies -----------------------------------------------------------------------------------------------


def test_an_honest_board_has_no_pairs() -> None:
    found = copies(stacked(models(80)))
    assert found.judged
    assert found.pairs == ()


@pytest.mark.parametrize("disguise", ["noise", "temperature", "ranks"])
def test_only_the_disguised_copy_is_found(disguise: str) -> None:
    teams = models(80)
    rng = np.random.default_rng(5)
    teams[70] = {
        "noise": teams[3] + rng.normal(0.0, 0.05, N),
        "temperature": 0.5 * teams[3],
        "ranks": logit((np.argsort(np.argsort(teams[3])) + 0.5) / N),
    }[disguise]
    found = copies(stacked(teams))
    assert [(pair.first, pair.second, pair.equal) for pair in found.pairs] == [(3, 70, False)]
    assert found.pairs[0].strength > found.pairs[0].threshold == found.threshold


def test_equal_files_are_reported_apart_even_on_a_very_small_board() -> None:
    teams = models(small_boards.MIN_TEAMS - 1)
    teams[3] = teams[2]
    found = copies(stacked(teams))
    assert not found.judged
    assert str(small_boards.MIN_TEAMS) in found.reason
    assert [(pair.first, pair.second, pair.equal) for pair in found.pairs] == [(2, 3, True)]


@pytest.mark.parametrize(
    ("teams_on_it", "share", "listed"), [((20, 21), 0.8, ()), ((10, 11), 0.96, (10, 11))]
)
def test_files_built_on_a_registered_notebook_are_no_copies(
    teams_on_it: tuple[int, int], share: float, listed: tuple[int, ...]
) -> None:
    teams, notebook = models(80), models(1, seed=9)[0]
    for team in teams_on_it:
        teams[team] = share * notebook + (1.0 - share) * teams[team]
    unregistered = copies(stacked(teams))
    assert [(pair.first, pair.second) for pair in unregistered.pairs] == [teams_on_it]
    registered = copies(stacked(teams), stacked(notebook[None]))
    assert registered.pairs == ()
    assert registered.on_baselines == listed


def test_two_teams_with_the_notebook_itself_are_no_equal_pair() -> None:
    teams, notebook = models(80), models(1, seed=9)[0]
    teams[[3, 4]] = notebook
    assert [pair.equal for pair in copies(stacked(teams)).pairs] == [True]
    found = copies(stacked(teams), stacked(notebook[None]))
    assert (found.pairs, found.on_baselines) == ((), (3, 4))


def test_two_files_that_deviate_on_three_rows_only_are_no_pair() -> None:
    crowd = np.where(models(1)[0] > 0, 1.0, 0.0)
    teams = np.repeat(crowd[None], 40, axis=0)
    rng = np.random.default_rng(1)
    for team in teams:
        rows = rng.choice(N, 3, replace=False)
        team[rows] = 1.0 - team[rows]
    teams[7] = teams[4]
    teams[7, 0] = 1.0 - teams[7, 0]
    assert copies(stacked(teams)).pairs == ()


def test_copies_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="n_teams"):
        copies(models(30))
    with pytest.raises(ValueError, match="baselines"):
        copies(stacked(models(30)), stacked(models(1, n=N + 1)))


# --- probing ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd() -> FloatArray:
    return stacked(models(40, seed=20))


def honest_files(count: int, seed: int = 1) -> FloatArray:
    return stacked(models(count, seed=seed))


def code_files(base: FloatArray, count: int) -> FloatArray:
    """A dozen rows at falling logits, other rows each time."""
    files = np.repeat(base[None], count, axis=0)
    for number, file in enumerate(files[1:]):
        file[12 * number : 12 * number + 12] -= 0.05 * 2.0 ** np.arange(12)
    return stacked(files)


def noise_files(base: FloatArray, count: int) -> FloatArray:
    return stacked(base + np.random.default_rng(3).normal(0.0, 0.7, size=(count, N)))


def test_better_models_are_no_probes(crowd: FloatArray) -> None:
    score = probing(honest_files(15), neighbourhood(crowd), kind="probability")
    assert score.judged
    assert not score.verdict
    assert score.rough_share < 0.1
    assert score.local_share == 0.0


@pytest.mark.parametrize("attack", [code_files, noise_files])
def test_probes_are_found_on_a_constant_and_on_a_model(crowd: FloatArray, attack: object) -> None:
    assert callable(attack)
    for base in (np.zeros(N), models(1, seed=50)[0]):
        score = probing(attack(base, 14), neighbourhood(crowd), kind="probability")
        assert score.verdict
        assert score.rough_share > 0.8


def test_moving_one_cluster_at_a_time_is_found_by_how_few_rows_move(crowd: FloatArray) -> None:
    base = models(1, seed=50)[0]
    order = np.argsort(np.median(crowd[:, :, 0], axis=0))
    files = np.repeat(base[None], 14, axis=0)
    for number, file in enumerate(files[1:]):
        file[order[30 * number : 30 * number + 30]] += 2.0
    score = probing(stacked(files), neighbourhood(crowd), kind="probability")
    assert score.verdict
    assert score.rough_share < score.threshold < score.local_share


def test_fewer_than_ten_different_files_are_not_judged(crowd: FloatArray) -> None:
    where = neighbourhood(crowd)
    few = probing(code_files(np.zeros(N), MIN_FILES - 1), where, kind="probability")
    assert (few.judged, few.verdict) == (False, False)
    assert "Too few files" in few.evidence
    same = probing(stacked(np.repeat(models(1), 20, axis=0)), where, kind="probability")
    assert (same.judged, same.n_changes) == (False, 0)


def test_hard_labels_with_changes_on_few_rows_are_not_probing(crowd: FloatArray) -> None:
    base = models(1, seed=50)[0]
    nudged = base + np.linspace(0.0, 0.6, 15)[:, None]
    files = stacked(np.where(nudged > 0.0, 13.8, -13.8))
    score = probing(files, neighbourhood(crowd), kind="probability")
    assert score.hard
    assert score.judged
    assert not score.verdict
    random = np.where(np.random.default_rng(0).random((15, N)) > 0.5, 13.8, -13.8)
    assert probing(stacked(random), neighbourhood(crowd), kind="probability").verdict


def test_a_probe_outside_the_sampled_rows_is_found() -> None:
    n = 5000
    where = neighbourhood(stacked(models(12, n=n)))
    files = np.repeat(models(1, seed=3, n=n), 14, axis=0)
    outside = np.setdiff1d(np.arange(n), where.rows)
    files[np.arange(1, 14), outside[:13]] += 3.0
    score = probing(stacked(files), where, kind="probability")
    assert score.verdict
    assert score.sparse_share == 1.0


def test_a_teams_neighbourhood_is_made_without_it() -> None:
    teams = stacked(models(12))
    before = neighbourhoods(teams)
    changed = teams.copy()
    changed[4] = np.random.default_rng(0).normal(size=(N, 1)) * 5.0
    after = neighbourhoods(changed)
    same = [np.array_equal(a.nearest, b.nearest) for a, b in zip(before, after, strict=True)]
    assert same[4]
    assert not all(same)


def test_a_crowd_that_is_too_small_is_refused() -> None:
    with pytest.raises(NotComparable, match="crowd of 4 teams"):
        neighbourhood(stacked(models(4)))
    assert len(sample_rows(10, 3)) == 3


# --- too good ---------------------------------------------------------------------------------------------


def test_only_a_jump_over_baseline_field_and_own_past_is_too_good() -> None:
    scores = np.array([0.70, 0.71, 0.72, 0.73, 0.99])
    before = np.array([0.69, np.nan, 0.70, 0.72, 0.71])
    errors = np.full(5, 0.01)
    verdicts = too_good(scores, before, 0.65, errors, greater_is_better=True)
    assert [verdict.verdict for verdict in verdicts] == [False, False, False, False, True]
    assert not any(
        v.verdict for v in too_good(scores, before, 0.65, errors, greater_is_better=True, ceiling=0.995)
    )
    steady = too_good(scores, np.where(scores == 0.99, 0.98, before), 0.65, errors, greater_is_better=True)
    assert not steady[-1].verdict


def test_too_good_respects_the_direction_of_the_metric() -> None:
    scores = np.array([0.5, 0.5, 0.49, 0.01])
    nothing, errors = np.full(4, np.nan), np.full(4, 0.01)
    found = too_good(scores, nothing, 0.6, errors, greater_is_better=False)
    assert [verdict.verdict for verdict in found] == [False, False, False, True]
    assert not any(v.verdict for v in too_good(scores, nothing, 0.6, errors, greater_is_better=True))


def splits(n: int = 600) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    public = np.arange(n) < n // 3
    return public, ~public


def test_a_full_match_is_a_leak_and_a_public_match_is_probing() -> None:
    truth = (models(1)[0] > 0).astype(np.float64)
    public, private = splits()
    leaked = exact_match(truth, truth, public, private)
    assert leaked.verdict
    assert "labels themselves" in leaked.evidence
    ordinary = np.where(np.random.default_rng(0).random(N) < 0.8, truth, 1.0 - truth)
    probed = exact_match(np.where(public, truth, ordinary), truth, public, private)
    assert probed.verdict
    assert "probed" in probed.evidence
    assert not exact_match(ordinary, truth, public, private).verdict
    assert not exact_match(np.clip(truth, 0.01, 0.99), truth, public, private).verdict


def test_a_nearly_perfect_model_is_not_probing() -> None:
    truth = Labels((models(1)[0] > 0).astype(np.int32))
    public, private = splits()
    wrong = truth.codes.copy()
    wrong[-5:] = 1 - wrong[-5:]
    verdict = exact_match(Labels(wrong), truth, public, private)
    assert not verdict.verdict
    assert verdict.statistic == pytest.approx(395 / 400)


def test_an_easier_public_split_is_no_gap_of_a_team() -> None:
    rng = np.random.default_rng(0)
    private = rng.normal(0.8, 0.02, 100)
    public = private + 0.06 + rng.normal(0.0, 0.015, 100)
    errors = np.full(100, 0.015)
    assert not any(v.verdict for v in public_gap(public, private, errors, greater_is_better=True))
    public[17] = 1.0
    private[17] = 0.8
    found = public_gap(public, private, errors, greater_is_better=True)
    assert [team for team, v in enumerate(found) if v.verdict] == [17]
    lower = public_gap(-public, -private, errors, greater_is_better=False)
    assert [v.verdict for v in lower] == [v.verdict for v in found]
