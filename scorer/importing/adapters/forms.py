"""Write rows in the form that a program of another platform reads."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd


def written(frame: pd.DataFrame, form: Mapping[str, Any], original: str | None, ids: str) -> bytes:
    """Return the rows as a file of a form, without the column of ids that the import added.

    Where it put the phase before an id, such as 2-17, the original's column of ids is made of what follows.
    Forms are described in `scorer.importing.forms`.
    """
    if original is not None:
        frame = frame.assign(**{original: [str(key).partition("-")[2] for key in frame[ids]]})
    names: Sequence[str] = form["columns"]
    kinds: Mapping[str, str] = form.get("kinds", {})
    columns = {name: [_cell(cell, kinds.get(name)) for cell in frame[name].tolist()] for name in names}
    kind = form["kind"]
    if kind == "csv":
        table = pd.DataFrame({name: _texts(cells) for name, cells in columns.items()}, columns=list(names))
        return table.to_csv(index=False, sep=form["separator"]).encode()
    rows = list(zip(*columns.values(), strict=True))
    if kind == "plain":
        joint = form["separator"]
        return "".join(joint.join(_texts(row)) + "\n" for row in rows).encode()
    if kind == "npy":
        values = np.array(rows, dtype=np.dtype(form["dtype"]))
        sink = io.BytesIO()
        np.save(sink, values[:, 0] if form["flat"] else values, allow_pickle=False)
        return sink.getvalue()
    if kind == "json_list":
        content: Any = [row[0] for row in rows]
    elif kind == "json_map":
        others = names[1:]
        content = {
            _text(row[0]): row[1] if form["flat"] else dict(zip(others, row[1:], strict=True)) for row in rows
        }
    else:
        content = [dict(zip(names, row, strict=True)) for row in rows]
    for outer in reversed(form.get("within", ())):
        content = {outer: content}
    return json.dumps(content).encode()


def _cell(cell: Any, kind: str | None) -> Any:
    if hasattr(cell, "item"):
        cell = cell.item()
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return None if kind != "text" else ""
    if kind == "text":
        return _text(cell)
    if kind == "flag":
        return str(cell).lower() in ("true", "1")
    if kind == "number" and isinstance(cell, str):
        value = float(cell)
        return int(cell) if cell.lstrip("+-").isdecimal() else value
    return cell


def _texts(cells: Sequence[Any]) -> list[str]:
    return [_text(cell) for cell in cells]


def _text(cell: Any) -> str:
    return "" if cell is None else repr(cell) if isinstance(cell, float) else str(cell)
