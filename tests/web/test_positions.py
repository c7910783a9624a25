"""The strip's numbers: rank, next place and uploads left, as the viewer may see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.base import db
from app.competing import competitions, extensions, positions
from tests.web.site import Site


def position(site: Site, name: str) -> positions.Position | None:
    with site.database.read() as session:
        found = competitions.by_slug(session, site.slug)
        return positions.of(session, found, site.viewer(name).id, now=db.now(session))


def test_rank_gap_and_uploads_left_are_those_of_the_public_board(site: Site) -> None:
    site.baseline("Prior only", 0.1, 0.1)
    assert position(site, "bob") is None
    joined = position(site, "ada")
    assert joined is not None
    assert (joined.rank, joined.score, joined.gap, joined.left_today) == (None, None, None, 5)
    site.join("bob")
    site.user("eve")
    site.join("eve")
    for name, public, private in (("ada", 0.5, 0.1), ("bob", 0.25, 0.3), ("eve", 0.25, 0.2)):
        site.score(site.submit(name, name.encode()), public, private)
    ada, bob = position(site, "ada"), position(site, "bob")
    assert ada is not None
    assert (ada.rank, ada.teams, ada.score, ada.next_rank, ada.gap) == (3, 3, 0.5, 1, 0.25)
    assert (ada.left_today, ada.daily_limit, ada.is_private) == (4, 5, False)
    assert bob is not None
    assert (bob.rank, bob.next_rank, bob.gap) == (1, None, None)


def test_an_extension_adds_uploads_and_the_private_rank_waits_for_it(site: Site) -> None:
    site.join("bob")
    site.score(site.submit("ada"), 0.5, 0.1)
    site.score(site.submit("bob", b"other"), 0.25, 0.3)
    with site.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, site.slug)
        granted = {"closes_at": found.closes_at + timedelta(hours=3), "daily_extra": 2}
        extensions.grant(session, found, "bob", reason="the network was down", by="g", now=now, **granted)
    bob = position(site, "bob")
    assert bob is not None
    assert (bob.left_today, bob.daily_limit) == (6, 7)
    site.change(closes_at=datetime.now(UTC) - timedelta(hours=1))
    bob = position(site, "bob")
    assert bob is not None
    assert (bob.rank, bob.score, bob.is_private) == (1, 0.25, False)
    site.change(extended_until=None)
    bob = position(site, "bob")
    assert bob is not None
    assert (bob.rank, bob.score, bob.is_private, bob.next_rank) == (2, 0.3, True, 1)
