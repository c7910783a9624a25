"""What the columns of a roster hold: the headers of learning platforms, in several languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.base.errors import Refused

FIELDS = {
    "external_id": "student number or id of the platform",
    "login": "name at the platform",
    "email": "e-mail address",
    "given": "given name",
    "family": "family name",
    "name": "whole name, `Given Family` or `Family, Given`",
    "section": "section or tutorial",
    "group": "group, of which a team can be made",
    "canvas_id": "Canvas's own id",
    "worksheet_id": "identifier of a Moodle worksheet",
    "ignore": "nothing that a roster needs",
}

_HEADERS = {
    "external_id": """
        sis user id|id number|student id|student number|orgdefinedid|sid|identifier|external id
        matriculation number
        id nummer|id number idnumber|matrikelnummer|matrikel nr|matrikelnr|studierenden id|kennnummer
        id de estudiante|numero de id|numero de identificacion|matricula|codigo
        numero d identification|numero etudiant|numero d etudiant|id etudiant
        numero id|numero identificativo|matricola|codice identificativo
        numero de identificacao|studentnummer|studienummer|idnumber|user id""",
    "login": """
        sis login id|username|user name|login|login id|github username|account
        benutzername|anmeldename|kennung|nombre de usuario|nom d utilisateur|identifiant|nome utente
        nome de usuario|gebruikersnaam""",
    "email": """
        email address|email|e mail|e mail address|mail
        e mail adresse|emailadresse|e mailadresse|direccion de correo|direccion de correo electronico
        correo electronico|correo|adresse de courriel|adresse e mail|courriel|indirizzo email
        indirizzo e mail|endereco de email|e mailadres|emailadres""",
    "given": """
        first name|given name|given|vorname|nombre|nombres|nombre s|prenom|nome|nome proprio|voornaam
        firstname""",
    "family": """
        last name|surname|family name|family|nachname|familienname|apellido|apellidos|apellido s
        nom|nom de famille|cognome|sobrenome|apelido|achternaam|lastname""",
    "name": """
        student|student name|full name|name|lastname firstname|name full|vollstandiger name|name vorname
        nachname vorname|nombre completo|nom complet|nome completo|volledige naam|teilnehmer in|teilnehmer""",
    "section": "section|sections|tutorial|sektion|abschnitt|ubungsgruppe|seccion|sezione|secao|sectie",
    "group": "group|groups|gruppe|gruppen|grupo|grupos|groupe|groupes|gruppo|gruppi|groep|team",
    "canvas_id": "canvas id|canvas user id",
    "ignore": """
        github id|lms user id|root account|integration id|institution|department|institut|abteilung|status
        grade|maximum grade|availability|last access|end of line indicator|total score|max points""",
}
_WORKSHEET_IDS = ("identifier", "id", "identifiant", "identificador", "kennung")
_WORKSHEET_GRADES = {
    "full name",
    "status",
    "maximum grade",
    "bewertung",
    "hochste bewertung",
    "note",
    "calificacion",
}
"""Of a Moodle worksheet, with its first column in `_WORKSHEET_IDS`."""
_LINES_ABOVE = 10
_MOST_MAPPED = 100
_FIELD_OF = {
    header.strip(): field
    for field, listed in _HEADERS.items()
    for line in listed.splitlines()
    for header in line.split("|")
    if header.strip()
}


class NotMapped(Refused):
    """No column of the table is known to name a student; a person can say what the columns hold."""


@dataclass(frozen=True)
class Columns:
    """Which column holds what; positions begin at 0."""

    source: str
    """The platform in words, or `table`, or `list` for names without a header."""
    header: Sequence[str]
    """Empty for a list."""
    positions: Mapping[str, int]
    """Field to position."""

    def as_dict(self) -> dict[str, str]:
        """Return field to header, for a person."""
        return {
            field: self.header[at] if self.header else f"column {at + 1}"
            for field, at in self.positions.items()
        }


def folded(header: str) -> str:
    """Return a header without case, accents and signs: `Adresse e-mail` and `ADRESSE E-MAIL` are one."""
    plain = unicodedata.normalize("NFKD", header[:200].casefold().replace("ß", "ss"))
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", letters))


def header_of(rows: Sequence[Sequence[str]], chosen: Mapping[str, str]) -> int:
    """Return which of the first rows is the header: 0, unless narrow lines stand above a known one.

    Platforms and people write a title above the table.
    """
    wished = {folded(header) for header in chosen}
    for at, cells in enumerate(rows[:_LINES_ABOVE]):
        known = sum(folded(cell) in wished or folded(cell) in _FIELD_OF for cell in cells)
        if at == 0 and known:
            return 0
        if known > 1:
            return at
        if sum(bool(cell.strip()) for cell in cells) > 2:
            return 0
    return 0


def find(first: Sequence[str], chosen: Mapping[str, str]) -> Columns:
    """Return the columns of a table whose first row is given.

    `chosen` maps headers to fields and is stronger than the known headers. A first row of one cell that is no
    known header, or of two as in `Lovelace, Ada`, begins a list of names or addresses. Refuses a table in
    which no column names a student.
    """
    wished = {folded(header): field for header, field in chosen.items()}
    keys = [folded(header) for header in first]
    missing = [header for header in chosen if folded(header) not in keys]
    known = [wished.get(key) or _FIELD_OF.get(key) for key in keys]
    used = [cell for cell in first if cell.strip()]
    is_name = len(first) == 2 and first[1][:1] == " "  # `Lovelace, Ada`
    if (len(used) == 1 or is_name) and not wished and not any(known):
        at = next(position for position, cell in enumerate(first) if cell.strip())
        return Columns("list", (), {"email" if "@" in first[at] else "name": at})
    problems = []
    if missing:
        problems.append(f"There is no column {' and no column '.join(repr(one) for one in missing)}")
    source, positions = _platform(keys)
    positions = {field: at for field, at in positions.items() if keys[at] not in wished}
    for position, field in enumerate(known):
        if field is None or field == "ignore" or position in positions.values():
            continue
        if field in positions and keys[position] in wished and wished.get(keys[positions[field]]) == field:
            problems.append(
                f"Two columns are mapped to {field}: {first[positions[field]]!r}, {first[position]!r}"
            )
        if field not in positions or keys[position] in wished:
            positions[field] = position
    if not problems and not positions.keys() & {"external_id", "login", "email", "name", "family", "given"}:
        headers = ", ".join(repr(cell[:40]) for cell in used[:12])
        problems.append(f"No column of the file is known to name a student. Its first row is {headers}")
    if problems:
        fields = ", ".join(FIELDS)
        raise NotMapped(
            f"{'. '.join(problems)}. Map a column with --map 'HEADER=FIELD'; the fields are {fields}."
        )
    return Columns(source, list(first), positions)


def checked(mapping: Mapping[str, str]) -> dict[str, str]:
    """Return headers to fields, as a person gives them; refuse fields that there are not."""
    wrong = sorted({field for field in mapping.values() if field not in FIELDS})
    if wrong or len(mapping) > _MOST_MAPPED or any(not header.strip() for header in mapping):
        raise Refused(
            f"{', '.join(repr(one[:40]) for one in wrong[:5]) or 'A header'} cannot be used: map at most "
            f"{_MOST_MAPPED} headers to the fields {', '.join(FIELDS)}."
        )
    return {header.strip()[:200]: field for header, field in mapping.items()}


def known(first: Sequence[str]) -> list[str]:
    """Return the field of each known header of a first row, and "" of the others."""
    _, positions = _platform([folded(cell) for cell in first])
    by_position = {at: field for field, at in positions.items()}
    return [by_position.get(at) or _FIELD_OF.get(folded(cell), "") for at, cell in enumerate(first)]


def _platform(keys: Sequence[str]) -> tuple[str, dict[str, int]]:
    """Return the platform that a header is of, with the columns that only this platform names so."""
    at = {key: position for position, key in reversed([*enumerate(keys)])}
    is_canvas = keys[0] in ("student", "lastname firstname", "student name") and "section" in at
    if "id" in at and (is_canvas or at.keys() & {"sis user id", "sis login id"}):
        return "Canvas", {"canvas_id": at["id"], "name": 0}
    if "orgdefinedid" in at:
        return "Brightspace", {}
    if "identifier" in at and "github username" in at:
        return "GitHub Classroom", {"external_id": at["identifier"]}
    if keys[0] in _WORKSHEET_IDS and at.keys() & _WORKSHEET_GRADES:
        return "Moodle worksheet", {"worksheet_id": 0}
    if "last downloaded from this course" in at or ("id number" in at and "email address" in at):
        return "Moodle", {}
    if keys[:3] == ["last name", "first name", "username"]:
        return "Blackboard", {}
    if "sid" in at and "email" in at:
        return "Gradescope", {}
    if keys[0] == "id" and not any(_FIELD_OF.get(key) == "external_id" for key in keys):
        is_nbgrader = at.keys() & {"first name", "last name", "email", "lms user id"}
        return "nbgrader" if is_nbgrader else "table", {"external_id": 0}
    return "table", {}
