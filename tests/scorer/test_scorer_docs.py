"""docs/scorer.md: its examples run, and it describes every public name."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import scorer

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/scorer.md"


def test_every_example_prints_what_the_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 20


def test_the_page_describes_every_public_name() -> None:
    described = set(
        re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`|^[├└].*", PAGE.read_text(encoding="utf-8"), re.M)))
    )
    assert set(scorer.__all__) <= described


@pytest.mark.parametrize("name", scorer.__all__)
def test_a_public_name_loads(name: str) -> None:
    assert getattr(scorer, name)
