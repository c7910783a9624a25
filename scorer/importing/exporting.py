"""Write a challenge in the form of another platform.

What is written beside public files holds the solution too, for Kaggle and Codabench: these are the host's.
Croissant and Table Schema describe the public files alone.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

import scorer
from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import DEFINITION_FILE
from scorer.challenges.solution import FILE as SOLUTION_FILE
from scorer.challenges.solution import USAGE_COLUMN
from scorer.importing.account import CannotImport
from scorer.importing.assembling import csv_bytes, refuse_occupied
from scorer.importing.bundle import Bundle
from scorer.importing.forms import read_csv
from scorer.wording import show

KAGGLE_METADATA = "competition-metadata.json"
CROISSANT_FILE = "croissant.json"
SCHEMA_FILE = "datapackage.json"
"""Frictionless Data Package, with a Table Schema for each table."""
_CROISSANT = "http://mlcommons.org/croissant/1.1"
_CROISSANT_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty "
    "fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex "
    "repeated replace "
    "samplingRate separator source subField transform"
)
"""Of the standard context; a validator compares it whole."""
_CROISSANT_TYPES = {
    "integer": "sc:Integer",
    "number": "sc:Float",
    "boolean": "sc:Boolean",
    "date": "sc:Date",
    "text": "sc:Text",
    "empty": "sc:Text",
}
_SCHEMA_TYPES = {"text": "string", "empty": "string"}
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)


def export(folder: Path, kind: str, target: Path) -> list[str]:
    """Write the challenge of a folder to `target`; return what cannot be written there, in sentences.

    Raises InvalidChallenge if the folder is none, and CannotImport where the platform cannot hold it.
    """
    challenge = scorer.load(folder)
    refuse_occupied(target)
    target.mkdir(parents=True, exist_ok=True)
    return EXPORTS[kind](challenge, target)


def to_kaggle(challenge: Challenge, target: Path) -> list[str]:
    """Write what the host of a community competition uploads."""
    metadata = {
        "title": challenge.title,
        "slug": challenge.slug,
        "briefDescription": challenge.summary,
        "privacy": "PRIVATE",
    }
    _copy_public(challenge, target)
    shutil.copyfile(challenge.folder / SOLUTION_FILE, target / "solution.csv")
    _write_json(target / KAGGLE_METADATA, metadata)
    if challenge.description:
        (target / "pages").mkdir()
        page = challenge.description
        (target / "pages/description.md").write_text(page, encoding="utf-8")
    left = []
    custom = challenge.solution.task.custom
    program = _program(challenge)
    if program is not None and not (custom is not None and custom.params):
        (target / "metric.py").write_bytes(program)
    else:
        named = challenge.metric if custom is None else f"{custom.file} with its parameters"
        left.append(f"The metric {named}: choose it on Kaggle, whose files name no metric.")
    return [*left, *_left_of_folder(challenge)]


def to_codabench(challenge: Challenge, target: Path) -> list[str]:
    """Write a bundle of version 2 whose scoring program matches rows by id, as zips in a folder.

    The program is the own metric's file, or one of scikit-learn for a few metrics, with a reader before it.
    """
    task = challenge.solution.task
    program = _codabench_program(challenge)
    solution = _columns(challenge.folder / "private", "solution.csv")
    sample = _columns(challenge.folder / "public", "sample_submission.csv")
    usage = solution.pop(USAGE_COLUMN)
    phases = []
    tasks = []
    solutions = []
    for number, part in enumerate(("Public", "Private")):
        rows = [row for row, each in enumerate(usage) if each == part]
        ids = {solution[challenge.id_column][row] for row in rows}
        kept = [row for row, key in enumerate(sample[challenge.id_column]) if key in ids]
        name = part.lower()
        _zip(target / f"{name}_reference.zip", {"truth.csv": _taken(solution, rows)})
        _zip(target / f"{name}_sample.zip", {"submission.csv": _taken(sample, kept)})
        tasks.append(
            {
                "index": number,
                "name": f"{part} rows",
                "reference_data": f"{name}_reference.zip",
                "scoring_program": "scoring_program.zip",
            }
        )
        solutions.append({"index": number, "tasks": [number], "path": f"{name}_sample.zip"})
        phases.append(
            {
                "index": number,
                "name": part,
                "max_submissions_per_day": challenge.competition.daily_limit,
                "tasks": [number],
                "public_data": "public_data.zip",
            }
        )
    _zip(target / "scoring_program.zip", program)
    folder = challenge.folder / "public"
    public = {file.name: (folder / file.name).read_bytes() for file in _given(challenge)}
    _zip(target / "public_data.zip", public)
    (target / "overview.md").write_text(challenge.description or challenge.title, encoding="utf-8")
    column = {
        "title": task.name,
        "key": "score",
        "index": 0,
        "sorting": "desc" if challenge.greater_is_better else "asc",
    }
    definition = {
        "version": 2,
        "title": challenge.title,
        "description": challenge.summary,
        "terms": "overview.md",
        "pages": [{"title": "Overview", "file": "overview.md"}],
        "tasks": tasks,
        "solutions": solutions,
        "phases": phases,
        "leaderboards": [{"title": "Results", "key": "main", "columns": [column]}],
    }
    text = yaml.safe_dump(definition, sort_keys=False, allow_unicode=True)
    (target / "competition.yaml").write_text(text, encoding="utf-8")
    left = ["An image and the dates of the phases: Codabench requires both; add image, start and end."]
    if "Ignored" in usage:
        left.append(f"{usage.count('Ignored'):,} rows that are Ignored.")
    return left + _left_of_folder(challenge)


_READER = '''"""Match a submission with the truth by id, and write the score."""

import json
import os

import pandas as pd

import metric

ID = {id_column!r}
PARAMETERS = json.loads({parameters!r})
truth = pd.read_csv(os.path.join("/app/input", "ref", "truth.csv"))
sent = pd.read_csv(os.path.join("/app/input", "res", "submission.csv"))
if sorted(sent[ID].tolist()) != sorted(truth[ID].tolist()):
    raise ValueError("the submission must have each id of this phase once")
sent = sent.set_index(ID).loc[truth[ID]].reset_index()
value = float(metric.score(truth, sent[{columns!r}], ID, **PARAMETERS))
with open(os.path.join("/app/output", "scores.json"), "w") as file:
    json.dump({{"score": value}}, file)
'''
_SIMPLE = {
    "accuracy": "metrics.accuracy_score(true.astype(str), sent.astype(str))",
    "classification_error": "1 - metrics.accuracy_score(true.astype(str), sent.astype(str))",
    "balanced_accuracy": "metrics.balanced_accuracy_score(true.astype(str), sent.astype(str))",
    "rmse": "metrics.root_mean_squared_error(true, sent)",
    "mse": "metrics.mean_squared_error(true, sent)",
    "sse": "((true - sent) ** 2).sum()",
    "mae": "metrics.mean_absolute_error(true, sent)",
    "medae": "metrics.median_absolute_error(true, sent)",
    "r2": "metrics.r2_score(true, sent)",
    "rmsle": "metrics.root_mean_squared_log_error(true, sent)",
    "roc_auc": "metrics.roc_auc_score(true, sent)",
    "log_loss": "metrics.log_loss(true, sent.clip(EPS, 1 - EPS))",
}
"""Metrics of one column of the same name, without parameters, as programs of scikit-learn."""


def _codabench_program(challenge: Challenge) -> dict[str, bytes]:
    task = challenge.solution.task
    if len(challenge.solution.id_columns) > 1 or task.complete:
        raise CannotImport("Codabench's scoring program matches rows by one id, each once.")
    source = _program(challenge)
    if source is None:
        raise CannotImport(
            f"The metric {show(challenge.metric)} with its parameters has no program for Codabench. "
            "Known without "
            f"parameters, for one column, are {', '.join(_SIMPLE)}, and every own metric."
        )
    parameters = {} if task.custom is None else task.custom.params
    reader = _READER.format(
        id_column=challenge.id_column,
        columns=[challenge.id_column, *challenge.columns],
        parameters=json.dumps(dict(parameters)),
    )
    metadata = b"command: python3 scoring.py\n"
    return {"metadata.yaml": metadata, "metric.py": source, "scoring.py": reader.encode()}


def _program(challenge: Challenge) -> bytes | None:
    """Return the text of a score() that gives the challenge's scores, or None."""
    if challenge.solution.task.custom is not None:
        return challenge.solution.task.custom.source
    definition = yaml.safe_load((challenge.folder / DEFINITION_FILE).read_text(encoding="utf-8"))
    stated = definition["metric"]
    others = set(stated) - {"name", "eps"} if isinstance(stated, dict) else set()
    formula = _SIMPLE.get(challenge.metric)
    if formula is None or others or len(challenge.columns) != 1:
        return None
    name, eps = challenge.columns[0], challenge.metric_params.get("eps", 0)
    return (
        f'"""{challenge.metric}, as scikit-learn computes it."""\n\nfrom sklearn import metrics\n\n\n'
        "def score(solution, submission, row_id_column_name):\n"
        f"    true, sent = solution[{name!r}], submission[{name!r}]\n"
        f"    return float({formula.replace('EPS', repr(eps))})\n"
    ).encode()


def to_croissant(challenge: Challenge, target: Path) -> list[str]:
    """Write the public files and their description in Croissant 1.1."""
    _copy_public(challenge, target)
    _write_json(target / CROISSANT_FILE, croissant(challenge))
    return ["The solution and the metric: Croissant describes data sets, and this one is public."]


def croissant(challenge: Challenge) -> dict[str, Any]:
    """Return the description of the public files in JSON-LD.

    Without the version's digest, which covers the labels: few of them could be found by trying.
    """
    files, records = [], []
    for file in challenge.public_files():
        name = file.name
        files.append(
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{file.size_bytes} B",
                "encodingFormat": "text/csv" if file.columns is not None else "application/octet-stream",
                "sha256": file.sha256,
            }
        )
        if file.columns is None:
            continue
        fields = [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}",
                "name": column.name,
                "dataType": _CROISSANT_TYPES[column.type],
                "source": {"fileObject": {"@id": name}, "extract": {"column": column.name}},
            }
            for column in file.columns
        ]
        record: dict[str, Any] = {
            "@type": "cr:RecordSet",
            "@id": f"records/{name}",
            "name": f"records/{name}",
            "field": fields,
        }
        if any(column.name == challenge.id_column for column in file.columns):
            record["key"] = {"@id": f"{name}/{challenge.id_column}"}
        records.append(record)
    source = challenge.source
    facts = {
        "@context": {
            "@language": "en",
            "@vocab": "https://schema.org/",
            "conformsTo": "dct:conformsTo",
            "cr": "http://mlcommons.org/croissant/",
            "data": {"@id": "cr:data", "@type": "@json"},
            "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
            "dct": "http://purl.org/dc/terms/",
            "examples": {"@id": "cr:examples", "@type": "@json"},
            "rai": "http://mlcommons.org/croissant/RAI/",
            "sc": "https://schema.org/",
            **{term: f"cr:{term}" for term in _CROISSANT_TERMS.split()},
        },
        "@type": "sc:Dataset",
        "conformsTo": _CROISSANT,
        "name": challenge.slug,
        "alternateName": challenge.title,
        "description": challenge.summary or challenge.title,
        "distribution": files,
        "recordSet": records,
    }
    if source is not None and source.licence:
        facts["license"] = source.licence
    if source is not None and source.citation:
        facts["citeAs"] = source.citation
    return facts


def to_frictionless(challenge: Challenge, target: Path) -> list[str]:
    """Write the public files and a data package with a Table Schema for each table."""
    _copy_public(challenge, target)
    resources = []
    for file in challenge.public_files():
        resource: dict[str, Any] = {
            "name": _resource_name(file.name),
            "path": file.name,
            "bytes": file.size_bytes,
            "hash": f"sha256:{file.sha256}",
        }
        if file.columns is not None:
            fields = [
                {"name": column.name, "type": _SCHEMA_TYPES.get(column.type, column.type)}
                for column in file.columns
            ]
            schema: dict[str, Any] = {"fields": fields, "missingValues": [""]}
            if any(column.name == challenge.id_column for column in file.columns):
                schema["primaryKey"] = [challenge.id_column]
            resource |= {"profile": "tabular-data-resource", "format": "csv", "encoding": "utf-8"}
            resource["schema"] = schema
        resources.append(resource)
    package: dict[str, Any] = {
        "profile": "data-package",
        "name": challenge.slug,
        "title": challenge.title,
        "description": challenge.summary,
        "resources": resources,
    }
    if challenge.source is not None and challenge.source.licence:
        package["licenses"] = [{"title": challenge.source.licence}]
    _write_json(target / SCHEMA_FILE, package)
    return ["The solution and the metric: a data package describes the public files."]


def _resource_name(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name.lower())


def _given(challenge: Challenge) -> list[Any]:
    return list(challenge.public_files())


def _copy_public(challenge: Challenge, target: Path) -> None:
    for file in _given(challenge):
        place = target / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(challenge.folder / "public" / file.name, place)


def _left_of_folder(challenge: Challenge) -> list[str]:
    left = []
    if challenge.also:
        left.append(f"Metrics that are shown beside it: {', '.join(challenge.also)}.")
    if challenge.examples or challenge.baselines:
        left.append("Examples with known scores, and baselines.")
    return left


def _columns(folder: Path, name: str) -> dict[str, list[str]]:
    return read_csv(Bundle(folder, folder, [name]), name)


def _taken(columns: Mapping[str, list[str]], rows: list[int]) -> bytes:
    return csv_bytes({name: [cells[row] for row in rows] for name, cells in columns.items()})


def _zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a zip whose bytes depend on the files alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _FIXED_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


EXPORTS: Mapping[str, Callable[[Challenge, Path], list[str]]] = {
    "kaggle": to_kaggle,
    "codabench": to_codabench,
    "croissant": to_croissant,
    "frictionless": to_frictionless,
}
