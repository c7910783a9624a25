"""Planted leaks among rows, orders, ids, groups and time are found; sound splits of real data stay silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

import scorer
from scorer.leakage.audit import all_checks
from scorer.leakage.check import CHECKS, Found
from scorer.leakage.material import NotChecked, gather

all_checks()
CODES = (
    "duplicate_rows",
    "near_duplicate_rows",
    "conflicting_labels",
    "row_order",
    "row_blocks",
    "id_signal",
    "id_overlap",
    "constant_column",
    "new_categories",
    "group_overlap",
    "sequential_neighbours",
    "future_rows",
    "few_clusters",
)
METRICS = {"binary": "log_loss", "class": "accuracy", "number": "rmse"}
GROUPED = "split: {strategy: grouped, group: patient}\n"

Result = tuple[str, str, Found | None]
Audit = Callable[..., list[Result]]


@pytest.fixture
def look(tmp_path: Path) -> Audit:
    """Write a challenge of two frames (the test's with its target) and run checks: (code, severity, what was found)."""
    count = 0

    def look(
        train: pd.DataFrame, test: pd.DataFrame, *codes: str, kind: str = "binary", more: str = ""
    ) -> list[Result]:
        nonlocal count
        count += 1
        folder = tmp_path / f"c{count}"
        write(folder, train, test, kind, more)
        material = gather(scorer.load(folder))
        found: list[Result] = []
        for code in codes or CODES:
            for check in CHECKS[code]:
                try:
                    for need in check.needs:
                        if not material.has(need):
                            raise NotChecked(material.why_not(need))
                    with np.errstate(all="ignore"):  # as the audit runs them
                        found += [(code, one.severity, one) for one in check.run(material)]
                except NotChecked:
                    found.append((code, "not checked", None))
        return found

    return look


def write(folder: Path, train: pd.DataFrame, test: pd.DataFrame, kind: str, more: str) -> None:
    (folder / "public").mkdir(parents=True)
    (folder / "private").mkdir()
    columns = "{id: id, columns: [target]}"
    (folder / "challenge.yaml").write_text(f"metric: {METRICS[kind]}\nsubmission: {columns}\n{more}")
    train.to_csv(folder / "public/train.csv", index=False)
    test.drop(columns="target").to_csv(folder / "public/test.csv", index=False)
    truth = test[["id", "target"]].copy()
    sample = truth.assign(target=0.5 if kind == "binary" else truth["target"].iloc[0])
    sample.to_csv(folder / "public/sample_submission.csv", index=False)
    order = np.random.default_rng(5).permutation(len(truth))
    truth["Usage"] = np.where(order < 0.4 * len(truth), "Public", "Private")
    truth.to_csv(folder / "private/solution.csv", index=False)


def severities(found: list[Result], code: str) -> list[str]:
    return [severity for own, severity, _ in found if own == code]


def loud(found: list[Result]) -> list[tuple[str, str]]:
    return [(code, one.evidence) for code, severity, one in found if one and severity in ("warn", "block")]


# --- data -----------------------------------------------------------------------------------------

REAL = {
    "wine": (datasets.load_wine, "class"),
    "breast_cancer": (datasets.load_breast_cancer, "binary"),
    "digits": (datasets.load_digits, "class"),
    "diabetes": (datasets.load_diabetes, "number"),
    "iris": (datasets.load_iris, "class"),
}


def real(name: str) -> tuple[pd.DataFrame, str]:
    load, kind = REAL[name]
    bunch = load()
    table = pd.DataFrame(bunch.data, columns=[f"x{i}" for i in range(bunch.data.shape[1])])
    return table.assign(target=bunch.target), kind


def mixed(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Numbers, words, dates and gaps, with a target that depends on some."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "income": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(10, 1, n).round(2)),
            "score": rng.normal(size=n),
            "ratio": rng.normal(size=n),
            "city": rng.choice(["Zürich", "Bern", "Genf"], n),
            "plan": rng.choice(list("ABCDEFGHIJKL"), n),
            "seen": (
                pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D")
            ).strftime("%Y-%m-%d"),
        }
    )
    z = 0.03 * table["age"] + table["score"] + (table["city"] == "Bern") + rng.normal(size=n)
    return table.assign(target=(z > z.median()).astype(int))


def split(table: pd.DataFrame, seed: int = 0, *, share: float = 0.3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shuffled, numbered, and cut at random."""
    rng = np.random.default_rng(seed)
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    table.insert(0, "id", [f"r{i:05d}" for i in range(len(table))])
    is_test = np.zeros(len(table), dtype=bool)
    is_test[rng.permutation(len(table))[: int(share * len(table))]] = True
    return table[~is_test].reset_index(drop=True), table[is_test].reset_index(drop=True)


def renumbered(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ids that say nothing of what was done to the rows."""
    rng = np.random.default_rng(9)
    names = [f"{name:016x}" for name in rng.integers(0, 2**62, len(train) + len(test))]
    return train.assign(id=names[: len(train)]), test.assign(id=names[len(train) :])


# --- silence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_a_random_split_of_real_data_is_silent(look: Audit, name: str) -> None:
    table, kind = real(name)
    assert loud(look(*split(table, 1), kind=kind)) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_split_of_a_mixed_table_is_silent(look: Audit, seed: int) -> None:
    assert loud(look(*split(mixed(seed=seed), seed))) == []


def test_a_table_of_few_distinct_rows_repeats_itself_and_is_only_noted(look: Audit) -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({f"c{i}": rng.choice(list("abc"), 700) for i in range(4)})
    table["c1"] = np.where(rng.random(700) < 0.8, table["c0"], table["c1"])
    table["target"] = ((table["c0"] == "a") + rng.normal(size=700) > 0.3).astype(int)
    found = look(*split(table))
    assert loud(found) == []
    assert severities(found, "duplicate_rows") == ["info"]
    assert severities(found, "conflicting_labels") == ["info"]


def test_a_rare_class_and_many_classes_do_not_look_like_blocks(look: Audit) -> None:
    rng = np.random.default_rng(1)
    table = mixed(1500, 4)
    for seed in range(2):
        table["target"] = (rng.random(1500) < 0.012).astype(int)
        assert loud(look(*split(table, seed), "row_order", "row_blocks", "id_signal")) == []
        table["target"] = [f"k{code}" for code in rng.integers(0, 60, 1500)]
        assert loud(look(*split(table, seed), "row_order", "row_blocks", "id_signal", kind="class")) == []


def test_three_pairs_of_a_rare_class_at_one_distance_are_chance(look: Audit) -> None:
    # Of 17 random rows in 1400, three pairs share one of the 37 distances in one file of forty; by a normal law
    # the p of one distance would be 2e-8.
    train, test = renumbered(*split(mixed(2000, 4)))
    train["target"] = 0
    train.loc[[40, 52, 400, 412, 900, 912, *range(101, 1400, 118)], "target"] = 1
    assert loud(look(train, test, "row_blocks")) == []


def test_a_declared_and_clean_split_by_groups_is_silent(look: Audit) -> None:
    # A height is its patient's own: that makes its rows alike, and says nothing of the other side.
    train, test = by_patient(overlap=False, strength=4)
    heights = np.random.default_rng(3).normal(170, 12, 120).round()
    train, test = (s.assign(height=heights[s["patient"].str[1:].astype(int)]) for s in (train, test))
    assert loud(look(train, test, more=GROUPED)) == []


def test_a_declared_and_clean_split_in_time_is_silent(look: Audit) -> None:
    table = series()
    found = look(table[:560], table[560:], kind="number", more="split: {strategy: sequential, time: date}\n")
    assert loud(found) == []
    assert "info" in severities(found, "row_blocks")


# --- twins ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
def test_train_rows_copied_into_test_block(look: Audit, name: str) -> None:
    table, kind = real(name)
    train, test = split(table)
    test.loc[[3, 5, 8], test.columns[1:]] = train.loc[[10, 20, 30], train.columns[1:]].to_numpy()
    found = look(train, test.astype(train.dtypes), "duplicate_rows", kind=kind)
    assert severities(found, "duplicate_rows") == ["block"]
    assert found[0][2] is not None
    assert "First: test row 4 and train row 11." in found[0][2].evidence


def test_records_repeated_before_the_split_block(look: Audit) -> None:
    table = mixed()
    repeated = pd.concat([table, table.sample(frac=0.1, random_state=1)])
    assert severities(look(*split(repeated), "duplicate_rows"), "duplicate_rows")[0] == "block"


def test_twins_are_found_though_case_spaces_digits_and_row_numbers_differ(look: Audit) -> None:
    train, test = split(mixed())
    copies = train.iloc[:6].assign(city=[f" {city.upper()} " for city in train["city"][:6]])
    copies["score"] = copies["score"].map(lambda value: float(f"{value:.9g}"))
    test = pd.concat([copies, test[6:]])
    train, test = renumbered(train, test)
    train.insert(1, "line", range(len(train)))
    test.insert(1, "line", range(len(train), len(train) + len(test)))
    assert severities(look(train, test, "duplicate_rows"), "duplicate_rows") == ["block"]


def test_the_number_of_copies_in_test_that_tells_the_target_is_found(look: Audit) -> None:
    train, test = split(mixed(900))
    test = pd.concat([test, test[test["target"] == 1].iloc[::3]]).sample(frac=1, random_state=0)
    found = look(*renumbered(train, test), "duplicate_rows")
    assert severities(found, "duplicate_rows") == ["warn", "warn"]
    assert any("number of copies" in evidence for _, evidence in loud(found))


def test_rows_moved_a_little_are_near_twins(look: Audit) -> None:
    for name in ("breast_cancer", "digits"):
        table, kind = real(name)
        copies = table.sample(frac=0.15, random_state=1)
        features = [c for c in copies if c != "target"]
        noise = np.random.default_rng(2).normal(size=copies[features].shape)
        copies[features] += 0.02 * noise * table[features].std().to_numpy()
        found = look(*split(pd.concat([table, copies])), "near_duplicate_rows", kind=kind)
        assert severities(found, "near_duplicate_rows") == ["warn"], name


def test_rows_with_one_cell_changed_are_near_twins(look: Audit) -> None:
    table = mixed()
    copies = table.sample(frac=0.1, random_state=1)
    copies["plan"] = "M"
    found = look(*split(pd.concat([table, copies])), "near_duplicate_rows")
    assert "most often plan" in loud(found)[0][1]


def test_texts_with_a_word_more_are_near_twins(look: Audit) -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(500)])
    texts = [" ".join(rng.choice(words, rng.integers(10, 30))) for _ in range(300)]
    table = pd.DataFrame({"body": texts, "target": rng.integers(0, 2, 300)})
    assert severities(look(*split(table), "near_duplicate_rows"), "near_duplicate_rows") == ["not checked"]
    copies = table.sample(frac=0.15, random_state=1)
    copies["body"] += " indeed"
    found = look(*split(pd.concat([table, copies])), "near_duplicate_rows")
    assert "warn" in severities(found, "near_duplicate_rows")


def test_equal_rows_with_other_labels_are_reported(look: Audit) -> None:
    table = mixed()
    copies = table.sample(frac=0.2, random_state=1)
    copies["target"] = 1 - copies["target"]
    found = look(*split(pd.concat([table, copies])), "conflicting_labels")
    assert severities(found, "conflicting_labels") == ["warn"]


# --- orders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_a_sorted_test_file_is_found(look: Audit, name: str) -> None:
    table, kind = real(name)
    train, test = split(table)
    found = look(*renumbered(train, test.sort_values("target")), "row_order", "id_signal", kind=kind)
    assert [code for code, _ in loud(found)] == ["row_order"]
    assert found[0][2] is not None
    assert found[0][2].picture is not None
    assert "hidden" in found[0][2].evidence


def test_a_sorted_train_file_is_found_and_said_to_be_train_only(look: Audit) -> None:
    train, test = split(mixed())
    found = look(*renumbered(train.sort_values("target"), test), "row_order")
    assert "hidden test rows show no such order" in loud(found)[0][1]


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "diabetes"])
def test_blocks_and_cycles_of_like_rows_are_found(look: Audit, name: str) -> None:
    table, kind = real(name)
    train, test = split(table)
    rng = np.random.default_rng(1)
    in_order = np.argsort(test["target"].to_numpy() + 0.01 * rng.random(len(test)), kind="stable")
    blocks = np.array_split(in_order, 12)
    shuffled = test.iloc[np.concatenate([blocks[i] for i in rng.permutation(12)])]
    assert severities(look(*renumbered(train, shuffled), "row_blocks", kind=kind), "row_blocks") == ["warn"]
    fifths = np.array_split(in_order[: len(in_order) // 5 * 5], 5)
    cycle = test.iloc[np.stack([rng.permutation(part) for part in fifths], axis=1).ravel()]
    assert severities(look(*renumbered(train, cycle), "row_blocks", kind=kind), "row_blocks") == ["warn"]


def test_an_order_that_a_public_column_explains_is_only_noted(look: Audit) -> None:
    train, test = (side.sort_values("age") for side in split(mixed(1500)))
    found = look(*renumbered(train, test), "row_order", "row_blocks")
    assert loud(found) == []
    assert "info" in severities(found, "row_order")


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["number", "prefix", "parity"])
def test_an_id_that_tells_the_target_is_found(look: Audit, way: str) -> None:
    for name in ("wine", "diabetes"):
        table, kind = real(name)
        rng = np.random.default_rng(2)
        high = (table["target"] > table["target"].median()).astype(int)
        if way == "number":
            table = table.sort_values("target").reset_index(drop=True)
            ids = [str(5000 + 3 * i) for i in range(len(table))]
        elif way == "prefix":
            ids = [f"{'AB'[code]}{rng.integers(10**9):09d}" for code in high]
        else:
            ids = [str(2 * int(rng.integers(10**8)) + code) for code in high]
        train, test = split(table.assign(own=ids))
        train, test = (side.assign(id=side["own"]).drop(columns="own") for side in (train, test))
        assert "warn" in severities(look(train, test, "id_signal", kind=kind), "id_signal"), name


def test_an_id_of_test_that_stands_in_train_blocks(look: Audit) -> None:
    train, test = split(mixed())
    test.loc[7, "id"] = train.loc[9, "id"]
    assert severities(look(train, test, "id_overlap"), "id_overlap") == ["block"]


def test_ids_that_count_from_nought_in_both_tables_are_only_noted(look: Audit) -> None:
    train, test = split(mixed())
    for name in ("{}", "row_{}"):
        again = [side.assign(id=[name.format(i) for i in range(len(side))]) for side in (train, test)]
        assert severities(look(*again, "id_overlap"), "id_overlap") == ["info"]


# --- columns --------------------------------------------------------------------------------------


def test_constant_copied_and_mixed_columns_are_found(look: Audit) -> None:
    table = mixed()
    table = table.assign(unit="mg", again=table["score"], odd=table["age"].astype(str), nothing=np.nan)
    table.loc[[4, 90, 200], "odd"] = "unknown"
    found = look(*split(table), "constant_column")
    assert {evidence.split()[1] for _, evidence in loud(found)} == {"unit", "nothing", "again", "odd"}


def test_dead_pixels_are_only_noted(look: Audit) -> None:
    table, kind = real("digits")
    assert set(severities(look(*split(table), "constant_column", kind=kind), "constant_column")) == {"info"}


def test_a_value_that_only_test_has_is_found_and_rare_values_are_not(look: Audit) -> None:
    rng = np.random.default_rng(0)
    table = mixed().assign(street=[f"street {int(code)}" for code in rng.zipf(1.6, 600) % 200])
    train, test = split(table)
    assert loud(look(train, test, "new_categories")) == []
    test.loc[rng.random(len(test)) < 0.15, "city"] = "bern "
    assert severities(look(train, test, "new_categories"), "new_categories") == ["warn"]


# --- groups and time ------------------------------------------------------------------------------


def by_patient(
    *, overlap: bool, n_patients: int = 120, strength: float = 1.5, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Six rows a patient, with a target that patients share in part."""
    rng = np.random.default_rng(seed)
    patient = rng.permutation(np.repeat(np.arange(n_patients), 6))
    lean = strength * rng.normal(size=n_patients)
    table = pd.DataFrame({"a": rng.normal(size=len(patient)), "b": rng.integers(0, 50, len(patient))})
    table.insert(0, "patient", [f"P{code:03d}" for code in patient])
    table["target"] = (lean[patient] + table["a"] + rng.normal(size=len(patient)) > 0).astype(int)
    table.insert(0, "id", [f"r{i:05d}" for i in range(len(table))])
    is_test = rng.random(len(table)) < 0.3 if overlap else patient < 0.3 * n_patients
    return table[~is_test].reset_index(drop=True), table[is_test].reset_index(drop=True)


def series(n: int = 800, seed: int = 0) -> pd.DataFrame:
    """A number that remembers its last value, by the day."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n)
    for i in range(1, n):
        y[i] = 0.9 * y[i - 1] + rng.normal()
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), unit="D")
    table = pd.DataFrame({"date": days.strftime("%Y-%m-%d"), "x": rng.normal(size=n), "target": y.round(4)})
    table.insert(0, "id", [f"r{i:05d}" for i in range(n)])
    return table


def test_a_declared_group_on_both_sides_blocks(look: Audit) -> None:
    train, test = by_patient(overlap=False)
    test.loc[0, "patient"] = train.loc[0, "patient"]
    assert severities(look(train, test, "group_overlap", more=GROUPED), "group_overlap") == ["block"]


def test_an_undeclared_entity_on_both_sides_is_found(look: Audit) -> None:
    train, test = by_patient(overlap=True)
    numbered = [side.assign(patient=side["patient"].str[1:].astype(int)) for side in (train, test)]
    in_id = [
        side.assign(id=side["patient"] + "_" + side["id"]).drop(columns="patient") for side in (train, test)
    ]
    for sides in ((train, test), numbered, in_id):
        assert severities(look(*sides, "group_overlap"), "group_overlap") == ["warn"]


def test_a_series_split_at_random_is_found_and_one_split_in_time_is_not(look: Audit) -> None:
    table = series()
    is_test = np.random.default_rng(1).random(len(table)) < 0.3
    found = look(table[~is_test], table[is_test], "sequential_neighbours", kind="number")
    assert severities(found, "sequential_neighbours") == ["warn"]
    assert look(table[:560], table[560:], "sequential_neighbours", kind="number") == []


def test_a_series_of_several_sensors_is_looked_at_sensor_by_sensor(look: Audit) -> None:
    sensors = [series(150, seed).assign(sensor=f"s{seed}") for seed in range(8)]
    table = pd.concat(sensors).sort_values("date", kind="stable").reset_index(drop=True)
    table["id"] = [f"q{i}" for i in np.random.default_rng(0).permutation(len(table))]
    is_test = np.random.default_rng(1).random(len(table)) < 0.3
    found = look(table[~is_test], table[is_test], "sequential_neighbours", kind="number")
    assert "within sensor" in loud(found)[0][1]


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y%m%d"])
def test_a_train_row_from_after_the_cut_blocks_however_dates_are_written(look: Audit, form: str) -> None:
    table = series()
    table["date"] = pd.to_datetime(table["date"]).dt.strftime(form)
    train, test = pd.concat([table[:560], table[700:703]]), pd.concat([table[560:700], table[703:]])
    more = "split: {strategy: sequential, time: date}\n"
    assert severities(look(train, test, "future_rows", kind="number", more=more), "future_rows") == ["block"]
    assert look(table[:560], table[560:], "future_rows", kind="number", more=more) == []
    at_random = "split: {strategy: random, time: date}\n"
    assert look(train, test, "future_rows", kind="number", more=at_random) == []


def test_dates_that_cannot_be_read_are_said_not_to_be_checked(look: Audit) -> None:
    table = series().assign(date="some day")
    more = "split: {strategy: sequential, time: date}\n"
    found = look(table[:560], table[560:], "future_rows", kind="number", more=more)
    assert severities(found, "future_rows") == ["not checked"]


def test_a_test_of_few_groups_is_found_and_groups_that_do_not_matter_are_not(look: Audit) -> None:
    def few(strength: float) -> list[Result]:
        train, test = by_patient(overlap=False, n_patients=20, strength=strength)
        train, test = (pd.concat([side] * 10).reset_index(drop=True) for side in (train, test))
        rng = np.random.default_rng(2)
        for side, mark in ((train, "a"), (test, "b")):
            side["id"] = [f"{mark}{i}" for i in range(len(side))]
            side["a"] = rng.normal(size=len(side))
            if not strength:
                side["target"] = rng.integers(0, 2, len(side))
        return look(train, test, "few_clusters", more=GROUPED)

    assert severities(few(3.0), "few_clusters") == ["warn"]
    assert few(0.0) == []


# --- odd tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 10, 40])
@pytest.mark.parametrize(
    "more", ["", "split: {strategy: grouped, group: one, time: when}\n", "split: {time: none}\n"]
)
def test_odd_tables_are_looked_at_without_a_crash(look: Audit, n: int, more: str) -> None:
    columns = {
        "one": ["a"] * n,
        "empty": [""] * n,
        "huge": [(1e308, -1e308, 0.0)[i % 3] for i in range(n)],
        "half": [1.5 if i % 2 else "" for i in range(n)],
        "words": [("日本", "Ünï", "😀", "")[i % 4] for i in range(n)],
        "when": [f"{i % 28 + 1:02d}/03/2020" for i in range(n)],
    }
    for names in (list(columns), ["one"], []):
        train = pd.DataFrame({"id": [f"a{i}" for i in range(n)], **{c: columns[c] for c in names}})
        test = pd.concat([train] * 2).assign(id=[f"b{i}" for i in range(2 * n)])
        found = look(train.assign(target=1), test.assign(target=[0, 1] * n), more=more)
        assert {code for code, severity, _ in found if severity == "block"} <= {
            "duplicate_rows",
            "group_overlap",
            "future_rows",
        }
        if n < 2:
            assert severities(found, "near_duplicate_rows")[0] == "not checked"
