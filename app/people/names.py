"""Names of accounts and teams: no two of different people may look alike.

Names are compared by a skeleton: Unicode's compatibility form (NFKC), without case, blanks, invisible
characters, punctuation around the name, marks around and below letters and the joints of letters that stand
alone (`a.d.a`), and with each character replaced by the one it looks like (UTS 39). So a participant can take
neither the name of another team nor that of a classmate who has not joined yet, in any spelling. The former
name of an account stays its own.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from app.base.errors import Conflict, Refused
from app.base.models import Competition, FormerName, Membership, Team, User

TABLE = Path(__file__).with_name("confusables.txt")
MOST_CHARACTERS = 200  # of a stored skeleton: one character may become eighteen
_LOCK = 0x6E61_6D65_73  # "names": PostgreSQL identifies such a lock by a number

# Actors of the audit log that are no accounts.
ACTORS = ("command line", "scan", "report", "sweeper", "worker")
# Words with which a participant passes for an organiser or the installation, wherever they stand in a name.
ROLES = ("admin", "administrator", "organiser", "organizer", "moderator", "instructor", "heldout")
# Words that do so alone or among the words around: "Host team", but not "Support vectors".
RESERVED = (
    *("root", "system", "staff", "support", "sysadmin", "superuser", "webmaster", "host", "operator"),
    *("lecturer", "teacher", "organising", "organizing", "baseline", "benchmark"),
)
_NO_PLURAL = ("heldout", "root", "system", "staff", "support", "organising", "organizing")
_AROUND = (
    *("the", "a", "an", "our", "your", "this", "of", "for", "and", "by", "official", "real", "main", "head"),
    *("team", "teams", "group", "committee", "crew", "account", "user", "name"),
    *("competition", "challenge", "contest", "course", "class", "site", "server", "platform"),
)
_LETTER, _JOINT = r"[^\W\d_][\u0300-\u036f]*", r"[\s!-/:-@\[-`{-~]+"
_BELOW = 220
"""The class of Unicode's combining marks that stand below a letter."""
_AROUND_NAME = " .,:;!?'\"`-_()[]{}"
"""What is no part of a name at its ends, as skeletons write it. Signs as in `C#` and `C++` are."""
_APART = re.compile(rf"(?<![^\W_]){_LETTER}(?:{_JOINT}{_LETTER}(?![^\W_])){{2,}}")
"""Three letters or more that stand apart: `a d a`, `a.d.a`."""


def canonical(name: str) -> str:
    """Return the form in which an account's name is stored and looked up."""
    # Before a name is known to be short: to order the marks of 64 kB of them takes seconds.
    return unicodedata.normalize("NFKC", name[:MOST_CHARACTERS]).strip().casefold()


def skeletons(name: str) -> tuple[str, str]:
    """Return the skeletons of a name, without case and as it is displayed.

    Both are needed: `AIice` looks like `Alice` by its capital I, which no lower-case form shows.
    """
    plain, look = _spaced(name)
    return _joined(plain), _joined(look)


def is_visible(name: str) -> bool:
    """Whether a name has more than blanks and invisible characters."""
    return bool(_skeleton(name).strip())


def refuse_reserved(name: str, *, is_organiser: bool = False) -> None:
    """Refuse a name that passes for the operator, an organiser or a part of Heldout."""
    if not _forms(ACTORS).isdisjoint(_closed(name)) or (not is_organiser and _passes_for_a_role(name)):
        raise Refused(
            f"The name {name} is reserved: it reads like that of an organiser or a part of Heldout. "
            "Choose another."
        )


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
    users = select(User).where(User.skeleton.in_(wanted), User.id.not_in(own)).order_by(User.id)
    if user := session.scalar(users.limit(1)):
        raise _taken(
            name,
            user.name,
            "an account",
            f"`heldout user rename {user.name} NEW_NAME --release` renames that account and frees its name.",
        )
    if _is_erased(session, wanted):
        raise Conflict(f"The name {name} is taken: an account that was erased had it. Choose another.")
    former = select(FormerName).where(FormerName.skeleton.in_(wanted), FormerName.user_id.not_in(own))
    if before := session.scalar(former.order_by(FormerName.id).limit(1)):
        holder = session.get_one(User, before.user_id).name
        raise _taken(
            name,
            before.name,
            "an account before it was renamed",
            f"`heldout user rename {holder} {holder} --release` frees the former names of {holder}.",
        )
    joined = select(Membership.team_id).where(Membership.user_id.in_(own))
    theirs = select(Team.id).where(or_(Team.id.in_(joined), Team.merged_into_id.in_(joined)))
    teams = select(Team, Competition).join(Competition, Competition.id == Team.competition_id)
    teams = teams.where(or_(Team.skeleton.in_(wanted), Team.look.in_(wanted)), Team.id.not_in(theirs))
    if team is not None:
        teams = teams.where(Team.id != team.id)
    if baseline:
        teams = teams.where(~Team.is_baseline)
    if found := session.execute(teams.order_by(Team.id).limit(1)).one_or_none():
        held, competition = found
        raise _taken(
            name,
            held.name,
            f"a {'baseline' if held.is_baseline else 'team'} in {competition.title}",
            f"`heldout team rename {competition.slug} {shlex.quote(held.name)} NEW_NAME` renames it.",
        )


def erased(name: str) -> str:
    """Return what reserves the name of an erased account: a slow hash of its skeleton.

    The name itself is gone. A person that knows it can confirm it, which takes 30 ms for each guess.
    """
    return _slow_hash(stored(name)[0])


def _is_erased(session: Session, skeletons: Collection[str]) -> bool:
    """Whether a name was that of an erased account; names hash only where there is such an account."""
    is_any = session.scalar(select(FormerName.id).where(FormerName.name == "").limit(1)) is not None
    if not is_any:
        return False
    hashes = [_slow_hash(one) for one in set(skeletons)]
    held = select(FormerName.id).where(FormerName.name == "", FormerName.skeleton.in_(hashes))
    return session.scalar(held.limit(1)) is not None


def _slow_hash(skeleton: str) -> str:
    made = hashlib.scrypt(skeleton.encode(), salt=b"heldout erased name", n=2**13, r=8, p=1, dklen=32)
    return f"erased {made.hex()}"


def _taken(name: str, held: str, holder: str, remedy: str) -> Conflict:
    """Return the refusal of a name that is, or reads like, the one that something else holds."""
    is_same = canonical(name) == canonical(held)
    why = f"it is the name of {holder}" if is_same else f"it reads like {held}, the name of {holder}"
    return Conflict(f"The name {name} is taken: {why}. Choose another.", remedy=remedy)


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
    merged = select(Team.id, Team.merged_into_id).where(Team.merged_into_id.is_not(None))
    members |= {id_: members.get(into or 0, {0}) for id_, into in session.execute(merged)}
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


def reserved(session: Session) -> list[str]:
    """Return in words the accounts and teams whose names are reserved by now.

    Those of organisers and of baselines may be any but the actors of the audit log.
    """
    accounts = session.execute(select(User.name, User.is_organiser).order_by(User.id)).all()
    found = [f"account {name}" for name, is_host in accounts if _is_reserved(name, is_organiser=is_host)]
    hosts = select(Membership.team_id).join(User, User.id == Membership.user_id).where(User.is_organiser)
    teams = select(Team.name, or_(Team.is_baseline, Team.id.in_(hosts)), Competition.slug)
    teams = teams.join(Competition, Competition.id == Team.competition_id).order_by(Team.id)
    return found + [
        f"team {name} in {slug}"
        for name, is_hosts, slug in session.execute(teams)
        if _is_reserved(name, is_organiser=is_hosts)
    ]


def _is_reserved(name: str, *, is_organiser: bool) -> bool:
    try:
        refuse_reserved(name, is_organiser=bool(is_organiser))
    except Refused:
        return True
    return False


def _fill(session: Session) -> None:
    """Compute the skeletons of rows without one: of old data, and of rows that an older program added."""
    for user in session.scalars(select(User).where(User.skeleton.is_(None))).all():
        user.skeleton = stored(user.name)[0]
    for former in session.scalars(select(FormerName).where(FormerName.skeleton.is_(None))).all():
        former.skeleton = stored(former.name)[0]
    for team in session.scalars(select(Team).where(Team.skeleton.is_(None))).all():
        team.skeleton, team.look = stored(team.name)
    session.flush()


def stored(name: str) -> tuple[str, str]:
    """Return the skeletons as columns hold them."""
    plain, look = skeletons(name)
    return plain[:MOST_CHARACTERS], look[:MOST_CHARACTERS]


def _spaced(name: str) -> tuple[str, str]:
    """Return the skeletons with single blanks, without case and as the name is displayed."""
    plain = " ".join(unicodedata.normalize("NFKC", name).split())
    return _fold(plain.casefold()), _fold(plain)


def _fold(name: str) -> str:
    """Return the skeleton without case."""
    for _ in range(4):  # the skeleton of 0 is a capital O, whose lower case is a skeleton
        folded = _skeleton(name).casefold()
        if folded == name:
            break
        name = folded
    name = " ".join(name.split())
    return name.strip(_AROUND_NAME) or name


def _joined(skeleton: str) -> str:
    """Return a skeleton without blanks and with letters joined that stand apart."""
    together = _APART.sub(lambda run: re.sub(_JOINT, "", run[0]), skeleton)
    return together.replace(" ", "")


def _skeleton(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name)
    replaced = unicodedata.normalize("NFD", decomposed.translate(_table()))
    return replaced if replaced.isascii() else "".join(c for c in replaced if not _hardly_shows(c))


def _hardly_shows(character: str) -> bool:
    """Return whether a character is a mark around or below letters, where links are underlined."""
    return unicodedata.category(character) == "Me" or unicodedata.combining(character) == _BELOW


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
    table[0x2800] = " "  # the empty braille pattern
    return table


def _passes_for_a_role(name: str) -> bool:
    """Whether a name has a role as a word, or is made of reserved words and words around them."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    roles, reserved, around = _words(ROLES), _words(RESERVED) | _words(ROLES), _forms(_AROUND)
    # Numbers around a word (`admin 2`, `host1`) change nothing; those inside it stand for letters.
    for variant in (name, re.sub(r"(?<!\w)\d+|\d+(?!\w)", "", name)):
        for spaced in _spaced(variant):
            words = {word for word in re.split(r"[\W_]+", spaced) if word}
            if words & roles or (words & reserved and words <= reserved | around):
                return True
        if any(_glued().fullmatch(closed) for closed in _closed(variant)):
            return True
    return False


@lru_cache(maxsize=1)
def _glued() -> re.Pattern[str]:
    """Return the pattern of reserved words and words around them without blanks: `theorganiser`."""
    around = "|".join(sorted(word for word in _forms(_AROUND) if len(word) > 2 or word == "of"))
    reserved = "|".join(sorted(_words(RESERVED) | _words(ROLES)))
    return re.compile(f"(?:{around})*(?:{reserved})(?:{around}|{reserved})*")


@lru_cache(maxsize=2)
def _words(singular: tuple[str, ...]) -> frozenset[str]:
    """Return the skeletons of words and of their plurals."""
    plurals = (f"{word}s" for word in singular if word not in _NO_PLURAL)
    return _forms((*singular, *plurals))


@lru_cache(maxsize=8)
def _forms(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(closed for word in words for form in (word, word.upper()) for closed in _closed(form))


def _closed(name: str) -> set[str]:
    """Return the skeletons without blanks and joints: `ad-min` and `a d m i n` pass for `admin`."""
    return {"".join(c for c in skeleton if c.isalnum()) for skeleton in _spaced(name)}
