"""What a verb of the command is, and the arguments it takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Callable


@dataclass(frozen=True)
class Argument:
    """One argument or option of a verb, as argparse takes it."""

    names: tuple[str, ...]
    help: str
    default: Any = None
    metavar: str | None = None
    nargs: str | None = None
    type: Callable[[str], Any] = str
    is_flag: bool = False
    required: bool = False

    @property
    def is_option(self) -> bool:
        return self.names[0].startswith("-")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        if self.is_flag:
            parser.add_argument(*self.names, help=self.help, action="store_true")
            return
        more: dict[str, Any] = {"required": True} if self.required else {}
        if self.nargs:
            more["nargs"] = self.nargs
        parser.add_argument(
            *self.names, help=self.help, default=self.default, metavar=self.metavar, type=self.type, **more
        )


@dataclass(frozen=True)
class Verb:
    """One verb of the command."""

    name: str
    help: str
    run: Callable[[Any], int]
    arguments: tuple[Argument, ...] = ()
