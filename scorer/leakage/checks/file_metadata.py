"""Names, dates, sizes and order of files that go with the target."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, Severity, check
from scorer.leakage.files.hidden import COVERED, Hidden, natural_order
from scorer.leakage.files.things import Entry
from scorer.leakage.files.walk import walk
from scorer.leakage.frame import Codes, Rows
from scorer.leakage.material import Material, published_files, table_files
from scorer.leakage.statistics import Strength, association, association_of_codes, corrected
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray


@check("file_metadata", scope="files", needs=("public_files", "hidden"), cost="files", blocks=True)
def file_metadata(material: Material) -> Iterator[Found]:
    """Names, dates, sizes or order of files that follow the target.

    Where every row has its file.

    effect: AUC for the hidden labels.
    """
    hidden = Hidden.of(material)
    if hidden is None:
        return
    places: dict[str, list[tuple[Entry, int]]] = defaultdict(list)
    for thing in walk(
        material.public_folder, published_files(material), skip=table_files(material), contents=False
    ):
        if isinstance(thing, Entry):
            row = hidden.row_of_path(thing.inner)
            if row is not None:
                places[thing.archive].append((thing, row))
    for archive, entries in places.items():
        rows = np.array([row for _, row in entries], dtype=np.int64)
        if len(np.unique(rows)) >= max(20, COVERED * hidden.n):
            yield from _metadata(archive, [entry for entry, _ in entries], rows, hidden)


def _metadata(archive: str, entries: Sequence[Entry], rows: Rows, hidden: Hidden) -> Iterator[Found]:
    """Compare one folder's or archive's file metadata with the targets."""
    where = archive or "public/"
    by_name = sorted(range(len(entries)), key=lambda i: natural_order(entries[i].inner.name))
    order = np.empty(len(entries), dtype=np.int64)
    order[by_name] = np.arange(len(entries))
    pixels = [entry.pixels for entry in entries]
    scores: list[tuple[str, FloatArray, Severity]] = [
        (
            "the time of last change",
            np.array([np.nan if e.modified is None else e.modified for e in entries]),
            "block",
        ),
        ("the size in bytes", np.array([float(e.size) for e in entries]), "warn"),
        ("the width", np.array([np.nan if p is None else float(p[0]) for p in pixels]), "warn"),
        ("the height", np.array([np.nan if p is None else float(p[1]) for p in pixels]), "warn"),
    ]
    if archive:
        scores.append(("the place in the archive", np.array([float(e.position) for e in entries]), "block"))
    names: list[tuple[str, list[str]]] = [
        ("the folder", [entry.inner.parent.as_posix() for entry in entries]),
        ("the kind of file", [entry.inner.suffix for entry in entries]),
        ("the rest of the name", [_rest(e, hidden) for e in entries]),
    ]
    n_tests = (len(scores) + len(names)) * len(hidden.targets)
    for target in hidden.targets:
        own = target.take(rows)
        for what, score, worst in scores:
            if np.isnan(score).all() or np.nanmin(score) == np.nanmax(score) or _follows(score, order):
                continue
            strength = association(score, own)
            yield from _of_metadata(where, what, strength, n_tests, worst, target, len(entries), score, own)
        for what, texts in names:
            _, codes = np.unique(np.array(texts, dtype=np.object_).astype(str), return_inverse=True)
            if 1 < codes.max() + 1 <= max(30, 2 * len(target.classes)) and codes.max() + 1 <= len(codes) / 3:
                strength = association_of_codes(codes.astype(np.int64), own)
                worst = "block" if strength.auc >= 0.9 else "warn"
                yield from _of_metadata(
                    where, what, strength, n_tests, worst, target, len(entries), None, own
                )


def _of_metadata(
    where: str,
    what: str,
    strength: Strength,
    n_tests: int,
    worst: Severity,
    target: Target,
    n: int,
    score: FloatArray | None,
    own: Target,
) -> Iterator[Found]:
    log10p = corrected(strength.log10p, n_tests)
    if log10p > -ALARM or strength.auc < AUC_FLOOR:
        return
    sure = log10p <= -BLOCK and strength.auc >= 0.6
    picture = None
    if score is not None:
        ranked = np.argsort(score, kind="stable")
        tenths = [part for part in np.array_split(own.values[ranked], 20) if len(part)]
        picture = {
            "kind": "line",
            "title": f"{target.name} by {what}",
            "x_title": f"files by {what}, twentieths",
            "y_title": f"mean {target.name}",
            "x": list(range(1, len(tenths) + 1)),
            "y": [float(np.nanmean(part)) if not np.isnan(part).all() else 0.0 for part in tenths],
            "text": (
                f"Files are sorted by {what} and cut into twentieths; a level line means that it predicts "
                "nothing."
            ),
        }
    label = f" (class {strength.detail})" if strength.detail else ""
    yield Found(
        f"{where}: {what} of {n:,} files that belong to test rows orders the hidden {target.name}{label} "
        f"with AUC {strength.auc:.3f}.",
        (
            "Write the files again in random order with one date (zip -X, or touch), with names and folders "
            "unrelated to the target."
        )
        if worst == "block"
        else "Size may be content; if not, write all files in one form.",
        effect=strength.auc,
        log10p=log10p,
        severity=worst if sure else "warn",
        where=where,
        picture=picture,
    )


def _follows(score: FloatArray, order: Codes) -> bool:
    """Return whether a score is only the order of names."""
    known = ~np.isnan(score)
    ranks = np.argsort(np.argsort(score[known], kind="stable"), kind="stable").astype(np.float64)
    if len(ranks) < 8 or len(np.unique(score[known])) < 0.9 * len(ranks):
        return False
    return bool(abs(np.corrcoef(ranks, order[known])[0, 1]) > 0.999)


def _rest(entry: Entry, hidden: Hidden) -> str:
    """Return a file's name without the id."""
    stem = entry.inner.name.split(".")[0]
    if hidden.row_of(stem) is not None:
        return ""
    pieces = [piece for piece in re.split(r"[_\-. ]", stem) if piece and hidden.row_of(piece) is None]
    return "_".join(piece for piece in pieces)
