"""Texts of `heldout challenge new` that describe other data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

from scorer.challenges.scaffolding import FEATURES
from scorer.leakage.check import Found, check
from scorer.leakage.material import Material

_SHORTEST = 30
"""Characters of a sentence; shorter ones may be in any description."""


@check("template_texts", scope="challenge", needs=(), cost="1")
def template_texts(material: Material) -> Iterator[Found]:
    """Texts of the template that were left in place.

    Only where the data are no longer the template's.

    effect: the number of sentences.
    """
    if material.train is not None and set(FEATURES) <= set(material.train.frame.names):
        return
    challenge = material.challenge
    template = files("scorer") / "scaffold"
    own = {
        "description.md": (challenge.description, "description.md"),
        "challenge.yaml": (" ".join([challenge.summary, str(challenge.source or "")]), "challenge.yaml"),
    }
    for place, (text, name) in own.items():
        words = _plain(text)
        left = [
            sentence
            for sentence in _sentences((template / name).read_text(encoding="utf-8"))
            if _plain(sentence) in words
        ]
        if left:
            yield Found(
                f"{place} still has {len(left)} sentence{'s' if len(left) > 1 else ''} of the template, "
                f'which describe other data; the first is "{left[0][:80]}".',
                "Describe your own data, files and metric there, or remove the sentences.",
                float(len(left)),
                where=place,
            )


def _sentences(text: str) -> list[str]:
    """Return the longer sentences about the template's data, one line each."""
    text = re.sub(r"^\s*#.*$|^\s*[\w]+:\s*(?=\S)", "\n\n", text, flags=re.MULTILINE)
    found = [
        " ".join(sentence.split())
        for block in re.split(r"\n\s*\n", text)
        for sentence in re.split(r"(?<=[.!?;:])\s", block)
    ]
    return [sentence for sentence in found if len(sentence) >= _SHORTEST and "patient" in sentence.lower()]


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
