"""`heldout challenge catalogue` and `heldout challenge build`: challenges for teaching."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from app.base import config
from app.base.errors import Refused
from app.cli.challenges import print_findings
from app.cli.console import err, out, print_json, print_problems, print_rows


@click.command("catalogue")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def catalogue(name: str | None, as_json: bool) -> None:
    """List the challenges for teaching, or show what one teaches.

    Their traps are shown too, so this is for instructors.
    """
    from scorer.catalogue.catalogue import READY, RECIPES

    if name is None:
        ready = [{"name": key, "title": title, "ready": f"challenges/{key}"} for key, title in READY.items()]
        recipes = [recipe.as_dict() for recipe in RECIPES.values()]
        shown = [
            {name: row[name] for name in ("name", "title", "metric", "split")} | {"data": _data(row)}
            for row in recipes
        ]
        shown += [{"name": row["name"], "title": row["title"], "data": row["ready"]} for row in ready]
        columns = dict.fromkeys(("name", "title", "metric", "split", "data"))
        if as_json:
            print_json({"challenges": [*recipes, *ready]})
        else:
            print_rows([columns | row for row in shown], as_json=False)
        return
    recipe = RECIPES.get(name)
    if recipe is None:
        raise Refused(_unknown(name))
    if as_json:
        print_json(dict(recipe.as_dict()) | {"questions": list(recipe.card.questions)})
        return
    card = recipe.card
    out.print(f"{card.title}: {card.summary}", markup=False)
    out.print(f"data     {card.source.name} ({card.source.licence})", markup=False)
    out.print(
        f"split    {recipe.strategy}; metric {recipe.metric}; about {card.minutes} minutes", markup=False
    )
    out.print(f"trap     {card.trap}", markup=False)
    for question in card.questions:
        out.print(f"- {question}", markup=False)
    out.print(f"Next: heldout challenge build {name} --out {name}", markup=False)


@click.command("build")
@click.argument("name")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="The folder to write. Default: the name."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Of the draws, and secret: of a simulator it gives the labels away. Default: drawn.",
)
@click.option(
    "--packages",
    "packages_folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder filled by pip install --no-deps --target.",
)
@click.option("--leaky", is_flag=True, help="Keep the planted leaks, for a lesson on leakage.")
@click.option("--no-measures", is_flag=True, help="Do not measure the trap, which takes up to two minutes.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def build(
    name: str,
    folder: Path | None,
    seed: int | None,
    packages_folder: Path | None,
    leaky: bool,
    no_measures: bool,
    as_json: bool,
) -> int:
    """Build a challenge of the catalogue, check it, and measure its trap.

    Writes the instructor's notes into private/instructor.md, and of a simulator the best possible score.
    """
    from scorer.authoring.table import Unusable
    from scorer.catalogue.building import build as build_recipe
    from scorer.catalogue.building import check
    from scorer.catalogue.catalogue import READY, RECIPES
    from scorer.catalogue.packages import NoData, Packages

    if name in READY:
        raise Refused(f"{name} is ready in challenges/{name} of the repository; publish that folder.")
    recipe = RECIPES.get(name)
    if recipe is None:
        raise Refused(_unknown(name))
    if leaky and not recipe.leaks:
        raise Refused(f"{name} has no planted leak; build it without --leaky.")
    folder = folder or Path(name + ("-leaky" if leaky else ""))
    try:
        with err.status("") as status:
            built = build_recipe(
                recipe,
                folder,
                seed=secrets.randbits(63) if seed is None else seed,
                packages=Packages(packages_folder),
                leaky=leaky,
                measures=not no_measures,
                progress=status.update if err.is_terminal else None,
            )
            status.update("checking")
            result = check(folder, allow_weak_sandbox=config.load().allow_weak_sandbox)
    except (Unusable, NoData) as reason:
        raise Refused(str(reason)) from None
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "rows": {"train": built.n_train, "public": built.n_public, "private": built.n_private},
                "best_possible": {side: asdict(one) for side, one in built.ceiling.items()},
                "trap": [asdict(one) for one in built.measured],
                "problems": [problem.as_dict() for problem in result.problems],
                "findings": [finding.as_dict() for finding in result.findings],
            }
        )
        return 0 if result.ok or leaky else 2
    rows = f"{built.n_train:,} train, {built.n_public:,} public, {built.n_private:,} private rows"
    out.print(f"Wrote {folder}: {rows}", markup=False)
    for side, best in built.ceiling.items():
        out.print(f"best     {side}: {recipe.metric} {best.score:.4f} ± {best.error:.4f}", markup=False)
    for one in built.measured:
        out.print(f"trap     {one.what}: {one.value:.3f}", markup=False)
    if result.problems:
        print_problems(result.problems)
    print_findings([finding for finding in result.findings if finding.severity != "info"])
    if not result.ok and not leaky:
        return 2
    out.print(f"Next: heldout challenge publish {folder}", markup=False)
    return 0


def _unknown(name: str) -> str:
    from scorer.catalogue.catalogue import READY, RECIPES

    return f"The catalogue has no challenge {name!r}; it has {', '.join([*RECIPES, *READY])}."


def _data(row: Mapping[str, Any]) -> str:
    if row["simulated"]:
        return "simulated"
    return ", ".join(row["packages"]) or "scikit-learn"
