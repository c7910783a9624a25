"""Name what is wrong with a header, by the rules of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence

from heldout_client.cells import NUMBER
from heldout_client.problems import LISTED, SPACES, Problem, show, show_names
from heldout_client.table import is_blank, separator_words, split_again

_INDEX_NAMES = ("", "Unnamed: 0", "X", "...1", "rownames", "row.names", "index")


def header_problems(names: Sequence[str], expected: Sequence[str], ids: Container[str]) -> list[Problem]:
    """Return the problems of a header whose names are not the expected ones."""
    wanted, present, required = show_names(expected), set(names), set(expected)
    if len(names) == 1:
        for separator in (";", "\t", "|", " ") if not names[0].startswith("#") else ():
            parts = [part.strip(SPACES + '"') for part in names[0].split(separator)]
            fits = required <= set(parts) if separator == " " else bool(set(parts) & required)
            if len(set(parts)) > 1 and (fits or (separator != " " and len(parts) == len(expected))):
                return [Problem("SEPARATOR", separator_words(separator), line=1)]
        if sorted(name.strip(SPACES) for name in split_again(names[0])) == sorted(expected):
            words = "Line 1: the whole line is in quotes; quote each value by itself, or none."
            return [Problem("BAD_QUOTE", words, line=1)]
    if not present & required and _is_no_header(names, expected, ids):
        found = "the line is blank" if is_blank(names) else f'found "{show_names(names)}"'
        return [Problem("NO_HEADER", f"Line 1: expected the header {wanted} but {found}.", line=1)]
    problems = [
        Problem("DUPLICATE_COLUMN", f"Line 1: column {show(name)} appears twice.", line=1, column=name)
        for name, times in Counter(names).items()
        if times > 1 and name
    ][:LISTED]
    missing = [name for name in expected if name not in present]
    extra = [name for name in names if name not in required]
    if missing:
        words = f"Line 1: expected the columns {wanted} but found {show_names(names)}"
        lowered = {name.lower() for name in names}
        if all(name.lower() in lowered for name in missing):
            words += " (names are case-sensitive)"
        problems.append(Problem("COLUMN_NAME", f"{words}.", line=1, column=missing[0]))
    elif extra and names[0] in _INDEX_NAMES and len(extra) == 1:
        what = f'"{names[0]}" is not asked for' if names[0] else "has no name"
        words = (
            f"Line 1: the first column {what}; in pandas: df.to_csv(path, index=False), "
            "in R: write.csv(df, path, row.names = FALSE)."
        )
        problems.append(Problem("INDEX_COLUMN", words, line=1))
    elif extra:
        unnamed = show_names([name or "(no name)" for name in extra])
        words = f"Line 1: unexpected columns {unnamed}. The file must have exactly the columns {wanted}"
        words += "." if names[-1] else " (trailing comma?)."
        problems.append(Problem("EXTRA_COLUMN", words, line=1, column=extra[0], count=len(extra)))
    return problems


def _is_no_header(names: Sequence[str], expected: Sequence[str], ids: Container[str]) -> bool:
    """Return whether the first line is data, a comment or blank."""
    lowered = {name.lower() for name in expected}
    if any(name.lower() in lowered for name in names):
        return False
    if is_blank(names) or len(names) == 1:
        return True
    if any(NUMBER.fullmatch(name) for name in names[:1000]):
        return True
    return names[0] in ids or names[0].lower().startswith(("#", "sep="))
