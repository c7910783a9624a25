"""Tests of values on resamples.

They equal those of repeated rows, for every kind of metric.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import scorer
from scorer.folds import CannotScoreTrain, assign, to_csv, train_solution
from scorer.resampling import benchmark, engines, resampling, units
from scorer.resampling.units import NotResampled
from tests.scorer.conftest import IDS, YAML, Write, csv_text
from tests.scorer.many import KINDS

RNG = np.random.default_rng


def draws_of(n_units: int, n: int = 30) -> Any:
    return RNG(4).integers(0, n_units, (n, n_units))


def big(write: Write, metric: str, truth: Any, files: dict[str, Any], **more: Any) -> Any:
    """Return a challenge with this truth, and its aligned files.

    The first 30 % of the rows are public.
    """
    n = len(truth)
    ids = [f"r{i}" for i in range(n)]
    usage = ["Public" if i < 0.3 * n else "Private" for i in range(n)]
    columns = {"id": ids, "target": truth, "Usage": usage, **more}
    folder = write(
        YAML.replace("log_loss", metric),
        header=tuple(columns),
        columns=[list(map(str, column)) for column in columns.values()],
        files={"public/sample_submission.csv": csv_text(("id", "target"), ids, [str(truth[0])] * n)},
    )
    challenge = scorer.load(folder)
    aligned = [
        resampling.read(challenge, csv_text(("id", "target"), ids, list(map(str, sent))).encode())
        for sent in files.values()
    ]
    return challenge, aligned


@pytest.mark.parametrize("name", KINDS)
def test_a_resample_scores_like_repeated_rows(name: str, write: Write) -> None:
    kind = KINDS[name]
    challenge = scorer.load(kind.folder(write))
    solution = challenge.solution
    aligned = resampling.read(challenge, kind.text().encode())
    rows = np.flatnonzero(solution.scored)
    what = units.units(solution, rows)
    draws = units.draw(solution, what, 20, seed=3)
    found = resampling.replicates(solution, aligned, rows, draws)
    assert what.kind == ("groups" if "groups" in name else "rows")
    for value, drawn in zip(found, draws, strict=True):
        if what.kind == "groups":
            group = [units.value(solution, aligned, rows[what.of == unit]) for unit in range(what.n)]
            expected = float(np.mean([group[unit] for unit in drawn]))
        else:
            expected = units.value(solution, aligned, rows[drawn])
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_the_value_on_a_split_is_the_score(name: str, write: Write) -> None:
    kind = KINDS[name]
    challenge = scorer.load(kind.folder(write))
    solution = challenge.solution
    aligned = resampling.read(challenge, kind.text().encode())
    report = scorer.score(challenge, kind.text().encode())
    assert units.value(solution, aligned, solution.public) == pytest.approx(report.public, rel=1e-12)
    assert units.value(solution, aligned, solution.private) == pytest.approx(report.private, rel=1e-12)
    resampling.read(challenge, kind.text().encode(), scores=(report.public, report.private))
    for other in ((report.public, report.private + 1e-6), (report.public - 1e-6, report.private)):
        with pytest.raises(units.ScoresDiffer):
            resampling.read(challenge, kind.text().encode(), scores=other)


@pytest.mark.parametrize("name", ["flags", "labels of two columns", "pooled bytes", "floats", "texts"])
def test_the_mean_of_row_losses_is_the_value(name: str, write: Write) -> None:
    challenge = scorer.load(KINDS[name].folder(write))
    solution = challenge.solution
    aligned = resampling.read(challenge, KINDS[name].text().encode())
    losses = units.row_losses(solution, aligned, solution.private)
    if name in ("pooled bytes", "floats", "texts"):  # a root, and a ratio of sums
        plain = challenge.metric == "levenshtein" and losses is not None
        assert plain or losses is None
    else:
        assert losses is not None
        assert losses.shape == (12,)
        assert losses.mean() == pytest.approx(units.value(solution, aligned, solution.private), rel=1e-12)


def test_a_sum_has_row_losses_too(write: Write) -> None:
    y = RNG(0).normal(size=40)
    challenge, (a,) = big(write, "sse", y, {"a": y + 0.5})
    losses = units.row_losses(challenge.solution, a, challenge.solution.private)
    assert losses is not None
    assert losses.mean() == pytest.approx(28 * 0.25)


def test_the_standard_error_of_a_mean_matches_the_formula(write: Write) -> None:
    rng = RNG(1)
    y = rng.normal(size=400)
    challenge, (a, b) = big(write, "mse", y, {"a": y + rng.normal(size=400), "b": y + rng.normal(size=400)})
    solution, rows = challenge.solution, np.flatnonzero(challenge.solution.private)
    la, lb = (units.row_losses(solution, each, rows) for each in (a, b))
    assert la is not None
    assert lb is not None
    se = resampling.standard_error(solution, a, rows, seed=0)
    assert se == pytest.approx(np.std(la, ddof=1) / math.sqrt(280))
    difference = resampling.se_of_difference(solution, a, b, rows, seed=0)
    assert difference == pytest.approx(np.std(la - lb, ddof=1) / math.sqrt(280))
    assert resampling.se_of_difference(solution, a, a, rows, seed=0) == 0.0
    # The bootstrap agrees with it to its own noise: sd of a standard deviation from 2000 draws is 1.6 %.
    what = units.units(solution, rows)
    found = resampling.replicates(solution, a, rows, units.draw(solution, what, 2000, seed=5))
    assert float(np.std(found, ddof=1)) == pytest.approx(se, rel=0.06)


def test_clusters_are_drawn_whole_and_widen_the_error(write: Write) -> None:
    rng = RNG(2)
    who = np.repeat(np.arange(40), 10)
    y = np.zeros(400)
    challenge, (a,) = big(write, "mae", y, {"a": np.abs(rng.normal(size=40))[who]})
    rows = np.arange(400)
    alone = resampling.standard_error(challenge.solution, a, rows, seed=0)
    whole = resampling.standard_error(challenge.solution, a, rows, seed=0, n=400, clusters=who)
    assert whole == pytest.approx(alone * math.sqrt(10), rel=0.15)


def test_the_area_under_the_curve_is_right_to_first_order(write: Write) -> None:
    rng = RNG(3)
    y = (rng.random(1500) < 0.3).astype(int)
    sent = np.round(y + rng.normal(size=1500), 1)  # with ties
    challenge, (a,) = big(write, "roc_auc", y, {"a": sent})
    solution, rows = challenge.solution, np.arange(1500)
    what = units.units(solution, rows)
    weights = units.counts(units.draw(solution, what, 200, seed=1), what.n)
    exact = engines.prepare(solution, a, what).values(weights)
    quick = engines.prepare(solution, a, what, first_order=True).values(weights)
    assert exact[0] == pytest.approx(roc_auc_score(y, sent, sample_weight=weights[0]))
    assert float(np.abs(exact - quick).max()) < 0.1 * float(np.std(exact))
    assert float(np.std(quick)) == pytest.approx(float(np.std(exact)), rel=0.02)


@pytest.mark.parametrize("metric", ["{name: f1, average: macro}", "balanced_accuracy", "mcc"])
def test_confusion_metrics_are_right_to_first_order(metric: str, write: Write) -> None:
    rng = RNG(4)
    y = rng.integers(0, 4, 1200)
    sent = np.where(rng.random(1200) < 0.7, y, rng.integers(0, 5, 1200))
    challenge, (a,) = big(write, metric, y, {"a": sent})
    solution, rows = challenge.solution, np.flatnonzero(challenge.solution.private)
    what = units.units(solution, rows)
    weights = units.counts(units.draw(solution, what, 150, seed=1), what.n)
    exact = engines.prepare(solution, a, what).values(weights)
    quick = engines.prepare(solution, a, what, first_order=True).values(weights)
    assert float(np.sqrt(np.mean((exact - quick) ** 2))) < 0.1 * float(np.std(exact))
    assert float(np.std(quick)) == pytest.approx(float(np.std(exact)), rel=0.05)


@pytest.mark.parametrize("n_blocks", [20, 60], ids=["of many rows", "of few rows"])
def test_any_other_metric_is_approximated_from_blocks(n_blocks: int, write: Write) -> None:
    rng = RNG(5)
    y = rng.normal(size=3000)
    challenge, (a, b) = big(
        write, "spearman", y, {"a": y + rng.normal(size=3000), "b": y + 0.5 * rng.normal(size=3000)}
    )
    solution, rows = challenge.solution, np.arange(3000)
    assert engines.needs_blocks(solution)
    whole = units.units(solution, rows)
    weights = units.counts(units.draw(solution, whole, 150, seed=1), whole.n)
    exact = [engines.prepare(solution, each, whole).values(weights) for each in (a, b)]
    what = units.units(solution, rows, limit=n_blocks)
    weights = units.counts(units.draw(solution, what, 1000, seed=1), what.n)
    quick = [engines.prepare(solution, each, what, first_order=True).values(weights) for each in (a, b)]
    # 20 blocks know a standard deviation to 16 %, 60 to 9 %.
    rel = 0.5 if n_blocks == 20 else 0.3
    assert float(np.std(quick[0])) == pytest.approx(float(np.std(exact[0])), rel=rel)
    assert float(np.std(quick[0] - quick[1])) == pytest.approx(float(np.std(exact[0] - exact[1])), rel=rel)
    assert float(np.mean(quick[0])) == pytest.approx(units.value(solution, a, rows), abs=0.003)


def test_many_rows_are_drawn_in_blocks_with_the_same_spread(write: Write) -> None:
    y = RNG(6).normal(size=6000)
    challenge, (a,) = big(write, "rmse", y, {"a": np.zeros(6000)})
    solution, rows = challenge.solution, np.arange(6000)
    blocks = units.units(solution, rows, limit=500)
    assert (blocks.kind, blocks.n) == ("blocks", 500)
    weights = units.counts(units.draw(solution, blocks, 600, seed=1), 500)
    found = engines.prepare(solution, a, blocks).values(weights)
    exact = float(np.std(y**2)) / (2 * float(np.sqrt(np.mean(y**2)))) / math.sqrt(6000)  # delta method
    assert float(np.std(found)) == pytest.approx(exact, rel=0.1)


def test_every_resample_has_both_classes_or_is_refused(write: Write) -> None:
    y = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0] * 3
    challenge, (a,) = big(write, "roc_auc", y, {"a": list(range(30))})
    solution = challenge.solution
    what = units.units(solution, np.arange(10))
    draws = units.draw(solution, what, 50, seed=0)
    assert all((drawn == 0).any() for drawn in draws)
    assert np.isfinite(resampling.replicates(solution, a, np.arange(10), draws)).all()
    one_class = np.arange(1, 10)
    assert math.isnan(units.value(solution, a, one_class))
    with pytest.raises(NotResampled, match="no value on most"):
        resampling.standard_error(solution, a, one_class, seed=0)


def test_an_own_metric_is_not_resampled(write: Write) -> None:
    code = "def score(solution, submission, row_id_column_name):\n    return 0.5\n"
    yaml = YAML.replace("metric: log_loss", "metric: {file: metric.py, greater_is_better: false}")
    challenge = scorer.load(write(yaml, files={"private/metric.py": code}))
    with pytest.raises(NotResampled, match="own function"):
        resampling.read(challenge, csv_text(("id", "target"), IDS, ["0"] * 20).encode())
    with pytest.raises(CannotScoreTrain, match="own function"):
        train_solution(challenge)


# --- the benchmark and the training table -------------------------------------------------------------

TRAIN_IDS = [f"t{i}" for i in range(60)]
TRAIN_Y = [str(int(i % 4 == 0)) for i in range(60)]


def with_train(write: Write, yaml: str = YAML, **columns: list[str]) -> Any:
    table = {"id": TRAIN_IDS, "x": ["1"] * 60, "target": TRAIN_Y, **columns}
    return scorer.load(write(yaml, files={"public/train.csv": csv_text(tuple(table), *table.values())}))


def test_the_benchmark_is_the_better_of_the_sample_and_a_constant(write: Write) -> None:
    challenge = with_train(write)
    sample = benchmark.benchmark(challenge)  # half of the test rows are 1, a quarter of train
    assert (sample.name, sample.public) == ("sample submission", pytest.approx(math.log(2)))
    assert sample.se_public == pytest.approx(0.0, abs=1e-12)
    rare = {"columns": (IDS, ["1", *["0"] * 4] * 4, ["Public"] * 10 + ["Private"] * 10)}
    train = csv_text(("id", "target"), TRAIN_IDS, TRAIN_Y)
    constant = benchmark.benchmark(scorer.load(write(**rare, files={"public/train.csv": train})))
    assert constant.name == "mean of train"
    assert constant.public == pytest.approx(-(0.2 * math.log(0.25) + 0.8 * math.log(0.75)))
    assert constant.se_public is not None
    assert constant.se_public > 0


def test_the_benchmark_of_labels_is_the_most_frequent(write: Write) -> None:
    labels = ["cat", "cat", "dog"] * 6 + ["cat", "dog"]
    usage = ["Public"] * 10 + ["Private"] * 10
    files = {
        "public/train.csv": csv_text(("id", "target"), TRAIN_IDS, ["cat", "cat", "dog"] * 20),
        "public/sample_submission.csv": csv_text(("id", "target"), IDS, ["dog"] * 20),
    }
    yaml = YAML.replace("log_loss", "accuracy")
    found = benchmark.benchmark(scorer.load(write(yaml, columns=(IDS, labels, usage), files=files)))
    assert (found.name, found.public, found.private) == ("most frequent of train", 0.7, 0.6)


def test_train_is_read_as_a_solution_by_the_names_of_the_hidden_one(write: Write) -> None:
    train = train_solution(with_train(write))
    assert list(train.ids) == TRAIN_IDS
    assert train.public.all()
    assert train.given[0][0].truth[0].tolist() == [float(y) for y in TRAIN_Y]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,x\nt1,1\n", "no target column"),
        ("x,target\n1,1\n", "id"),
        ("id,target\nt1,1\nt1,0\n", "twice"),
        ("id,target\nt1,\nt2,0\n", "empty"),
        ("id,target\nt1,1,2\n", "3 values, expected 2"),
        ("", "cannot be"),
    ],
)
def test_a_train_table_that_cannot_be_scored_is_refused_with_a_reason(
    write: Write, text: str, words: str
) -> None:
    challenge = scorer.load(write(files={"public/train.csv": text}))
    with pytest.raises(CannotScoreTrain, match=words):
        train_solution(challenge)


def test_without_a_train_table_there_are_no_folds(challenge: scorer.Challenge) -> None:
    with pytest.raises(CannotScoreTrain, match=r"no public/train\.csv"):
        assign(challenge)


# --- folds --------------------------------------------------------------------------------------------


def test_random_folds_are_even_and_reproducible(write: Write) -> None:
    challenge = with_train(write)
    folds = assign(challenge)
    assert folds.strategy == "random"
    assert np.bincount(folds.fold).tolist() == [0, 12, 12, 12, 12, 12]
    assert to_csv(folds) == to_csv(assign(challenge))
    assert to_csv(folds).decode().splitlines()[:2] == ["id,fold", f"t0,{folds.fold[0]}"]


def test_stratified_folds_hold_the_same_share_of_each_class(write: Write) -> None:
    folds = assign(with_train(write, YAML + "split: {strategy: stratified}\n"))
    y = np.array(TRAIN_Y) == "1"
    assert folds.strategy == "stratified"
    assert [int(y[folds.fold == number].sum()) for number in folds.numbers] == [3] * 5


def test_a_number_is_stratified_by_its_size(write: Write) -> None:
    yaml = YAML.replace("log_loss", "mse") + "split: {strategy: stratified}\n"
    folds = assign(with_train(write, yaml, target=[str(i * i) for i in range(60)]))
    means = [float(np.mean(np.arange(60)[folds.fold == number])) for number in folds.numbers]
    assert max(means) - min(means) < 4


def test_groups_are_never_in_two_folds(write: Write) -> None:
    who = [f"p{int(7 * i**1.3) % 17}" for i in range(60)]
    folds = assign(with_train(write, YAML + "split: {strategy: grouped, group: who}\n", who=who))
    assert folds.strategy == "grouped"
    for name in set(who):
        assert len({int(f) for f, w in zip(folds.fold, who, strict=True) if w == name}) == 1
    assert folds.numbers == [1, 2, 3, 4, 5]
    assert np.bincount(folds.fold)[1:].min() >= 9


@pytest.mark.parametrize(
    "moments",
    [
        [str((37 * i) % 60 - 3) for i in range(60)],
        [f"2024-{1 + (37 * i) % 60 // 5:02d}-{1 + (37 * i) % 60 % 5:02d}" for i in range(60)],
    ],
)
def test_sequential_folds_follow_time_and_the_first_is_only_trained_on(
    write: Write, moments: list[str]
) -> None:
    folds = assign(with_train(write, YAML + "split: {strategy: sequential, time: day}\n", day=moments))
    place = (37 * np.arange(60)) % 60
    assert folds.strategy == "sequential"
    assert np.bincount(folds.fold).tolist() == [10] * 6
    assert (np.diff(folds.fold[np.argsort(place)].astype(int)) >= 0).all()
    assert len(folds.train_only) == 10


def test_a_missing_group_column_is_reported(write: Write) -> None:
    folds = assign(with_train(write, YAML + "split: {strategy: grouped, group: who}\n"))
    assert folds.strategy == "random"
    assert '"who"' in folds.words
