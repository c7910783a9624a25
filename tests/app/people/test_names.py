"""Names that look alike are refused across accounts, teams and competitions, on both databases."""

from __future__ import annotations

import hashlib
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app import migrations
from app.base import events
from app.base.db import Database
from app.base.errors import Closed, Conflict, Refused
from app.base.models import Team, User
from app.competing import competitions, teams
from app.operating import audit_log, doctor
from app.people import accounts, names
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

ALIKE = {
    "other case": ("Alice", "aLICE"),
    "capital I for l": ("Alice", "AIice"),
    "digit one for l": ("alice", "a1ice"),
    "zero for o": ("rob", "r0b"),
    "rn for m": ("mary", "rnary"),
    "Cyrillic a": ("alice", "\u0430lice"),
    "all Cyrillic": ("paypal", "\u0440\u0430\u0443\u0440\u0430l"),
    "Greek omicron": ("rob", "r\u03bfb"),
    "full width": ("alice", "\uff41\uff4c\uff49\uff43\uff45"),
    "mathematical": ("alice", "\U0001d4b6lice"),
    "ligature": ("fine", "\ufb01ne"),
    "composed and decomposed": ("ren\u00e9", "rene\u0301"),
    "zero-width blank": ("alice", "al\u200bice"),
    "soft hyphen": ("alice", "al\u00adice"),
    "variation selector": ("alice", "alice\ufe0f"),
    "combining joiner": ("alice", "al\u034fice"),
    "direction mark": ("alice", "\u202ealice"),
    "two blanks": ("the class", "the  class"),
    "no-break blank": ("the class", "the\u00a0class"),
    "ideographic blank": ("the class", "the\u3000class"),
    "blanks around": ("alice", " alice "),
    "sharp s": ("strasse", "stra\u00dfe"),
    "dotted I": ("istanbul", "\u0131stanbul"),
    "blanks between letters": ("dora", "d o r a"),
    "a blank inside": ("alice", "al ice"),
    "points between letters": ("dora", "D.o.r.a"),
    "other joints between letters": ("dora", "d_o/r a"),
    "empty braille pattern": ("alice brown", "alice\u2800brown"),
    "a point behind": ("alice brown", "alice brown."),
    "an apostrophe behind": ("alice brown", "alice brown \u2019"),
    "hyphens around": ("alice brown", "-alice brown\u2013"),
    "brackets and quotes around": ("alice brown", "(\u201calice brown\u201d)"),
    "a dot below": ("alice brown", "alice\u0323 brown\u0323"),
    "a keycap": ("alice brown", "alice brown\u20e3"),
    "an enclosing circle": ("alice brown", "al\u20ddice brown"),
}


def skeletons(name: str) -> set[str]:
    return set(names.skeletons(name))


@pytest.mark.parametrize("kind", ALIKE)
def test_names_that_look_alike_share_a_skeleton(kind: str) -> None:
    one, other = ALIKE[kind]
    assert not skeletons(one).isdisjoint(skeletons(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("neil", "nell"),
        ("team 2", "team 3"),
        ("ada", "adam"),
        ("ad-a", "ada"),
        ("j.doe", "jdoe"),
        ("Jos\u00e9", "Jose"),
        ("team c", "team c#"),
        ("team c", "team c++"),
        (".", "-"),
        ("\u738b", "\u6c6a"),
    ],
)
def test_names_that_differ_have_no_skeleton_in_common(one: str, other: str) -> None:
    assert skeletons(one).isdisjoint(skeletons(other))


@given(st.text(min_size=1, max_size=60))
def test_case_form_and_invisible_characters_never_make_another_name(name: str) -> None:
    of = skeletons(name)
    for same in (
        unicodedata.normalize("NFC", name),
        unicodedata.normalize("NFKC", name),
        name + "\u200d",
        "\u2060".join(name),
    ):
        assert not of.isdisjoint(skeletons(same)), ascii(same)
    assert names.skeletons(name)[0] == names.skeletons(unicodedata.normalize("NFKC", name).casefold())[0]


def test_a_name_without_a_visible_character_is_refused(world: World) -> None:
    for name in (" ", "\u2800", "\u3164", "\u200b", "\u115f\u1160", "\ufe0f", "\u00a0\u2003"):
        assert not names.is_visible(name)
        with world.database.begin() as session, pytest.raises(Refused, match="1 to 60 printable characters"):
            rename(session, world, "ada", name)


def rename(
    session: Session, world: World, of: str, name: str, *, is_organiser: bool = False, now: datetime = NOON
) -> None:
    competition = competitions.by_slug(session, world.slug)
    team = teams.of(session, competition, world.viewer(of).id)
    assert team is not None
    by = "grace" if is_organiser else of
    teams.rename(session, competition, team, name, by=by, now=now, is_organiser=is_organiser)


def test_a_team_cannot_take_the_name_of_an_account_that_has_not_joined(world: World) -> None:
    with world.database.begin() as session:
        for one, other in ALIKE.values():
            nested = session.begin_nested()
            session.add(User(name=one, created_at=NOON))
            session.flush()
            with pytest.raises((Conflict, Refused), match=r"is taken: it (reads like|is)|printable"):
                rename(session, world, "ada", other)
            nested.rollback()


@on_sqlite
def test_an_account_cannot_take_the_name_of_a_team_or_baseline(world: World) -> None:
    with world.database.begin() as session:
        rename(session, world, "ada", "R0ckets")
        competition = competitions.by_slug(session, world.slug)
        teams.baseline(session, competition, "Prior only", now=NOON)
        for name in ("rockets", "ROCKETS", "r0ckets"):
            held = "R0ckets" if name.lower() != "r0ckets" else "the name of a team in"
            with pytest.raises(Conflict, match=f"The name {name.lower()} is taken: .*{held}"):
                accounts.register(session, name, None, now=NOON)
        with pytest.raises(Conflict):
            rename(session, world, "bob", "Pri\u043er  only")
        rename(session, world, "ada", "others")
        accounts.register(session, "rockets", None, now=NOON)


def test_the_own_name_and_the_names_of_own_teams_stay_free(world: World) -> None:
    with world.database.begin() as session:
        rename(session, world, "ada", "Rockets")
        rename(session, world, "ada", "ROCKETS")
        rename(session, world, "ada", "ada")
        rename(session, world, "ada", "Ada")


def test_a_baseline_gets_another_name_where_a_participant_was_first(world: World) -> None:
    with world.database.begin() as session:
        rename(session, world, "ada", "Prior only")
        competition = competitions.by_slug(session, world.slug)
        baseline = teams.baseline(session, competition, "Pri0r only", now=NOON)
        assert baseline.name == "Pri0r only (baseline)"
        assert teams.baseline(session, competition, "Pri0r only", now=NOON).id == baseline.id


PASSES = (
    *(
        "Admin",
        "ad-min",
        "a.d.m.i.n",
        "a d m i n",
        "adm1n",
        "0rganiser",
        "\u041erganiser",
        "Admin\u034f",
        "ADM1N",
    ),
    *(
        "The Organiser",
        "theorganiser",
        "the.organiser",
        "Organisers",
        "organiser1",
        "Ada (organiser)",
        "AdaAdmin",
    ),
    *(
        "Host team",
        "team hosts",
        "hostteam",
        "A Host",
        "t.h.e. h.o.s.t",
        "Organising Committee",
        "Course Staff",
    ),
    *(
        "Heldout",
        "he1dout",
        "held-out",
        "Heldout Crew",
        "The Support Team",
        "ROOT",
        "root 2",
        "Official Baseline",
    ),
    *("Instructors of the course", "admin_2", "command line", "Base line"),
)
PASSES_NOT = (
    *("badminton", "administer", "Hosting trees", "The Ghosts", "hostas", "Cohosts", "hostile takeover"),
    *(
        "Support vectors",
        "supporters",
        "Root mean squad",
        "The Roots",
        "System of equations",
        "Operator overload",
    ),
    *(
        "Baseline beaters",
        "beat the benchmark",
        "Held by trees",
        "organic",
        "moderate fit",
        "Workers",
        "Class 2",
    ),
)


@on_sqlite
def test_names_that_pass_for_an_organiser_are_for_organisers(world: World) -> None:
    with world.database.begin() as session:
        for name in PASSES:
            with pytest.raises(Refused, match="is reserved"):
                rename(session, world, "ada", name)
            if name != "AdaAdmin" and accounts.NAME.fullmatch(names.canonical(name)):
                with pytest.raises(Refused, match="is reserved"):
                    accounts.register(session, name, None, now=NOON)
        for name in PASSES_NOT:
            rename(session, world, "ada", name)
        accounts.register(session, "badminton", None, now=NOON)
        accounts.register(session, "admin", None, now=NOON, is_organiser=True)
        with pytest.raises(Refused, match="is reserved"):
            accounts.register(session, "sweeper", None, now=NOON, is_organiser=True)


@on_sqlite
def test_a_refused_name_states_its_holder_and_the_commands_that_free_it(world: World) -> None:
    with world.database.begin() as session:
        accounts.register(session, "s10", None, now=NOON)
        with pytest.raises(
            Conflict, match=r"The name s1o is taken: it reads like s10, the name of an account\."
        ) as no:
            accounts.register(session, "s1o", None, now=NOON)
        assert "`heldout user rename s10 NEW_NAME --release`" in no.value.remedy
        rename(session, world, "ada", "Car ol")
        title = competitions.by_slug(session, world.slug).title
        with pytest.raises(Conflict, match=f"reads like Car ol, the name of a team in {title}") as no:
            accounts.register(session, "carol", None, now=NOON)
        assert f"`heldout team rename {world.slug} 'Car ol' NEW_NAME`" in no.value.remedy


def test_a_former_name_stays_with_its_account_until_it_is_released(world: World) -> None:
    with world.database.begin() as session:
        ada = accounts.by_name(session, "ada")
        for before, after in (("ada", "lovelace"), ("lovelace", "byron")):
            accounts.rename(session, ada, after, by="command line", now=NOON)
            for name in (before, before.upper(), " ".join(before)):
                assert not names.is_free(session, name)
        with pytest.raises(Conflict, match="it is the name of an account before it was renamed") as no:
            accounts.register(session, "ada", None, now=NOON)
        assert "`heldout user rename byron byron --release`" in no.value.remedy
        with pytest.raises(Conflict, match="lovelace"):
            rename(session, world, "bob", "lovelace")
        assert names.is_free(session, "Lovelace", own=[ada.id])
        accounts.rename(session, ada, "ada", by="command line", now=NOON)
        accounts.rename(session, ada, "ada", by="command line", now=NOON, releases_former=True)
        accounts.register(session, "byron", None, now=NOON)


def test_sign_in_finds_an_account_in_any_form_of_its_name(world: World) -> None:
    with world.database.begin() as session:
        accounts.register(session, "\uff25\uff36\uff25", None, now=NOON)
        for name in ("eve", " EVE ", "\uff25ve"):
            assert accounts.by_name(session, name).name == "eve"


def test_of_concurrent_requests_for_one_name_one_gets_it(world: World) -> None:
    def one(name: str) -> bool:
        try:
            with world.database.begin() as session:
                accounts.register(session, name, None, now=NOON)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(one, ["lily", "1ily", "li1y", "lil-y", "1i1y", "lily"])) == 2


def test_renames_are_logged_and_after_the_close_are_an_organisers(world: World) -> None:
    with world.database.begin() as session:
        rename(session, world, "ada", "Rockets")
        rename(session, world, "ada", "Rockets")
        competition = competitions.by_slug(session, world.slug)
        competition.closes_at = NOON + timedelta(hours=1)
        with pytest.raises(Closed, match="Ask an organiser to rename your team"):
            rename(session, world, "ada", "Comets", now=NOON + timedelta(hours=1))
        rename(session, world, "ada", "Comets", now=NOON + timedelta(hours=1), is_organiser=True)
        accounts.rename(session, accounts.by_name(session, "bob"), "rob", by="command line", now=NOON)
        with pytest.raises(Conflict):
            accounts.rename(session, accounts.by_name(session, "rob"), "ADA", by="command line", now=NOON)
    with world.database.read() as session:
        found = [e for e in events.latest(session, world.slug) if e.action == "team renamed"]
        assert [(e.actor, e.detail["before"], e.detail["after"]) for e in reversed(found)] == [
            ("ada", "ada", "Rockets"),
            ("grace", "Rockets", "Comets"),
        ]
        (renamed,) = [e for e in events.latest(session, "rob") if e.action == "user renamed"]
        assert renamed.detail["before"] == "bob"
        assert audit_log.verify(session).faults == ()


def test_old_names_that_look_alike_stay_and_the_doctor_reports_them(world: World) -> None:
    with world.database.begin() as session:
        assert names.collisions(session) == []
        competition = competitions.by_slug(session, world.slug)
        of_bob = teams.of(session, competition, world.viewer("bob").id)
        assert of_bob is not None
        session.execute(update(Team).where(Team.id == of_bob.id).values(name="\u0430da"))
        session.execute(update(Team).values(skeleton=None, look=None))
        session.execute(update(User).values(skeleton=None))
        found = names.collisions(session)
        assert found == [f"account ada and team \u0430da ({of_bob.id})"]
        with pytest.raises(Conflict):  # the missing skeletons are computed first
            accounts.register(session, "ADA", None, now=NOON)
        checks = {check.name: check for check in doctor.check_database(session, now=NOON)}
        check = checks["Names of different people do not look alike"]
        assert not check.is_ok
        assert "heldout team rename" in check.advice
        session.execute(update(Team).where(Team.id == of_bob.id).values(name="Host team"))
        session.execute(update(User).where(User.name == "bob").values(name="organisers"))
        of_grace = session.scalar(select(User.id).where(User.is_organiser).limit(1))
        session.execute(update(User).where(User.id == of_grace).values(name="admin"))  # which is one
        assert names.reserved(session) == ["account organisers", f"team Host team in {world.slug}"]
        checks = {check.name: check for check in doctor.check_database(session, now=NOON)}
        check = checks["No participant has the name of an organiser or a part of Heldout"]
        assert not check.is_ok
        assert "heldout user rename" in check.advice


def test_names_of_a_database_before_skeletons_are_compared(database: Database) -> None:
    with database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0007_since_0003")
        for id_, name in ((1, "ada"), (2, "ad-a"), (3, "b0b"), (4, "bob")):
            row = {"id": id_, "name": name, "at": NOON}
            columns = "id, name, is_organiser, created_at"
            connection.execute(
                text(f"INSERT INTO user_account ({columns}) VALUES (:id, :name, false, :at)"), row
            )
    migrations.upgrade(database)
    with database.begin() as session:
        for name in ("4da", "ada", "b0b", "8ob"):
            is_free = name in ("4da", "8ob")
            assert names.is_free(session, name) is is_free
        assert session.scalar(select(User.skeleton).where(User.id == 3)) == "bob"
        assert names.collisions(session) == ["account b0b and account bob"]


def test_names_of_before_earlier_renames_are_kept_by_the_upgrade(world: World) -> None:
    with world.database.begin() as session:
        accounts.rename(session, accounts.by_name(session, "ada"), "lovelace", by="command line", now=NOON)
    with world.database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0008_since_0003")
        connection.execute(text("UPDATE user_account SET skeleton = 'b ob' WHERE name = 'bob'"))
    migrations.upgrade(world.database)
    with world.database.begin() as session:
        with pytest.raises(Conflict, match="it reads like ada, the name of an account before it was renamed"):
            accounts.register(session, "a.d.a", None, now=NOON)
        assert not names.is_free(session, "b o b")
        rename(session, world, "lovelace", "Ada")


def test_skeletons_with_punctuation_are_computed_again_by_the_upgrade(world: World) -> None:
    with world.database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0012_since_0003")
        connection.execute(text("UPDATE user_account SET skeleton = 'bob.' WHERE name = 'bob'"))
    migrations.upgrade(world.database)
    with world.database.begin() as session:
        assert not names.is_free(session, "bob.")


def test_the_table_is_the_one_that_its_head_describes() -> None:
    content = names.TABLE.read_text(encoding="ascii")
    head = [line for line in content.splitlines(keepends=True) if line.startswith("#")]
    body = content.removeprefix("".join(head))
    assert hashlib.sha256(body.encode()).hexdigest() in "".join(head)
    assert "Unicode 16.0" in head[0]
    licence = names.TABLE.with_name("confusables.LICENSE.txt").read_text(encoding="utf-8")
    assert licence.startswith("UNICODE LICENSE V3")
