"""Rebuild the data of the bundled challenges from scikit-learn's sets.

    python challenges/recipe.py                  write public/, private/ and examples/ of all three
    python challenges/recipe.py biopsy digits    only these
    python challenges/recipe.py --check          write nothing; exit 1 and name every file that differs
    python challenges/recipe.py --into FOLDER    write below FOLDER, to compare or to experiment

challenge.yaml, description.md and baselines/ are written by hand; all the rest comes from here, byte for byte
the same on every machine: every choice is drawn from a seed, and nothing is computed that a later library
could round differently.

The seeds are printed below, so readers of this file can compute which test rows count on which side of the
board. That suits practice on public data, whose labels are public anyway. For graded work keep the seed and
the labels private.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

PUBLIC_FRACTION = 0.3


# --- The three challenges -----------------------------------------------------------------------------------


def biopsy() -> dict[str, pd.DataFrame]:
    """Return breast cancer: 369 train and 200 test rows.

    The share of malignant rows is the same everywhere.
    """
    rng = np.random.RandomState(20260901)
    data = load_breast_cancer(as_frame=True)
    table = data.data.rename(columns=lambda name: name.replace(" ", "_"))
    table["malignant"] = 1 - data.target  # scikit-learn calls malignant 0

    # The source's order depends on the diagnosis: shuffle first, number afterwards.
    table = numbered(table.iloc[rng.permutation(len(table))], "b")
    in_test = draw(200, table["malignant"], rng)
    train, test = table[~in_test], table[in_test]

    # For the examples: the wider the widest nucleus, the likelier malignant. A plain ramp.
    ramp = ((test["worst_radius"] - 10) / 15).clip(0.02, 0.98).round(3)
    files = dealt(train, test, target="malignant", usage=usage(test["malignant"], rng), sample=0.5)
    files |= examples(files, constant=0.374, rule=ramp, rng=rng)
    files["examples/out_of_range.csv"] = with_cell(files["examples/rule.csv"], row=7, value="1.2")
    files["examples/percent.csv"] = with_cell(files["examples/rule.csv"], row=7, value="12%")
    return files


def diabetes() -> dict[str, pd.DataFrame]:
    """Return disease progression: 265 train and 177 test rows.

    Split at random.
    """
    rng = np.random.RandomState(20260902)
    # The raw table: scikit-learn's scaled one is centred on all 442 patients, and so depends on the test
    # rows.
    data = load_diabetes(as_frame=True, scaled=False)
    blood = {"s1": "tc", "s2": "ldl", "s3": "hdl", "s4": "tch", "s5": "ltg", "s6": "glu"}
    table = data.data.rename(columns=blood).astype({"age": int, "sex": int})
    table["progression"] = data.target.astype(int)

    table = numbered(table.iloc[rng.permutation(len(table))], "p")
    in_test = draw(177, one_stratum(table), rng)
    train, test = table[~in_test], table[in_test]

    # For the examples: body mass index alone, by a straight line.
    ruler = (10 * test["bmi"] - 113).round(1)
    files = dealt(train, test, target="progression", usage=usage(one_stratum(test), rng), sample=150)
    files |= examples(files, constant=152, rule=ruler, rng=rng)
    files["examples/not_a_number.csv"] = with_cell(files["examples/rule.csv"], row=7, value="unknown")
    files["examples/infinite.csv"] = with_cell(files["examples/rule.csv"], row=7, value="inf")
    return files


def digits() -> dict[str, pd.DataFrame]:
    """Return handwritten digits: 1157 train and 640 test rows.

    The train rows are in the order in which they were collected, the test rows were written later. Every
    sitting wrote down the same sequence of some 130 digits (0123456789, three times over, 0955650989...). It
    starts anew at rows 0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1544 and 1667, or close
    by. Two things follow:

    - The cut is made at row 1157, between two sittings, so no sitting lies on both sides of it.

    - The test rows are shuffled. In their own order, the sequence read off train.csv would be their labels.

    The train rows keep their order, so that participants can validate on whole sittings too.
    """
    rng = np.random.RandomState(20260903)
    data = load_digits(as_frame=True)
    table = data.data.astype(int)
    table["digit"] = data.target

    train, test = table[:1157], table[1157:]
    table = numbered(pd.concat([train, test.iloc[rng.permutation(len(test))]]), "d")
    train, test = table[:1157], table[1157:]

    # For the examples: ink in the middle of the top row or not, for 5 or 0.
    top_ink = test["pixel_0_5"].gt(8).map({True: 5, False: 0})
    files = dealt(train, test, target="digit", usage=usage(test["digit"], rng), sample=0)
    files |= examples(files, constant=3, rule=top_ink, rng=rng)
    files["examples/empty_value.csv"] = with_cell(files["examples/rule.csv"], row=7, value="")
    files["examples/unknown_id.csv"] = with_cell(
        files["examples/rule.csv"], row=7, column="id", value="d9999"
    )
    return files


RECIPES = {"biopsy": biopsy, "diabetes": diabetes, "digits": digits}


# --- The steps they share -----------------------------------------------------------------------------------


def numbered(table: pd.DataFrame, letter: str) -> pd.DataFrame:
    """Put a text id before each row.

    b0001, b0002, ... in the present order of the rows.
    """
    table = table.reset_index(drop=True)
    table.insert(0, "id", [f"{letter}{number:04d}" for number in range(1, len(table) + 1)])
    return table


def one_stratum(table: pd.DataFrame) -> pd.Series:
    """Return one single stratum, for a plain random draw."""
    return pd.Series(0, index=table.index)


def draw(size: int, strata: pd.Series, rng: np.random.RandomState) -> np.ndarray:
    """Return a random mask of exactly `size` rows, stratified.

    Shares are rounded by largest remainder, in whole numbers. Only RandomState is drawn from: NumPy promises
    never to change its stream, which it does not promise of the newer Generator.
    """
    counts = strata.value_counts().sort_index()
    quota = counts * size // len(strata)
    by_remainder = (counts * size % len(strata)).sort_values(ascending=False, kind="stable").index
    quota[by_remainder[: size - quota.sum()]] += 1

    chosen = np.zeros(len(strata), dtype=bool)
    for stratum, share in quota.items():
        members = np.flatnonzero(strata == stratum)
        chosen[rng.permutation(members)[:share]] = True
    return chosen


def usage(strata: pd.Series, rng: np.random.RandomState) -> np.ndarray:
    """Return Public or Private for each test row.

    The private side is more than twice as large.
    """
    is_public = draw(round(PUBLIC_FRACTION * len(strata)), strata, rng)
    return np.where(is_public, "Public", "Private")


def dealt(
    train: pd.DataFrame, test: pd.DataFrame, *, target: str, usage: np.ndarray, sample: float
) -> dict[str, pd.DataFrame]:
    """Divide the rows into public files and the private solution."""
    return {
        "public/train.csv": train,
        "public/test.csv": test.drop(columns=target),
        "public/sample_submission.csv": test[["id"]].assign(**{target: sample}),
        "private/solution.csv": test[["id", target]].assign(Usage=usage),
    }


def examples(
    files: dict[str, pd.DataFrame], *, constant: float, rule: pd.Series, rng: np.random.RandomState
) -> dict[str, pd.DataFrame]:
    """Return submissions with known outcomes, stated in challenge.yaml."""
    perfect = files["private/solution.csv"].drop(columns="Usage")
    target = perfect.columns[1]
    by_rule = perfect.assign(**{target: rule})
    return {
        "examples/perfect.csv": perfect,
        "examples/constant.csv": perfect.assign(**{target: constant}),
        "examples/rule.csv": by_rule,
        "examples/rule_shuffled.csv": by_rule.iloc[rng.permutation(len(by_rule))],
        "examples/missing_row.csv": by_rule.drop(by_rule.index[20]),
        "examples/duplicate_row.csv": pd.concat([by_rule, by_rule.iloc[[20]]]),
    }


def with_cell(table: pd.DataFrame, *, row: int, value: str, column: str | None = None) -> pd.DataFrame:
    """Return the submission with one cell replaced.

    Of the target column by default.
    """
    table = table.astype(str)
    table.iloc[row, table.columns.get_loc(column or table.columns[1])] = value
    return table


# --- Writing and comparing ----------------------------------------------------------------------------------


def as_bytes(table: pd.DataFrame) -> bytes:
    """Return CSV, the same bytes on every system.

    \\n line ends; numbers in their shortest exact form.
    """
    return table.to_csv(index=False, lineterminator="\n").encode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild the bundled challenges' data, or check it.")
    parser.add_argument("slug", nargs="*", help=f"which ones; all of {', '.join(RECIPES)} by default")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    arguments = parser.parse_args()
    if unknown := set(arguments.slug) - set(RECIPES):
        parser.error(f"no recipe for {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")

    differing = []
    for slug in arguments.slug or RECIPES:
        folder = arguments.into / slug
        files = RECIPES[slug]()
        for name, table in files.items():
            path = folder / name
            if arguments.check:
                if not path.is_file() or path.read_bytes() != as_bytes(table):
                    differing.append(f"{slug}/{name}")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(as_bytes(table))
        print(f"{slug}: {len(files)} files {'compared' if arguments.check else 'written'}")

    for name in differing:
        print(f"differs from the recipe: {name}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
