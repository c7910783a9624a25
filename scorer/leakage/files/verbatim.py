"""Truths that are no simple column, such as texts, lists and boxes, compared cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from scorer.challenges.solution import FILE, USAGE_COLUMN
from scorer.leakage.files.hidden import file_stem
from scorer.leakage.files.things import Table
from scorer.leakage.frame import Unreadable, read_frame
from scorer.leakage.material import Material, truth_names
from scorer.wording import ID_JOINT

_LEAST_ROWS = 8
_SAME = 0.9
"""Share of equal cells, beyond the commonest one, from which a column is a copy."""


@dataclass(frozen=True, eq=False)
class Verbatim:
    """The truth of a challenge as it is written."""

    material: Material

    @cached_property
    def truths(self) -> Mapping[str, Mapping[str, str]]:
        """Return for each column of the truth its cells by id.

        The columns are those with the truth's or a prediction's name; of an own metric without these, all.
        """
        challenge = self.material.challenge
        solution = challenge.solution
        try:
            frame = read_frame(challenge.folder / FILE)
        except Unreadable:
            return {}
        if not all(name in frame for name in solution.id_columns):
            return {}
        named = [name for name in (*truth_names(challenge, frame), *challenge.columns) if name in frame]
        if challenge.task.custom is not None and not named:
            named = [name for name in frame.names if name not in (*solution.id_columns, USAGE_COLUMN)]
        keys = [
            ID_JOINT.join(key)
            for key in zip(*(frame.texts(name).to_pylist() for name in solution.id_columns), strict=True)
        ]
        return {
            name: {
                key: cell.strip()
                for key, cell in zip(keys, frame.texts(name).to_pylist(), strict=True)
                if cell.strip()
            }
            for name in dict.fromkeys(named)
        }

    def copy_in(self, table: Table) -> str | None:
        """Return what a table copies from the solution, in words."""
        for ids, keys in self._keys_of(table):
            for column in table.columns:
                if column.name in ids:
                    continue
                texts = [text.strip() for text in column.texts]
                for name, cells in self.truths.items():
                    pairs = [
                        (cells[key], text) for key, text in zip(keys, texts, strict=True) if key in cells
                    ]
                    if len(pairs) < max(_LEAST_ROWS, 0.1 * len(cells)):
                        continue
                    commonest = max(Counter(text for _, text in pairs).values())
                    same = sum(cell == text for cell, text in pairs)
                    if commonest < len(pairs) and same - commonest >= _SAME * (len(pairs) - commonest):
                        return (
                            f"{table.path}: column {column.name} holds {same:,} of {len(pairs):,} cells of "
                            f"the solution's column {name} as they are, by {'+'.join(ids)}"
                        )
        return None

    def _keys_of(self, table: Table) -> list[tuple[tuple[str, ...], list[str]]]:
        """Return each way to read ids from a table's rows."""
        names = self.material.challenge.solution.id_columns
        if len(names) > 1:
            by_name = {column.name: column for column in table.columns}
            if not all(name in by_name for name in names):
                return []
            rows = zip(*(by_name[name].texts for name in names), strict=True)
            return [(names, [ID_JOINT.join(key) for key in rows])]
        known = {key for cells in self.truths.values() for key in cells}
        found: list[tuple[tuple[str, ...], list[str]]] = []
        for column in table.columns[:200]:
            keys = [text if text in known else file_stem(text) for text in column.texts]
            if sum(key in known for key in keys) >= _LEAST_ROWS:
                found.append(((column.name,), keys))
        return found[:2]
