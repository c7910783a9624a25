"""The refusals, with HTTP status and exit code.

    Refused                  422  exit 2   the request is not allowed
    ├── NotFound             404  exit 2   missing, or not visible to this account: the answer is the same
    ├── NotSignedIn          401  exit 4
    ├── Forbidden            403  exit 4
    │   └── InsufficientScope     exit 4   the token may do less than the account
    ├── Conflict             409  exit 2   the name is taken, the version has submissions
    ├── Closed               403  exit 3   not open yet, closed, or paused
    ├── QuotaExhausted       429  exit 3
    ├── RateLimited          429  exit 3   wait; the request was not processed
    ├── TooLarge             413  exit 2
    ├── Unavailable          503  exit 1   database, storage or vault does not answer: try again
    ├── StorageFull          507  exit 1   no space for another file
    └── Misconfigured        500  exit 2   a setting or the machine is wrong; for the operator

A refusal is an answer, not a fault. Any other exception is a bug and is not caught.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from scorer.report import Problem
from scorer.wording import over_limit


class Refused(Exception):
    """The request is not allowed.

    The message is for the client; `problems` lists details where there are several. `retry_after` is the
    time after which the same request can succeed; None: unknown, or never. `remedy` is the command with which
    an operator can change what refuses; commands print it, pages do not.
    """

    status: ClassVar[int] = 422
    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        message: str,
        problems: Sequence[Problem] = (),
        *,
        retry_after: timedelta | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.retry_after = retry_after
        self.remedy = remedy


class NotFound(Refused):
    status = 404


class NotSignedIn(Refused):
    status = 401
    exit_code = 4


class Forbidden(Refused):
    status = 403
    exit_code = 4


class InsufficientScope(Forbidden):
    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope
        """The scope that is needed."""


class Conflict(Refused):
    status = 409


class Closed(Refused):
    status = 403
    exit_code = 3


class QuotaExhausted(Refused):
    status = 429
    exit_code = 3


class RateLimited(Refused):
    status = 429
    exit_code = 3


class TooLarge(Refused):
    status = 413

    @classmethod
    def over(cls, limit_bytes: int) -> TooLarge:
        """Return the refusal of a file above a limit."""
        return cls(over_limit(limit_bytes))


class Unavailable(Refused):
    status = 503
    exit_code = 1


class StorageFull(Refused):
    status = 507
    exit_code = 1


class Misconfigured(Refused):
    status = 500
