"""The catalogue for teaching: same seed, same bytes; true ceilings; named leaks; no data without package."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score

import scorer
from scorer.catalogue import coupons, wards
from scorer.catalogue.building import CEILING_FILE, NOTES_FILE, build
from scorer.catalogue.catalogue import READY, RECIPES
from scorer.catalogue.ceiling import ceiling
from scorer.catalogue.packages import NoData, Package, Packages

SIMULATORS = {"coupon-drift": coupons.simulate, "ward-readmission": wards.simulate}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_catalogue_has_fifteen_challenges_with_complete_cards() -> None:
    assert len(RECIPES) + len(READY) == 15
    for recipe in RECIPES.values():
        card = recipe.card
        assert len(card.questions) == 5, recipe.name
        assert len(card.mistakes) == 3, recipe.name
        assert card.source.licence, recipe.name


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_labels(tmp_path: Path) -> None:
    recipe = RECIPES["coupon-drift"]
    made = [
        build(recipe, tmp_path / str(n) / "c", seed=seed, packages=Packages(), measures=False).folder
        for n, seed in enumerate((5, 5, 6))
    ]
    first, second, third = (contents(folder) for folder in made)
    assert first == second
    assert first["private/solution.csv"] != third["private/solution.csv"]


@pytest.mark.parametrize("name", SIMULATORS)
def test_the_true_probabilities_score_what_the_ceiling_states(name: str) -> None:
    simulated = SIMULATORS[name](3)
    truth = simulated.table[RECIPES[name].target].to_numpy()
    best = ceiling(simulated.probability)
    assert abs(log_loss(truth, simulated.probability) - best.score) < 4 * best.error
    # In each tenth of the rows by probability, as many are positive as it states.
    order = np.argsort(simulated.probability)
    for rows in np.array_split(order, 10):
        p = simulated.probability[rows]
        assert abs(truth[rows].mean() - p.mean()) < 4.5 * np.sqrt((p * (1 - p)).sum()) / len(rows)


@pytest.mark.parametrize("name", SIMULATORS)
def test_no_strong_model_on_many_rows_beats_the_ceiling(name: str) -> None:
    recipe = RECIPES[name]
    simulated = SIMULATORS[name](4)
    table = simulated.table.drop(columns=[recipe.target, *recipe.leaks]).replace("", np.nan)
    for column in table.select_dtypes(exclude="number"):
        table[column] = table[column].astype("category").cat.codes
    truth = simulated.table[recipe.target].to_numpy()
    half = np.arange(len(table)) % 2 == 0
    model = HistGradientBoostingClassifier(learning_rate=0.05, max_leaf_nodes=8, random_state=0)
    predicted = model.fit(table[half], truth[half]).predict_proba(table[~half])[:, 1]
    best = ceiling(simulated.probability[~half])
    found = log_loss(truth[~half], predicted)
    assert best.score - 3 * best.error < found < log_loss(truth[~half], np.full(sum(~half), truth.mean()))


@given(st.lists(st.floats(0.001, 0.999), min_size=2, max_size=20))
def test_the_ceiling_is_the_least_expected_loss(chances: list[float]) -> None:
    p = np.array(chances)
    best = ceiling(p).score
    for other in (np.full(len(p), 0.5), np.clip(p + 0.05, 0, 0.9999), p**2):
        expected = float(np.mean(-p * np.log(other) - (1 - p) * np.log1p(-other)))
        assert best <= expected + 1e-12


def test_the_drift_turns_late_rows_against_a_model_of_early_ones() -> None:
    table = coupons.simulate(8, offers=2000).table
    early, late = table[table.week < coupons.DRIFT_FROM], table[table.week > coupons.DRIFT_TO]
    gaps = [
        part[part.discount_percent >= 40].redeemed.mean() - part[part.discount_percent <= 15].redeemed.mean()
        for part in (early, late)
    ]
    assert gaps[1] < 0.65 * gaps[0]
    assert abs(early.redeemed.mean() - late.redeemed.mean()) < 0.03


def test_a_value_that_was_not_measured_tells_something_about_the_patient() -> None:
    table = wards.simulate(8).table
    is_missing = table.creatinine == ""
    assert table.readmitted[~is_missing].mean() > 1.3 * table.readmitted[is_missing].mean()


@pytest.mark.parametrize("name", SIMULATORS)
def test_the_planted_leak_nearly_gives_the_answer(name: str) -> None:
    recipe = RECIPES[name]
    table = SIMULATORS[name](9).table
    assert roc_auc_score(table[recipe.target], table[recipe.leaks[0]]) > 0.85


def test_a_built_simulator_is_sound_states_its_ceiling_and_keeps_it_from_participants(tmp_path: Path) -> None:
    folder = tmp_path / "coupon-drift"
    built = build(RECIPES["coupon-drift"], folder, seed=1, packages=Packages())
    assert (built.n_train, built.n_public, built.n_private) == (14000, 1800, 4200)
    assert [one.what for one in built.measured][:2] == [
        "Linear model, log loss, shuffled folds of train",
        "Linear model, log loss, folds as declared",
    ]
    challenge = scorer.load(folder)
    perfect = scorer.score(challenge, (folder / "examples/perfect.csv").read_bytes())
    assert perfect.private < 1e-12
    stated = json.loads((folder / CEILING_FILE).read_text())
    assert 0 < stated["private"]["score"] < 0.6
    notes = (folder / NOTES_FILE).read_text()
    assert f"{stated['private']['score']:.4f}" in notes
    assert "spent_in_campaign" not in (folder / "public/train.csv").read_text().splitlines()[0]
    assert "spent_in_campaign" not in (folder / "description.md").read_text()


def test_the_audit_names_the_planted_leak_of_the_teaching_variant(tmp_path: Path) -> None:
    small = replace(RECIPES["coupon-drift"], make=lambda _packages, seed: coupons.simulate(seed, offers=60))
    named = []
    for leaky in (True, False):
        folder = tmp_path / f"leaky-{leaky}"
        build(small, folder, seed=1, packages=Packages(), leaky=leaky, measures=False)
        findings = scorer.check(scorer.load(folder)).findings
        named.append([each.code for each in findings if each.severity != "info"])
    assert named == [["strong_feature"], []]


def test_data_of_a_package_that_is_missing_or_changed_are_refused_with_the_command(tmp_path: Path) -> None:
    penguins = RECIPES["penguins"]
    with pytest.raises(NoData, match=r"pip install --no-deps --target packages palmerpenguins==0\.1\.6"):
        build(penguins, tmp_path / "out", seed=1, packages=Packages(tmp_path))
    assert not (tmp_path / "out").exists()
    info = tmp_path / "palmerpenguins-0.1.6.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: palmerpenguins\nVersion: 0.1.6\n")
    data = tmp_path / "palmerpenguins/data/penguins.csv"
    data.parent.mkdir(parents=True)
    data.write_text("species\nAdelie\n")
    with pytest.raises(NoData, match="is not the file that the recipe was written for"):
        Packages(tmp_path).file(penguins.packages[0], "palmerpenguins/data/penguins.csv")
    unknown = Package("no-such-package-of-data", "1", ("a.csv",))
    with pytest.raises(NoData, match="is not installed"):
        Packages().file(unknown, "a.csv")
