"""Functions for notebooks: submit and check a table, an array or a file."""

from __future__ import annotations

import argparse
import csv
import io
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout_client import cards, logins
from heldout_client.checking import Schema, Verdict
from heldout_client.commands import WAIT_SECONDS
from heldout_client.content import Content
from heldout_client.errors import ClientError, words_of
from heldout_client.kept import Kept
from heldout_client.participant import Participant, Submitted
from heldout_client.problems import ID_JOINT

NAME = "predictions.csv"


@dataclass(frozen=True)
class Checked:
    """The verdict on one file, shown as a card."""

    name: str
    verdict: Verdict

    def __bool__(self) -> bool:
        return self.verdict.ok

    def __repr__(self) -> str:
        found = [*self.verdict.problems, *self.verdict.warnings]
        title = f"{self.name}: {'no problem found' if self.verdict.ok else 'would be refused'}"
        return "\n".join([title, *(words_of(problem.as_dict()) for problem in found)])

    def _repr_html_(self) -> str:
        return cards.verdict_card(self.name, self.verdict)


def check(predictions: Any, competition: str, *, url: str | None = None, token: str | None = None) -> Checked:
    """Return whether the server would take predictions, without sending them.

    `predictions` is a path, a table with `to_csv` (pandas) or `write_csv` (polars), or an array in the order
    of the sample submission.
    """
    participant = _participant(url, token)
    content = content_of(predictions, competition, participant)
    return Checked(content.name, participant.check(content, competition))


def submit(
    predictions: Any,
    competition: str,
    *,
    message: str = "",
    wait: bool | float = True,
    checks: bool = True,
    url: str | None = None,
    token: str | None = None,
) -> Submitted:
    """Check and send predictions; wait for the score.

    `predictions` is what `check` takes. `wait` is whether to wait, or the seconds to wait at most. The result
    shows itself as a card with place in the queue, score, rank and its change. Raises BadFile, and sends
    nothing, where the check finds problems.
    """
    participant = _participant(url, token)
    content = content_of(predictions, competition, participant)
    seconds = WAIT_SECONDS if wait is True else None if wait is False else float(wait)
    shown = _Shown()
    sent = participant.submit(
        content, competition, message=message, checks=checks, wait_seconds=seconds, watch=shown.watch
    )
    shown.clear()
    return sent


def join(competition: str, *, url: str | None = None, token: str | None = None) -> str:
    """Take part in a competition; return the name of your team."""
    return _participant(url, token).join(competition)


def download(
    competition: str,
    folder: str | os.PathLike[str] = ".",
    *,
    url: str | None = None,
    token: str | None = None,
) -> list[Path]:
    """Download the files of a competition that are not in the folder yet; return their paths."""
    done = _participant(url, token).download(competition, (), Path(folder).expanduser())
    return [Path(file["path"]) for file in done]


def content_of(predictions: Any, competition: str, participant: Participant) -> Content:
    """Return predictions as the bytes of a CSV file."""
    if isinstance(predictions, (str, os.PathLike)):
        return Content.of_path(Path(predictions).expanduser())
    kept = Kept(os.environ, participant.login.address, competition)
    schema = participant.schema(competition, kept)
    if hasattr(predictions, "to_csv"):
        return Content(NAME, data=_of_frame(predictions, schema))
    if hasattr(predictions, "write_csv"):
        return Content(NAME, data=str(predictions.write_csv()).encode())
    values = predictions.tolist() if hasattr(predictions, "tolist") else predictions
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        return Content(NAME, data=_of_rows(values, schema, competition))
    kind = type(predictions).__name__
    raise ClientError(f"{kind} is no table, array or path; pass a DataFrame, an array or the name of a file.")


def _of_frame(frame: Any, schema: Schema) -> bytes:
    """Write a DataFrame or Series; the ids may be columns or its index."""
    columns = {str(name) for name in getattr(frame, "columns", ())}
    index = [str(name) for name in getattr(getattr(frame, "index", None), "names", ()) if name is not None]
    has_ids = set(schema.id_columns) <= columns
    as_index = not has_ids and set(schema.id_columns) <= set(index)
    text = frame.to_csv(None, index=as_index)
    return str(text).encode()


def _of_rows(values: Sequence[Any], schema: Schema, competition: str) -> bytes:
    """Write an array, one row for each id of the sample submission, in its order."""
    ids = schema.ids
    if not ids:
        raise ClientError(f"The order of ids of {competition} is not known; pass a table with the ids.")
    if len(values) != len(ids):
        raise ClientError(f"The array has {len(values)} rows; {competition} needs {len(ids)}.")
    n_columns = len(schema.columns or ())
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(schema.names)
    for key, value in zip(ids, values):
        cells = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(cells) != n_columns:
            raise ClientError(f"Each row of the array needs {n_columns} values, not {len(cells)}.")
        writer.writerow([*key.split(ID_JOINT), *cells])
    return buffer.getvalue().encode()


def add_magics(ipython: Any) -> None:
    """Add `%submit PREDICTIONS COMPETITION -m MESSAGE` to a notebook."""

    def run(line: str) -> Submitted:
        parser = argparse.ArgumentParser(prog="%submit", exit_on_error=False, add_help=False)
        parser.add_argument("predictions")
        parser.add_argument("competition")
        parser.add_argument("-m", "--message", default="")
        parser.add_argument("--no-wait", action="store_true")
        try:
            options = parser.parse_args(shlex.split(line))
        except (argparse.ArgumentError, SystemExit, ValueError):
            raise ClientError("Write: %submit predictions competition -m message") from None
        # A variable of the notebook, or else the name of a file.
        given = ipython.user_ns.get(options.predictions, options.predictions)
        return submit(given, options.competition, message=options.message, wait=not options.no_wait)

    ipython.register_magic_function(run, "line", "submit")


def _participant(url: str | None, token: str | None) -> Participant:
    return Participant(
        logins.current(os.environ, url, token), os.environ, say=lambda text: print(text, file=sys.stderr)
    )


class _Shown:
    """The card while the result is awaited, where the notebook can change what it shows."""

    def __init__(self) -> None:
        self._handle: Any = None
        shell = sys.modules.get("IPython.core.interactiveshell")
        self._is_notebook = shell is not None and shell.InteractiveShell.initialized()

    def watch(self, sent: Submitted) -> None:
        if not self._is_notebook or sent.is_final:
            return
        display = sys.modules["IPython.display"].display
        if self._handle is None:
            self._handle = display(sent, display_id=True)
        else:
            self._handle.update(sent)

    def clear(self) -> None:
        """Leave the card to the result itself."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
