"""Pair ids that are not in the test set with required ids that they respell.

Each way of respelling is one cause with its own remedy: 1.0 for 1, img_1.jpg for img_1, 1.23457E+15 for a
long number that passed through Excel. Only ids take part, which every participant has.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import cache, partial
from itertools import permutations

from scorer.reading.forms import composed
from scorer.reading.tables import SPACES
from scorer.wording import ID_JOINT, show

Key = Callable[[str], Hashable | None]
Unknown = Sequence[tuple[str, int]]
"""Ids as received, with their lines."""

_NUMERIC_ID = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?", re.ASCII)
_LONG_DIGITS = re.compile(r"-?[1-9]\d{11,39}", re.ASCII)
_SCIENTIFIC = re.compile(r"-?(\d(?:[.,]\d{1,14})?)E\+(\d{2,3})", re.ASCII)
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{1,4}(?:\.gz)?$", re.ASCII)
_EXCEL_DIGITS = 15
_PLAIN_DIGITS = 40
_PROBED = 100
"""Unknown ids that show whether an affix applies."""
_MOST_ORDERED = 4
"""Id columns whose orders are tried."""
_MOST_COMPARED = 20_000
"""Values of an id column with which those of other columns are compared."""
_SAMPLED = 1000
"""Ids that show whether a way applies; a way is tried on all ids only if it explains a tenth of these."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to respell an id."""

    cause: str | Callable[[str, str], str]
    """A clause for the message, and the remedy; may depend on the first id as received and as expected."""
    received: Key
    expected: Key
    share: float = 0.0
    """Of the unknown ids that must be explained, else the pairs are chance."""


@dataclass(frozen=True, slots=True)
class Respelt:
    """The received ids that one way explains."""

    cause: str
    pairs: list[tuple[str, int, str]]
    """(Received, line, expected)."""


def match(
    unknown: Unknown, missing: Sequence[str], columns: Sequence[str]
) -> tuple[list[Respelt], list[tuple[str, int]], list[str]]:
    """Return the pairs by way, and the unknown and missing ids that are left.

    Of ids that become equal, as two long numbers in Excel, each is paired with one of those it may stand for.
    """
    found = []
    rest, lost = list(unknown), list(missing)
    if 1 < len(columns) <= _MOST_ORDERED:
        swapped = _in_another_order(rest, lost, columns) or _respelt_in_another_order(rest, lost, columns)
        if swapped:
            order, pairs, rest, lost = swapped
            found.append(Respelt(order, pairs))
    for ways in _ways(rest, lost, columns):
        if not rest or not lost:
            break
        tried = [_pair(way, rest, lost) for way in ways]
        best = max(tried, key=lambda pairs: len(pairs[0]))
        pairs, left, remaining = best
        if pairs:
            cause = ways[tried.index(best)].cause
            first, _, expected = pairs[0]
            found.append(Respelt(cause if isinstance(cause, str) else cause(first, expected), pairs))
            rest[:], lost[:] = left, remaining
            if len(pairs) >= 0.9 * len(unknown):
                break
    if rest and lost and len(columns) > 1:
        cause, pairs, rest, lost = _by_column(rest, lost, columns)
        if pairs:
            found.append(Respelt(cause, pairs))
    return found, rest, lost


def _in_another_order(
    unknown: list[tuple[str, int]], missing: list[str], columns: Sequence[str]
) -> tuple[str, list[tuple[str, int, str]], list[tuple[str, int]], list[str]] | None:
    """Return the cause, the pairs and what is left of ids whose values stand in each other's columns.

    None unless that explains most of the ids.
    """
    required = set(missing)
    sent = [[part.strip(SPACES) for part in text.split(ID_JOINT)] for text, _ in unknown]
    sampled = sent[:: _step(len(sent))]
    for order in permutations(range(len(columns))):
        right = sum(ID_JOINT.join(parts[place] for place in order) in required for parts in sampled)
        if right <= 0.5 * len(sampled):
            continue
        pairs, left, taken = [], [], set()
        for parts, (received, line) in zip(sent, unknown, strict=True):
            expected = ID_JOINT.join(parts[place] for place in order)
            if expected in required and expected not in taken:
                taken.add(expected)
                pairs.append((received, line, expected))
            else:
                left.append((received, line))
        return _order_words(order, columns), pairs, left, [text for text in missing if text not in taken]
    return None


def _order_words(order: Sequence[int], columns: Sequence[str]) -> str:
    moved = [(columns[place], column) for place, column in zip(order, columns, strict=True)]
    places = " and ".join(f"those of {show(to)} in {show(at)}" for at, to in moved if at != to)
    return f"the values of the id columns are interchanged: {places}"


def _respelt_in_another_order(
    unknown: list[tuple[str, int]], missing: list[str], columns: Sequence[str]
) -> tuple[str, list[tuple[str, int, str]], list[tuple[str, int]], list[str]] | None:
    """Return the same as `_in_another_order` of ids whose values are respelt as well.

    None unless some column holds few values of its own, in any spelling, and an order explains nearly all.
    """
    sent = [[part.strip(SPACES) for part in text.split(ID_JOINT)] for text, _ in unknown]
    sampled = sent[:: _step(len(sent))]
    places = range(len(columns))
    wanted = [dict.fromkeys(text.split(ID_JOINT)[place] for text in missing) for place in places]
    if not sent or not missing or max(map(len, wanted)) > _MOST_COMPARED:
        return None

    @cache
    def share(at: int, place: int) -> float:
        """Return the share of the values sent in one column that may be values of another."""
        values = dict.fromkeys(parts[at] for parts in sampled)
        odd = [(value, 0) for value in values if value not in wanted[place]]
        found = match(odd, list(wanted[place]), (columns[place],))[0] if odd else []
        return 1.0 - (len(odd) - sum(len(each.pairs) for each in found)) / len(values)

    if all(share(place, place) >= 0.5 for place in places):
        return None
    order = max(permutations(places), key=lambda order: min(map(share, order, places)))
    if min(map(share, order, places)) < 0.9 or order == tuple(places):
        return None
    turned = [ID_JOINT.join(parts[place] for place in order) for parts in sent]
    lines = [(text, row) for row, text in enumerate(turned)]
    causes, pairs, left, lost = _by_column(lines, missing, columns)
    if len(pairs) <= 0.5 * len(unknown):
        return None
    return (
        f"{_order_words(order, columns)}; besides, in their own columns: {causes}",
        [(*unknown[row], expected) for _, row, expected in pairs],
        [unknown[row] for _, row in left],
        lost,
    )


def _by_column(
    unknown: list[tuple[str, int]], missing: list[str], columns: Sequence[str]
) -> tuple[str, list[tuple[str, int, str]], list[tuple[str, int]], list[str]]:
    """Return the causes, the pairs and what is left of ids in which each column is respelt in its own way."""
    sent = [[part.strip(SPACES) for part in text.split(ID_JOINT)] for text, _ in unknown]
    causes: dict[str, None] = {}
    for position, column in enumerate(columns):
        wanted = dict.fromkeys(text.split(ID_JOINT)[position] for text in missing)
        odd = {parts[position]: line for parts, (_, line) in zip(sent, unknown, strict=True)}
        found, _, _ = match([pair for pair in odd.items() if pair[0] not in wanted], list(wanted), (column,))
        causes.update(dict.fromkeys(each.cause for each in found))
        meant = {received: expected for each in found for received, _, expected in each.pairs}
        for parts in sent:
            parts[position] = meant.get(parts[position], parts[position])
    lost = dict.fromkeys(missing)
    pairs, left = [], []
    for parts, (received, line) in zip(sent, unknown, strict=True):
        expected = ID_JOINT.join(parts)
        if expected in lost:
            del lost[expected]
            pairs.append((received, line, expected))
        else:
            left.append((received, line))
    return "; ".join(causes), pairs, left, list(lost)


_Paired = tuple[list[tuple[str, int, str]], list[tuple[str, int]], list[str]]


def _pair(way: Way, unknown: list[tuple[str, int]], missing: list[str]) -> _Paired:
    nothing: _Paired = ([], unknown, missing)
    sample = [text for text, _ in unknown[:: _step(len(unknown))]]
    keys = [_key(way.received, text) for text in sample]
    if all(key is None for key in keys):
        return nothing
    # Unknown ids are not required: where the way changes neither side, nothing becomes equal.
    if not _changes(way.received, sample) and not _changes(way.expected, missing[:: _step(len(missing))]):
        return nothing
    theirs = [_key(way.expected, text) for text in missing]
    known = set(theirs) - {None}
    share = max(way.share, 0.1 if len(unknown) > _SAMPLED else 0.0)
    n_explained = sum(key in known for key in keys)
    if not n_explained or n_explained < share * len(sample):
        return nothing
    wanted: dict[Hashable, list[str]] = {}
    for key, text in zip(reversed(theirs), reversed(missing), strict=True):
        if key is not None:
            wanted.setdefault(key, []).append(text)
    pairs, left = [], []
    for received, line in unknown:
        same = wanted.get(_key(way.received, received))
        if same:
            pairs.append((received, line, same.pop()))
        else:
            left.append((received, line))
    taken = {expected for _, _, expected in pairs}
    return pairs, left, [text for text in missing if text not in taken]


def _step(n: int) -> int:
    """Return the step that takes about `_SAMPLED` of n ids, all of a few."""
    return max(1, n // _SAMPLED)


def _changes(key: Key, texts: Sequence[str]) -> bool:
    return any((changed := _key(key, text)) is not None and changed != _key(_same, text) for text in texts)


def _key(key: Key, text: str) -> Hashable | None:
    if ID_JOINT not in text:
        return key(text.strip(SPACES))
    parts = [part.strip(SPACES) for part in text.split(ID_JOINT)]
    keys = [key(part) for part in parts]
    if all(each is None for each in keys):
        return None
    # A part that the way does not apply to, such as the name of a shop beside a date, stays as it is.
    return tuple(part if each is None else each for part, each in zip(parts, keys, strict=True))


def _ways(unknown: Unknown, missing: Sequence[str], columns: Sequence[str]) -> Iterator[Sequence[Way]]:
    """Yield the ways in the order they are tried; of several together the best is taken.

    Both lists shrink between two steps by the ids that were paired.
    """
    column = _differing(unknown, missing, columns)
    as_text = f"in pandas read them as text: pd.read_csv(..., dtype={{{column!r}: str}})"
    in_excel = 'in Excel import this column as type "Text" (Data > From Text/CSV), or do not save in Excel'
    yield [Way(lambda mine, theirs: _number_remedy(mine, theirs, column, as_text), _plain_key, _plain_key)]
    digits = _significant_digits(unknown)
    shown = "the numbers were rounded when they were displayed"
    yield [
        Way(
            f"{shown}, as Excel does with long ones; {in_excel}",
            _scientific_key,
            lambda text: _rounded_key(text, digits),
        )
    ]
    yield [
        Way(f"Excel keeps {_EXCEL_DIGITS} digits of a number; {in_excel}", _long_key, _cut_key),
        Way(f"the ids were numbers with 53 bits, which do not hold all digits; {as_text}", _float, _float),
    ]
    yield [Way("they differ in blanks or invisible characters", _without_blanks, _without_blanks)]
    yield [Way("upper and lower case matter", str.casefold, str.casefold)]
    yield [Way(_path_remedy, _stem, _stem)]
    form = f"the dates are in another form; in pandas: df[{column!r}].dt.strftime(...); {in_excel}"
    us = partial(_date_key, day_first=False)
    # A serial number looks like any number of five digits; beside a date with separators it is one.
    us_apart, apart = partial(_separated_key, day_first=False), _separated_key
    pairs: list[tuple[Key, Key]] = [(us, _iso_key), (_date_key, _iso_key), (_date_key, _date_key)]
    pairs += [(_serial_key, apart), (_serial_key, us_apart), (us_apart, _serial_key), (apart, _serial_key)]
    yield [Way(form, mine, theirs, share=0.5) for mine, theirs in pairs]
    yield [Way("leave out quotes, brackets and b'...'", _without_quotes, _without_quotes)]
    yield [Way("the text was read in another encoding than UTF-8", _repaired, _same)]
    yield [Way(_affix_words(*affix), *_affix_keys(*affix)) for affix in _affixes(unknown, missing)] or [_NONE]
    yield [Way("punctuation, blanks, case or the extension differ", _letters, _letters)]


# --- numbers --------------------------------------------------------------------------------------


def number_key(text: str) -> tuple[str, str, int] | None:
    """Return a number's sign, significant digits and exponent.

    The same for 1, 1.0, 01 and 1e0; exact at any length.
    """
    match = _NUMERIC_ID.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        return "", "0", 0
    return sign.replace("+", ""), stripped, exponent - len(fraction) + len(digits) - len(stripped)


def _plain_key(text: str) -> Hashable | None:
    """Return a number as a short whole number is written; else as `number_key` does."""
    if text.isascii() and text.isdecimal() and text[0] != "0" and len(text) <= _PLAIN_DIGITS:
        return text
    key = number_key(text)
    if key is None:
        return None
    sign, digits, exponent = key
    whole = 0 <= exponent <= _PLAIN_DIGITS - len(digits)
    return sign + digits + "0" * exponent if whole else key


def whole_number(text: str) -> str | None:
    """Return a short whole number as it is usually written, None for any other text."""
    key = _plain_key(text)
    return key if isinstance(key, str) else None


def _number_remedy(received: str, expected: str, column: str, as_text: str) -> str:
    mine, theirs = _different_parts(received, expected)
    if re.fullmatch(r"\d(?:\.\d+)?e\+\d\d", mine):
        return f"in R: df${column} <- format(df${column}, scientific = FALSE, trim = TRUE)"
    if theirs.isdecimal() and (theirs == "0" or not theirs.startswith("0")):
        return f"in pandas: df[{column!r}] = df[{column!r}].astype(int)"
    if theirs.startswith("0") and theirs.isdecimal() and len(mine) < len(theirs):
        return f'the leading zeros are lost; {as_text}; in Excel import this column as type "Text"'
    return as_text


def _different_parts(received: str, expected: str) -> tuple[str, str]:
    """Return the first parts of two ids that differ."""
    parts = zip(received.split(ID_JOINT), expected.split(ID_JOINT), strict=False)
    bare = [(mine.strip(SPACES), theirs.strip(SPACES)) for mine, theirs in parts]
    return next((pair for pair in bare if pair[0] != pair[1]), bare[0])


def _significant_digits(unknown: Unknown) -> int:
    lengths = [
        len(found[1]) - (not found[1].isdigit())
        for received, _ in unknown[:1000]
        for part in received.split(ID_JOINT)
        if (found := _SCIENTIFIC.fullmatch(part.strip(SPACES)))
    ]
    return max(lengths, default=6)


def _scientific_key(text: str) -> Decimal | None:
    return Decimal(text.replace(",", ".")) if _SCIENTIFIC.fullmatch(text) else None


def _rounded_key(text: str, digits: int) -> Decimal | None:
    if not _LONG_DIGITS.fullmatch(text):
        return None
    return Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal(text)


def _long_key(text: str) -> str | None:
    return text if _LONG_DIGITS.fullmatch(text) and len(text) > _EXCEL_DIGITS else None


def _cut_key(text: str) -> str | None:
    """Return a long number as Excel keeps it: zeros after 15 digits."""
    if _long_key(text) is None:
        return None
    kept = _EXCEL_DIGITS + text.startswith("-")
    return text[:kept] + "0" * (len(text) - kept)


def _float(text: str) -> float | None:
    digits = re.sub(r"[.eE].*", "", text)
    try:
        return float(text) if _NUMERIC_ID.fullmatch(text) and Decimal(text) >= 10**14 and digits else None
    except (InvalidOperation, OverflowError):
        return None


# --- texts ----------------------------------------------------------------------------------------


def _same(text: str) -> str:
    return text


def _without_blanks(text: str) -> str:
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in ("Zs", "Cf"))


def _stem(text: str) -> str:
    name = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return _EXTENSION.sub("", name)


def _path_remedy(received: str, expected: str) -> str:
    """Return what to do with the folder and with the extension of an id."""
    mine, theirs = _different_parts(received, expected)
    path, wanted = mine.replace("\\", "/").rstrip("/"), theirs.replace("\\", "/").rstrip("/")
    steps = []
    for noun, has, should in (
        ("folder", path.rpartition("/")[0], wanted.rpartition("/")[0]),
        ("file extension", _extension(path), _extension(wanted)),
    ):
        if has and should and has != should:
            steps.append(f'replace the {noun} "{show(has)}" with "{show(should)}"')
        elif has != should:
            verb = "leave out" if has else "add"
            steps.append(f'{verb} the {noun} "{show(has or should)}"')
    if not steps:
        steps.append("write slashes and backslashes as in the test set")
    return " and ".join(steps)


def _extension(path: str) -> str:
    found = _EXTENSION.search(path.rpartition("/")[2])
    return found[0] if found else ""


def _without_quotes(text: str) -> str:
    return re.sub(r"^b(?=['\"])", "", text).strip("'\"`[](){} ")


def _repaired(text: str) -> str | None:
    """Return UTF-8 text that was read as Windows-1252, as it was."""
    if text.isascii():
        return None
    for encoding in ("cp1252", "latin-1"):
        try:
            return composed(text.encode(encoding).decode())
        except UnicodeError:
            continue
    return None


def _letters(text: str) -> str | None:
    return "".join(c for c in _stem(text).casefold() if c.isalnum()) or None


_Affix = tuple[str, str, bool]
"""A prefix and a suffix, and whether the received ids have them too much (else: lack them)."""

_NONE = Way("", lambda _: None, lambda _: None)


def _affixes(unknown: Unknown, missing: Sequence[str]) -> list[_Affix]:
    """Return what the first unknown id has more or less than some required id."""
    if not unknown or any(ID_JOINT in text for text in (unknown[0][0], missing[0])):
        return []
    mine = unknown[0][0].strip(SPACES)
    if not mine or len(mine) > 200:
        return []
    wanted = set(missing)
    found: list[_Affix] = [
        (mine[:start], mine[end:], True)
        for start in range(len(mine))
        for end in (len(mine),)
        if start and mine[start:end] in wanted
    ]
    found += [("", mine[end:], True) for end in range(1, len(mine)) if mine[:end] in wanted]
    for text in missing:
        if len(found) >= 5:  # each of them is tried on all ids
            break
        if len(text) > len(mine) and text.endswith(mine):
            found.append((text[: -len(mine)], "", False))
        elif len(text) > len(mine) and text.startswith(mine):
            found.append(("", text[len(mine) :], False))
    if len(unknown) == 1:  # 12 for 112 is chance
        return [affix for affix in found if not (affix[0] + affix[1]).isdigit()]
    return [affix for affix in found if _fits(affix, unknown, wanted)]


def _fits(affix: _Affix, unknown: Unknown, wanted: set[str]) -> bool:
    """Return whether the affix explains nearly all of the first unknown ids."""
    key = _affix_keys(*affix)[0]
    first = unknown[:_PROBED]
    return sum(key(received.strip(SPACES)) in wanted for received, _ in first) >= 0.9 * len(first)


def _affix_keys(prefix: str, suffix: str, too_much: bool) -> tuple[Key, Key]:
    def received(text: str) -> str | None:
        if not too_much:
            return prefix + text + suffix
        fits = text.startswith(prefix) and text.endswith(suffix) and len(text) > len(prefix) + len(suffix)
        return text[len(prefix) : len(text) - len(suffix)] if fits else None

    return received, _same


def _affix_words(prefix: str, suffix: str, too_much: bool) -> str:
    where = f'begin with "{prefix}"' if prefix else f'end with "{suffix}"'
    return f"they {'must not' if too_much else 'must'} {where}"


# --- dates ----------------------------------------------------------------------------------------

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"(?:[T ]+(\d{1,2}):(\d\d)(?::(\d\d)(?:\.0+)?)?(?: ?([AaPp])[Mm])?)?(?:Z|[+]00:?00)?"
_COMPACT = re.compile(rf"(\d{{4}})()(\d\d)(\d\d){_CLOCK}", re.ASCII)
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_CLOCK}", re.ASCII)
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d\d){_CLOCK}", re.ASCII)
_NAMED = re.compile(rf"(\d{{1,2}})[-. /]+([A-Za-z]{{3}})[a-z]*[-. /]+(\d{{4}}|\d\d){_CLOCK}", re.ASCII)
_SERIAL = re.compile(r"[2-7]\d{4}", re.ASCII)
_EXCEL_EPOCH = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - a date without a place


def _iso_key(text: str) -> dt.datetime | None:
    return _date_key(text) if not _YEAR_LAST.fullmatch(text) else None


def _separated_key(text: str, *, day_first: bool = True) -> dt.datetime | None:
    return _date_key(text, day_first=day_first) if not _COMPACT.fullmatch(text) else None


def _serial_key(text: str) -> dt.datetime | None:
    """Return the moment of the days since 1899, as Excel stores a date."""
    return _EXCEL_EPOCH + dt.timedelta(days=int(text)) if _SERIAL.fullmatch(text) else None


def _date_key(text: str, *, day_first: bool = True) -> dt.datetime | None:
    """Return the moment that a date in a usual form names."""
    if found := _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        year, _, month, day, *clock = found.groups()
    elif found := _YEAR_LAST.fullmatch(text):
        day, _, month, year, *clock = found.groups()
        if not day_first:
            day, month = month, day
    elif (found := _NAMED.fullmatch(text)) and found[2].lower() in _MONTHS:
        day, name, year, *clock = found.groups()
        month = str(_MONTHS.index(name.lower()) + 1)
    else:
        return None
    hour, minute, second, half = clock
    hours = int(hour or 0) % 12 + 12 * (half.lower() == "p") if half else int(hour or 0)
    years = int(year) + (0 if len(year) == 4 else 2000 if int(year) < 70 else 1900)
    try:
        return dt.datetime(  # noqa: DTZ001 - a date without a place
            years, int(month), int(day), hours, int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None


def _differing(unknown: Unknown, missing: Sequence[str], columns: Sequence[str]) -> str:
    """Return the id column in which the first unknown id differs from the required ones."""
    if len(columns) == 1 or not unknown or not missing:
        return columns[0]
    parts = unknown[0][0].split(ID_JOINT)
    for position, column in enumerate(columns):
        known = {text.split(ID_JOINT)[position] for text in missing}
        if position < len(parts) and parts[position].strip(SPACES) not in known:
            return column
    return columns[0]
