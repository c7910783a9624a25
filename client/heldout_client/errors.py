"""What can go wrong, each with its exit code.

ClientError     2   the command or the file is wrong
├── BadFile     2   the check found problems; nothing was sent
├── Refusal     1   the server refused the request, or rejected the file
│   └── NotAllowed  4   not signed in, or not allowed to this account or token
└── NotReachable    3   the server does not answer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ClientError(Exception):
    """The command cannot be done; the message states the remedy."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = list(problems)

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of the traceback."""
        return [f"{type(self).__name__}: {line}" for line in [self.message, *map(words_of, self.problems)]]


class BadFile(ClientError):
    """The check of a file found problems."""


class Refusal(ClientError):
    """The server refused the request."""

    exit_code = 1

    def __init__(
        self, message: str, problems: Sequence[Mapping[str, Any]] = (), *, status: int | None = None
    ) -> None:
        super().__init__(message, problems)
        self.status = status


class NotAllowed(Refusal):
    """There is no valid token, or it does not allow this."""

    exit_code = 4


class NotReachable(ClientError):
    """The server does not answer."""

    exit_code = 3


def words_of(problem: Mapping[str, Any]) -> str:
    """Return one line for one problem."""
    return f"{problem.get('message', '')}  [{problem.get('code', '')}]"
