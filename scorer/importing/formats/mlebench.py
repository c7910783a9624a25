"""mle-bench: a competition's folder with the data that its prepare() made.

config.yaml          id, name, grader {name, grade_fn}, dataset {answers, sample_submission}
grade.py             grade(submission, answers), and the files that it imports
description.md
leaderboard.csv      scores, the best first: the metric's direction
prepared/public/     for download
prepared/private/    the answers
"""

from __future__ import annotations

import re
from typing import Any

from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.bundle import Bundle
from scorer.importing.foreign import Foreign, Wishes
from scorer.importing.forms import read_csv
from scorer.importing.own_code import composed_metric, program_files
from scorer.wording import show

NAME = "mle-bench"


def recognise(bundle: Bundle) -> str | None:
    name = _config(bundle)
    return None if name is None else f"{name} names a grader"


def read(bundle: Bundle, account: Account, wishes: Wishes) -> Foreign:
    config_name = _config(bundle)
    assert config_name is not None
    config = bundle.yaml(config_name)
    home = config_name.rpartition("/")[0]
    dataset = config.get("dataset") if isinstance(config.get("dataset"), dict) else {}
    answers = _prepared(bundle, dataset.get("answers"), "private", r"[^/]*(test|answers|gold)[^/]*\.csv")
    sample_name = _prepared(
        bundle, dataset.get("sample_submission"), "public", r"[^/]*sample[^/]*submission[^/]*\.csv"
    )
    module, function = _grade_function(config)
    if f"{home}/{module}.py".lstrip("/") not in bundle:
        account.asked.append(f"{module}.py is missing beside {config_name}: it grades the submissions.")
    if answers is None:
        account.asked.append(
            "The answers are missing: run mle-bench's prepare() and put its prepared/ folder beside "
            f"{config_name}; there is no {show(str(dataset.get('answers') or 'prepared/private/test.csv'))}."
        )
    if sample_name is None and wishes.sample is None:
        account.asked.append("The sample submission of prepared/public/ is missing; or give --sample FILE.")
    if account.asked:
        raise Incomplete(account)
    assert answers is not None
    truth = read_csv(bundle, answers)
    sample = None if sample_name is None else read_csv(bundle, sample_name)
    account.taken.append(f"{answers}: {len(next(iter(truth.values()))):,} rows of answers.")
    names = list(sample) if sample is not None else list(truth)
    id_column = next((name for name in names if name in truth), None)
    if id_column is None:
        raise CannotImport(
            f"The sample submission and the answers share no column: {', '.join(map(show, names))} and "
            f"{', '.join(map(show, truth))}.",
            account,
        )
    if "Usage" in truth:
        truth["usage"] = truth.pop("Usage")
    ids = truth[id_column]
    sent = sample[id_column] if sample is not None else ids
    whole = len(set(ids)) < len(ids) or len(set(sent)) < len(sent)
    columns = [name for name in names if name != id_column]
    title = str(config.get("name") or config.get("id") or "Competition")
    program = program_files(bundle, home, suffixes=(".py", ".json", ".txt"))
    program = {name: text for name, text in program.items() if name != "prepare.py" and "/" not in name}
    settings = {"module": module, "function": function, "whole": whole}
    grader = config.get("grader") if isinstance(config.get("grader"), dict) else {}
    foreign = Foreign(
        title,
        id_column,
        truth,
        columns,
        sample,
        slug=str(config.get("id") or ""),
        description=_description(bundle, home),
        metric=composed_metric("mlebench", program, settings, title=f"The grade of {title}."),
        names=[str(grader.get("name") or "")],
        code=[text for name, text in program.items() if name.endswith(".py")],
        greater_is_better=_direction(bundle, home, account),
        complete=whole,
    )
    account.taken.append(f"{module}.py: {function}(submission, answers).")
    _add_files(foreign, bundle, account, {answers, sample_name})
    if home and any(name.endswith("prepare.py") for name in bundle.below(home)):
        account.cannot.append("prepare.py, which made the data from Kaggle's, is not needed and not taken.")
    return foreign


def _config(bundle: Bundle) -> str | None:
    for name in bundle.find(r"(.*/)?config\.ya?ml")[:20]:
        content = bundle.yaml(name)
        if isinstance(content, dict) and isinstance(content.get("grader"), dict):
            return name
    return None


def _grade_function(config: dict[str, Any]) -> tuple[str, str]:
    path = str((config.get("grader") or {}).get("grade_fn") or "grade:grade")
    module, _, function = path.partition(":")
    found = module.rpartition(".")[2], function or "grade"
    if not all(re.fullmatch(r"\w{1,100}", name, re.ASCII) for name in found):
        raise CannotImport(f"The grader {show(path)} is no module and function.")
    return found


def _prepared(bundle: Bundle, stated: Any, part: str, pattern: str) -> str | None:
    """Return the file that the configuration states, by the end of its path, else by its usual name."""
    if isinstance(stated, str):
        parts = stated.split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            found = [name for name in bundle.names if name == end or name.endswith("/" + end)]
            if found and (part in parts[start:] or start == len(parts) - 1):
                inside = [name for name in found if f"/{part}/" in f"/{name}"]
                if inside:
                    return inside[0]
    usual = bundle.find(rf"(.*/)?{part}/{pattern}")
    return usual[0] if usual else None


def _description(bundle: Bundle, home: str) -> str:
    name = f"{home}/description.md".lstrip("/")
    found = [name] if name in bundle else bundle.find(r"(.*/)?public/description\.md")
    return bundle.text(found[0]) if found else ""


def _direction(bundle: Bundle, home: str, account: Account) -> bool | None:
    name = f"{home}/leaderboard.csv".lstrip("/")
    if name not in bundle:
        return None
    try:
        scores = read_csv(bundle, name).get("score", [])
        first, last = float(scores[0]), float(scores[-1])
    except (CannotImport, ValueError, IndexError):
        account.cannot.append("leaderboard.csv has no scores (it may be a pointer of Git LFS).")
        return None
    account.taken.append("leaderboard.csv: the metric's direction, by its first and last score.")
    return first >= last


def _add_files(foreign: Foreign, bundle: Bundle, account: Account, used: set[str | None]) -> None:
    inside = re.compile(r"(?:.*/)?prepared/public/(.+)|public/(.+)")
    for name in bundle.names:
        match = inside.fullmatch(name)
        if match and name not in used and not name.endswith("description.md"):
            foreign.public = {**foreign.public, match[1] or match[2]: bundle.path(name)}
    account.taken.append(f"prepared/public: {len(foreign.public):,} files for download.")
