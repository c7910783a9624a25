"""The choices of a draft are checked before they are stored."""

from __future__ import annotations

import pytest

from app.authoring import draft_choices
from app.authoring.draft_choices import DraftChoices
from app.base.errors import Refused


def test_choices_that_no_page_or_database_could_hold_are_refused_with_every_reason() -> None:
    wrong = {
        "closes_at": "9999-12-31T23:59:59Z",
        "opens_at": "0001-01-01T00:00:00+05:00",
        "title": "a\x00b",
        "summary": "two\nlines",
        "description": "a\x00b",
        "metric_parameters": {"beta": float("nan")},
    }
    with pytest.raises(Refused) as refused:
        draft_choices.changed(DraftChoices(), wrong)
    assert {problem.column for problem in refused.value.problems} >= wrong.keys() - {"metric_parameters"}
    assert "should be a finite number" in refused.value.message
