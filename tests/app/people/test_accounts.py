"""Names, passwords, sign-ins and tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.base.errors import Conflict, NotFound, NotSignedIn, Refused
from app.people import accounts
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite


def test_names_are_lower_case_and_unique(world: World) -> None:
    with world.database.begin() as session:
        with pytest.raises(Conflict, match="The name ada is taken"):
            accounts.register(session, " Ada ", None, now=NOON)
        assert accounts.register(session, "ADA2", None, now=NOON).name == "ada2"


@pytest.mark.parametrize("name", ["", "-a", "a b", "ä", "a" * 41, "<b>", "a/b", "a\n"])
def test_invalid_names_are_refused(world: World, name: str) -> None:
    if name == "a\n":
        name = "a\nb"
    with world.database.begin() as session, pytest.raises(Refused, match="is not a valid name"):
        accounts.register(session, name, None, now=NOON)


def test_a_short_password_is_refused() -> None:
    with pytest.raises(Refused, match="7 characters; it must have at least 8"):
        accounts.hash_password("1234567")


@on_sqlite
def test_only_the_right_password_signs_in(world: World) -> None:
    hashed = accounts.hash_password("correct horse")
    with world.database.begin() as session:
        user = accounts.register(session, "eve", hashed, now=NOON)
        assert accounts.verify(accounts.candidate(session, "EVE"), "correct horse").id == user.id
        for name, password in (("eve", "wrong horse"), ("nobody", "correct horse"), ("ada", "")):
            with pytest.raises(NotSignedIn, match="The name or the password is wrong"):
                accounts.verify(accounts.candidate(session, name), password)


def test_sign_in_ends_by_expiry_sign_out_or_new_password(world: World) -> None:
    ada = world.viewer("ada")
    with world.database.begin() as session:
        old, out, kept = (accounts.sign_in(session, ada.id, now=NOON, days=1) for _ in range(3))
        assert accounts.by_sign_in(session, kept, now=NOON) == ada
        assert accounts.by_sign_in(session, old, now=NOON + timedelta(days=1)) is None
        accounts.sign_out(session, out, now=NOON)
        assert accounts.by_sign_in(session, out, now=NOON) is None
        accounts.set_password(session, ada.id, accounts.hash_password("another one"), now=NOON)
        assert accounts.by_sign_in(session, kept, now=NOON) is None


def test_sign_ins_of_others_cannot_be_revoked(world: World) -> None:
    ada, bob = world.viewer("ada"), world.viewer("bob")
    with world.database.begin() as session:
        accounts.sign_in(session, ada.id, now=NOON, days=1)
        (row,) = accounts.sign_ins(session, ada.id, now=NOON)
        with pytest.raises(NotFound):
            accounts.revoke_sign_in(session, bob.id, row.id, now=NOON)
