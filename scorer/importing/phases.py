"""Join the reference tables of phases, which other platforms score one by one, to one solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scorer.importing.account import Account, CannotImport
from scorer.importing.bundle import Bundle
from scorer.importing.forms import Columns, Rows, read_rows
from scorer.wording import show

ROW = "row"


@dataclass(frozen=True, slots=True)
class Phase:
    name: str
    reference: Rows
    sample: Rows | None


@dataclass(frozen=True, slots=True)
class Joined:
    id: str
    truth: Columns
    usage: list[str] | None
    columns: list[str]
    sample: Columns | None
    settings: dict[str, Any]
    """For `adapters.forms.written`: both forms, and where the original's ids come from."""


def joined(phases: Sequence[Phase], account: Account) -> Joined:
    """Return the solution of one phase, or of two: the first is public, the second private.

    Rows are named by a column that reference and sample share, else by their number. Raises CannotImport.
    """
    first = phases[0]
    for other in phases[1:]:
        if other.reference.names != first.reference.names:
            raise CannotImport(
                f"The references of {show(first.name)} and {show(other.name)} have different columns.",
                account,
            )
    original = _id_column(first)
    samples = [phase.sample for phase in phases if phase.sample is not None]
    if len(samples) < len(phases):
        samples = []
    for phase, sent in zip(phases, samples, strict=False):
        if original is None and len(sent) != len(phase.reference):
            raise CannotImport(
                f"The reference of {show(phase.name)} has {len(phase.reference):,} rows and the sample "
                f"{sent.file} {len(sent):,}, and rows are matched by their number.",
                account,
            )
    prefixed = len(phases) > 1 and (original is None or _overlap(phases, original))
    id_column = _row_name(first) if prefixed or original is None else original
    truth = _all([phase.reference for phase in phases], original, id_column, prefixed=prefixed)
    sample = _all(samples, original, id_column, prefixed=prefixed) if samples else None
    usage = None
    if len(phases) > 1:
        usage = ["Public"] * len(first.reference) + ["Private"] * len(phases[1].reference)
    if original is None:
        number = "the phase and the number of their line" if prefixed else "the number of their line"
        account.guessed.append(f"Rows have no id there; they are named by {number}.")
    reference_form = first.reference.form
    sample_form = samples[0].form if samples else reference_form
    names = [name for name in sample_form["columns"] if name != original]
    settings = {
        "reference": reference_form,
        "submission": sample_form,
        "reference_file": first.reference.file,
        "original": original if prefixed else None,
    }
    return Joined(id_column, truth, usage, names, sample, settings)


def with_given_sample(phases: Sequence[Phase], path: Path) -> list[Phase]:
    """Return the phases with a sample in the form of a file; its first row stands for rows that it lacks."""
    given = read_rows(Bundle(path.parent, path.parent, [path.name]), path.name)
    filled = []
    for phase in phases:
        columns = given.columns
        if len(given) != len(phase.reference):
            columns = {name: cells[:1] * len(phase.reference) for name, cells in columns.items()}
            shared = [name for name in given.names if name in phase.reference.columns and len(columns) > 1]
            if shared:
                columns[shared[0]] = phase.reference.columns[shared[0]]
        filled.append(replace(phase, sample=Rows(columns, given.form, given.file)))
    return filled


def _id_column(phase: Phase) -> str | None:
    reference, sample = phase.reference, phase.sample
    if len(reference.names) < 2:
        return None
    for name in reference.names if sample is None else sample.names:
        if name not in reference.columns:
            continue
        ids = reference.columns[name]
        if len(set(ids)) < len(ids):
            continue
        if sample is None:
            return name if name == reference.names[0] else None
        if len(sample.names) > 1 and set(ids) == set(sample.columns[name]):
            return name
    return None


def _overlap(phases: Sequence[Phase], original: str) -> bool:
    first, second = (set(phase.reference.columns[original]) for phase in phases)
    return bool(first & second)


def _row_name(phase: Phase) -> str:
    taken = {*phase.reference.names, *(phase.sample.names if phase.sample else ())}
    return ROW if ROW not in taken else f"{ROW}_name"


def _all(tables: Sequence[Rows], original: str | None, id_column: str, *, prefixed: bool) -> Columns:
    names = tables[0].names
    columns: Columns = {id_column: []}
    columns.update({name: [] for name in names if name not in (id_column, original)})
    for number, table in enumerate(tables, 1):
        ids = table.columns[original] if original else [str(row) for row in range(1, len(table) + 1)]
        columns[id_column] += [f"{number}-{key}" for key in ids] if prefixed else ids
        for name in columns:
            if name != id_column:
                columns[name] += table.columns[name]
    return columns
