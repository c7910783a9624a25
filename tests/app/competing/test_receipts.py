"""Receipts: signed by one installation, and refused with any change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.base.errors import Refused
from app.competing.receipts import Facts, Signer, read

FACTS = Facts("biopsy", 17, 3, "ab" * 32, 12_345, datetime(2026, 11, 25, 14, 12, 28, 5, tzinfo=UTC))
SIGNER = Signer("k" * 32)
TEXT = SIGNER.sign(FACTS)


def test_receipt_is_verified_with_the_public_key_alone() -> None:
    assert read(TEXT, SIGNER.public_key) == FACTS
    assert read(TEXT.replace(" ", "\n  "), SIGNER.public_key) == FACTS  # line breaks of a mail program


def test_receipt_does_not_depend_on_time_or_timezone() -> None:
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
def test_changed_fact_with_the_old_signature_is_refused(change: dict[str, object]) -> None:
    changed = replace(FACTS, **change)  # type: ignore[arg-type]  # each value has its own field's type
    forged = f"{changed} {TEXT.rpartition(' ')[2]}"
    assert forged != TEXT
    with pytest.raises(Refused, match="does not fit"):
        read(forged, SIGNER.public_key)


def test_receipt_with_any_changed_character_is_refused() -> None:
    for place, letter in enumerate(TEXT):
        if letter != " ":
            with pytest.raises(Refused):
                read(TEXT[:place] + ("1" if letter != "1" else "2") + TEXT[place + 1 :], SIGNER.public_key)
    spare = TEXT[:-1] + chr(ord(TEXT[-1]) + 1)
    with pytest.raises(Refused):
        read(spare, SIGNER.public_key)


def test_receipt_of_another_installation_is_refused() -> None:
    with pytest.raises(Refused, match="another installation"):
        read(Signer("m" * 32).sign(FACTS), SIGNER.public_key)


@pytest.mark.parametrize("text", ["", "heldout-receipt-1", TEXT[:-1], TEXT + "A", TEXT + " more"])
def test_incomplete_receipt_or_extra_text_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="not a complete receipt"):
        read(text, SIGNER.public_key)


@pytest.mark.parametrize("key", ["", "short", SIGNER.public_key[:-1], SIGNER.public_key + "A" * 4, "ä" * 43])
def test_invalid_receipt_key_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="not a receipt key"):
        read(TEXT, key)
