"""Names of accounts and teams: no two of different people may look alike.

Names are compared by a skeleton: Unicode's compatibility form (NFKC), without case, repeated blanks and
invisible characters, and with each character replaced by the one it looks like (UTS 39). So a participant can
take neither the name of another team nor that of a classmate who has not joined yet, in any spelling.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from app.base.errors import Conflict, Refused
from app.base.models import Membership, Team, User

TABLE = Path(__file__).with_name("confusables.txt")
MOST_CHARACTERS = 200  # of a stored skeleton: one character may become eighteen
_LOCK = 0x6E61_6D65_73  # "names": PostgreSQL identifies such a lock by a number

# Actors of the audit log that are no accounts.
ACTORS = ("command line", "scan", "report", "sweeper", "worker")
# Names with which a participant could pass for the operator or an organiser.
RESERVED = (
    *("admin", "administrator", "root", "system", "staff", "support", "host", "moderator", "heldout"),
    *("organiser", "organizer", "instructor", "operator", "baseline", "benchmark"),
)


def canonical(name: str) -> str:
    """Return the form in which an account's name is stored and looked up."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def skeletons(name: str) -> tuple[str, str]:
    """Return the skeletons of a name, without case and as it is displayed.

    Both are needed: `AIice` looks like `Alice` by its capital I, which no lower-case form shows.
    """
    plain = " ".join(unicodedata.normalize("NFKC", name).split())
    return _fold(plain.casefold()), _fold(plain)


def is_visible(name: str) -> bool:
    """Whether a name has more than blanks and invisible characters."""
    return bool(_skeleton(name).replace("\u2800", "").strip())  # the empty braille pattern


def refuse_reserved(name: str, *, is_organiser: bool = False) -> None:
    """Refuse a name that passes for the operator, an organiser or a part of Heldout."""
    reserved = ACTORS if is_organiser else (*ACTORS, *RESERVED)
    if not _reserved(reserved).isdisjoint(_closed(name)):
        raise Refused(f"The name {name} is reserved; choose another.")


def refuse_taken(
    session: Session,
    name: str,
    *,
    own: Collection[int] = (),
    team: Team | None = None,
    baseline: bool = False,
) -> None:
    """Refuse a name that looks like that of an account or team of others, anywhere in the installation.

    `own` are the ids of the users that want it: their accounts and teams do not count. Baselines of several
    competitions may have the same name.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Two concurrent requests would both see the name free; on SQLite there is one writer at a time.
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    _fill(session)
    wanted = stored(name)
    theirs = select(Membership.team_id).where(Membership.user_id.in_(own))
    teams = select(Team.id).where(
        or_(Team.skeleton.in_(wanted), Team.look.in_(wanted)), Team.id.not_in(theirs)
    )
    if team is not None:
        teams = teams.where(Team.id != team.id)
    if baseline:
        teams = teams.where(~Team.is_baseline)
    users = select(User.id).where(User.skeleton.in_(wanted), User.id.not_in(own))
    if session.scalar(users.limit(1)) is not None or session.scalar(teams.limit(1)) is not None:
        raise Conflict(f"The name {name} is taken, or looks like one that is; choose another.")


def is_free(session: Session, name: str, *, own: Collection[int] = (), baseline: bool = False) -> bool:
    try:
        refuse_taken(session, name, own=own, baseline=baseline)
    except Conflict:
        return False
    return True


def collisions(session: Session) -> list[str]:
    """Return in words the names of different people that look alike.

    Names from before the comparison, and those that an older program made, stay as they are.
    """
    members: dict[int, set[int]] = {}
    for team_id, user_id in session.execute(select(Membership.team_id, Membership.user_id)):
        members.setdefault(team_id, set()).add(user_id)
    by_skeleton: dict[str, dict[str, set[int]]] = {}
    for id_, name in session.execute(select(User.id, User.name).order_by(User.id)):
        for skeleton in set(skeletons(name)):
            by_skeleton.setdefault(skeleton, {})[f"account {name}"] = {id_}
    for id_, name in session.execute(select(Team.id, Team.name).order_by(Team.id)):
        # Baselines have no members; two of the same name are no deception.
        for skeleton in set(skeletons(name)):
            by_skeleton.setdefault(skeleton, {})[f"team {name} ({id_})"] = members.get(id_, {0})
    found = []
    for holders in by_skeleton.values():
        (first, owners), *others = holders.items()
        found += [f"{first} and {other}" for other, own in others if owners.isdisjoint(own)]
    return list(dict.fromkeys(found))


def _fill(session: Session) -> None:
    """Compute the skeletons of rows without one: of old data, and of rows that an older program added."""
    for user in session.scalars(select(User).where(User.skeleton.is_(None))).all():
        user.skeleton = stored(user.name)[0]
    for team in session.scalars(select(Team).where(Team.skeleton.is_(None))).all():
        team.skeleton, team.look = stored(team.name)
    session.flush()


def stored(name: str) -> tuple[str, str]:
    """Return the skeletons as columns hold them."""
    plain, look = skeletons(name)
    return plain[:MOST_CHARACTERS], look[:MOST_CHARACTERS]


def _fold(name: str) -> str:
    """Return the skeleton without case."""
    for _ in range(4):  # the skeleton of 0 is a capital O, whose lower case is a skeleton
        folded = _skeleton(name).casefold()
        if folded == name:
            break
        name = folded
    return " ".join(name.split())


def _skeleton(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name)
    return unicodedata.normalize("NFD", decomposed.translate(_table()))


@lru_cache(maxsize=1)
def _table() -> dict[int, str]:
    lines = [line for line in TABLE.read_text(encoding="ascii").splitlines() if not line.startswith("#")]
    table: dict[int, str] = {}
    for line in lines:
        skeleton, _, codes = line.partition(":")
        becomes = "".join(chr(int(code, 16)) for code in skeleton.split())
        for code in codes.split():
            first, _, last = code.partition("-")
            table.update(dict.fromkeys(range(int(first, 16), int(last or first, 16) + 1), becomes))
    return table


@lru_cache(maxsize=2)
def _reserved(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word for name in words for form in (name, name.upper()) for word in _closed(form))


def _closed(name: str) -> set[str]:
    """Return the skeletons without blanks and joints: `ad-min` and `a d m i n` pass for `admin`."""
    return {"".join(c for c in skeleton if c.isalnum()) for skeleton in skeletons(name)}
