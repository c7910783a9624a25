"""Kaggle: a competition's folder, or what the host of a community competition has.

solution.csv                 id, truth, Usage = Public | Private | Ignored
sample_submission.csv        id and what is predicted
train.csv, test.csv, ...     for download
competition-metadata.json    title, slug, briefDescription
*.py or *.ipynb              a metric with score(solution, submission, row_id_column_name)
pages/*.md                   the pages

"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.assembling import USAGES
from scorer.importing.bundle import Bundle
from scorer.importing.equals import metric_named
from scorer.importing.foreign import Foreign, Wishes
from scorer.importing.forms import header_of, read_csv
from scorer.wording import show

NAME = "Kaggle"
METADATA = "competition-metadata.json"
_SAMPLE = r"(.*/)?[^/]*(sample|gender)[^/]*submission[^/]*\.csv"
_DATA = r"(.*/)?(train|test|unlabell?ed)[^/]*(/.*)?"
HIDDEN = r"(.*/)?[^/]*(solution|label|answer|truth|private|hidden|metric)[^/]*(/.*)?"
"""Names of files that may hold the answers."""


def recognise(bundle: Bundle) -> str | None:
    metadata = bundle.find(rf"([^/]*/)?{re.escape(METADATA)}")
    if metadata:
        return f"{metadata[0]} is there"
    solution = _solution(bundle)
    if solution is not None:
        return f"{solution} has a column Usage"
    if bundle.find(_SAMPLE) and bundle.find(r"(.*/)?test[^/]*\.csv"):
        return "there are a test table and a sample submission"
    return None


def read(bundle: Bundle, account: Account, wishes: Wishes) -> Foreign:
    metadata = _metadata(bundle, account)
    solution = _solution(bundle)
    samples = bundle.find(_SAMPLE)
    if solution is None:
        account.asked.append(
            "There is no solution: a CSV file with the id, the true values and the column Usage (Public, "
            "Private or Ignored). Kaggle does not give it to participants; add solution.csv."
        )
    if not samples and wishes.sample is None:
        account.asked.append(
            "There is no sample submission: add sample_submission.csv, or give --sample FILE."
        )
    if account.asked:
        raise Incomplete(account)
    assert solution is not None
    truth = read_csv(bundle, solution)
    usage_column = next(name for name in truth if name.lower() == "usage")
    usage = [cell.strip().capitalize() for cell in truth.pop(usage_column)]
    unknown = sorted(set(usage) - set(USAGES))
    if unknown:
        raise CannotImport(
            f"{show(solution)}: Usage is {show(unknown[0])!r} in a row; it must be one of "
            f"{', '.join(USAGES)}.",
            account,
        )
    account.taken.append(f"{solution}: {len(usage):,} rows with their Usage.")
    sample = None
    if samples and wishes.sample is None:
        sample = read_csv(bundle, samples[0])
        account.taken.append(f"{samples[0]}: the form of a submission.")
    foreign = _named(sample, truth, account)
    foreign.sample, foreign.usage = sample, usage
    _add_metric(foreign, bundle, account)
    _add_files(foreign, bundle, account, {solution, *samples})
    pages = _pages(bundle)
    foreign.description = "\n\n".join(pages.values())
    foreign.title = metadata.get("title") or foreign.title
    foreign.slug = metadata.get("slug") or ""
    foreign.summary = metadata.get("briefDescription") or ""
    if foreign.metric is None and not foreign.names:
        found = next((line for text in pages.values() if (line := _metric_line(text))), None)
        foreign.names = [found] if found else []
    if metadata:
        account.cannot.append(
            "Dates, prizes, privacy and invited e-mail addresses of the metadata: set them when you open the "
            "competition."
        )
    return foreign


def _metadata(bundle: Bundle, account: Account) -> dict[str, str]:
    names = bundle.find(rf"([^/]*/)?{re.escape(METADATA)}")
    if not names:
        return {}
    content = bundle.json(names[0])
    if not isinstance(content, dict):
        raise CannotImport(f"{METADATA} must hold one object.", account)
    account.taken.append(f"{names[0]}: title and description.")
    return {key: value.strip() for key, value in content.items() if isinstance(value, str)}


def _solution(bundle: Bundle) -> str | None:
    tables = bundle.find(r".*\.csv")
    ordered = sorted(tables, key=lambda name: "solution" not in name.lower())
    for name in ordered[:200]:
        header = [column.strip().lower() for column in header_of(bundle, name)]
        if "usage" in header:
            return name
    return None


def _named(sample: Any, truth: dict[str, list[str]], account: Account) -> Foreign:
    """Return the parts with the id and the predicted columns."""
    names = list(sample) if sample is not None else list(truth)
    id_column = names[0]
    if id_column not in truth:
        shared = [name for name in names if name in truth]
        if not shared:
            raise CannotImport(
                f"The sample submission begins with {show(id_column)}, which the solution lacks: its columns "
                f"are {', '.join(map(show, truth))}.",
                account,
            )
        id_column = shared[0]
        account.guessed.append(f"{show(id_column)} names the rows: it is in the solution and the sample.")
    columns = [name for name in names if name != id_column]
    repeated = len(set(truth[id_column])) < len(truth[id_column])
    return Foreign("Competition", id_column, truth, columns, complete=repeated)


def _add_metric(foreign: Foreign, bundle: Bundle, account: Account) -> None:
    programs = [
        name for name in bundle.find(r".*\.(py|ipynb)") if bundle.path(name).stat().st_size < 2_000_000
    ]
    for name in sorted(programs, key=lambda name: "metric" not in name.lower()):
        text = bundle.text(name)
        if name.endswith(".ipynb"):
            text = notebook_code(text)
        if _defines_score(text):
            foreign.metric, foreign.code = text, [text]
            account.taken.append(f"{name}: the metric's score().")
            if more := _parameters(text):
                account.guessed.append(
                    f"score() has the parameters {', '.join(map(show, more))}, which a host sets on Kaggle "
                    "and no file states; their defaults are taken."
                )
            return


def notebook_code(text: str) -> str:
    """Return the code of a notebook without its commands for the shell and IPython."""
    try:
        cells = json.loads(text)["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    kept = []
    for cell in code:
        if cell.lstrip().startswith("%%writefile"):
            cell = cell.lstrip().partition("\n")[2]
        elif cell.lstrip().startswith("%%"):
            continue
        kept.append("\n".join(line for line in cell.splitlines() if not re.match(r"\s*[%!?]", line)))
    return "\n\n".join(kept) + "\n"


def _parameters(text: str) -> list[str]:
    """Return the names of what score() takes beside the two tables and the name of the id."""
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    arguments = next(node.args for node in functions if node.name == "score")
    return [each.arg for each in (*arguments.args[3:], *arguments.kwonlyargs)]


def _defines_score(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "score" and len(node.args.args) >= 3
        for node in tree.body
    )


def _add_files(foreign: Foreign, bundle: Bundle, account: Account, used: set[str]) -> None:
    left = []
    for name in bundle.names:
        if name in used or name.rpartition("/")[2] == METADATA or name.endswith((".py", ".ipynb", ".md")):
            continue
        inside = re.match(r"(?:.*/)?(?:public|data|input)/(.+)", name)
        plain = inside[1] if inside else name
        if re.fullmatch(_DATA, plain, re.IGNORECASE) and not re.fullmatch(HIDDEN, name, re.IGNORECASE):
            foreign.public = {**foreign.public, plain: bundle.path(name)}
        else:
            left.append(name)
    if foreign.public:
        account.taken.append(f"{len(foreign.public):,} files for download: {_some(list(foreign.public))}.")
    if left:
        account.cannot.append(
            f"{len(left):,} files that may hold answers were left out ({_some(left)}): put what "
            "participants may "
            "see into public/ yourself."
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(show, names[:5])) + more


def _pages(bundle: Bundle) -> dict[str, str]:
    names = bundle.find(r"(.*/)?pages/[^/]*\.md") or bundle.find(r"(description|overview|readme)\.md")
    return {name: bundle.text(name) for name in names[:20]}


def _metric_line(text: str) -> str | None:
    for line in text.splitlines():
        if re.search(r"evaluat|metric|scored", line, re.IGNORECASE) and metric_named(line):
            return line.strip()[:120]
    return None
