"""The audit as a whole: it reports what it could not check, and shows participants no numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.leakage.audit import all_checks, audit, audit_material
from scorer.leakage.check import CHECKS, Check, Found
from scorer.leakage.frame import joint_codes, read_frame
from scorer.leakage.material import Material, NotChecked, gather

CODES = [
    "duplicate_rows",
    "near_duplicate_rows",
    "conflicting_labels",
    "row_order",
    "row_blocks",
    "id_signal",
    "id_overlap",
    "target_copy",
    "strong_feature",
    "post_outcome_feature",
    "pair_key",
    "missingness_signal",
    "missingness_shift",
    "number_format",
    "file_metadata",
    "future_rows",
    "sequential_neighbours",
    "group_overlap",
    "adversarial_shift",
    "label_shift",
    "split_recoverable",
    "sample_signal",
    "labels_in_public_file",
    "target_encoding",
    "decoys_separable",
    "test_too_small",
    "few_clusters",
    "oracle_budget",
    "metric_degenerate",
    "constant_column",
    "new_categories",
    "template_texts",
]


def write(
    folder: Path,
    train: pd.DataFrame | None,
    test: pd.DataFrame | None,
    truth: pd.DataFrame,
    **definition: Any,
) -> Path:
    """Write a challenge; `truth` holds id, the target and Usage."""
    (folder / "public").mkdir(parents=True)
    (folder / "private").mkdir()
    target = [name for name in truth.columns if name not in ("id", "Usage")]
    values = {"metric": "log_loss", "submission": {"id": "id", "columns": target}} | definition
    (folder / "challenge.yaml").write_text(json.dumps(values))
    for name, frame in (("train", train), ("test", test)):
        if frame is not None:
            frame.to_csv(folder / "public" / f"{name}.csv", index=False)
    truth[["id"]].assign(**dict.fromkeys(target, 0.5)).to_csv(
        folder / "public/sample_submission.csv", index=False
    )
    truth.to_csv(folder / "private/solution.csv", index=False)
    return folder


def tables(n: int = 120, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = pd.DataFrame(
        {"id": [f"r{k}" for k in rng.permutation(n)], "a": rng.normal(size=n) + y, "b": rng.normal(size=n)}
    )
    half = n // 2
    test = x[half:].reset_index(drop=True)
    usage = np.where(rng.random(len(test)) < 0.4, "Public", "Private")
    truth = pd.DataFrame({"id": test.id, "y": y[half:], "Usage": usage})
    return x[:half].assign(y=y[:half]), test, truth


def codes(folder: Path) -> dict[str, str]:
    return {finding.code: finding.severity for finding in audit(scorer.load(folder)).findings}


def test_every_listed_check_exists_and_has_a_title() -> None:
    found = all_checks()
    assert sorted(CODES) == sorted(found)
    assert all(
        check.title[0].isupper() and len(check.title) < 160 for checks in found.values() for check in checks
    )


def test_a_sound_challenge_only_gets_findings_about_its_size(tmp_path: Path) -> None:
    found = codes(write(tmp_path / "sound", *tables(800)))
    assert "block" not in found.values(), found
    assert set(found) <= {"test_too_small", "oracle_budget", "not_checked"}


@pytest.fixture
def alone() -> Iterator[dict[str, list[Check]]]:
    """Register only the checks of the test."""
    all_checks()
    kept = dict(CHECKS)
    CHECKS.clear()
    yield CHECKS
    CHECKS.clear()
    CHECKS.update(kept)


def test_a_check_that_cannot_be_made_is_a_finding_with_the_reason(
    tmp_path: Path, alone: dict[str, list[Check]]
) -> None:
    def unable(material: Material) -> Iterator[Found]:
        raise NotChecked("no rows to compare")
        yield

    alone["unable"] = [Check("unable", "rows", (), "1", False, 3, unable, "Unable")]
    alone["lacking"] = [Check("lacking", "rows", ("train",), "1", True, 1, unable, "Lacking")]
    _, test, truth = tables()
    result = audit(scorer.load(write(tmp_path / "c", None, test, truth)))
    assert [(f.code, f.severity) for f in result.findings] == [("not_checked", "info")] * 2
    words = " ".join(f.evidence for f in result.findings)
    assert "unable): no rows to compare" in words
    assert "lacking): there is no public/train.csv" in words
    assert [entry["result"] for entry in result.passport] == ["not checked", "not checked"]


def test_a_check_blocks_only_if_registered_to_block(tmp_path: Path, alone: dict[str, list[Check]]) -> None:
    def blocking(material: Material) -> Iterator[Found]:
        yield Found("seen 0.9973 of the labels", "fix it", 0.9973, -400.0, "block", where="column a")

    alone["may"] = [Check("may", "columns", (), "1", True, 1, blocking, "Blocking")]
    alone["may_not"] = [Check("may_not", "columns", (), "1", False, 1, blocking, "Blocking")]
    result = audit(scorer.load(write(tmp_path / "c", *tables())))
    assert [(f.code, f.severity, f.scope) for f in result.findings] == [
        ("may", "block", "columns: column a"),
        ("may_not", "warn", "columns: column a"),
    ]
    assert result.findings[0].p == 1e-300  # JSON has no smaller numbers
    assert "0.9973" not in json.dumps(result.passport)
    assert {tuple(entry) for entry in result.passport} == {("code", "title", "version", "result")}


def test_many_findings_of_one_check_are_cut_and_the_rest_counted(
    tmp_path: Path, alone: dict[str, list[Check]]
) -> None:
    def many(material: Material) -> Iterator[Found]:
        yield from (Found(f"column {k}", "fix it", effect=k / 100) for k in range(40))

    alone["many"] = [Check("many", "columns", (), "1", False, 1, many, "Many")]
    findings = audit(scorer.load(write(tmp_path / "c", *tables()))).findings
    assert [f.effect for f in findings] == [(39 - k) / 100 for k in range(10)]
    assert findings[-1].evidence == "column 30 (30 more like this.)"


def test_the_same_folder_gives_the_same_findings(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", *tables(300))
    first, second = audit(scorer.load(folder)), audit(scorer.load(folder))
    assert first.findings == second.findings


def _ten_rows() -> tuple[Any, ...]:
    return tables(20)


def _one_column() -> tuple[Any, ...]:
    train, test, truth = tables()
    return train[["id", "y"]], test[["id"]], truth


def _texts() -> tuple[Any, ...]:
    train, test, truth = tables()
    words = ["früh", "spät", "", "日本語 text", "-"]
    for frame in (train, test):
        frame["t"] = [words[k % 5] * (k % 7) for k in range(len(frame))]
        frame["nothing"] = ""
        frame["same"] = 7
    return train, test, truth


def _no_train() -> tuple[Any, ...]:
    return None, *tables()[1:]


def _no_tables() -> tuple[Any, ...]:
    return None, None, tables()[2]


def _without_ids() -> tuple[Any, ...]:
    train, test, truth = tables()
    return train.drop(columns="id"), test.drop(columns="id"), truth


def _one_class_in_train() -> tuple[Any, ...]:
    train, test, truth = tables()
    return train.assign(y=1), test, truth


def _empty_train() -> tuple[Any, ...]:
    train, test, truth = tables()
    return train[:0], test, truth


@pytest.mark.parametrize(
    "make",
    [_ten_rows, _one_column, _texts, _no_train, _no_tables, _without_ids, _one_class_in_train, _empty_train],
    ids=lambda make: make.__name__.strip("_"),
)
def test_odd_data_never_crash_the_audit_or_pass_unreported(tmp_path: Path, make: Any) -> None:
    train, test, truth = make()
    result = audit(scorer.load(write(tmp_path / "c", train, test, truth)))
    assert result.findings, "no finding for an odd challenge"
    assert all(f.evidence and f.advice for f in result.findings)
    json.dumps([f.as_dict() for f in result.findings], allow_nan=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x01\x02" * 100, "could not be read"),
        (b"a,b\n1,2,3\n", "could not be read"),
        (b'a,b\n"1,2\n', "could not be read"),
    ],
)
def test_a_damaged_table_is_reported(tmp_path: Path, content: bytes, words: str) -> None:
    folder = write(tmp_path / "c", *tables())
    (folder / "public/train.csv").write_bytes(content)
    findings = audit(scorer.load(folder)).findings
    assert any(f.code == "not_checked" and words in f.evidence for f in findings)


def test_no_repr_of_the_material_contains_labels(tmp_path: Path) -> None:
    material = gather(scorer.load(write(tmp_path / "c", *tables())))
    assert "array" not in repr(material)
    assert material.test is not None
    assert "array" not in repr(material.test.targets)


def test_columns_get_the_kind_of_their_values(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "n,t,c,m,b\n1.5,2024-01-02,red,NA,true\n?,2024-01-03 10:00:00,blue,NA,false\n3,2024-02-01,red,,true\n"
    )
    frame = read_frame(path)
    kinds = {name: frame.feature(name).kind for name in frame.names}
    assert kinds == {"n": "number", "t": "time", "c": "category", "m": "category", "b": "number"}
    assert frame.feature("n").missing.tolist() == [False, True, False]
    assert frame.feature("m").missing.all()
    assert np.isnan(frame.feature("n").numbers[1])


def test_numeric_values_of_two_tables_are_matched_as_numbers(tmp_path: Path) -> None:
    for name, text in (("a", "k,c\n1,x\n2.0,y\n"), ("b", "k,c\n2,y\n1e0,z\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    one, other = (read_frame(tmp_path / f"{name}.csv") for name in "ab")
    first, second = joint_codes(one.feature("k"), other.feature("k"))
    assert (first[0], first[1]) == (second[1], second[0])
    first, second = joint_codes(one.feature("c"), other.feature("c"))
    assert first[1] == second[0]
    assert len({*first.tolist(), *second.tolist()}) == 3


def test_a_multi_class_target_in_columns_is_one_class_per_row(tmp_path: Path) -> None:
    train, test, truth = tables()
    names = ["red", "green", "blue"]
    rng = np.random.default_rng(1)
    hot = np.eye(3)[rng.integers(0, 3, len(truth))]
    truth = pd.DataFrame(
        {"id": truth.id, **{n: hot[:, k] for k, n in enumerate(names)}, "Usage": truth.Usage}
    )
    train = train.drop(columns="y").assign(colour=rng.choice(names, len(train)))
    folder = write(tmp_path / "c", train, test, truth)
    material = gather(scorer.load(folder))
    assert material.test is not None
    assert material.train is not None
    (hidden,), (known,) = material.test.targets, material.train.targets
    assert (hidden.kind, hidden.classes, known.classes) == ("class", tuple(names), tuple(names))
    assert hidden.values.tolist() == hot.argmax(axis=1).tolist()


def test_material_made_in_memory_can_be_audited(tmp_path: Path) -> None:
    challenge = scorer.load(write(tmp_path / "c", None, None, tables()[2]))
    nothing = Material(challenge, None, None, None, None, {"train": "none", "test": "none"})
    assert audit_material(nothing, lambda _: None, 0.0).findings
