"""Reads a challenge's folder into a frozen Challenge, or refuses with every problem at once."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from scorer.challenges.prepared import open_ as open_prepared
from scorer.challenges.prepared import save as save_prepared
from scorer.challenges.publication import PublicFile, describe_public
from scorer.challenges.solution import FILE as SOLUTION_FILE
from scorer.challenges.solution import USAGE_COLUMN, Solution, prepare_table, side_task_faults
from scorer.challenges.task import Part, Task, combined_faults, find_metric, read_part
from scorer.custom import CustomMetric, UnreadableMetric
from scorer.metrics import METRICS
from scorer.metrics.registry import BadParameters
from scorer.reading.tables import MIN_UNPACKED_BYTES, Table, UnreadableTable, open_table
from scorer.report import InvalidChallenge, Problem
from scorer.wording import show

DEFINITION_FILE = "challenge.yaml"
SAMPLE_FILE = "public/sample_submission.csv"
MAX_DEFINITION_BYTES = 1_000_000
MAX_NESTING = 20
MAX_SOLUTION_BYTES = 4_000_000_000
FOLDERS = ("public", "private", "examples", "baselines")


# --- what may stand in challenge.yaml -------------------------------------------------------------


def _as_text(value: object) -> object:
    # A class column named 0, or a licence written as 4.0: text, though YAML reads a number.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path or an odd name; a folder of zones
        raise ValueError(f'"{name}" is not a time zone; use a name such as UTC or Europe/Berlin') from None
    return name


def _aware(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a time; write it like 2026-10-01T09:00:00+02:00') from None
    if moment.tzinfo is None:
        raise ValueError(f'"{text}" has no offset from UTC; write it like 2026-10-01T09:00:00+02:00')
    return moment


Text = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
Moment = Annotated[str, Field(min_length=1), AfterValidator(lambda text: _aware(text).isoformat())]


PartT = TypeVar("PartT", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(_Part):
    """Where the data come from."""

    name: Text
    licence: Text | None = None
    citation: Text | None = None


class SubmissionForm(_Part):
    id: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    """Default: the first column of the solution. Several columns make an id together."""
    columns: Annotated[list[Text], Field(min_length=1)]
    extra_ids: Literal["refuse", "ignore"] = "refuse"
    """Rows whose id is not in the solution."""
    parquet: bool = False
    """Whether Parquet files are taken beside CSV."""
    max_bytes: Annotated[int, Field(ge=1000)] | None = None
    """Of the unpacked file; default: 4 times the sample submission and 1 MB, at least 10 MB."""


class CompetitionDefaults(_Part):
    """Defaults of a run; whoever opens a competition may say otherwise."""

    daily_limit: Annotated[int, Field(ge=1, le=10_000)] = 5
    total_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of a team over the whole run; default: none beside the daily one."""
    public_score: Literal["exact", "rounded", "ladder"] = "rounded"
    """How public scores are shown before the close."""
    pending_limit: Annotated[int, Field(ge=1, le=1000)] = 3
    final_picks: Annotated[int, Field(ge=1, le=100)] = 2
    max_team_size: Annotated[int, Field(ge=1, le=1000)] = 4
    timezone: Annotated[Text, AfterValidator(_known_timezone)] = "UTC"
    opens_at: Moment | None = None
    closes_at: Moment | None = None
    duration_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    max_upload_mb: Annotated[float, Field(gt=0, le=10_000)] | None = None


class Split(BaseModel):
    """How the rows were divided; shown, held against the data by the audit, and free to say more (seed, note)."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    strategy: Text | None = None
    """random, stratified, grouped or sequential; any other word is only shown."""
    group: Text | None = None
    """The column of train and test whose values must not be on both sides: a patient, a speaker, a site."""
    time: Text | None = None
    """The column of train and test that orders rows in time."""
    public_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None


class Example(_Part):
    """A submission in examples/ and what must come of it: both scores, or a refusal's code."""

    file: Text
    public: Annotated[float, Field(allow_inf_nan=False)] | None = None
    private: Annotated[float, Field(allow_inf_nan=False)] | None = None
    refused: Text | None = None


class Baseline(_Part):
    """A script in baselines/ that reads public/ and writes a submission to the path it is given."""

    name: Text | None = None
    script: Text


class Definition(_Part):
    """challenge.yaml, format 1."""

    format: Literal[1] = 1
    title: Text | None = None
    summary: Text = ""
    source: Source | None = None
    metric: Text | dict[str, Any]
    also: list[Text | dict[str, Any]] = []
    submission: SubmissionForm
    competition: CompetitionDefaults = CompetitionDefaults()
    split: Split = Split()
    examples: list[Example] = []
    baselines: list[Baseline] | None = None


# --- the challenge --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Challenge:
    """One immutable definition: everything in the folder, read and found consistent."""

    folder: Path
    slug: str
    """From the folder's name: lower-case letters, digits and hyphens."""
    title: str
    summary: str
    description: str
    """Markdown; empty if there is no description.md."""
    source: Source | None
    columns: tuple[str, ...]
    max_bytes: int
    """Limit of an unpacked submission."""
    competition: CompetitionDefaults
    split: Split
    examples: tuple[Example, ...]
    baselines: tuple[Baseline, ...]
    solution: Solution
    """Hidden labels; never to be shown, logged or sent anywhere."""
    digest: str
    """sha256 that names this version: over the path and sha256 of every file that belongs to it."""
    solution_digest: str
    """sha256 of private/solution.csv."""
    lines: Mapping[tuple[str | int, ...], int] = field(repr=False)
    """Where in challenge.yaml each entry stands: ('examples', 0, 'public') -> line."""
    written: Mapping[tuple[str | int, ...], str] = field(repr=False)
    """How each scalar of challenge.yaml is spelt, which says how many digits were meant."""

    @property
    def task(self) -> Task:
        return self.solution.task

    @property
    def also_tasks(self) -> tuple[Task, ...]:
        """Metrics shown beside the ranking one."""
        return self.solution.tasks[1:]

    @property
    def id_column(self) -> str:
        return self.solution.id_column

    @property
    def metric(self) -> str:
        return self.task.name

    @property
    def metric_params(self) -> dict[str, Any]:
        return self.task.parameters

    @property
    def also(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.also_tasks)

    @property
    def greater_is_better(self) -> bool:
        return self.task.greater_is_better

    @property
    def metric_digest(self) -> str:
        """sha256 of the metric's name, version and parameters."""
        return self.task.digest()

    def public_files(self) -> tuple[PublicFile, ...]:
        """Everything in public/, by name, with size, sha256 and for CSV files a table of columns."""
        return describe_public(self.folder / "public", _belonging_files(self.folder / "public"))

    def copy_to(self, folder: Path) -> None:
        """Copy the whole folder and flush it to disk; refused if it is no longer what was read."""
        junk = shutil.ignore_patterns(".*", "__pycache__")
        shutil.copytree(self.folder, folder, ignore=junk)
        if folder_digest(folder) != self.digest:
            shutil.rmtree(folder)
            words = "The folder changed while it was being copied; nothing was published. Publish it again."
            raise InvalidChallenge([Problem("FOLDER_CHANGED", words)])
        for path in (folder, *folder.rglob("*")):
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)

    def manifest(self) -> dict[str, Any]:
        """All that the web may know, ready for JSON. Of the hidden labels only row counts are in it.

        Neither `digest` nor `solution_digest` is: against a hash of twenty labels a million guesses
        can be tried at home.
        """
        return {
            "format": 1,
            "slug": self.slug,
            "title": self.title,
            "summary": self.summary,
            "description": self.description,
            "source": None if self.source is None else self.source.model_dump(),
            "metric_digest": self.metric_digest,
            "metric": _describe_task(self.task),
            "also": [_describe_task(side) for side in self.also_tasks],
            "submission": {
                "id": self.id_column,
                "columns": [{"name": name, "holds": self.task.cells(name).words} for name in self.columns],
                "max_bytes": self.max_bytes,
                "parquet": self.task.parquet,
            },
            "competition": self.competition.model_dump(),
            "split": self.split.model_dump(),
            "rows": self.solution.n_rows,
            "baselines": [{"name": b.name, "script": b.script} for b in self.baselines],
            "files": [file.as_dict() for file in self.public_files()],
        }


def _describe_task(task: Task) -> dict[str, Any]:
    low, high = (
        None if abs(bound) == float("inf") else bound for bound in task.bounds
    )  # JSON has no infinity
    return {
        "name": task.name,
        "own": task.custom is not None,
        "title": task.title,
        "params": task.parameters,
        "version": task.version,
        "greater_is_better": task.greater_is_better,
        "bounds": [low, high],
        "best": high if task.greater_is_better else low,
        "worst": low if task.greater_is_better else high,
        "kind": task.kind,
        "convention": task.convention,
    }


def load(folder: Path | str, *, digest: str | None = None, prepared: Path | None = None) -> Challenge:
    """Read a challenge's folder.

    Indispensable are challenge.yaml with a metric and the submission's columns, and
    private/solution.csv. Everything else may be absent here; `scorer.check` tells what is wanted
    before publishing.

    Parameters
    ----------
    digest
        The version's digest where it is known already, as for a copy kept under that name: saves
        hashing all public files.
    prepared
        A folder where prepared solutions are kept, by digest: the one of this version is mapped
        into memory if it is there, else written for whoever comes next.

    Raises
    ------
    InvalidChallenge
        With every problem, each naming its file and line.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise InvalidChallenge([Problem("FILE_MISSING", f"{folder.name} is not a folder.")])
    outside = _links_leading_out(folder)
    if outside:
        raise InvalidChallenge(outside)
    definition, document = _read_definition(folder)
    tasks, problems = _read_tasks(folder, definition, document)
    problems.extend(_check_references(folder, document))
    if problems:
        raise InvalidChallenge(problems)
    path = folder / SOLUTION_FILE
    digest = digest or folder_digest(folder)
    solution_digest = file_sha256(path)
    # What the arrays hold depends on the metrics too, and these may change with the program.
    # And a folder may have been damaged, and mended, under the same digest.
    facts = [digest, solution_digest, *(task.digest() for task in tasks)]
    key = hashlib.sha256(",".join(facts).encode()).hexdigest()
    solution = None if prepared is None else open_prepared(prepared / key, tasks)
    if solution is None:
        solution = _read_solution(path, tasks, definition.submission, document)
        if prepared is not None:
            with suppress(OSError):  # a vault that may only be read, or a full disk: as good, only slower
                save_prepared(solution, prepared / key)
            solution = open_prepared(prepared / key, tasks) or solution

    description = folder / "description.md"
    sample = folder / SAMPLE_FILE
    # Without a sample the solution stands for it: it has a row per id as well.
    typical_bytes = (sample if sample.is_file() else path).stat().st_size
    slug = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "challenge"
    return Challenge(
        folder=folder,
        slug=slug,
        title=definition.title or folder.name,
        summary=definition.summary,
        description=_read_text(description) if description.is_file() else "",
        source=definition.source,
        columns=solution.task.columns,
        max_bytes=definition.submission.max_bytes or max(MIN_UNPACKED_BYTES, 4 * typical_bytes + 1_000_000),
        competition=definition.competition,
        split=definition.split,
        examples=tuple(definition.examples),
        baselines=_find_baselines(folder, definition),
        solution=solution,
        digest=digest,
        solution_digest=solution_digest,
        lines=document.lines,
        written=document.written,
    )


def folder_digest(folder: Path) -> str:
    return hashlib.sha256(folder_listing(folder)).hexdigest()


def folder_listing(folder: Path) -> bytes:
    """Every file of the version by path and sha256; the sha256 of the whole is the digest that names it."""
    return "".join(f"{path}\0{file_sha256(folder / path)}\n" for path in challenge_files(folder)).encode()


def challenge_files(folder: Path) -> list[str]:
    """Every file that belongs to the version, as sorted relative paths; editors' litter does not."""
    files = [name for name in (DEFINITION_FILE, "description.md") if (folder / name).is_file()]
    for part in FOLDERS:
        files.extend(f"{part}/{path}" for path in _belonging_files(folder / part))
    return sorted(files)


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _belonging_files(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        litter = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if (
            path.is_file()
            and not litter
            and relative.suffix not in (".pyc", ".swp")
            and relative.name[-1] != "~"
        ):
            found.append(relative.as_posix())
    return sorted(found)


def _links_leading_out(folder: Path) -> list[Problem]:
    """A link out of the folder would publish, or depend on, a file that is not part of the challenge."""
    problems = []
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder):
                relative = path.relative_to(folder).as_posix()
                message = f"{relative} is a link to something outside the challenge's folder; put the file itself there."
                problems.append(Problem("OUTSIDE_FOLDER", message, file=relative))
    return problems


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


# --- reading challenge.yaml -----------------------------------------------------------------------

_BaseLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BaseLoader):  # type: ignore[misc, valid-type]
    """Safe YAML in which `no` and `on` are text (a class may be called so) and times stay text."""


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


class _Document:
    """A YAML document as plain values, knowing where each stands and how each is spelt."""

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
            self.problems.append(_definition_problem("YAML_SYNTAX", message, line))
        except (yaml.YAMLError, ValueError) as error:
            message = f"This is not YAML: {' '.join(str(error).split())[:200]}."
            self.problems.append(_definition_problem("YAML_SYNTAX", message, None))

    def line(self, *where: str | int) -> int | None:
        """The line of an entry, or of the nearest one around it."""
        place = tuple(where)
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place)

    def problem(self, code: str, words: str, *where: str | int) -> Problem:
        line = self.line(*where)
        name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        at = f"Line {line}, {name}" if name else f"Line {line}"
        return _definition_problem(code, f"{at}: {words}{'' if words.endswith('?') else '.'}", line)

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
                key = key_node.value
                if key in values:
                    message = f"Line {line}: the key {show(key)} appears twice, first on line {self.line(*where, key)}."
                    self.problems.append(_definition_problem("DUPLICATE_KEY", message, line))
                    continue
                self.lines[(*where, key)] = line
                values[key] = self._plain(loader, child, (*where, key))
            return values
        self.written[where] = node.value
        return loader.construct_object(node, deep=True)


def _refusal(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def _definition_problem(code: str, message: str, line: int | None) -> Problem:
    return Problem(code, message, line=line, file=DEFINITION_FILE)


def _read_definition(folder: Path) -> tuple[Definition, _Document]:
    path = folder / DEFINITION_FILE
    if not path.is_file():
        raise InvalidChallenge([_definition_problem("FILE_MISSING", f"{DEFINITION_FILE} is missing.", None)])
    if path.stat().st_size > MAX_DEFINITION_BYTES:
        message = f"{DEFINITION_FILE} is larger than 1 MB; put data into public/ or private/."
        raise InvalidChallenge([_definition_problem("TOO_LARGE", message, None)])
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidChallenge(
            [_definition_problem("ENCODING", "The file is not UTF-8; save it as UTF-8.", None)]
        ) from None
    document = _Document(text)
    if not document.problems and not isinstance(document.value, dict):
        message = "The file must hold keys and values, such as `title: Biopsy triage`."
        document.problems.append(_definition_problem("YAML_SYNTAX", message, 1))
    if not isinstance(document.value, dict):
        raise InvalidChallenge(document.problems)
    _spell_columns(document)
    try:
        definition = Definition.model_validate(document.value)
    except ValidationError as error:
        document.problems.extend(_schema_problems(error, document))
    if document.problems:
        # The rest is looked at even so: whoever writes the file wants to hear of everything.
        document.problems.extend(_metric_problems(folder, document))
        document.problems.extend(_check_references(folder, document))
        raise InvalidChallenge(_once(document.problems))
    return definition, document


def _spell_columns(document: _Document) -> None:
    """Columns called 1e3 or 007 keep their names, although YAML reads numbers."""
    form = document.value.get("submission")
    columns: object = form.get("columns") if isinstance(form, dict) else None
    if not isinstance(columns, list):
        return
    for i, name in enumerate(columns):
        if isinstance(name, int | float) and not isinstance(name, bool):
            columns[i] = document.written[("submission", "columns", i)]


def _schema_problems(error: ValidationError, document: _Document) -> list[Problem]:
    problems = []
    for detail in error.errors(include_url=False):
        # Unions put the names of their members into the place; they are not in the file.
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
            words = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, found {_say_value(received)}"
            problems.append(document.problem("WRONG_TYPE" if wrong_type else "BAD_VALUE", words, *where))
    return problems


def _say_value(value: object) -> str:
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


def _once(problems: Sequence[Problem]) -> list[Problem]:
    """In the order of the file; a union reports a wrong value once per member."""
    unique = {(p.code, p.line, p.message): p for p in problems}
    by_place = {(p.line, p.message.partition(": ")[0], p.code): p for p in unique.values()}
    return sorted(by_place.values(), key=lambda p: p.line or 0)


def _read_tasks(
    folder: Path, definition: Definition, document: _Document
) -> tuple[list[Task], list[Problem]]:
    """The ranking task and those beside it; without any if there are problems."""
    problems: list[Problem] = []
    form = definition.submission
    tasks = [_read_task(folder, definition.metric, form, document, problems, "metric")]
    tasks += [
        _read_task(folder, entry, form, document, problems, "also", i)
        for i, entry in enumerate(definition.also)
    ]
    sound = [task for task in tasks if task is not None]
    problems.extend(
        document.problem("BAD_ALSO", f"{name} is already listed", "also")
        for name, times in Counter(task.name for task in sound).items()
        if times > 1
    )
    if not problems:
        for i, side in enumerate(sound[1:]):
            faults = side_task_faults(sound[0], side)
            if side.custom is not None or sound[0].custom is not None:
                faults = ["an own function stands alone; it cannot be shown beside another metric"]
            problems.extend(document.problem("BAD_ALSO", words, "also", i) for words in faults)
    return sound, problems


def _metric_problems(folder: Path, document: _Document) -> list[Problem]:
    """What can be said of the metrics while other parts of the file are still wrong."""
    problems: list[Problem] = []
    value = document.value
    if isinstance(value.get("metric"), str | dict):
        _read_task(folder, value["metric"], None, document, problems, "metric")
    if isinstance(value.get("also"), list):
        for i, entry in enumerate(value["also"]):
            if isinstance(entry, str | dict):
                _read_task(folder, entry, None, document, problems, "also", i)
    return problems


def _read_task(
    folder: Path,
    entry: str | dict[str, Any],
    form: SubmissionForm | None,
    document: _Document,
    problems: list[Problem],
    *where: str | int,
) -> Task | None:
    """A metric by name, several combined, or a file of the organiser's own."""
    given = {"name": entry} if isinstance(entry, str) else dict(entry)
    before = len(problems)
    columns = None if form is None else tuple(form.columns)
    stated = given.pop("greater_is_better", None) if {"file", "combine"} & set(given) else None
    if stated is not None and not isinstance(stated, bool):
        problems.append(document.problem("WRONG_TYPE", "must be true or false", *where, "greater_is_better"))
        return None
    if "file" in given:
        return _read_custom(folder, given, stated, form, document, problems, *where)
    parts = []
    if "combine" in given:
        parts = _read_combined(given, columns, document, problems, *where)
        if columns is not None and len(problems) == before:
            problems.extend(
                document.problem("BAD_METRIC_PARAM", words, *where)
                for words in combined_faults(parts, stated)
            )
    else:
        part = _read_part(given, columns, document, problems, *where)
        parts = [part] if part else []
    if form is None or len(problems) > before:
        return None
    return Task(
        tuple(form.columns),
        tuple(parts),
        stated_direction=stated,
        ignore_unknown_ids=form.extra_ids == "ignore",
        parquet=form.parquet,
    )


def _read_combined(
    given: Mapping[str, Any],
    columns: tuple[str, ...] | None,
    document: _Document,
    problems: list[Problem],
    *where: str | int,
) -> list[Part]:
    entries = given["combine"]
    if not isinstance(entries, list) or len(entries) < 2 or not all(isinstance(e, dict) for e in entries):
        words = "combine is a list of two or more metrics, each like {name: mae, coefficient: 0.5}"
        problems.append(document.problem("WRONG_TYPE", words, *where, "combine"))
        return []
    problems.extend(
        document.problem(
            "UNKNOWN_KEY",
            f"unknown key {show(key)}; beside combine only greater_is_better may stand",
            *where,
            key,
        )
        for key in given
        if key != "combine"
    )
    parts = []
    for i, entry in enumerate(entries):
        rest = dict(entry)
        coefficient = rest.pop("coefficient", 1.0)
        place = (*where, "combine", i)
        if (
            isinstance(coefficient, bool)
            or not isinstance(coefficient, int | float)
            or not coefficient
            or not abs(coefficient) <= 1e6  # also if it is nan
        ):
            words = "coefficient must be a number other than 0"
            problems.append(document.problem("WRONG_TYPE", words, *place, "coefficient"))
            continue
        part = _read_part(rest, columns, document, problems, *place, coefficient=float(coefficient))
        parts.extend([part] if part else [])
    return parts


def _read_part(
    entry: Mapping[str, Any],
    columns: tuple[str, ...] | None,
    document: _Document,
    problems: list[Problem],
    *where: str | int,
    coefficient: float = 1.0,
) -> Part | None:
    given = {key: value for key, value in entry.items() if key != "name"}
    name = entry.get("name")
    if name is None:
        words = f"name one of {', '.join(sorted(METRICS))}; or file: metric.py, or combine: [...]"
        problems.append(document.problem("MISSING_KEY", words, *where))
        return None
    try:
        metric, given = find_metric(str(name), given)
    except ValueError as error:
        problems.append(document.problem("UNKNOWN_METRIC", str(error), *where))
        return None
    try:
        return read_part(metric, given, columns, coefficient=coefficient)
    except BadParameters as error:
        for parameter, words in error.faults:
            place = (*where, parameter) if parameter else where
            problems.append(document.problem("BAD_METRIC_PARAM", words, *place))
        return None


def _read_custom(
    folder: Path,
    given: Mapping[str, Any],
    greater_is_better: bool | None,
    form: SubmissionForm | None,
    document: _Document,
    problems: list[Problem],
    *where: str | int,
) -> Task | None:
    """private/metric.py in Kaggle's form; what else stands beside `file` are its own parameters."""
    params = {key: value for key, value in given.items() if key not in ("file", "complete_submission")}
    complete = given.get("complete_submission", False)
    before = len(problems)
    if greater_is_better is None:
        words = "a metric of one's own must state greater_is_better: true or false"
        problems.append(document.problem("MISSING_KEY", words, *where))
    if not isinstance(complete, bool):
        problems.append(
            document.problem("WRONG_TYPE", "must be true or false", *where, "complete_submission")
        )
    if form is not None and isinstance(form.id, list) and len(form.id) > 1:
        problems.append(document.problem("BAD_VALUE", "a metric of one's own takes one id column", *where))
    missing = _missing_file(folder, "private", str(given["file"]), document, *where, "file")
    problems.extend(missing)
    if missing:
        return None
    try:
        custom = CustomMetric.read(folder / "private" / str(given["file"]), params)
    except UnreadableMetric as error:
        file = f"private/{given['file']}"
        problems.extend(
            Problem(
                "BAD_METRIC_FILE",
                f"{file}, line {line}: {words}." if line else f"{file}: {words}.",
                line=line,
                file=file,
            )
            for words, line in error.faults
        )
        return None
    if form is None or len(problems) > before:
        return None
    return Task(
        tuple(form.columns),
        custom=custom,
        stated_direction=greater_is_better,
        ignore_unknown_ids=form.extra_ids == "ignore",
        parquet=form.parquet,
        complete=complete,
    )


def _check_references(folder: Path, document: _Document) -> list[Problem]:
    """Names in the file that do not fit each other or the folder, as far as its parts are sound."""
    problems: list[Problem] = []
    for form in _sound_parts(SubmissionForm, document.value.get("submission")).values():
        problems.extend(_column_name_problems(form, document))
    for run in _sound_parts(CompetitionDefaults, document.value.get("competition")).values():
        opens_at, closes_at = run.opens_at, run.closes_at
        if opens_at and closes_at and datetime.fromisoformat(closes_at) <= datetime.fromisoformat(opens_at):
            words = "closes_at must be later than opens_at"
            problems.append(document.problem("BAD_VALUE", words, "competition", "closes_at"))
    for i, example in _sound_parts(Example, document.value.get("examples")).items():
        scored = example.public is not None or example.private is not None
        if scored == (example.refused is not None):
            words = "expect either scores (public, private) or a refusal (refused: CODE)"
            problems.append(document.problem("BAD_VALUE", words, "examples", i))
        problems.extend(_missing_file(folder, "examples", example.file, document, "examples", i, "file"))
    for i, baseline in _sound_parts(Baseline, document.value.get("baselines")).items():
        problems.extend(
            _missing_file(folder, "baselines", baseline.script, document, "baselines", i, "script")
        )
    if not (folder / SOLUTION_FILE).is_file():
        problems.append(Problem("FILE_MISSING", f"{SOLUTION_FILE} is missing.", file=SOLUTION_FILE))
    return problems


def _sound_parts(kind: type[PartT], value: object) -> dict[int, PartT]:
    """The entries of a list, or a single one, that read as `kind`, by position; what is wrong with the others is told elsewhere."""
    found = {}
    for i, entry in enumerate(value if isinstance(value, list) else [value]):
        with suppress(ValidationError):
            found[i] = kind.model_validate(entry)
    return found


def _column_name_problems(form: SubmissionForm, document: _Document) -> list[Problem]:
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


def _missing_file(
    folder: Path, part: str, name: str, document: _Document, *where: str | int
) -> list[Problem]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
        return [document.problem("OUTSIDE_FOLDER", f'"{show(name)}" does not name a file in {part}/', *where)]
    if name not in _belonging_files(folder / part):  # dotfiles and leftovers of editors are not published
        return [document.problem("FILE_MISSING", f"there is no file {part}/{show(name)}", *where)]
    return []


def _read_solution(path: Path, tasks: Sequence[Task], form: SubmissionForm, document: _Document) -> Solution:
    ids = [form.id] if isinstance(form.id, str) else form.id
    try:
        # No participant wrote this file, so no tight limit.
        table = open_table(path, max_bytes=MAX_SOLUTION_BYTES)
        return _prepare(table, tasks, ids, document)
    except UnreadableTable as error:
        raise InvalidChallenge([_with_file(problem) for problem in error.problems]) from None


def _prepare(table: Table, tasks: Sequence[Task], ids: Sequence[str] | None, document: _Document) -> Solution:
    try:
        return prepare_table(table, tasks, id_columns=ids)
    except InvalidChallenge as error:
        if len(tasks) == 1:
            raise
        prepare_table(table, tasks[:1], id_columns=ids)  # raises if the ranking metric is at fault
        words = [problem.message.rstrip(".") for problem in error.problems]
        raise InvalidChallenge([document.problem("BAD_ALSO", each, "also") for each in words]) from None


def _with_file(problem: Problem) -> Problem:
    return Problem(problem.code, problem.message, line=problem.line, count=problem.count, file=SOLUTION_FILE)


def _find_baselines(folder: Path, definition: Definition) -> tuple[Baseline, ...]:
    """Those listed, else every script in baselines/; without a name the first docstring line is it."""
    listed = definition.baselines
    if listed is None:
        scripts = [
            name
            for name in _belonging_files(folder / "baselines")
            if name.endswith(".py") and not name.startswith("_")
        ]
        listed = [Baseline(script=name) for name in scripts if "/" not in name]
    return tuple(
        Baseline(name=b.name or _docstring_line(folder / "baselines" / b.script), script=b.script)
        for b in listed
    )


def _docstring_line(path: Path) -> str:
    match = re.search(r'^\s*[rR]?(?:"""|\'\'\'|")\s*([^\n"\']+)', _read_text(path), re.MULTILINE)
    return match[1].strip().rstrip(".") if match else path.stem.replace("_", " ")
