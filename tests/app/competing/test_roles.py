"""A host organises one competition, and its files are never ranked in it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alembic import command
from sqlalchemy import select, text

from app import migrations
from app.base.errors import Conflict, Forbidden, NotFound, Refused
from app.base.models import Event, Membership, Standing, Submission, Team
from app.base.models_roles import Role
from app.competing import competitions, erasure, hosts, roles, teams
from app.people import accounts
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

LATER = NOON + timedelta(hours=1)


def add(world: World, name: str, role: str = Role.COHOST) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        competitions.lock(session, competition)
        roles.add(session, competition, name, role, by="grace", now=NOON)


def remove(world: World, name: str) -> None:
    with world.database.begin() as session:
        roles.remove(session, competitions.by_slug(session, world.slug), name, by="grace", now=LATER)


def on_board(world: World) -> set[str]:
    with world.database.read() as session:
        return set(session.scalars(select(Team.name).join(Standing, Standing.team_id == Team.id)))


def test_a_new_host_leaves_the_board_and_its_files_are_unranked_for_good(world: World) -> None:
    world.score(0.3, by="ada")
    world.score(0.4, by="bob")
    add(world, "ada")
    assert on_board(world) == {"bob"}
    sent = world.score(0.1, by="ada", now=LATER)
    remove(world, "ada")
    after = world.score(0.05, by="ada", now=LATER)
    assert on_board(world) == {"bob"}
    with world.database.read() as session:
        ranked = dict(session.execute(select(Submission.id, Submission.is_ranked)).all())
        actions = [
            (event.action, event.detail["user"]) for event in session.query(Event) if "host" in event.action
        ]
        counted = {c.slug: teams for c, teams in competitions.listed(session)}
    assert (ranked[sent], ranked[after]) == (False, False)
    assert actions == [("host added", "ada"), ("host removed", "ada")]
    assert counted == {"biopsy": 1}
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        with pytest.raises(Forbidden, match="Only an organiser can send"):
            hosts.is_ranked(session, competition, world.viewer("bob"), sandbox=True)


@on_sqlite
def test_a_host_in_a_team_with_participants_must_leave_it_first(world: World) -> None:
    world.score(0.3, by="ada")
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.of(session, competition, world.viewer("ada").id)
        mine = session.get(Membership, (competition.id, world.viewer("bob").id))
        assert team is not None
        assert mine is not None
        mine.team_id = team.id
    with pytest.raises(Conflict, match="must leave the team first"):
        add(world, "bob")
    assert on_board(world) == {"ada"}


@on_sqlite
def test_a_host_that_is_added_after_the_end_keeps_the_place_it_earned(world: World) -> None:
    world.score(0.3, by="ada")
    world.change(closes_at=NOON - timedelta(days=1))
    add(world, "ada")
    assert on_board(world) == {"ada"}


@on_sqlite
def test_only_owners_and_organisers_change_the_hosts(world: World) -> None:
    add(world, "ada", Role.OWNER)
    add(world, "bob")
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        for name, may in (("ada", True), ("bob", False), ("grace", True)):
            viewer = world.viewer(name)
            viewer = type(viewer)(viewer.id, name, viewer.is_organiser, frozenset({competition.id}))
            if may:
                roles.refuse_unless_owner(session, competition, viewer)
                continue
            with pytest.raises(Forbidden, match="Only an owner of biopsy"):
                roles.refuse_unless_owner(session, competition, viewer)
    with pytest.raises(Refused, match="'referee' is not a role"):
        add(world, "ada", "referee")
    with pytest.raises(Conflict, match="ada is owner of biopsy already"):
        add(world, "ada", Role.OWNER)
    with pytest.raises(NotFound, match="There is no user"):
        add(world, "nina")
    add(world, "bob", Role.OWNER)
    add(world, "ada", Role.COHOST)
    with world.database.read() as session:
        listed = roles.listed(session, competitions.by_slug(session, world.slug))
    assert [(entry.name, entry.role) for entry in listed] == [("bob", "owner"), ("ada", "co-host")]


def test_a_database_from_before_gets_the_table(world: World) -> None:
    world.score(0.3, by="ada")
    with world.database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0015_since_0003")
    migrations.upgrade(world.database)
    with world.database.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM competition_host")).scalar_one() == 0
        assert connection.execute(text("SELECT own_summary FROM competition")).scalars().all() == [None]
    add(world, "bob")
    assert on_board(world) == {"ada"}


def test_the_only_owner_of_a_competition_stays(world: World) -> None:
    """Neither removed nor made a co-host nor erased, until there is another owner."""
    add(world, "ada", Role.OWNER)
    with pytest.raises(
        Conflict, match=r"ada is the only owner of biopsy.*heldout host add biopsy NAME --role owner"
    ):
        remove(world, "ada")
    with pytest.raises(Conflict, match="only owner"):
        add(world, "ada", Role.COHOST)
    with world.database.begin() as session, pytest.raises(Conflict, match="ada is the only owner of biopsy"):
        erasure.erase(session, accounts.by_name(session, "ada"), now=LATER)
    add(world, "bob", Role.OWNER)
    remove(world, "ada")
    with world.database.read() as session:
        assert erasure.preview(session, accounts.by_name(session, "ada")).problems == ()
        assert roles.only_owned(session, accounts.by_name(session, "bob").id) == ["biopsy"]
