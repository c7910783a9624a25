"""A challenge goes to another platform's form, and comes back as the same challenge."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

import scorer
from scorer.importing.account import CannotImport
from scorer.importing.exporting import export
from tests.scorer.importing.bundles import imported, predictions, put, rows, usages

OWN = """def score(solution, submission, row_id_column_name):
    return float(((solution["size"] - submission["size"]) ** 4).mean())
"""
METRICS = {
    "mae": ("size", "mae"),
    "roc_auc": ("target", "roc_auc"),
    "own": ("size", {"file": "metric.py", "greater_is_better": False}),
}


def challenge(folder: Path, which: str) -> Path:
    target, metric = METRICS[which]
    train, test = rows()
    features = ["id", "a", "b"]
    definition = {
        "format": 1,
        "title": "Coin",
        "summary": "Guess.",
        "source": {"name": "Drawn", "licence": "CC0-1.0", "citation": "None."},
        "metric": metric,
        "submission": {"id": "id", "columns": [target]},
    }
    return put(
        folder,
        {
            "challenge.yaml": yaml.safe_dump(definition),
            "description.md": "Guess the coin.\n",
            "public/train.csv": train[[*features, target]],
            "public/test.csv": test[features],
            "public/sample_submission.csv": test[["id"]].assign(**{target: 0.5}),
            "private/solution.csv": test[["id", target]].assign(Usage=usages()),
            "private/metric.py": OWN,
        },
    )


def scores(folder: Path, content: bytes) -> tuple[float, float]:
    report = scorer.score(scorer.load(folder), content, allow_weak_sandbox=True)
    return report.public, report.private


@pytest.mark.parametrize("which", METRICS)
def test_kaggle_and_back_is_the_same_challenge(tmp_path: Path, which: str) -> None:
    first = challenge(tmp_path / "coin", which)
    left = export(first, "kaggle", tmp_path / "kaggle")
    assert left == []
    made = imported(tmp_path / "kaggle", tmp_path / "back", greater_is_better=which == "roc_auc")
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        assert (made.folder / "public" / name).read_bytes() == (first / "public" / name).read_bytes()
    assert (made.folder / "private/solution.csv").read_bytes() == (
        first / "private/solution.csv"
    ).read_bytes()
    assert made.metric == ("metric.py" if which == "own" else which)
    loaded = scorer.load(made.folder)
    assert (loaded.title, loaded.summary, loaded.description) == ("Coin", "Guess.", "Guess the coin.\n")
    content = rows()[1][["id"]].assign(**{METRICS[which][0]: predictions()}).to_csv(index=False).encode()
    assert scores(made.folder, content) == pytest.approx(scores(first, content), abs=1e-12)


@pytest.mark.parametrize("which", METRICS)
def test_codabench_and_back_gives_the_same_scores(tmp_path: Path, which: str) -> None:
    first = challenge(tmp_path / "coin", which)
    export(first, "codabench", tmp_path / "codabench")
    made = imported(tmp_path / "codabench", tmp_path / "back")
    assert made.metric == ("metric.py" if which == "own" else which)
    loaded = scorer.load(made.folder)
    assert (loaded.id_column, loaded.columns) == ("id", (METRICS[which][0],))
    content = rows()[1][["id"]].assign(**{METRICS[which][0]: predictions()}).to_csv(index=False).encode()
    assert scores(made.folder, content) == pytest.approx(scores(first, content), abs=1e-12)
    usage = [
        pd.read_csv(folder / "private/solution.csv").set_index("id")["Usage"].to_dict()
        for folder in (first, made.folder)
    ]
    assert usage[0] == usage[1]


def test_codabench_refuses_a_metric_without_a_program(tmp_path: Path) -> None:
    first = challenge(tmp_path / "coin", "mae")
    definition = yaml.safe_load((first / "challenge.yaml").read_text())
    definition["metric"] = {"name": "mae", "transform": "log"}
    put(first, {"challenge.yaml": yaml.safe_dump(definition)})
    with pytest.raises(CannotImport, match="no program for Codabench"):
        export(first, "codabench", tmp_path / "codabench")


REFERENCE = {
    "type": "object",
    "required": ["@id"],
    "properties": {"@id": {"type": "string"}},
    "additionalProperties": False,
}
CROISSANT = {
    "type": "object",
    "required": ["@context", "@type", "conformsTo", "name", "description", "distribution", "recordSet"],
    "properties": {
        "@type": {"const": "sc:Dataset"},
        "conformsTo": {"const": "http://mlcommons.org/croissant/1.1"},
        "distribution": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["@type", "@id", "name", "contentUrl", "encodingFormat", "sha256"],
                "properties": {"@type": {"const": "cr:FileObject"}, "sha256": {"pattern": "^[0-9a-f]{64}$"}},
            },
        },
        "recordSet": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["@type", "@id", "name", "field"],
                "properties": {
                    "@type": {"const": "cr:RecordSet"},
                    "key": REFERENCE,
                    "field": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["@type", "@id", "name", "dataType", "source"],
                            "properties": {
                                "@type": {"const": "cr:Field"},
                                "dataType": {"pattern": "^sc:(Integer|Float|Boolean|Date|Text)$"},
                                "source": {
                                    "type": "object",
                                    "required": ["fileObject", "extract"],
                                    "properties": {"fileObject": REFERENCE},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The parts of Croissant's specification, version 1.1, that an export has."""


def test_croissant_describes_every_public_file_and_no_label(tmp_path: Path) -> None:
    first = challenge(tmp_path / "coin", "mae")
    export(first, "croissant", tmp_path / "out")
    content = json.loads((tmp_path / "out/croissant.json").read_text())
    jsonschema.validate(content, CROISSANT)
    files = {each["@id"] for each in content["distribution"]}
    assert files == {"train.csv", "test.csv", "sample_submission.csv"}
    names = [each["@id"] for each in content["recordSet"]]
    names += [field["@id"] for each in content["recordSet"] for field in each["field"]]
    assert len(set(names) | files) == len(names) + len(files)
    for record in content["recordSet"]:
        for field in record["field"]:
            table = pd.read_csv(tmp_path / "out" / field["source"]["fileObject"]["@id"])
            assert field["source"]["extract"]["column"] in table.columns
    prefixes = {"sc", "cr", "dct"}
    used = {each.split(":")[0] for each in content["@context"].values() if isinstance(each, str)}
    assert used - {"en", "http", "https"} <= prefixes <= set(content["@context"])
    assert content["license"] == "CC0-1.0"
    assert scorer.load(first).digest[:12] not in json.dumps(content)
    written = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "solution.csv" not in written


def test_table_schema_has_each_column_with_its_type(tmp_path: Path) -> None:
    first = challenge(tmp_path / "coin", "roc_auc")
    export(first, "frictionless", tmp_path / "out")
    package = json.loads((tmp_path / "out/datapackage.json").read_text())
    train = next(each for each in package["resources"] if each["path"] == "train.csv")
    assert train["schema"] == {
        "fields": [
            {"name": "id", "type": "integer"},
            {"name": "a", "type": "number"},
            {"name": "b", "type": "number"},
            {"name": "target", "type": "integer"},
        ],
        "missingValues": [""],
        "primaryKey": ["id"],
    }
    assert {each["path"] for each in package["resources"]} == {
        path.name for path in (first / "public").iterdir()
    }
    with pytest.raises(CannotImport, match="not an empty folder"):
        export(first, "frictionless", tmp_path / "out")
