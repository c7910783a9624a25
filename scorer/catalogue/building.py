"""Build a challenge of the catalogue: table, split, folder, baselines, ceiling, instructor's notes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

import scorer
from scorer.authoring.building import make, refuse_occupied
from scorer.authoring.columns import profile
from scorer.authoring.proposal import Wishes, propose
from scorer.authoring.splitting import split
from scorer.authoring.table import read_table
from scorer.catalogue.ceiling import Ceiling, ceiling
from scorer.catalogue.measuring import Lesson, Measured
from scorer.catalogue.notes import notes
from scorer.catalogue.packages import Packages
from scorer.catalogue.recipe import Recipe, Simulated
from scorer.challenges.definition import DEFINITION_FILE

CEILING_FILE, NOTES_FILE = "private/ceiling.json", "private/instructor.md"


@dataclass(frozen=True, slots=True)
class BuiltRecipe:
    folder: Path
    n_train: int
    n_public: int
    n_private: int
    ceiling: dict[str, Ceiling]
    """Of the public and the private rows; empty where nothing was simulated."""
    measured: tuple[Measured, ...]


def build(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int,
    packages: Packages,
    leaky: bool = False,
    measures: bool = True,
    progress: Callable[[str], None] | None = None,
) -> BuiltRecipe:
    """Write the challenge's folder; the same seed gives the same bytes.

    With `leaky` it is the teaching variant, which keeps the planted leaks. Raises NoData and Unusable.
    """
    report = progress or (lambda _: None)
    refuse_occupied(folder)
    report("making the table")
    made = recipe.make(packages, seed)
    simulated = made if isinstance(made, Simulated) else None
    whole = simulated.table if simulated is not None else made
    assert isinstance(whole, pd.DataFrame)
    kept = whole if leaky else whole.drop(columns=list(recipe.leaks))
    with tempfile.TemporaryDirectory(prefix="heldout-") as aside:
        file = Path(aside) / f"{recipe.name}.csv"
        kept.to_csv(file, index=False, lineterminator="\n")
        table = read_table(file)
    described = profile(table.frame)
    wishes = Wishes(
        strategy=recipe.strategy,
        time=recipe.time,
        group=recipe.group,
        metric=recipe.metric,
        predicted=recipe.predicted,
        test_share=recipe.test_share,
        without_duplicates=recipe.without_duplicates,
        title=recipe.card.title + (" (with a planted leak)" if leaky else ""),
        slug=recipe.name + ("-leaky" if leaky else ""),
        summary=recipe.card.summary,
    )
    proposed = propose(table, described, recipe.target, wishes, seed=seed)
    # What a recipe keeps is chosen: a constant column would be part of the lesson.
    choices = proposed.choices.model_copy(update={"id": None})
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = make(table, described, proposed.target, choices, folder, progress=report)
    parts = split(table.frame, described, proposed.target, choices)
    best: dict[str, Ceiling] = {}
    if simulated is not None:
        best = {
            "public": ceiling(simulated.probability[parts.test[parts.is_public]]),
            "private": ceiling(simulated.probability[parts.test[~parts.is_public]]),
        }
        _write(folder / CEILING_FILE, json.dumps({k: asdict(v) for k, v in best.items()}, indent=1) + "\n")
    measured: list[Measured] = []
    if measures:
        report("measuring the trap")
        lesson = Lesson(
            _with_missing(whole),
            recipe.target,
            parts.train,
            parts.test,
            recipe.leaks,
            recipe.time,
            recipe.group,
        )
        measured = recipe.trap(lesson)
    _state_source(recipe, folder)
    _write(folder / NOTES_FILE, notes(recipe, measured, best))
    return BuiltRecipe(folder, written.n_train, written.n_public, written.n_private, best, tuple(measured))


def _with_missing(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with nan for empty cells, and numbers where all others are numbers."""
    table = table.replace("", np.nan)
    for name in table.select_dtypes(exclude="number").columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if bool((numbers.notna() == table[name].notna()).all()):
            table[name] = numbers
    nullable = [name for name in table.columns if str(table[name].dtype) == "Int64"]
    return table.astype(dict.fromkeys(nullable, "float64"))


def _state_source(recipe: Recipe, folder: Path) -> None:
    """Add the source to the definition, and the card's text before the drafted description."""
    path = folder / DEFINITION_FILE
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    source = recipe.card.source.model_dump(exclude_none=True)
    ordered = {}
    for name, value in definition.items():
        ordered[name] = value
        if name == "summary":
            ordered["source"] = source
    _write(path, yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=100))
    description = folder / "description.md"
    drafted = description.read_text(encoding="utf-8")
    practice = "" if recipe.is_simulated else f"\n{_PRACTICE}\n"
    _write(description, f"{recipe.card.about.strip()}\n{practice}\n{drafted}")


_PRACTICE = (
    "These data are public, so their labels can be looked up: this competition is for practice, and its "
    "board is no grade."
)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def check(folder: Path, *, allow_weak_sandbox: bool = False) -> scorer.CheckResult:
    """Check what was built as `heldout challenge check` does."""
    return scorer.check(scorer.load(folder), allow_weak_sandbox=allow_weak_sandbox)
