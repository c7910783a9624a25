"""EvalAI: a challenge's folder with challenge_config.yaml.

    challenge_config.yaml     title, leaderboard, challenge_phases with their test_annotation_file
    evaluation_script/        evaluate(test_annotation_file, user_submission_file, phase_codename)
    annotations/              the truth of each phase: one table
    templates/*.html          the pages

The first phase is public and the last one private. Bundles have no sample submission as a rule.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.bundle import Bundle
from scorer.importing.foreign import Foreign, Wishes, limit_of
from scorer.importing.forms import Columns, Rows, read_rows
from scorer.importing.own_code import composed_metric, program_files
from scorer.importing.pages import joined_pages
from scorer.importing.phases import Phase, joined, with_given_sample
from scorer.wording import show

NAME = "EvalAI"
_PAGES = ("description", "evaluation_details", "submission_guidelines")


def recognise(bundle: Bundle) -> str | None:
    name = _config(bundle)
    return None if name is None else f"{name} has challenge_phases"


def read(bundle: Bundle, account: Account, wishes: Wishes) -> Foreign:
    config_name = _config(bundle)
    assert config_name is not None
    config = bundle.yaml(config_name)
    home = config_name.rpartition("/")[0]
    phases = [phase for phase in config["challenge_phases"] if isinstance(phase, dict)]
    if str(config.get("is_docker_based", "")).lower() == "true":
        raise CannotImport(
            "Its submissions are Docker images, and files of predictions are scored here.", account
        )
    files = _script(bundle, home, config, account)
    module = _module(files)
    annotated = []
    for phase in phases:
        name = _annotation(bundle, home, phase.get("test_annotation_file"))
        if name is None:
            account.asked.append(
                f"The annotations {show(str(phase.get('test_annotation_file')))} of phase "
                f"{show(str(phase.get('name')))} are missing: EvalAI keeps them out of public repositories."
            )
        else:
            annotated.append((phase, name))
    if module is None:
        account.asked.append(
            "The evaluation script has no function evaluate(): add evaluation_script/main.py."
        )
    if account.asked:
        raise Incomplete(account)
    if not annotated:
        raise CannotImport("It has no phase.", account)
    assert module is not None
    text = files[module]
    used = [annotated[0]] if annotated[0][1] == annotated[-1][1] else [annotated[0], annotated[-1]]
    if len(annotated) > 2:
        account.cannot.append(f"{len(annotated) - 2} phases between the first and the last.")
    found = [Phase(str(phase.get("name") or "phase"), read_rows(bundle, name), None) for phase, name in used]
    account.taken.append(f"The annotations: {sum(len(phase.reference) for phase in found):,} rows.")
    if len(found) > 1:
        account.guessed.append(
            f"{show(found[0].name)} is the public board, {show(found[1].name)} the private."
        )
    if wishes.sample is not None:
        found = with_given_sample(found, wishes.sample)
        account.taken.append(f"{wishes.sample.name}: the sample submission, as given.")
    else:
        pooled = {
            name: [cell for phase in found for cell in phase.reference.columns.get(name, [])]
            for name in found[0].reference.names
        }
        found = [replace(phase, sample=_expected(phase.reference, text, pooled)) for phase in found]
        account.guessed.append(
            "The bundle has no sample submission. One was written in the form of the annotations, "
            "with one value "
            f"in all rows of {', '.join(map(show, _predicted(found[0])))} (--sample FILE)."
        )
    rows = joined(found, account)
    keys, greater = _leading(config, account)
    codename = str(used[-1][0].get("codename") or "test")
    others = [str(phase.get("codename")) for phase, _ in annotated if str(phase.get("codename")) != codename]
    if others:
        account.guessed.append(
            f"evaluate() gets the codename {show(codename)} for both boards. If it scores "
            f"{', '.join(map(show, dict.fromkeys(others)))} in another way, the public scores differ."
        )
    splits = config.get("dataset_splits")
    if isinstance(splits, list) and len(splits) > 1:
        account.guessed.append(
            f"The first split of the result counts, of {len(splits)} that the configuration has."
        )
    settings = rows.settings | {
        "module": "evaluation_script." + module.removesuffix(".py").replace("/", "."),
        "codename": codename,
        "keys": keys,
        "submission_file": found[0].sample.file if found[0].sample else found[0].reference.file,
    }
    if files.get("__init__.py", "").count("subprocess"):
        account.cannot.append(
            "What evaluation_script/__init__.py installs: only libraries that are here can be used."
        )
    if module != "__init__.py":
        files = {name: each for name, each in files.items() if name != "__init__.py"} | {"__init__.py": ""}
    title = str(config.get("title") or "Challenge").strip()
    account.taken.append(
        f"{module}: evaluate(), called with the codename {show(codename)}; {show(keys[0])} ranks."
    )
    pages = [f"{home}/{config[name]}".lstrip("/") for name in _PAGES if isinstance(config.get(name), str)]
    account.cannot.append(
        "Dates, hosts, teams and the visibility of phases: set them when you open the competition."
    )
    return Foreign(
        title,
        rows.id,
        rows.truth,
        rows.columns,
        rows.sample,
        rows.usage,
        summary=" ".join(str(config.get("short_description") or "").split())[:300],
        description=joined_pages(bundle, pages),
        metric=composed_metric("evalai", files, settings, title=f"The evaluation script of {title}."),
        names=[keys[0]],
        code=[each for name, each in files.items() if name.endswith(".py")],
        greater_is_better=greater,
        competition=_limits(used[0][0]),
        takes_sample=True,
    )


def _config(bundle: Bundle) -> str | None:
    for name in bundle.find(r"(.*/)?challenge_config\.ya?ml")[:20]:
        content = bundle.yaml(name)
        if isinstance(content, dict) and isinstance(content.get("challenge_phases"), list):
            return name
    return None


def _script(bundle: Bundle, home: str, config: Mapping[str, Any], account: Account) -> dict[str, str]:
    """Return the files of the evaluation script, by their paths in its folder."""
    stated = str(config.get("evaluation_script") or "evaluation_script")
    path = f"{home}/{stated}".lstrip("/").rstrip("/")
    if path in bundle and path.endswith(".zip"):
        inner = bundle.inner(path)
        files = program_files(inner, "")
        tops = {name.split("/")[0] for name in files}
        if len(tops) == 1 and "/" in next(iter(files)):
            files = {name.partition("/")[2]: text for name, text in files.items()}
        return files
    files = program_files(bundle, path.removesuffix(".zip"))
    if not files:
        account.asked.append(f"The evaluation script {show(stated)} is missing.")
    return files


def _module(files: Mapping[str, str]) -> str | None:
    """Return the file that defines evaluate(), main.py before others."""
    for name in sorted(files, key=lambda name: (name != "main.py", name)):
        if name.endswith(".py") and re.search(r"^def evaluate\s*\(", files[name], re.MULTILINE):
            return name
    return None


def _annotation(bundle: Bundle, home: str, stated: Any) -> str | None:
    if not isinstance(stated, str):
        return None
    path = f"{home}/{stated}".lstrip("/")
    if path in bundle:
        return path
    found = bundle.find(rf"(.*/)?{re.escape(stated.rpartition('/')[2])}")
    return found[0] if found else None


def _expected(reference: Rows, program: str, pooled: Columns) -> Rows:
    """Return a sample with the columns that the program names, else with all."""
    words = _literals(program)
    names = [name for name in reference.names if name in words]
    first = reference.names[0]
    unique = len(set(reference.columns[first])) == len(reference)
    if len(names) < 2 or (unique and first not in names):
        names = reference.names
    columns = {
        name: reference.columns[name]
        if name == first and unique and len(names) > 1
        else [_plain_value(pooled[name])] * len(reference)
        for name in names
    }
    return Rows(columns, reference.form | {"columns": names}, reference.file)


def _plain_value(cells: list[str]) -> str:
    """Return a value that the column may have and that says nothing of how often: the first in order."""
    return min((cell for cell in set(cells) if cell), key=lambda cell: (len(cell), cell), default="0")


def _predicted(phase: Phase) -> list[str]:
    sample = phase.sample
    return [] if sample is None else [name for name in sample.names if len(set(sample.columns[name])) == 1]


def _literals(program: str) -> set[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return attributes | {value for value in constants if isinstance(value, str)}


def _leading(config: Mapping[str, Any], account: Account) -> tuple[list[str], bool]:
    """Return the labels to rank by, the first that a result has; and whether higher is better."""
    boards = config.get("leaderboard")
    first = boards[0] if isinstance(boards, list) and boards and isinstance(boards[0], dict) else {}
    stated_schema = first.get("schema")
    schema = stated_schema if isinstance(stated_schema, dict) else {}
    named = schema.get("labels")
    labels = [str(label) for label in named] if isinstance(named, list) else []
    order = schema.get("default_order_by")
    keys = list(dict.fromkeys([*([str(order)] if order else []), *labels]))
    if not keys:
        account.asked.append("The leaderboard's schema has no labels.")
        raise Incomplete(account)
    if len(keys) > 1:
        account.cannot.append(f"Further labels of the leaderboard: {', '.join(map(show, keys[1:]))}.")
    metadata = schema.get("metadata")
    of_key = metadata.get(keys[0]) if isinstance(metadata, dict) else None
    if isinstance(of_key, dict) and "sort_ascending" in of_key:
        return keys, str(of_key["sort_ascending"]).lower() != "true"
    splits = config.get("challenge_phase_splits")
    stated = [
        str(split["is_leaderboard_order_descending"]).lower()
        for split in (splits if isinstance(splits, list) else [])
        if isinstance(split, dict) and "is_leaderboard_order_descending" in split
    ]
    if not stated:
        account.guessed.append("The leaderboard's order is not stated; EvalAI takes descending (--better).")
    return keys, not stated or stated[-1] == "true"


def _limits(phase: Mapping[str, Any]) -> dict[str, int]:
    limit = limit_of(phase.get("max_submissions_per_day"), 9999)
    return {} if limit is None else {"daily_limit": limit}
