"""What an import recognised, took, guessed, asks for and cannot take, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from scorer.report import HeldoutError


@dataclass
class Account:
    format: str
    because: str
    """What the format was recognised by."""
    taken: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Missing parts, each with the way to give it."""
    cannot: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return {
            "recognised": self.format,
            "because": self.because,
            "taken": self.taken,
            "guessed": self.guessed,
            "asked": self.asked,
            "cannot_take": self.cannot,
        }


class CannotImport(HeldoutError):
    """No challenge can be made of the bundle; the text is for its owner.

    `.account` has what was recognised before, or is None where no format was.
    """

    def __init__(self, words: str, account: Account | None = None) -> None:
        self.account = account
        super().__init__(words)


class Incomplete(CannotImport):
    """Parts are missing that the account asks for."""

    def __init__(self, account: Account) -> None:
        super().__init__(" ".join(account.asked), account)
