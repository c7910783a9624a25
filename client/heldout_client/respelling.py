"""Recognise ids that are required ones in another spelling."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Callable, Optional

from heldout_client.problems import ID_JOINT, SPACES

Key = Callable[[str], Optional[Hashable]]
Unknown = Sequence[tuple[str, int]]

_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?", re.ASCII)
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{1,4}(?:\.gz)?$", re.ASCII)


def respelt(unknown: Unknown, missing: Sequence[str]) -> tuple[str, list[tuple[str, int, str]]]:
    """Return the cause of most unknown ids, and (received, line, expected); empty if there is none.

    The server knows more causes, such as dates and long numbers that passed through Excel.
    """
    for cause, key in _WAYS:
        # The first of the required ids that become equal is named.
        wanted = {_key(key, text): text for text in reversed(missing)}
        wanted.pop(None, None)
        pairs = [
            (text, line, wanted[found])
            for text, line in unknown
            if (found := _key(key, text)) is not None and found in wanted
        ]
        if pairs:
            return cause, pairs
    return "", []


def _key(key: Key, text: str) -> Hashable | None:
    parts = [part.strip(SPACES) for part in text.split(ID_JOINT)]
    keys = [key(part) for part in parts]
    if all(each is None for each in keys):
        return None
    return tuple(part if each is None else each for part, each in zip(parts, keys))


def _number(text: str) -> Hashable | None:
    """Return sign, digits and exponent: the same for 1, 1.0, 01 and 1e0."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        return "", "0", 0
    return sign.replace("+", ""), stripped, exponent - len(fraction) + len(digits) - len(stripped)


def _without_blanks(text: str) -> str:
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in ("Zs", "Cf"))


def _stem(text: str) -> str:
    return _EXTENSION.sub("", text.replace("\\", "/").rstrip("/").rpartition("/")[2])


def _without_quotes(text: str) -> str:
    return re.sub(r"^b(?=['\"])", "", text).strip("'\"`[](){} ")


def _letters(text: str) -> str | None:
    return "".join(c for c in _stem(text).casefold() if c.isalnum()) or None


_WAYS: tuple[tuple[str, Key], ...] = (
    ("a program read them as numbers; read and write this column as text, or as whole numbers", _number),
    ("they differ in blanks or invisible characters", _without_blanks),
    ("upper and lower case matter", str.casefold),
    ("the folder or the file extension differs", _stem),
    ("leave out quotes, brackets and b'...'", _without_quotes),
    ("punctuation, blanks, case or the extension differ", _letters),
)
