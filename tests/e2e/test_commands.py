"""The `heldout` command: outputs, exit codes and messages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.servers import heldout

CHALLENGES = Path(__file__).resolve().parents[2] / "challenges"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    assert heldout(data, "db", "upgrade").returncode == 0
    return data


def publish(data: Path, folder: Path, *more: str) -> tuple[int, str, str]:
    done = heldout(data, "challenge", "publish", str(folder), "--no-baselines", *more)
    return done.returncode, done.stdout, done.stderr


def test_new_challenge_has_no_problems_and_its_examples_score_as_written(tmp_path: Path) -> None:
    folder = tmp_path / "coins"
    assert heldout(tmp_path / "data", "challenge", "new", str(folder)).returncode == 0
    checked = heldout(tmp_path / "data", "challenge", "check", str(folder), "--json")
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["problems"]) == (0, [])
    assert {finding["severity"] for finding in report["findings"]} <= {"info"}, report["findings"]
    scored = heldout(tmp_path / "data", "score", str(folder), str(folder / "examples/perfect.csv"), "--json")
    numbers = json.loads(scored.stdout)
    assert scored.returncode == 0
    assert numbers["public"] == pytest.approx(0, abs=1e-12)
    assert numbers["private"] == pytest.approx(0, abs=1e-12)


def test_new_refuses_a_folder_with_files(tmp_path: Path) -> None:
    (tmp_path / "coins").mkdir()
    (tmp_path / "coins/mine.txt").write_text("mine")
    done = heldout(tmp_path / "data", "challenge", "new", str(tmp_path / "coins"))
    assert done.returncode == 2
    assert "not an empty folder" in done.stderr
    assert [p.name for p in (tmp_path / "coins").iterdir()] == ["mine.txt"]


def test_every_mistake_in_challenge_yaml_has_its_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / "biopsy"
    shutil.copytree(CHALLENGES / "biopsy", folder)
    (folder / "challenge.yaml").write_text(
        "format: 1\n"
        "titel: Biopsy\n"
        "metric: logloss\n"
        "submission: {id: id, columns: [malignant]}\n"
        "competition: {daily_limit: -1, timezone: Mars/Olympus}\n"
        "examples:\n"
        "  - {file: nowhere.csv, public: 0.5, private: 0.5}\n"
    )
    done = heldout(tmp_path / "data", "challenge", "check", str(folder), "--json")
    problems = json.loads(done.stdout)["problems"]
    assert done.returncode == 2
    assert {(p["file"], p["line"]) for p in problems} >= {("challenge.yaml", line) for line in (2, 3, 5, 7)}
    assert len(problems) >= 5
    words = " ".join(p["message"] for p in problems)
    for expected in ("titel", "logloss", "log_loss", "daily_limit", "Mars/Olympus", "nowhere.csv"):
        assert expected in words


def test_rejected_file_exits_with_2_and_its_problems(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("id,malignant\nb0005,2\n")
    done = heldout(tmp_path / "data", "score", str(CHALLENGES / "biopsy"), str(bad), "--json")
    assert done.returncode == 2
    assert {p["code"] for p in json.loads(done.stdout)["problems"]} >= {"MISSING_IDS"}
    plain = heldout(tmp_path / "data", "score", str(CHALLENGES / "biopsy"), str(bad))
    assert plain.returncode == 2
    assert "MISSING_IDS" in plain.stderr
    assert "Traceback" not in plain.stderr


def test_publishing_again_makes_a_version_only_of_a_changed_folder(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "biopsy"
    shutil.copytree(CHALLENGES / "biopsy", folder)
    assert publish(data, folder)[0] == 0
    code, out, _ = publish(data, folder, "--json")
    assert (code, json.loads(out)["version"], json.loads(out)["is_new"]) == (0, 1, False)
    with (folder / "description.md").open("a") as file:
        file.write("\nOne more sentence.\n")
    code, out, _ = publish(data, folder, "--json")
    assert (code, json.loads(out)["version"], json.loads(out)["competitions"]) == (0, 2, ["biopsy"])
    listed = json.loads(heldout(data, "competition", "list", "--json").stdout)
    assert [(c["slug"], c["phase"]) for c in listed] == [("biopsy", "open")]


def test_challenge_with_problems_is_not_published(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "biopsy"
    shutil.copytree(CHALLENGES / "biopsy", folder)
    text = (folder / "challenge.yaml").read_text()
    (folder / "challenge.yaml").write_text(text.replace("metric: log_loss", "metric: rmse"))
    code, _, err = publish(data, folder)
    assert code == 2
    assert "challenge.yaml" in err
    assert json.loads(heldout(data, "challenge", "list", "--json").stdout) == []


def test_competition_is_opened_and_closed_once(data: Path) -> None:
    assert publish(data, CHALLENGES / "biopsy", "--no-open")[0] == 0
    assert (
        heldout(data, "competition", "open", "biopsy", "--slug", "term", "--daily-limit", "3").returncode == 0
    )
    again = heldout(data, "competition", "open", "biopsy", "--slug", "term")
    assert (again.returncode, "already a competition term" in again.stderr) == (2, True)
    assert heldout(data, "competition", "close", "term").returncode == 0
    assert heldout(data, "competition", "close", "term").returncode == 2
    assert heldout(data, "competition", "close", "nothing").returncode == 2


def test_token_is_alone_on_the_last_line(data: Path) -> None:
    assert heldout(data, "user", "add", "ada", "--password-stdin", stdin="correct horse\n").returncode == 0
    assert heldout(data, "user", "add", "ada", "--password-stdin", stdin="correct horse\n").returncode == 2
    assert heldout(data, "user", "add", "bob", "--password-stdin", stdin="short\n").returncode == 2
    done = heldout(data, "token", "ada")
    assert done.stdout.strip().startswith("hld_")
    assert len(done.stdout.strip().splitlines()) == 1
    assert heldout(data, "token", "unknown").returncode == 2


def test_command_before_the_upgrade_names_the_upgrade(tmp_path: Path) -> None:
    done = heldout(tmp_path / "data", "competition", "list")
    assert done.returncode == 2
    assert "heldout db upgrade" in done.stderr


def test_settings_are_printed_with_help_and_without_secrets(tmp_path: Path) -> None:
    done = heldout(tmp_path / "data", "config", "--json", HELDOUT_SECRET_KEY="geheim" * 8)
    rows = json.loads(done.stdout)
    assert all(row["help"] for row in rows)
    assert "geheim" not in done.stdout


def test_unknown_command_or_option_exits_with_2_without_a_traceback(tmp_path: Path) -> None:
    for words in (["publisch"], ["serve", "--prot", "1"], ["challenge", "check"]):
        done = heldout(tmp_path / "data", *words)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
