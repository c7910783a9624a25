"""Write app/people/confusables.txt, the table of look-alike characters that names are compared by.

    pip install --only-binary :all: pyicu-wheels
    python tools/confusables.py

ICU holds Unicode's data (UTS 39, confusables.txt); the table holds its skeleton of each character.
Run it to take a newer version of Unicode, and set the stored skeletons to NULL in a revision: they are then
computed again.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

TABLE = Path(__file__).parents[1] / "app" / "people" / "confusables.txt"
HEAD = """\
# Look-alike characters and invisible ones, of Unicode {unicode} (UTS 39), taken from ICU {icu}.
# Copyright (c) 2016-2024 Unicode, Inc. Unicode License v3: see confusables.LICENSE.txt.
# Written by tools/confusables.py. sha256 of the lines below: {digest}
# A line holds a skeleton, a colon, and the characters that have it; the last line the ignored characters.
"""


def main() -> None:
    import icu

    checker, nfd = icu.SpoofChecker(), icu.Normalizer2.getNFDInstance()
    sources: dict[str, list[int]] = defaultdict(list)
    ignored = []
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        character = chr(code)
        if icu.Char.hasBinaryProperty(code, icu.UProperty.DEFAULT_IGNORABLE_CODE_POINT):
            ignored.append(code)
            continue
        skeleton = checker.getSkeleton(0, character)
        if nfd.normalize(character) == character != skeleton:
            sources[skeleton].append(code)
    lines = [
        f"{' '.join(f'{ord(c):X}' for c in skeleton)}:{' '.join(f'{code:X}' for code in codes)}\n"
        for skeleton, codes in sorted(sources.items())
    ]
    body = "".join([*lines, f":{' '.join(_ranges(ignored))}\n"])
    digest = hashlib.sha256(body.encode()).hexdigest()
    head = HEAD.format(unicode=icu.UNICODE_VERSION, icu=icu.ICU_VERSION, digest=digest)
    TABLE.write_text(head + body, encoding="ascii")
    print(f"{TABLE}: {sum(map(len, sources.values()))} characters of Unicode {icu.UNICODE_VERSION}")


def _ranges(codes: list[int]) -> list[str]:
    """Return consecutive codes as FIRST-LAST."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return [f"{first:X}-{last:X}" for first, last in ranges]


if __name__ == "__main__":
    main()
