"""Samples of the tables, drawn once for all checks."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from scorer.leakage.material import Material, NotChecked, Side
from scorer.leakage.target import Target

_SAMPLES: WeakKeyDictionary[Material, dict[str, Side]] = WeakKeyDictionary()


def sampled_side(side: Side, material: Material) -> Side:
    """Return a sample of a side, drawn once."""
    samples = _SAMPLES.setdefault(material, {})
    if side.name not in samples:
        samples[side.name] = side.sampled(seed=material.seed)
    return samples[side.name]


def sampled(material: Material, name: str) -> Side:
    """Return at most 100,000 rows of train or test, drawn once."""
    side = material.train if name == "train" else material.test
    assert side is not None
    return sampled_side(side, material)


def labelled_sides(material: Material) -> list[tuple[Side, Target]]:
    """Return the published tables with each known target."""
    sides = [side for side in (material.train, material.listed) if side is not None and side.targets]
    views = [(side, target) for side in sides for target in side.targets if target.known.sum() >= 8]
    if not views:
        raise NotChecked(
            material.lacking.get("hidden")
            or material.lacking.get("train_target")
            or "fewer than 8 rows have a target"
        )
    return views
