"""Read the numbers of an organiser's table as the program that wrote them meant them.

1,234.50 and 1.234,50 and 1 234,50 are one number. The whole column shows which form it has, because one cell
often fits two: 1,234 is a thousand or one and a bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scorer.leakage.frame import Frame
from scorer.wording import some

_SPACE = r"[\s\x{a0}\x{202f}]*"
_SIGN = r"[+\-\x{2212}]?"
_MONEY = r"[$€£¥]?"


def _form(group: str, point: str) -> str:
    whole = rf"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+)"
    number = rf"{whole}(?:{point}[0-9]+)?(?:[eE][+-]?[0-9]+)?"
    return rf"^{_SPACE}{_SIGN}{_SPACE}{_MONEY}{_SPACE}{_SIGN}{number}{_SPACE}[%$€£¥]?{_SPACE}$"


_COMMAS = _form(",", r"\.")
"""1,234.50"""
_POINTS = _form(r"\.", ",")
"""1.234,50"""
_SPACES = _form(r"[ \x{a0}\x{202f}'’]", "[.,]")
"""1 234,50 and 1'234.50"""


def with_plain_numbers(frame: Frame, notes: list[str], *, prefers_decimal_comma: bool) -> Frame:
    """Return numbers in the form 1234.5, in columns where every filled cell is one.

    A column whose cells fit two forms has commas for decimals only if `prefers_decimal_comma`. Appends what
    was understood to `notes`.
    """
    forms = (_POINTS, _SPACES, _COMMAS) if prefers_decimal_comma else (_COMMAS, _SPACES, _POINTS)
    decimals, decorated = [], []
    for name in frame.names:
        feature = frame.feature(name)
        if feature.is_numeric or feature.missing.all():
            continue
        used = feature.names.take(pa.array(np.unique(feature.codes[~feature.missing])))
        form = _form_of(used, forms)
        if form is None:
            continue
        texts = frame.texts(name)
        if form != _COMMAS and pc.any(pc.match_substring(used, ",")).as_py():
            decimals.append(name)
        if _is_decorated(used, form):
            decorated.append(name)
        frame = frame.with_texts(name, _plain(texts, form, pa.array(feature.missing)))
    if decimals:
        notes.append(f"Decimal commas became points in {some(decimals)}.")
    if decorated:
        notes.append(f"Thousands separators, signs of currencies and % were removed in {some(decorated)}.")
    return frame


def _form_of(used: pa.Array, forms: Sequence[str]) -> str | None:
    return next((form for form in forms if pc.all(pc.match_substring_regex(used, form)).as_py()), None)


def _is_decorated(used: pa.Array, form: str) -> bool:
    group = {_COMMAS: ",", _POINTS: r"\.", _SPACES: r"[0-9][ \x{a0}\x{202f}'’][0-9]"}[form]
    return bool(pc.any(pc.match_substring_regex(used, rf"[%$€£¥]|{group}")).as_py())


def _plain(texts: pa.Array, form: str, missing: pa.Array) -> pa.Array:
    plain = pc.replace_substring(texts, "\u2212", "-")
    if form == _POINTS:
        plain = pc.replace_substring(plain, ".", "")
    if form != _COMMAS:
        plain = pc.replace_substring(plain, ",", ".")
    return pc.if_else(missing, texts, pc.replace_substring_regex(plain, r"[^0-9eE+\-.]", ""))
