"""What cells that are no number, or out of range, were probably meant to be.

Each cause is named once for a column: 1,234 alone may be 1234 or 1.234, beside 1,234,567 it is 1234.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from scorer.wording import show

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+|[+-]?\d{1,3}(?:,\d{3}){2,}", re.ASCII)
ONE_THOUSAND = r"[+-]?[1-9]\d{0,2},\d{3}"
"""One comma that may separate thousands."""
DECIMAL_COMMA = r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?"
_EITHER = re.compile(ONE_THOUSAND, re.ASCII)
_DECIMAL_COMMA = re.compile(DECIMAL_COMMA + r"|[+-]?\d{1,3}(?:\.\d{3})+,\d*", re.ASCII)
_PERCENT_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_OTHER_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:['\u2019 \u00a0\u202f_]\d{3})+(?:[.]\d+)?", re.ASCII)
_EXCEL_ERROR = re.compile(r"#(?:N/A|VALUE!|DIV/0!|REF!|NAME\?|NUM!|NULL!|#+)", re.IGNORECASE)
_EXCEL_DATE = re.compile(r"\d{1,2}[-. ](?:[A-Za-z]{3})|[A-Za-z]{3}-\d{2,4}", re.ASCII)
_CALL = r"(?:(?:(?:np|numpy|tf|torch|jnp)\.\w+|[Tt]ensor|[Aa]rray|Decimal)\()?\(?"
_PYTHON_NUMBER = r"[+-]?[\d.]+(?:[eE][+-]?\d+)?"
_OPTIONS = r"\]*(?:, ?[a-z_]+=.*)?"
"""The end of a tensor, such as `, device='cuda:0'`."""
_WRAPPED = re.compile(rf"{_CALL}\[*'?({_PYTHON_NUMBER})'?{_OPTIONS}[\])]+", re.ASCII)
_SEVERAL = re.compile(rf"{_CALL}[\[(]+{_PYTHON_NUMBER}(?:[,; ]+{_PYTHON_NUMBER})+{_OPTIONS}[\])]+", re.ASCII)


_SURELY_PERCENT = 20.0
"""Scores before a sigmoid or softmax are hardly larger."""

_HOLES = ("na", "n/a", "null", "none", "-", "?")


def shape_of(text: str) -> str:
    """Return what a text that is no number looks like: texts of two shapes have two causes."""
    if text.endswith("%"):
        return "percent"
    if text.lower() in ("true", "false"):
        return "flag"
    if text.lower() in _HOLES:
        return "hole"
    if text[:1] == "#":
        return "excel error"
    if _EXCEL_DATE.fullmatch(text):
        return "excel date"
    if _WRAPPED.fullmatch(text) or _SEVERAL.fullmatch(text):
        return "wrapped"
    if text[:1].isalpha():
        return "word"
    return "separator" if text.lstrip("+-")[:1] in "0123456789," and not text[-1:].isalpha() else ""


def number_hint(texts: Sequence[str], *, number: str, is_probability: bool, n_rows: int) -> tuple[str, str]:
    """Return the cause and how to write the first text, both empty if they are unclear.

    Parameters
    ----------
    texts
        The first faulty cells of a column, without spaces around them.
    number
        A pattern that a bare number matches.
    is_probability
        Whether the column takes numbers from 0 to 1.
    n_rows
        How many rows the file must have.
    """
    text = texts[0]
    if text.endswith("%") and len(text) <= 40:
        share = text[:-1].rstrip(" \u00a0\u202f")
        share = share.replace(",", ".") if _PERCENT_COMMA.fullmatch(share) else share
        if re.fullmatch(number, share, re.ASCII) and math.isfinite(float(share)):
            return "percent", f" - write {float(share) / 100:.12g}"
    if any(_THOUSANDS.fullmatch(each) for each in texts) and not any(map(_is_decimal_comma, texts)):
        return "thousands", f" - leave out the thousands separators{_write(text, ',', number)}"
    if all(_EITHER.fullmatch(each) for each in texts):
        whole, point = text.replace(",", ""), text.replace(",", ".")
        return "comma", (
            f" - write {whole} if the comma separates thousands (in Excel: a number format without them; "
            f'in R: big.mark = ""), or {point} if it is a decimal comma'
        )
    if _DECIMAL_COMMA.fullmatch(text):
        plain = text.replace(".", "").replace(",", ".")
        return "decimal comma", f" - use a decimal point{_write(plain, '', number)}"
    if _OTHER_THOUSANDS.fullmatch(text):
        separators = "'\u2019 \u00a0\u202f_"
        return "thousands", f" - leave out the thousands separators{_write(text, separators, number)}"
    if text.lower() in ("true", "false"):
        return "flag", " - write 1 for True and 0 for False"
    if text[:1] in ("\u2212", "\u2013", "\u2014"):
        return "minus", ' - the minus must be the plain "-" of the keyboard'
    if any(character.isdecimal() and not character.isascii() for character in text):
        return "digits", " - use the digits 0 to 9"
    if text.lower() in _HOLES:
        return "hole", " - every row needs a prediction"
    if _EXCEL_ERROR.fullmatch(text):
        return "excel error", " - it is an error of an Excel formula or a column too narrow to display"
    if _EXCEL_DATE.fullmatch(text):
        return (
            "excel date",
            " - Excel took a number for a date; import it as text, or write CSV without Excel",
        )
    if (found := _WRAPPED.fullmatch(text)) and re.fullmatch(number, found[1], re.ASCII):
        return ("wrapped", f" - write {found[1]}, the number alone (in Python: predictions.ravel())")
    if _SEVERAL.fullmatch(text):
        of_two = "of two classes, in scikit-learn: predict_proba(X)[:, 1]"
        return "several", f" - it is a list of several numbers; write one number in each cell ({of_two})"
    words = {each for each in texts if each[:1].isalpha()}
    if len(words) == len(set(texts)) and (len(texts) >= n_rows > 1 or len(words) < len(texts)):
        if is_probability:
            return "class", (
                " - a probability from 0 to 1 is wanted, not a class (in scikit-learn: predict_proba; in R: "
                'predict(..., type = "prob" or "response"))'
            )
        return "class", f" - a number is wanted, not a class such as {show(text)}"
    return "", ""


def probability_hint(values: Sequence[float], *, are_most: bool) -> tuple[str, str] | None:
    """Return the cause and the remedy of numbers outside [0, 1] in a column of probabilities.

    `are_most` states whether most of the column is outside; a single 1.2 is rather a slip.
    """
    if are_most and min(values) < 0.0 and max(values) > 1.0:
        return "scores", (
            "; these seem to be scores of a model before the sigmoid or softmax (logits): apply it"
        )
    if not (are_most or max(values) > 2.0) or min(values) < 0.0 or max(values) > 100.0:
        return None
    if max(values) > _SURELY_PERCENT:
        return "percent", f"; these seem to be percent: write {values[0] / 100:.12g}, divided by 100"
    return "percent or scores", (
        "; divide by 100 if these are percent; if they are scores of a model before the sigmoid or "
        "softmax (logits), apply it"
    )


def _write(text: str, separators: str, number: str) -> str:
    """Return ': write 1234.5' for a number without its separators; empty if it is none."""
    plain = "".join(character for character in text if character not in separators).removesuffix(".")
    return f": write {plain}" if len(plain) <= 40 and re.fullmatch(number, plain, re.ASCII) else ""


def _is_decimal_comma(text: str) -> bool:
    return _DECIMAL_COMMA.fullmatch(text) is not None and not (
        _EITHER.fullmatch(text) or _THOUSANDS.fullmatch(text)
    )
