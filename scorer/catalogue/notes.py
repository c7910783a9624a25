"""Write the instructor's notes of a challenge: timing, trap with its measured size, anchors, questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scorer.catalogue.ceiling import Ceiling
from scorer.catalogue.measuring import Measured
from scorer.catalogue.recipe import Recipe


def notes(recipe: Recipe, measured: Sequence[Measured], best: Mapping[str, Ceiling]) -> str:
    """Return Markdown for instructors alone: it names the trap."""
    card = recipe.card
    lines = [
        f"# {card.title}: notes for the instructor",
        "",
        f"Time in class: about {card.minutes} minutes. Teaches: {', '.join(card.teaches)}.",
        "",
        "## The trap",
        "",
        card.trap.strip(),
        "",
    ]
    if measured:
        lines += ["| measured on this build | value |", "|---|---|"]
        lines += [f"| {one.what} | {one.value:.3f} |" for one in measured]
        lines.append("")
    if best:
        lines += ["## The best possible score", ""]
        lines += [
            f"- {side} rows: log loss {one.score:.4f} (standard error {one.error:.4f}, {one.n_rows:,} rows)"
            for side, one in best.items()
        ]
        lines += [
            "",
            (
                "The simulator knows the true probability of each row, and no model is expected to score "
                "lower. The labels were drawn from a secret seed, so they cannot be looked up."
            ),
            "",
        ]
    lines += ["## Grades", "", card.anchors.strip(), "", "## Expected mistakes", ""]
    lines += [f"- {one}" for one in card.mistakes]
    lines += ["", "## Questions for the class", ""]
    lines += [f"{number}. {one}" for number, one in enumerate(card.questions, 1)]
    if recipe.leaks:
        lines += [
            "",
            "## The variant with a leak",
            "",
            (
                f"`heldout challenge build {recipe.name} --leaky` keeps {', '.join(recipe.leaks)}. Let the "
                "class find what is wrong, then show the finding of `heldout challenge check`."
            ),
        ]
    return "\n".join(lines) + "\n"
