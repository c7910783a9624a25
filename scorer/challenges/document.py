"""challenge.yaml as values with lines, and problems with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from scorer.challenges.definition import (
    DEFINITION_FILE,
    Baseline,
    CompetitionDefaults,
    Definition,
    Example,
    Source,
    SubmissionForm,
)
from scorer.challenges.folder import belonging_files
from scorer.challenges.solution import USAGE_COLUMN
from scorer.reading.forms import composed
from scorer.report import Problem
from scorer.wording import show

MAX_DEFINITION_BYTES = 1_000_000


MAX_NESTING = 20

_NAMES_OF_FILES = ("file", "script")
"""Keys whose values name files, by the bytes that the disk has; other texts are read in one Unicode form."""


PartT = TypeVar("PartT", bound=BaseModel)


_BaseLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BaseLoader):  # type: ignore[misc, valid-type]
    """Safe YAML in which `no`, `on` and times stay text.

    A class may be called `no`.
    """


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")
    ]
    for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
}


# As in JSON and YAML 1.2: 1e-9 is a number without a point too.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


class Document:
    """A YAML document as values, with lines and spellings."""

    def __init__(self, text: str) -> None:
        self.lines: dict[tuple[str | int, ...], int] = {(): 1}
        self.written: dict[tuple[str | int, ...], str] = {}
        self.problems: list[Problem] = []
        self.value: Any = None
        try:
            self._refuse_deep_or_shared(text)
            loader = _Loader(text)
            node = loader.get_single_node()
            if node is not None:
                self.value = self._plain(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            message = f"Line {line}: this is not YAML: {error.problem or error.context}."
            self.problems.append(definition_problem("YAML_SYNTAX", message, line))
        except (yaml.YAMLError, ValueError) as error:
            message = f"This is not YAML: {' '.join(str(error).split())[:200]}."
            self.problems.append(definition_problem("YAML_SYNTAX", message, None))

    def line(self, *where: str | int) -> int | None:
        """Return the line of an entry, or of its parent."""
        place = tuple(where)
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place)

    def problem(self, code: str, words: str, *where: str | int) -> Problem:
        line = self.line(*where)
        name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        at = f"Line {line}, {name}" if name else f"Line {line}"
        return definition_problem(code, f"{at}: {words}{'' if words.endswith('?') else '.'}", line)

    def _refuse_deep_or_shared(self, text: str) -> None:
        # On the flat list of events, before anything recursive walks the document.
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _refusal("anchors and aliases are not allowed", event)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_NESTING:
                raise _refusal("nested too deeply", event)

    def _plain(self, loader: Any, node: yaml.Node, where: tuple[str | int, ...]) -> Any:
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(loader, child, (*where, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            values: dict[str, Any] = {}
            for key_node, child in node.value:
                line = key_node.start_mark.line + 1
                if not isinstance(key_node, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(
                        problem="a key must be plain text", problem_mark=key_node.start_mark
                    )
                key = composed(key_node.value)
                if key in values:
                    first = self.line(*where, key)
                    message = f"Line {line}: the key {show(key)} appears twice, first on line {first}."
                    self.problems.append(definition_problem("DUPLICATE_KEY", message, line))
                    continue
                self.lines[(*where, key)] = line
                values[key] = self._plain(loader, child, (*where, key))
            return values
        if where and where[-1] not in _NAMES_OF_FILES:
            node.value = composed(node.value)
        self.written[where] = node.value
        return loader.construct_object(node, deep=True)


def _refusal(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def definition_problem(code: str, message: str, line: int | None) -> Problem:
    return Problem(code, message, line=line, file=DEFINITION_FILE)


def spell_columns(document: Document) -> None:
    """Restore column names such as 1e3, read as numbers."""
    form = document.value.get("submission")
    columns: object = form.get("columns") if isinstance(form, dict) else None
    if not isinstance(columns, list):
        return
    for i, name in enumerate(columns):
        if isinstance(name, int | float) and not isinstance(name, bool):
            columns[i] = document.written[("submission", "columns", i)]


def schema_problems(error: ValidationError, document: Document) -> list[Problem]:
    problems = []
    for detail in error.errors(include_url=False):
        # Unions put the names of their members into `loc`; these are not in the file.
        where = tuple(
            part for part in detail["loc"] if isinstance(part, int) or ("[" not in part and part != "str")
        )
        kind, received = detail["type"], detail.get("input")
        name = str(where[-1]) if where else ""
        if kind == "extra_forbidden":
            known = _keys_at(where[:-1])
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
            problems.append(document.problem("UNKNOWN_KEY", f"unknown key {show(name)}{hint}", *where))
        elif kind == "missing":
            problems.append(document.problem("MISSING_KEY", f"the key {name} is missing", *where[:-1]))
        elif kind == "value_error":
            problems.append(document.problem("BAD_VALUE", str(detail["ctx"]["error"]), *where))
        else:
            wrong_type = kind.endswith(("_type", "_parsing")) or kind in ("int_from_float",)
            words = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, found {_value_words(received)}"
            problems.append(document.problem("WRONG_TYPE" if wrong_type else "BAD_VALUE", words, *where))
    return problems


def _value_words(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return show(str(value))


def _keys_at(where: Sequence[str | int]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "source": Source,
        "submission": SubmissionForm,
        "competition": CompetitionDefaults,
        "examples": Example,
        "baselines": Baseline,
    }
    model = models.get(str(where[0]), Definition) if where else Definition
    return list(model.model_fields)


def in_file_order(problems: Sequence[Problem]) -> list[Problem]:
    """Return problems in the order of the file, each once.

    A union reports a wrong value once per member.
    """
    unique = {(p.code, p.line, p.message): p for p in problems}
    by_place = {(p.line, p.message.partition(": ")[0], p.code): p for p in unique.values()}
    return sorted(by_place.values(), key=lambda p: p.line or 0)


def sound_parts(kind: type[PartT], value: object) -> dict[int, PartT]:
    """Return the entries that are valid as `kind`, by position.

    `value` is a list of entries or a single one. Other checks report the invalid ones.
    """
    found = {}
    for i, entry in enumerate(value if isinstance(value, list) else [value]):
        with suppress(ValidationError):
            found[i] = kind.model_validate(entry)
    return found


def column_name_problems(form: SubmissionForm, document: Document) -> list[Problem]:
    ids = [form.id] if isinstance(form.id, str) else form.id or []
    names = [*ids, *form.columns]
    problems = [
        document.problem("BAD_VALUE", f"the column {show(name)} is listed twice", "submission")
        for name, times in Counter(names).items()
        if times > 1
    ]
    problems.extend(
        document.problem("BAD_VALUE", f'"{show(name)}" cannot name a column of a submission', "submission")
        for name in names
        if name != name.strip() or name == USAGE_COLUMN or any(c in name for c in '\r\n"')
    )
    return problems


def missing_file(folder: Path, part: str, name: str, document: Document, *where: str | int) -> list[Problem]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
        return [document.problem("OUTSIDE_FOLDER", f'"{show(name)}" does not name a file in {part}/', *where)]
    if name not in belonging_files(
        folder / part
    ):  # dotfiles and temporary files of editors are not published
        return [document.problem("FILE_MISSING", f"there is no file {part}/{show(name)}", *where)]
    return []
