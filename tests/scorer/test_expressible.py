"""68 of 75 Kaggle competitions of mle-bench as challenge.yaml.

The registry and the modifiers must express them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import scorer

REGISTRY = json.loads((Path(__file__).parent / "vectors/mlebench_registry.json").read_text(encoding="utf-8"))
COMPETITIONS: dict[str, dict[str, Any]] = REGISTRY["competitions"]
DECLARATIVE = {slug: entry for slug, entry in COMPETITIONS.items() if entry["declarative"]}

N = 12
USAGE = ["Public", "Private"] * 5 + ["Ignored"] * 2

# One truth column of each kind; every class, group and length occurs in both splits.
FLAGS = ["0", "0", "1", "1"] * 3
LABELS = ["a", "a", "b", "b"] * 3
RATINGS = ["1", "1", "3", "3"] * 3
NUMBERS = ["1.5", "2", "0.25", "7", "3", "1", "4.5", "2.5", "6", "0.5", "1", "2"]
LISTS = ["a b", "b", "c a", "a", "b c", "c", "a b c", "b", "a", "c", "", ""]
ORDERS = ["a b c"] * N
TEXTS = ["the cat", "a dog", "one", "two words", "x y z", "the dog", "cat", "sat", "on", "mat", "", ""]
MASKS = ["1 3", "2 2 8 1", "", "5 4", "1 1", "3 3", "7 2", "", "1 9", "4 4", "", ""]

TRUTH: Mapping[str, list[str]] = {
    "roc_auc": FLAGS,
    "log_loss": FLAGS,
    "accuracy": LABELS,
    "fbeta": LABELS,
    "mcc": FLAGS,
    "qwk": RATINGS,
    "map_at_k": LISTS,
    "levenshtein": TEXTS,
    "word_jaccard": TEXTS,
    "mask_fbeta": MASKS,
    "mask_iou_ap": MASKS,
    "kendall_tau": ORDERS,
    "kl_divergence": NUMBERS,
    "lwlrap": FLAGS,
}

# What the registry says of data, of display, or only names the columns.
ABOUT_DATA = {"usage", "extra_required_columns", "display_decimals", "allow_extra_ids", "weight"}


def definition(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return challenge.yaml of one entry.

    Only names are translated, nothing is left out.
    """
    params, modifiers = dict(entry["params"]), dict(entry["modifiers"])
    ids = params.pop("id")
    targets = params.pop("targets", None) or [params.pop("target", None)]
    if targets == "80 classes":
        targets = [f"class{number}" for number in range(80)]
    if entry["metric"] == "laplace_log_likelihood":
        targets = [params["mean"], params["scale"]]
    if isinstance(params.get("labels"), str):
        params["labels"] = "union"
    metric = {
        "name": entry["metric"],
        **params,
        **{k: v for k, v in modifiers.items() if k not in ABOUT_DATA},
    }
    if "weight" in modifiers:
        metric["weight"] = "weight"
    columns = [*targets, *modifiers.get("extra_required_columns", [])]
    if len(columns) > len(targets):
        metric["targets"] = targets
    form = {"id": ids, "columns": columns}
    if modifiers.get("allow_extra_ids"):
        form["extra_ids"] = "ignore"
    return {"title": "As on Kaggle", "metric": metric, "submission": form}


def solution_columns(entry: Mapping[str, Any], yaml_: Mapping[str, Any]) -> dict[str, list[str]]:
    form, metric = yaml_["submission"], yaml_["metric"]
    ids = form["id"] if isinstance(form["id"], list) else [form["id"]]
    columns = {
        name: [f"{name}{row // 4 if len(ids) > 1 and i == 0 else row}" for row in range(N)]
        for i, name in enumerate(ids)
    }
    scored = metric.get("targets", form["columns"])
    for number, name in enumerate(scored):
        truth = TRUTH.get(entry["metric"], NUMBERS)
        if entry["metric"] == "fbeta" and metric.get("probabilistic"):
            truth = FLAGS
        elif entry["metric"] == "fbeta" and "split" in metric:
            truth = LISTS
        elif entry["metric"] == "log_loss" and len(scored) > 1:
            truth = ["1" if row // 2 % len(scored) == number else "0" for row in range(N)]
            if len(scored) > 3:  # as on Kaggle: one column with the class
                columns["class"] = [scored[row // 2 % 3] for row in range(N)]
                break
        elif entry["metric"] == "accuracy" and metric.get("take"):
            truth = LABELS
        columns[name] = truth
    if "weight" in metric:
        columns["weight"] = ["0.5", "1", "2"] * 4
    if metric.get("group_by", ids[0]) not in columns:
        columns[metric["group_by"]] = ["g", "g", "h", "h"] * 3
    return {**columns, "Usage": USAGE}


@pytest.mark.parametrize("slug", DECLARATIVE)
def test_a_kaggle_competition_is_a_challenge(slug: str, tmp_path: Path) -> None:
    entry = DECLARATIVE[slug]
    written = definition(entry)
    columns = solution_columns(entry, written)
    (tmp_path / "private").mkdir()
    (tmp_path / "challenge.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    (tmp_path / "private/solution.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    challenge = scorer.load(tmp_path)
    minimise = "transform" in written["metric"] and written["metric"]["transform"] == "1-x"
    better = "max" if challenge.greater_is_better else "min"
    assert better == entry["direction"], minimise

    ids = written["submission"]["id"]
    own = [ids] if isinstance(ids, str) else ids
    given = {name: columns.get(name, NUMBERS) for name in written["submission"]["columns"]}
    if entry["metric"] == "laplace_log_likelihood":
        given[entry["params"]["scale"]] = ["100"] * N
    if "class" in columns:
        given = {name: ["1" if label == name else "0" for label in columns["class"]] for name in given}
    if entry["metric"] == "kl_divergence":
        given = {name: [repr(1 / len(given))] * N for name in given}
    header = [*own, *given]
    table = [[columns[name][row] for name in own] + [given[name][row] for name in given] for row in range(N)]
    text = "\n".join([",".join(header), *(",".join(row) for row in table)]) + "\n"
    report = scorer.score(challenge, text.encode())
    if entry["metric"] not in ("laplace_log_likelihood", "kl_divergence"):
        for value in (report.public, report.private):
            assert value == pytest.approx(challenge.task.best, abs=1e-9)


def test_what_cannot_be_declared_needs_a_function_of_its_own() -> None:
    assert len([slug for slug, entry in DECLARATIVE.items() if entry["in_split75"]]) == 68
    assert {slug for slug in COMPETITIONS if slug not in DECLARATIVE} == {
        "jigsaw-unintended-bias-in-toxicity-classification",  # AUC of subgroups, power mean
        "uw-madison-gi-tract-image-segmentation",  # Dice and a distance in three dimensions
        "tensorflow2-question-answering",  # several acceptable spans per row
        "siim-covid19-detection",  # detection_map, but with image and study rows in one file
        "vinbigdata-chest-xray-abnormalities-detection",  # detection_map at its own threshold
        "3d-object-detection-for-autonomous-vehicles",
        "kuzushiji-recognition",
    }
