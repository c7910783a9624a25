"""The bundled challenges keep what their descriptions promise."""

import contextlib
import importlib.util
import math
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

import scorer

CHALLENGES = Path(__file__).parents[2] / "challenges"
SLUGS = ["biopsy", "diabetes", "digits"]
TARGET = {"biopsy": "malignant", "diabetes": "progression", "digits": "digit"}
SIZES = {"biopsy": (369, 60, 140), "diabetes": (265, 53, 124), "digits": (1157, 192, 448)}
FROM_THE_RECIPE = ("public", "private", "examples")

# A tree grown to the end says 0 or 1 and is sometimes wrong, which log loss punishes beyond the dummy.
# That is what biopsy is there to teach.
WORSE_THAN_THE_DUMMY = {("biopsy", "4_tree")}

each_challenge = pytest.mark.parametrize("slug", SLUGS)


def read(slug: str, name: str) -> pd.DataFrame:
    return pd.read_csv(CHALLENGES / slug / name)


def baselines_of(slug: str) -> list[Path]:
    return sorted((CHALLENGES / slug / "baselines").glob("*.py"))


# The baselines are fitted once: tests that share them stay in one process when several run at a time.
pytestmark = pytest.mark.xdist_group("challenges")


def run_recipe(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHALLENGES / "recipe.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rebuilt")
    done = run_recipe("--into", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """What every baseline writes when it is given public/ and nothing else.

    They run in this process, with pytest's warnings as errors, because importing scikit-learn 24 times
    would take a minute.
    """
    written = {}
    for slug in SLUGS:
        folder = tmp_path_factory.mktemp(slug)
        shutil.copytree(CHALLENGES / slug / "public", folder / "public")
        for script in baselines_of(slug):
            out = folder / f"{script.stem}.csv"
            with (
                contextlib.chdir(folder),
                pytest.MonkeyPatch.context() as patch,
                threadpool_limits(1),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("error")
                patch.setattr(sys, "argv", [str(script), str(out)])
                runpy.run_path(str(script), run_name="__main__")
            written[slug, script.stem] = out
    return written


# --- The recipe ---------------------------------------------------------------------------------------------


@each_challenge
def test_recipe_rebuilds_every_file_bit_for_bit(slug: str, rebuilt: Path) -> None:
    def files(root: Path) -> dict[str, bytes]:
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for part in FROM_THE_RECIPE
            for path in (root / part).iterdir()
        }

    assert files(CHALLENGES / slug) == files(rebuilt / slug)


def test_recipe_names_the_file_that_was_changed_and_exits_with_one(rebuilt: Path, tmp_path: Path) -> None:
    shutil.copytree(rebuilt / "diabetes", tmp_path / "diabetes")
    assert run_recipe("diabetes", "--check", "--into", str(tmp_path)).returncode == 0

    solution = tmp_path / "diabetes" / "private" / "solution.csv"
    solution.write_text(solution.read_text().replace("Public", "Private", 1))
    changed = run_recipe("diabetes", "--check", "--into", str(tmp_path))
    assert changed.returncode == 1
    assert changed.stderr.strip() == "differs from the recipe: diabetes/private/solution.csv"


def test_draw_gives_each_stratum_its_share_of_an_exact_number() -> None:
    spec = importlib.util.spec_from_file_location("recipe", CHALLENGES / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)

    strata = pd.Series(["a"] * 70 + ["b"] * 20 + ["c"] * 7)
    chosen = recipe.draw(30, strata, np.random.RandomState(0))
    assert strata[chosen].value_counts().to_dict() == {"a": 22, "b": 6, "c": 2}


# --- What may and may not be seen ---------------------------------------------------------------------------


@each_challenge
def test_public_files_hold_no_target_of_a_test_row(slug: str) -> None:
    target = TARGET[slug]
    train, test = read(slug, "public/train.csv"), read(slug, "public/test.csv")
    sample, solution = read(slug, "public/sample_submission.csv"), read(slug, "private/solution.csv")
    features = list(test.columns.drop("id"))

    assert {path.name for path in (CHALLENGES / slug / "public").iterdir()} == {
        "train.csv",
        "test.csv",
        "sample_submission.csv",
    }
    assert list(train.columns) == ["id", *features, target]
    assert target not in test.columns
    assert list(sample.columns) == ["id", target]
    assert sample[target].nunique() == 1
    assert list(solution.columns) == ["id", target, "Usage"]

    assert list(test["id"]) == list(sample["id"]) == list(solution["id"])
    assert not set(train["id"]) & set(test["id"])
    assert pd.concat([train, test])["id"].is_unique
    assert not pd.concat([train[features], test[features]]).duplicated().any()


@each_challenge
def test_no_single_column_gives_the_target_away(slug: str) -> None:
    train = read(slug, "public/train.csv")
    target = train[TARGET[slug]]
    for column in train.columns.drop(["id", TARGET[slug]]):
        if train[column].nunique() > 1:
            assert abs(spearmanr(train[column], target).statistic) < 0.9, column


@each_challenge
def test_ids_and_their_order_say_nothing_of_class_or_side(slug: str) -> None:
    solution = read(slug, "private/solution.csv")
    number = solution["id"].str[1:].astype(int)
    noise = 3 / math.sqrt(len(solution))
    assert abs(spearmanr(number, solution[TARGET[slug]]).statistic) < noise
    assert abs(spearmanr(number, solution["Usage"] == "Public").statistic) < noise
    if slug != "digits":  # whose train rows come first, and in the order of collection, on purpose
        train = read(slug, "public/train.csv")
        everyone = pd.concat([train, solution])
        number = everyone["id"].str[1:].astype(int)
        noise = 3 / math.sqrt(len(everyone))
        assert abs(spearmanr(number, everyone[TARGET[slug]]).statistic) < noise
        assert abs(spearmanr(number, everyone["Usage"].isna()).statistic) < noise


def test_sequence_every_writer_wrote_does_not_foretell_the_digits_of_the_test() -> None:
    train = read("digits", "public/train.csv")["digit"].to_numpy()
    test = read("digits", "private/solution.csv")["digit"].to_numpy()
    hits = [np.mean(train[start : start + 120] == test[:120]) for start in range(len(train) - 120)]
    assert max(hits) < 0.3

    # The story: in their own order, the test rows repeat the first sitting's sequence digit by digit.
    in_order = load_digits().target[1157:]
    assert np.mean(train[:120] == in_order[:120]) > 0.9


# --- The split ----------------------------------------------------------------------------------------------


@each_challenge
def test_split_has_the_promised_sizes_and_every_class_everywhere(slug: str) -> None:
    train, solution = read(slug, "public/train.csv"), read(slug, "private/solution.csv")
    public, private = solution[solution["Usage"] == "Public"], solution[solution["Usage"] == "Private"]
    assert (len(train), len(public), len(private)) == SIZES[slug]
    assert len(public) + len(private) == len(solution)
    assert len(private) >= 2 * len(public)
    if slug != "diabetes":
        target = TARGET[slug]
        assert set(train[target]) == set(public[target]) == set(private[target])


def test_no_sitting_of_digits_lies_on_both_sides_of_the_cut() -> None:
    digits = load_digits().target
    assert list(digits[1157:1187]) == 3 * list(range(10))
    np.testing.assert_array_equal(digits[1157:1187], digits[:30])
    np.testing.assert_array_equal(digits[:1157], read("digits", "public/train.csv")["digit"])


# --- Under the scorer ---------------------------------------------------------------------------------------


@each_challenge
def test_every_example_comes_out_as_foretold_and_the_self_test_is_green(slug: str) -> None:
    challenge = scorer.load(CHALLENGES / slug)
    result = scorer.check(challenge)
    assert not result.problems
    assert {path.name for path in (CHALLENGES / slug / "examples").iterdir()} == {
        Path(example.file).name for example in challenge.examples
    }


def test_mean_beside_the_sum_is_the_same_sum_per_row() -> None:
    challenge = scorer.load(CHALLENGES / "diabetes")
    report = scorer.score(challenge, CHALLENGES / "diabetes" / "examples" / "rule.csv")
    assert report.also["mse"]["public"] == pytest.approx(report.public / 53, rel=1e-12)
    assert report.also["mse"]["private"] == pytest.approx(report.private / 124, rel=1e-12)


# --- The ladder of baselines --------------------------------------------------------------------------------


@each_challenge
def test_ladder_has_eight_rungs_each_with_a_short_name_of_its_own(slug: str) -> None:
    scripts = baselines_of(slug)
    assert [script.name[:2] for script in scripts] == [f"{number}_" for number in range(1, 9)]
    names = [script.read_text().splitlines()[0].removeprefix('"""') for script in scripts]
    assert len(set(names)) == 8
    assert all(3 <= len(name) <= 40 and not name.endswith((".", '"')) for name in names)


@each_challenge
def test_baseline_is_a_script_that_needs_only_the_public_files(slug: str, tmp_path: Path) -> None:
    """The calling convention itself; the other rungs are run by the fixture."""
    shutil.copytree(CHALLENGES / slug / "public", tmp_path / "public")
    command = [sys.executable, "-W", "error", str(baselines_of(slug)[0]), "out.csv"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert (
        scorer.score(scorer.load(CHALLENGES / slug), tmp_path / "out.csv").rows["private"] == SIZES[slug][2]
    )


@each_challenge
def test_every_rung_is_accepted_and_beats_the_dummy_on_both_sides(
    slug: str, submissions: dict[tuple[str, str], Path]
) -> None:
    challenge = scorer.load(CHALLENGES / slug)
    reports = {
        rung: scorer.score(challenge, path) for (owner, rung), path in submissions.items() if owner == slug
    }
    dummy = reports.pop("1_dummy")
    sign = 1 if challenge.greater_is_better else -1
    for rung, report in reports.items():
        assert math.isfinite(report.public), rung
        assert math.isfinite(report.private), rung
        better = sign * report.public > sign * dummy.public, sign * report.private > sign * dummy.private
        expected = (slug, rung) not in WORSE_THAN_THE_DUMMY
        assert better == (expected, expected), rung
