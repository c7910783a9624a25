"""Read a challenge's folder into a Challenge, or report every problem."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scorer.challenges.definition import (
    DEFINITION_FILE,
    SAMPLE_FILE,
    TRAIN_FILE,
    Baseline,
    CompetitionDefaults,
    Definition,
    Example,
    Source,
    Split,
    SubmissionForm,
)
from scorer.challenges.document import (
    MAX_DEFINITION_BYTES,
    Document,
    column_name_problems,
    definition_problem,
    in_file_order,
    missing_file,
    schema_problems,
    sound_parts,
    spell_columns,
)
from scorer.challenges.folder import belonging_files, file_sha256, folder_digest, outside_links, read_text
from scorer.challenges.prepared import open_ as open_prepared
from scorer.challenges.prepared import save as save_prepared
from scorer.challenges.public_labels import public_labels
from scorer.challenges.publication import PublicFile, describe_public
from scorer.challenges.size_limit import max_bytes
from scorer.challenges.solution import FILE as SOLUTION_FILE
from scorer.challenges.solution import Solution
from scorer.challenges.solution_reader import form_problems, prepare_table, with_sample_kinds
from scorer.challenges.spellings import with_spellings
from scorer.challenges.strategies import STRATEGIES, unknown_strategy
from scorer.challenges.task import Task
from scorer.challenges.task_reader import metric_problems, read_tasks
from scorer.reading.forms import composed
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, Table, is_blank, open_table
from scorer.report import InvalidChallenge, Problem
from scorer.wording import show

MAX_SOLUTION_BYTES = 4_000_000_000

_SHOWN_CELLS = 100
"""Of the sample submission, which show whether a column holds words."""


@dataclass(frozen=True, eq=False)
class Challenge:
    """One immutable challenge: its whole folder, read and checked."""

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
    """Hidden labels; never shown, logged or sent."""
    digest: str
    """sha256 that names this version: over the path and sha256 of every file that belongs to it."""
    solution_digest: str
    """sha256 of private/solution.csv."""
    lines: Mapping[tuple[str | int, ...], int] = field(repr=False)
    """Line of each entry of challenge.yaml: ('examples', 0, 'public') -> line."""
    written: Mapping[tuple[str | int, ...], str] = field(repr=False)
    """Each scalar of challenge.yaml as it is written; shows how many digits are given."""

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
        """Return the files in public/ by name, with size and sha256.

        CSV files also have a table of columns.
        """
        return describe_public(self.folder / "public", belonging_files(self.folder / "public"))

    def copy_to(self, folder: Path) -> None:
        """Copy the whole folder and flush it to disk.

        Raises InvalidChallenge if the folder has changed since it was read.
        """
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
        """Return what the web may show, ready for JSON.

        It holds row counts of the hidden labels and nothing else of them. `digest` and `solution_digest`
        are left out: twenty binary labels have a million values, which can all be hashed and compared.
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

    Required are challenge.yaml with a metric and the submission's columns, and private/solution.csv.
    `scorer.check` reports what else a challenge needs before it is published.

    Parameters
    ----------
    digest
        The version's digest, if known, as for a copy kept under that name: saves hashing all public files.
    prepared
        A folder of prepared solutions by digest. The one of this version is mapped into memory if it is
        there, else written.

    Raises
    ------
    InvalidChallenge
        With every problem, each naming its file and line.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise InvalidChallenge([Problem("FILE_MISSING", f"{folder.name} is not a folder.")])
    outside = outside_links(folder)
    if outside:
        raise InvalidChallenge(outside)
    try:
        definition, document = _read_definition(folder)
    except InvalidChallenge as error:
        raise InvalidChallenge([*error.problems, *_form_problems(folder, None)]) from None
    tasks, problems = read_tasks(folder, definition, document)
    problems.extend(_check_references(folder, document, published=digest is not None))
    if problems:
        raise InvalidChallenge([*problems, *_form_problems(folder, definition.submission)])
    path = folder / SOLUTION_FILE
    digest = digest or folder_digest(folder)
    solution_digest = file_sha256(path)
    # The arrays depend on the metrics too, and these may change with the program.
    # A folder may also have been damaged and repaired under the same digest.
    facts = [digest, solution_digest, *(task.digest() for task in tasks)]
    key = hashlib.sha256(",".join(facts).encode()).hexdigest()
    solution = None if prepared is None else open_prepared(prepared / key, tasks)
    if solution is None:
        solution = _read_solution(path, tasks, definition.submission, document)
        solution = with_spellings(solution, public_labels(folder, solution))
        if prepared is not None:
            with suppress(OSError):  # a read-only vault or a full disk: the same, only slower
                save_prepared(solution, prepared / key)
            solution = open_prepared(prepared / key, tasks) or solution

    description = folder / "description.md"
    sample = folder / SAMPLE_FILE
    # Not kept with the prepared arrays: they are of the solution alone.
    if solution.task.complete:
        ids = _sample_cells(sample, [solution.id_column]).get(solution.id_column, ())
        solution = replace(solution, sample_ids=frozenset(map(composed, ids)))
    if solution.task.custom is not None:
        # Of columns of numbers only this is asked of the sample: whether it has words there.
        most = _SHOWN_CELLS if solution.task.numeric.issuperset(solution.task.columns) else None
        solution = with_sample_kinds(solution, _sample_cells(sample, solution.task.columns, most))
    if (folder / TRAIN_FILE).is_file():
        solution = replace(solution, train_file=folder / TRAIN_FILE)
    # Without a sample the solution takes its place: it has a row per id as well.
    typical_bytes = (sample if sample.is_file() else path).stat().st_size
    slug = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "challenge"
    return Challenge(
        folder=folder,
        slug=slug,
        title=definition.title or folder.name,
        summary=definition.summary,
        description=read_text(description) if description.is_file() else "",
        source=definition.source,
        columns=solution.task.columns,
        max_bytes=definition.submission.max_bytes
        or max_bytes(solution.task, solution.ids, typical_bytes=typical_bytes),
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


def _read_definition(folder: Path) -> tuple[Definition, Document]:
    path = folder / DEFINITION_FILE
    if not path.is_file():
        raise InvalidChallenge([definition_problem("FILE_MISSING", f"{DEFINITION_FILE} is missing.", None)])
    if path.stat().st_size > MAX_DEFINITION_BYTES:
        message = f"{DEFINITION_FILE} is larger than 1 MB; put data into public/ or private/."
        raise InvalidChallenge([definition_problem("TOO_LARGE", message, None)])
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidChallenge(
            [definition_problem("ENCODING", "The file is not UTF-8; save it as UTF-8.", None)]
        ) from None
    document = Document(text)
    if not document.problems and not isinstance(document.value, dict):
        message = "The file must hold keys and values, such as `title: Biopsy triage`."
        document.problems.append(definition_problem("YAML_SYNTAX", message, 1))
    if not isinstance(document.value, dict):
        raise InvalidChallenge(document.problems)
    spell_columns(document)
    try:
        definition = Definition.model_validate(document.value)
    except ValidationError as error:
        document.problems.extend(schema_problems(error, document))
    if document.problems:
        # The rest is checked too, so that all problems are reported at once.
        document.problems.extend(metric_problems(folder, document))
        document.problems.extend(_check_references(folder, document))
        raise InvalidChallenge(in_file_order(document.problems))
    return definition, document


def _check_references(folder: Path, document: Document, *, published: bool = False) -> list[Problem]:
    """Return problems with names that contradict each other or the folder.

    Only parts that are valid by themselves are checked. A published version keeps its split's words.
    """
    problems: list[Problem] = []
    for form in sound_parts(SubmissionForm, document.value.get("submission")).values():
        problems.extend(column_name_problems(form, document))
    for run in sound_parts(CompetitionDefaults, document.value.get("competition")).values():
        opens_at, closes_at = run.opens_at, run.closes_at
        if opens_at and closes_at and datetime.fromisoformat(closes_at) <= datetime.fromisoformat(opens_at):
            words = "closes_at must be later than opens_at"
            problems.append(document.problem("BAD_VALUE", words, "competition", "closes_at"))
    for i, example in sound_parts(Example, document.value.get("examples")).items():
        scored = example.public is not None or example.private is not None
        if scored == (example.refused is not None):
            words = "expect either scores (public, private) or a refusal (refused: CODE)"
            problems.append(document.problem("BAD_VALUE", words, "examples", i))
        problems.extend(missing_file(folder, "examples", example.file, document, "examples", i, "file"))
    for i, baseline in sound_parts(Baseline, document.value.get("baselines")).items():
        problems.extend(
            missing_file(folder, "baselines", baseline.script, document, "baselines", i, "script")
        )
    if not published:
        for split in sound_parts(Split, document.value.get("split")).values():
            if split.strategy is not None and split.strategy not in STRATEGIES:
                words = unknown_strategy(show(split.strategy))
                problems.append(document.problem("BAD_VALUE", words, "split", "strategy"))
    if not (folder / SOLUTION_FILE).is_file():
        problems.append(Problem("FILE_MISSING", f"{SOLUTION_FILE} is missing.", file=SOLUTION_FILE))
    return problems


def _read_solution(path: Path, tasks: Sequence[Task], form: SubmissionForm, document: Document) -> Solution:
    ids = [form.id] if isinstance(form.id, str) else form.id
    try:
        # The organiser wrote this file, so the limit is wide.
        table = open_table(path, max_bytes=MAX_SOLUTION_BYTES)
        return _prepare(table, tasks, ids, document)
    except UnreadableTable as error:
        raise InvalidChallenge([_with_file(problem) for problem in error.problems]) from None


def _form_problems(folder: Path, form: SubmissionForm | None) -> list[Problem]:
    """Return the problems of a solution whose metric cannot be read, so that all are reported at once."""
    path = folder / SOLUTION_FILE
    if not path.is_file():
        return []  # reported with the references
    ids = None if form is None else [form.id] if isinstance(form.id, str) else form.id
    try:
        return form_problems(open_table(path, max_bytes=MAX_SOLUTION_BYTES), ids, first=form is not None)
    except UnreadableTable as error:
        return [_with_file(problem) for problem in error.problems]


def _sample_cells(path: Path, names: Sequence[str], most: int | None = None) -> dict[str, list[str]]:
    """Return those columns of the sample submission as text, of the first `most` rows.

    Nothing if it cannot be read; `scorer.check` reports why.
    """
    try:
        records = open_table(path, max_bytes=MAX_SOLUTION_BYTES).records()
        header = [composed(name.strip(SPACES)) for name in next(records)[1]]
        filled = (fields for _, fields in records if not is_blank(fields))
        rows = [[cell.strip(SPACES) for cell in fields] for fields in islice(filled, most)]
    except (OSError, UnreadableTable):
        return {}
    if any(len(fields) != len(header) for fields in rows):
        return {}
    return {name: [row[header.index(name)] for row in rows] for name in names if name in header}


def _prepare(table: Table, tasks: Sequence[Task], ids: Sequence[str] | None, document: Document) -> Solution:
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
    """Return the listed baselines, else every script in baselines/.

    The default name is the first line of the script's docstring.
    """
    listed = definition.baselines
    if listed is None:
        scripts = [
            name
            for name in belonging_files(folder / "baselines")
            if name.endswith(".py") and not name.startswith("_")
        ]
        listed = [Baseline(script=name) for name in scripts if "/" not in name]
    return tuple(
        Baseline(name=b.name or _docstring_line(folder / "baselines" / b.script), script=b.script)
        for b in listed
    )


def _docstring_line(path: Path) -> str:
    match = re.search(r'^\s*[rR]?(?:"""|\'\'\'|")\s*([^\n"\']+)', read_text(path), re.MULTILINE)
    return match[1].strip().rstrip(".") if match else path.stem.replace("_", " ")
