"""A receipt is this installation's own word, and no letter of it can be changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.base.errors import Refused
from app.competing.receipts import Facts, Signer, read

FACTS = Facts("biopsy", 17, 3, "ab" * 32, 12_345, datetime(2026, 11, 25, 14, 12, 28, 5, tzinfo=UTC))
SIGNER = Signer("k" * 32)
TEXT = SIGNER.sign(FACTS)


def test_what_was_signed_is_read_back_with_the_public_key_alone() -> None:
    assert read(TEXT, SIGNER.public_key) == FACTS
    assert read(TEXT.replace(" ", "\n  "), SIGNER.public_key) == FACTS  # as mail breaks it


def test_the_same_facts_have_the_same_receipt_at_any_time_and_in_any_zone() -> None:
    elsewhere = FACTS.received_at.astimezone(timezone(timedelta(hours=2)))
    assert Signer("k" * 32).sign(replace(FACTS, received_at=elsewhere)) == TEXT


@pytest.mark.parametrize(
    "change",
    [
        {"competition": "biopsy2"},
        {"submission_id": 18},
        {"team_id": 4},
        {"sha256": "ab" * 31 + "ac"},
        {"size_bytes": 12_346},
        {"received_at": FACTS.received_at - timedelta(microseconds=1)},
    ],
)
def test_a_changed_fact_under_the_old_signature_is_refused(change: dict[str, object]) -> None:
    changed = replace(FACTS, **change)  # type: ignore[arg-type]  # each value has its own field's type
    forged = f"{changed} {TEXT.rpartition(' ')[2]}"
    assert forged != TEXT
    with pytest.raises(Refused, match="does not fit"):
        read(forged, SIGNER.public_key)


def test_no_single_letter_can_be_another() -> None:
    for place, letter in enumerate(TEXT):
        if letter != " ":
            with pytest.raises(Refused):
                read(TEXT[:place] + ("1" if letter != "1" else "2") + TEXT[place + 1 :], SIGNER.public_key)
    spare = TEXT[:-1] + chr(ord(TEXT[-1]) + 1)
    with pytest.raises(Refused):
        read(spare, SIGNER.public_key)


def test_another_installations_receipt_is_refused() -> None:
    with pytest.raises(Refused, match="another installation"):
        read(Signer("m" * 32).sign(FACTS), SIGNER.public_key)


@pytest.mark.parametrize("text", ["", "heldout-receipt-1", TEXT[:-1], TEXT + "A", TEXT + " more"])
def test_half_a_receipt_or_more_than_one_is_said_to_be_none(text: str) -> None:
    with pytest.raises(Refused, match="not a complete receipt"):
        read(text, SIGNER.public_key)


@pytest.mark.parametrize("key", ["", "short", SIGNER.public_key[:-1], SIGNER.public_key + "A" * 4, "ä" * 43])
def test_a_key_that_is_none_is_said_to_be_none(key: str) -> None:
    with pytest.raises(Refused, match="not a receipt key"):
        read(TEXT, key)
