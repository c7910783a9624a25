"""From a table and choices to a challenge: split, files, audit, baselines."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer
from scorer.authoring.building import Built, build, build_mended
from scorer.authoring.choices import Choices
from scorer.authoring.columns import profile
from scorer.authoring.proposal import Proposed, Wishes, propose
from scorer.authoring.splitting import kept_rows, split
from scorer.authoring.table import Table, Unusable, read_table
from scorer.authoring.trial import spread, trial
from scorer.authoring.writing import write
from scorer.sandbox import baselines

RNG = np.random.default_rng(20_261_201)
N = 240
X = RNG.normal(size=N).round(3)
SIGNAL = X + RNG.normal(size=N) * 0.7
PERSON = np.arange(N) // 6
TASTE = RNG.normal(size=40)[PERSON]
BASE = {"x": X, "colour": np.where(X > 0.3, "red", "blue, dark"), "w": RNG.normal(size=N).round(2)}
TABLES = {
    "flags": {**BASE, "y": (SIGNAL > 0).astype(int)},
    "words": {**BASE, "y": np.where(SIGNAL > 0, "ja", "nein")},
    "classes": {**BASE, "y": np.array(["low", "mid, or so", "high"])[np.digitize(SIGNAL, [-0.5, 0.5])]},
    "ratings": {**BASE, "y": np.digitize(SIGNAL, [-0.5, 0.5]) + 1},
    "numbers": {**BASE, "y": SIGNAL.round(2)},
    "people": {**BASE, "person": PERSON, "y": ((TASTE + SIGNAL * 0.3) > 0).astype(int)},
    "series": {
        **BASE,
        "day": pd.date_range("2024-03-01", periods=N).strftime("%d.%m.%Y"),
        "y": np.cumsum(RNG.normal(size=N)).round(2),
    },
}


def table_of(columns: object, folder: Path) -> Table:
    path = folder / "t.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return read_table(path)


def proposed(table: Table, target: str = "y", **wishes: object) -> Proposed:
    return propose(table, profile(table.frame), target, Wishes(**wishes), seed=7)  # type: ignore[arg-type]


def built(table: Table, folder: Path, **wishes: object) -> Built:
    found = proposed(table, **wishes)
    return build(table, profile(table.frame), found.target, found.choices, folder)


SCRIPTS = ["dummy", "linear", "tree", "neighbours", "svm", "mlp", "bagging", "boosting"]
ALL = [f"{number}_{name}.py" for number, name in enumerate(SCRIPTS, start=1)]


@pytest.mark.parametrize(("name", "strategy"), [("words", "stratified"), ("series", "sequential")])
def test_a_table_becomes_a_sound_challenge_whose_baselines_learn(
    name: str, strategy: str, tmp_path: Path
) -> None:
    made = built(table_of(TABLES[name], tmp_path), tmp_path / "made")
    assert made.choices.strategy == strategy
    assert (made.result.problems, made.result.blockers) == ((), ())
    assert all(outcome.as_expected for outcome in made.result.outcomes)
    challenge = scorer.load(tmp_path / "made")
    assert [one.script for one in challenge.baselines] == ALL
    runs = list(baselines.run(challenge.folder, ALL, max_bytes=10**6, memory_mb=1024, allow_weak=True))
    assert {one.script: one.error for one in runs} == dict.fromkeys(ALL)
    contents = sorted((one.script, one.content) for one in runs)
    judged = spread(challenge, trial(challenge, contents), contents)
    assert judged is not None
    assert judged.public_gain > 0
    assert judged.detectable > 0


@pytest.mark.parametrize(
    ("name", "wishes", "strategy", "metric"),
    [
        ("flags", {}, "stratified", "log_loss"),
        ("classes", {}, "stratified", "accuracy"),
        ("classes", {"predicted": "probabilities"}, "stratified", "log_loss"),
        ("classes", {"metric": "f1"}, "stratified", "f1"),
        ("ratings", {"metric": "qwk"}, "stratified", "qwk"),
        ("numbers", {}, "random", "rmse"),
        ("people", {}, "grouped", "log_loss"),
    ],
)
def test_the_files_of_every_kind_of_target_fit_each_other(
    name: str,
    wishes: dict[str, object],
    strategy: str,
    metric: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = table_of(TABLES[name], tmp_path)
    found, described, folder = proposed(table, **wishes), profile(table.frame), tmp_path / "made"
    assert (found.choices.strategy, found.choices.metric) == (strategy, metric)
    parts = split(table.frame, described, found.target, found.choices)
    write(table, described, found.target, parts, found.choices, folder)
    challenge = scorer.load(folder)
    best = scorer.score(challenge, folder / "examples/perfect.csv")
    assert (best.public, best.private) == pytest.approx((challenge.task.best,) * 2, abs=1e-12)
    sample = scorer.score(challenge, folder / "public/sample_submission.csv")
    lines = (folder / "description.md").read_text().splitlines()
    example = [line.removeprefix("    ") for line in lines if line.startswith("    ")]
    assert example == (folder / "public/sample_submission.csv").read_text().splitlines()[:3]
    monkeypatch.chdir(folder)
    sign = 1 if challenge.task.greater_is_better else -1
    for script in (ALL[0], ALL[1], ALL[4]):
        monkeypatch.setattr(sys, "argv", [script, str(tmp_path / "out.csv")])
        runpy.run_path(str(folder / "baselines" / script))
        report = scorer.score(challenge, tmp_path / "out.csv")
        learns = script != ALL[0] and name != "people"  # the taste of an unseen person cannot be learnt
        assert not learns or sign * report.private > sign * sample.private, script


def test_the_same_choices_give_the_same_bytes_and_another_seed_another_split(tmp_path: Path) -> None:
    table = table_of(TABLES["flags"], tmp_path)
    found, described = proposed(table), profile(table.frame)

    def files(choices: Choices, folder: Path) -> dict[str, bytes]:
        parts = split(table.frame, described, found.target, choices)
        write(table, described, found.target, parts, choices, folder)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    first = files(found.choices, tmp_path / "a")
    assert files(found.choices, tmp_path / "b") == first
    other = files(found.choices.model_copy(update={"seed": 8}), tmp_path / "c")
    assert other["private/solution.csv"] != first["private/solution.csv"]
    kept = Choices.model_validate(yaml.safe_load(first["private/choices.yaml"]))
    assert kept == found.choices


def test_no_public_file_holds_the_seed_or_a_label_of_a_test_row(tmp_path: Path) -> None:
    table = table_of({**TABLES["words"], "key": [f"k{i}" for i in range(N)]}, tmp_path)
    found, described = proposed(table, id="key", title="T"), profile(table.frame)
    parts = split(table.frame, described, found.target, found.choices)
    write(table, described, found.target, parts, found.choices, tmp_path / "made")
    files = [p for p in (tmp_path / "made").rglob("*") if p.is_file() and p.parent.name != "private"]
    public = "".join(p.read_text() for p in files)
    assert "seed" not in public
    assert "k17" not in public
    assert "Usage" not in (tmp_path / "made/public/test.csv").read_text()
    assert list(pd.read_csv(tmp_path / "made/public/test.csv")) == ["id", "x", "colour", "w"]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    n=st.integers(30, 200),
    test_share=st.floats(0.2, 0.6),
    public_share=st.floats(0.2, 0.7),
    strategy=st.sampled_from(["random", "stratified", "grouped", "sequential"]),
    seed=st.integers(0, 2**40),
)
def test_each_row_is_in_one_part_and_the_split_is_what_it_says(
    n: int,
    test_share: float,
    public_share: float,
    strategy: str,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    draw = np.random.default_rng(seed)
    columns = {
        "person": draw.integers(0, 12, n),
        "year": draw.integers(1990, 2020, n),
        "y": np.where(np.arange(n) % 3 == 0, "a", "b"),
    }
    table = table_of(columns, tmp_path_factory.mktemp("t"))
    wishes = {"strategy": strategy, "test_share": test_share, "public_share": public_share}
    wishes |= {"group": "person"} if strategy == "grouped" else {}
    wishes |= {"time": "year"} if strategy == "sequential" else {}
    found = proposed(table, **wishes)
    try:
        parts = split(table.frame, profile(table.frame), found.target, found.choices)
    except Unusable:  # a part would be too small
        return
    assert sorted([*parts.train, *parts.test]) == list(range(n))
    assert 0 < parts.is_public.sum() < len(parts.test)
    if strategy == "grouped":
        person = columns["person"]
        sides = [
            person[parts.train],
            person[parts.test[parts.is_public]],
            person[parts.test[~parts.is_public]],
        ]
        assert not set(sides[0]) & set(sides[1])
        assert not set(sides[0]) & set(sides[2])
        assert not set(sides[1]) & set(sides[2])
    elif strategy == "sequential":
        assert columns["year"][parts.train].max() < columns["year"][parts.test].min()
    else:
        assert abs(len(parts.test) - test_share * n) <= 1.5
        assert parts.numbers[parts.train].tolist() == sorted(parts.numbers[parts.train])
    if strategy == "stratified":
        share = np.mean(columns["y"][parts.test] == "a")
        assert abs(share - np.mean(columns["y"] == "a")) <= 1.5 / len(parts.test)


def blocked_codes(built: Built) -> tuple[str, ...]:
    return tuple(sorted({finding.code for finding in built.result.blockers}))


def test_findings_of_the_audit_are_mended_or_accepted(tmp_path: Path) -> None:
    people = TABLES["people"]
    leaky = {**people, "after": np.asarray(people["y"]) * 10 + RNG.normal(size=N) * 0.01}
    table = table_of(leaky, tmp_path)
    found = proposed(table, strategy="grouped", group="person")
    arguments = (table, profile(table.frame), found.target, found.choices)
    blocked = build(*arguments, tmp_path / "blocked")
    assert not blocked.result.ok
    assert not (tmp_path / "blocked").exists()
    assert [mend.option for mend in blocked.mends] == ["--drop after"]
    accepted = build(*arguments, tmp_path / "accepted", accepted=["target_copy", *blocked_codes(blocked)])
    assert accepted.is_made
    assert accepted.accepted == blocked_codes(blocked)
    assert accepted.mends == ()
    assert "after" in (tmp_path / "accepted/public/train.csv").read_text().splitlines()[0]
    mended, made = build_mended(*arguments, tmp_path / "made")
    assert mended.result.ok
    assert made == blocked.mends
    assert "after" not in (tmp_path / "made/public/train.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("columns", "wishes", "words"),
    [
        ({"x": [1, 2, 3], "y": [0, 1, 0]}, {}, "has 3 rows with a target; a competition needs at least 20"),
        ({"x": range(40), "y": [*"ab" * 19, "c", "a"]}, {}, "Class c of y has 1 row; each class needs 3"),
        (
            {"x": range(40), "y": [0, 1] * 20},
            {"group": "site", "drop": ["z"]},
            "no columns z, site in the table",
        ),
        ({"x": range(40), "y": [0, 1] * 20}, {"metric": "rmsee"}, "did you mean rmse"),
        ({"x": range(40), "y": np.arange(40) / 7}, {"metric": "accuracy"}, "holds fractions"),
        ({"x": range(40), "y": ["a", "b", "c", "d"] * 10}, {"metric": "roc_auc"}, "roc_auc does not fit"),
        ({"x": ["then"] * 39 + ["now"], "y": [0, 1] * 20}, {"time": "x"}, "no dates in a form that is known"),
        ({"x": [1, 2] * 20, "y": [0, 1] * 20}, {"group": "x"}, "has 2 values; train, public and private"),
        ({"id": np.arange(40) / 3, "y": [0, 1] * 20}, {}, "rows are named by a new column id"),
        (
            {"x": np.arange(40) / 3, "y": ["id", "Usage", "c", "d"] * 10},
            {"predicted": "probabilities"},
            'make no challenge: .*"Usage" cannot name a column',
        ),
        ({"x": range(40), "y": np.arange(40) / 7 - 1}, {"metric": "rmsle"}, "rmsle takes no values below 0"),
        (
            {"x": range(40), "y": [*"abcd"] * 10},
            {"metric": "qwk"},
            "qwk compares whole numbers in their order",
        ),
        ({"x": range(40), "y": [0, 1] * 20}, {"drop": ["y"]}, "--drop y would leave the target out"),
        ({"x": range(40), "y": [0, 1] * 20}, {"id": "y"}, "--id y is the target"),
        ({"x": range(40), "y": [0, 1] * 20}, {"group": "x", "drop": ["x"]}, "left out by --drop and used by"),
        ({"x": range(40), "Usage": [0, 1] * 20}, {"target": "Usage"}, "cannot have the name Usage"),
        ({"k": ["c"] * 40, "y": [0, 1] * 20}, {}, "No column is left beside the target"),
    ],
)
def test_a_wrong_table_or_wish_is_refused_in_words(
    columns: dict[str, object], wishes: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Unusable, match=words):
        built(table_of(columns, tmp_path), tmp_path / "made", **wishes)
    assert not (tmp_path / "made").exists()


def test_rare_classes_and_equal_rows_are_left_out_on_request(tmp_path: Path) -> None:
    table = table_of({"x": [*range(60), 0], "y": [*["a", "b"] * 29, "a", "c", "a"]}, tmp_path)
    found = proposed(table, without_rare=True, without_duplicates=True)
    assert kept_rows(table.frame, ["x", "y"], found.target, found.choices).tolist() == list(range(59))


def test_an_occupied_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/mine.txt").write_text("mine")
    with pytest.raises(Unusable, match="not an empty folder"):
        built(table_of(TABLES["flags"], tmp_path), tmp_path / "made")
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["mine.txt"]


def test_the_folder_of_the_shell_can_be_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--out .` ended in an OSError, because a folder cannot be replaced by the name "."."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert built(table_of(TABLES["flags"], tmp_path), Path()).result.ok
    assert sorted(path.name for path in Path.cwd().iterdir())[:2] == ["baselines", "challenge.yaml"]


def test_one_large_group_does_not_fill_the_public_board(tmp_path: Path) -> None:
    """Groups were taken in the order of their first row, so the largest came first."""
    sizes = [400, *[4] * 100]
    people = np.repeat(np.arange(len(sizes)), sizes)
    table = table_of({"person": people, "y": np.arange(len(people)) % 2}, tmp_path)
    found = proposed(table, group="person")
    n_large = 0
    for seed in range(40):
        choices = found.choices.model_copy(update={"seed": seed})
        parts = split(table.frame, profile(table.frame), found.target, choices)
        assert 0.05 <= parts.is_public.mean() <= 0.95
        n_large += 0 in people[parts.test]
        assert 0.15 <= len(parts.test) / len(people) <= 0.6
    assert n_large < 30
