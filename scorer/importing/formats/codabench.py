"""Codabench, and CodaLab before it: a bundle with competition.yaml.

    competition.yaml      version 2, title, phases, tasks, leaderboards, solutions, pages
    reference_data/       the truth of a task: one table
    scoring_program/      metadata with a command; from input/ref and input/res to scores.json or scores.txt
    solutions, starting kit      sample submissions
    public_data/          for download

Folders may be zips. The first phase is public and the last one private.
"""

from __future__ import annotations

import ast
import hashlib
import re
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.bundle import Bundle
from scorer.importing.foreign import Foreign, Wishes, limit_of
from scorer.importing.forms import Rows, read_rows
from scorer.importing.own_code import composed_metric, program_files
from scorer.importing.pages import joined_pages
from scorer.importing.phases import Phase, joined, with_given_sample
from scorer.wording import show

NAME = "Codabench"
_MAIN = ("score.py", "scoring.py", "evaluate.py", "evaluation.py", "main.py", "program.py")
_NO_DATA = re.compile(
    r"(metadata(\.ya?ml)?|readme.*|license.*|.*\.(md|html|png|jpe?g|py|ipynb|pdf))", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of the bundle, or an archive in it."""

    bundle: Bundle
    folder: str

    @property
    def names(self) -> list[str]:
        return self.bundle.below(self.folder)

    def relative(self, name: str) -> str:
        return name.removeprefix(f"{self.folder}/" if self.folder else "")


def recognise(bundle: Bundle) -> str | None:
    name = _definition(bundle)
    return None if name is None else f"{name} has phases and a leaderboard"


def read(bundle: Bundle, account: Account, wishes: Wishes) -> Foreign:
    definition = _definition(bundle)
    assert definition is not None
    content = bundle.yaml(definition)
    home = definition.rpartition("/")[0]
    phases = _entries(content.get("phases"))
    tasks = {str(task.get("index", i)): task for i, task in enumerate(_entries(content.get("tasks")))}
    scored = [_task(phase, tasks) for phase in phases]
    used = [(phase, task) for phase, task in zip(phases, scored, strict=True) if task.get("reference_data")]
    if not used:
        account.asked.append("No task names reference data, which hold the truth.")
        raise Incomplete(account)
    without = [phase for phase, task in zip(phases, scored, strict=True) if not task.get("reference_data")]
    if without:
        names = ", ".join(show(str(phase.get("name"))) for phase in without[:5])
        account.cannot.append(f"The phases {names}: no task of theirs names reference data.")
    program = _part(bundle, home, used[-1][1].get("scoring_program"), "scoring program", account)
    files = program_files(program.bundle, program.folder)
    main, arguments = _command(files, account)
    text = "\n".join(each for name, each in files.items() if name.endswith(".py"))
    programs = {str(task.get("scoring_program")) for _, task in used}
    if len(programs) > 1:
        account.cannot.append(
            f"Other scoring programs of earlier phases: both boards are scored by "
            f"{show(str(used[-1][1].get('scoring_program')))}, that of the last one."
        )
    hidden = _references(bundle, home, used)
    found: list[Phase] = []
    digests = []
    for phase, task in used:
        reference = _part(bundle, home, task["reference_data"], "reference data", account)
        table = _table(reference, text, account)
        digest = repr(sorted(table.columns.items()))
        if digest in digests:
            continue
        digests.append(digest)
        sample = _sample(bundle, home, content, task, phase, table, text, hidden)
        found.append(Phase(str(phase.get("name") or f"phase {len(found) + 1}"), table, sample))
    if len(found) > 2:
        account.cannot.append(
            f"{len(found) - 2} phases between the first and the last: a competition has one public and one "
            "private board."
        )
        found = [found[0], found[-1]]
    names = " and ".join(show(phase.name) for phase in found)
    account.taken.append(f"The reference data of {names}: {sum(len(p.reference) for p in found):,} rows.")
    if len(found) > 1:
        account.guessed.append(
            f"{show(found[0].name)} is the public board and {show(found[1].name)} the private."
        )
    if wishes.sample is not None:
        found = with_given_sample(found, wishes.sample)
    rows = joined(found, account)
    key, greater = _leading(content, account)
    sample_name = (
        found[0].sample.file if found[0].sample is not None else _named_file(text, found[0], account)
    )
    settings = rows.settings | {
        "main": main,
        "arguments": arguments,
        "key": key,
        "submission_file": sample_name,
    }
    title = str(content.get("title") or "Competition").strip()
    account.taken.append(f"The scoring program {main}; {show(key)} ranks.")
    if any(task.get("ingestion_program") for _, task in used):
        account.cannot.append(
            "Submissions of code (ingestion_program): participants send what it would write, "
            f"{show(sample_name)} as a table."
        )
    pages = [page for page in _entries(content.get("pages")) if isinstance(page.get("file"), str)]
    foreign = Foreign(
        title,
        rows.id,
        rows.truth,
        rows.columns,
        rows.sample,
        rows.usage,
        summary=" ".join(str(content.get("description") or "").split())[:300],
        description=joined_pages(bundle, [_path(home, page["file"]) for page in pages]),
        metric=composed_metric("codabench", files, settings, title=f"The scoring program of {title}."),
        names=[key],
        code=[each for name, each in files.items() if name.endswith(".py")],
        greater_is_better=greater,
        competition=_limits(phases[0]),
        takes_sample=True,
    )
    _add_public(foreign, bundle, home, used, account)
    dates = [phase for phase in phases if phase.get("start") or phase.get("start_date")]
    if dates:
        account.cannot.append("Dates of the phases: set them when you open the competition.")
    if content.get("docker_image"):
        account.cannot.append(
            f"The image {show(str(content['docker_image']))}: the program runs with the libraries of this "
            "installation."
        )
    return foreign


def _definition(bundle: Bundle) -> str | None:
    for name in bundle.find(r"(.*/)?competition\.ya?ml")[:20]:
        content = bundle.yaml(name)
        if isinstance(content, dict) and content.get("phases"):
            return name
    return None


def _entries(value: Any) -> list[dict[str, Any]]:
    """Return a list of mappings; CodaLab numbers them as keys of one."""
    values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [each for each in values if isinstance(each, dict)]


def _task(phase: Mapping[str, Any], tasks: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    named = phase.get("tasks")
    first = named[0] if isinstance(named, list) and named else None
    if isinstance(first, dict):
        return first
    return tasks.get(str(first), {}) if first is not None else dict(phase)


def _path(home: str, name: str) -> str:
    parts = [part for part in PurePosixPath(name.strip()).parts if part not in ("/", ".")]
    return "/".join([*home.split("/"), *parts] if home else parts)


def _part(bundle: Bundle, home: str, stated: Any, what: str, account: Account) -> Part:
    """Return the folder or archive that the definition states; raises Incomplete."""
    part = _found(bundle, home, stated)
    if part is None:
        account.asked.append(
            f"The {what} {show(str(stated))} is not in the bundle: put the folder or zip of that name there."
        )
        raise Incomplete(account)
    return part


def _found(bundle: Bundle, home: str, stated: Any) -> Part | None:
    if not isinstance(stated, str) or not stated.strip("./ "):
        return None
    path = _path(home, stated)
    for name in (path, f"{path}.zip"):
        if name in bundle and name.lower().endswith(".zip"):
            inner = bundle.inner(name)
            tops = {each.split("/")[0] for each in inner.names}
            only = next(iter(tops)) if len(tops) == 1 else ""
            return Part(inner, only if only and inner.below(only) else "")
    for folder in (path, path.removesuffix(".zip")):
        if bundle.below(folder):
            return Part(bundle, folder)
    return None


def _command(files: Mapping[str, str], account: Account) -> tuple[str, list[str]]:
    """Return the script of the scoring program and its arguments."""
    metadata = next((text for name, text in files.items() if re.fullmatch(r"metadata(\.ya?ml)?", name)), "")
    match = re.search(r"^\s*command\s*:\s*(.+)$", metadata, re.MULTILINE)
    if match is None:
        main = next((name for name in _MAIN if name in files), None)
        if main is None:
            account.asked.append("The scoring program has no metadata with its command.")
            raise Incomplete(account)
        account.guessed.append(f"The scoring program has no metadata with a command; {main} is run.")
        return main, ["/app/input", "/app/output"]
    try:
        words = shlex.split(match[1].strip().strip("\"'"))
    except ValueError:
        words = match[1].split()
    place = next((i for i, word in enumerate(words) if word.endswith(".py")), None)
    main = PurePosixPath(words[place].replace("$program", "/app/program")).name if place is not None else ""
    if place is None or main not in files:
        raise CannotImport(
            f"The command {show(match[1])} runs no Python file of the scoring program.", account
        )
    places = {"$input": "/app/input", "$output": "/app/output", "$program": "/app/program"}
    arguments = []
    for word in words[place + 1 :]:
        for name, value in places.items():
            word = word.replace(name, value)
        arguments.append(word)
    return main, arguments


def _table(part: Part, program: str, account: Account) -> Rows:
    """Return the one table of reference data: the one that the program names, if there are several."""
    names = [name for name in part.names if not _NO_DATA.fullmatch(name.rpartition("/")[2])]
    if len(names) > 1:
        named = [name for name in names if name.rpartition("/")[2] in program]
        names = named if len(named) == 1 else names
    if not names:
        account.asked.append(f"The reference data {show(part.folder)} hold no table.")
        raise Incomplete(account)
    if len(names) > 1:
        listed = ", ".join(show(part.relative(name)) for name in names[:5])
        raise CannotImport(f"The reference data have several tables ({listed}); one is scored here.", account)
    return read_rows(part.bundle, names[0])


def _sample(
    bundle: Bundle,
    home: str,
    content: Mapping[str, Any],
    task: Mapping[str, Any],
    phase: Mapping[str, Any],
    reference: Rows,
    program: str,
    hidden: set[bytes],
) -> Rows | None:
    """Return a sample submission that fits the reference and is not reference data itself."""
    index = str(task.get("index", ""))
    stated = []
    for solution in _entries(content.get("solutions")):
        named = solution.get("tasks")
        of_tasks = [str(each) for each in named] if isinstance(named, list) else []
        stated.append((index not in of_tasks, solution.get("path")))
    places = [path for _, path in sorted(stated, key=lambda each: each[0])]
    parts = [_found(bundle, home, path) for path in places]
    folders = bundle.find(r"(.*/)?([^/]*(sample|solution)[^/]*)/[^/]*")
    parts += [Part(bundle, name.rpartition("/")[0]) for name in folders]
    parts += [_found(bundle, home, phase.get("starting_kit")), _found(bundle, home, "starting_kit")]
    archives = bundle.find(r"(.*/)?[^/]*(submission|solution)[^/]*\.zip")
    parts += [Part(bundle, name) for name in archives[:5]]
    fitting = [rows for part in parts if part is not None for rows in _tables(part, reference, hidden)]
    stem = reference.file.partition(".")[0]
    ordered = sorted(
        fitting,
        key=lambda rows: (
            not _alike(rows, reference),
            rows.file not in program,
            not rows.file.startswith(stem),
        ),
    )
    return ordered[0] if ordered else None


def _tables(part: Part, reference: Rows, hidden: set[bytes]) -> Iterator[Rows]:
    if part.folder.endswith(".zip"):
        part = Part(part.bundle.inner(part.folder), "")
    for name in part.names[:50]:
        if _NO_DATA.fullmatch(name.rpartition("/")[2]) or name.endswith(".zip"):
            continue
        if _digest(part, name) in hidden:
            continue
        try:
            rows = read_rows(part.bundle, name)
        except CannotImport:
            continue
        if len(rows) == len(reference):
            yield rows


def _alike(rows: Rows, reference: Rows) -> bool:
    return bool(rows.form["kind"] == reference.form["kind"])


def _named_file(program: str, phase: Phase, account: Account) -> str:
    """Return the name of the submitted file that the program reads."""
    for name in _file_names(program):
        if name != phase.reference.file and not name.startswith(("scores", "metadata", "detailed_results")):
            account.guessed.append(f"The program reads a submission's file {show(name)}, by its text.")
            return name
    return phase.reference.file


def _file_names(program: str) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.rpartition("/")[2]
            if re.fullmatch(r"[\w-]{1,80}\.(csv|txt|json|tsv|npy|predict|labels|out)", name, re.ASCII):
                yield name


def _leading(content: Mapping[str, Any], account: Account) -> tuple[str, bool | None]:
    """Return the key of the score that ranks, and whether higher is better."""
    boards = _entries(content.get("leaderboards"))
    legacy = content.get("leaderboard")
    if not boards and isinstance(legacy, dict):
        stated = legacy.get("columns")
        named = stated if isinstance(stated, dict) else {}
        ranked = {key: column for key, column in named.items() if isinstance(column, dict)}
        if ranked:
            key = min(ranked, key=lambda each: str(ranked[each].get("rank", 99)).zfill(9))
            return str(key), str(ranked[key].get("sort") or "desc") == "desc"
    columns = _entries(boards[0].get("columns")) if boards else []
    if not columns:
        account.asked.append("There is no leaderboard with a column: state what ranks in competition.yaml.")
        raise Incomplete(account)
    ordered = sorted(columns, key=lambda column: str(column.get("index", 0)).zfill(9))
    primary = str(boards[0].get("primary_index") or 0)
    leading = ordered[int(primary)] if primary in map(str, range(len(ordered))) else ordered[0]
    if len(ordered) > 1:
        others = ", ".join(show(str(each.get("key"))) for each in ordered if each is not leading)
        account.cannot.append(f"Further columns of the leaderboard: {others}.")
    sorting = leading.get("sorting")
    if sorting is None:
        account.guessed.append(f"{show(str(leading.get('key')))} has no sorting; Codabench takes desc.")
    return str(leading.get("key")), str(sorting or "desc") == "desc"


def _limits(phase: Mapping[str, Any]) -> dict[str, int]:
    limit = limit_of(phase.get("max_submissions_per_day"), 10_000)
    return {} if limit is None else {"daily_limit": limit}


def _add_public(
    foreign: Foreign,
    bundle: Bundle,
    home: str,
    used: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    account: Account,
) -> None:
    hidden = _references(bundle, home, used)
    given, kept = {}, []
    for stated in dict.fromkeys(str(phase.get("public_data") or "") for phase, _ in used):
        part = _found(bundle, home, stated)
        for name in part.names if part is not None else []:
            assert part is not None
            if _digest(part, name) in hidden:
                kept.append(part.relative(name))
            else:
                given[part.relative(name)] = part.bundle.path(name)
    foreign.public = given
    if given:
        account.taken.append(f"public_data: {len(given):,} files for download.")
    if kept:
        account.cannot.append(
            f"{', '.join(map(show, kept[:5]))} of public_data: equal to the reference data, so not "
            "for download."
        )
    if any(task.get("input_data") for _, task in used):
        account.cannot.append(
            "input_data, which only the ingestion program reads: put what participants need into public/."
        )


def _references(
    bundle: Bundle, home: str, used: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> set[bytes]:
    """Return the digests of all files of reference data, which must not be published."""
    parts = [_found(bundle, home, task["reference_data"]) for _, task in used]
    return {_digest(part, name) for part in parts if part is not None for name in part.names}


def _digest(part: Part, name: str) -> bytes:
    with part.bundle.path(name).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
