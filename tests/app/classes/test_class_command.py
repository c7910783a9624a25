"""`heldout class`: what it prints, stores and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.base.config import Settings
from app.base.installation import Installation
from app.cli.classes import class_group
from tests.conftest import on_sqlite

pytestmark = on_sqlite

ROSTER = "ID number,Name,Email\nS1,Ada Lovelace,ada@uni.example\nS2,Grace Hopper,grace@uni.example\n"


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    return Installation(Settings(data_dir=tmp_path, secret_key="k" * 40, database_url=database_url))


def heldout(installation: Installation, *words: object) -> Result:
    return CliRunner().invoke(class_group, [str(word) for word in words], obj=installation)


def answer(installation: Installation, *words: object) -> Any:
    done = heldout(installation, *words, "--json")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return json.loads(done.stdout)


def test_class_goes_from_its_roster_to_its_codes(tmp_path: Path, installation: Installation) -> None:
    made = answer(installation, "new", "ml", "--title", "Machine learning")
    assert made["class"] == "ml"
    file = tmp_path / "roster.csv"
    file.write_text(ROSTER)

    planned = answer(installation, "import", "ml", file, "--dry-run")
    assert {name: planned[name] for name in ("new", "same", "changed", "gone", "problems", "stored")} == {
        "new": 2,
        "same": 0,
        "changed": 0,
        "gone": 0,
        "problems": [],
        "stored": False,
    }
    assert answer(installation, "list", "ml") == []
    assert answer(installation, "import", "ml", file)["stored"]
    assert [one["name"] for one in answer(installation, "list", "ml")] == ["Grace Hopper", "Ada Lovelace"]

    issued = answer(installation, "codes", "ml")
    assert issued["code"] == made["code"]
    assert [one["name"] for one in issued["codes"]] == ["Grace Hopper", "Ada Lovelace"]
    assert all(len(one["code"]) == 11 for one in issued["codes"])
    assert answer(installation, "codes", "ml") == {**issued, "codes": [], "kept": 2}
    (again,) = answer(installation, "codes", "ml", "--student", "S1", "--again")["codes"]
    assert again["code"] not in [one["code"] for one in issued["codes"]]

    added = heldout(installation, "add", "ml", "Alan Turing", "--id", "S3")
    assert len(added.stdout.strip()) == 11
    assert [one["name"] for one in answer(installation, "list", "ml")][-1] == "Alan Turing"
    (listed,) = answer(installation, "list")
    assert (listed["members"], listed["joined"]) == (3, 0)


def test_roster_with_problems_exits_with_2_and_stores_nothing(
    tmp_path: Path, installation: Installation
) -> None:
    heldout(installation, "new", "ml")
    file = tmp_path / "roster.csv"
    file.write_text(ROSTER + "S2,Grace Hopper,\nS3,Alan Turing,nowhere\n")
    done = heldout(installation, "import", "ml", file)
    assert "Line 5: 'nowhere' is no e-mail address" in done.stderr
    assert "Lines 3 and 4 have the same student number" in done.stderr
    assert "Nothing was stored." in done.stderr
    assert [problem["line"] for problem in answer(installation, "import", "ml", file)["problems"]] == [4, 5]
    assert answer(installation, "list", "ml") == []


def test_mapping_of_columns_is_remembered(tmp_path: Path, installation: Installation) -> None:
    heldout(installation, "new", "ml")
    file = tmp_path / "roster.csv"
    file.write_text("Kursteilnehmerin,Kennziffer\nAda Lovelace,S1\n")
    assert "No column of the file" in str(heldout(installation, "import", "ml", file).exception)
    mapped = ("--map", "Kursteilnehmerin=name", "--map", "Kennziffer=external_id")
    assert answer(installation, "import", "ml", file, *mapped)["new"] == 1
    assert answer(installation, "import", "ml", file)["same"] == 1
    wrong = heldout(installation, "import", "ml", file, "--map", "Kennziffer=number")
    assert "with one of the fields external_id" in str(wrong.exception)
