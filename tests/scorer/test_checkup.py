"""Tests of scorer.check, the starter, exports and reference pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import scorer
import scorer.checkup
from scorer.reference import CHALLENGE_CODES, NOTICE_CODES, PAGES, SUBMISSION_CODES
from tests.scorer.conftest import IDS, TRUTH, USAGE, YAML, Write, csv_text

ROOT = Path(__file__).parents[2]
HALF = csv_text(("id", "target"), IDS, ["0.5"] * 20)


def check(write: Write, examples: str = "", **changes: object) -> scorer.CheckResult:
    yaml = YAML + (f"examples:\n{examples}" if examples else "")
    files = {"examples/half.csv": HALF, "examples/short.csv": HALF.replace("20,0.5\n", "")}
    return scorer.check(scorer.load(write(yaml, files=files, **changes)))


def test_a_sound_challenge_has_no_problem(write: Write) -> None:
    result = check(
        write,
        "  - {file: half.csv, public: 0.6931, private: 0.693}\n  - {file: short.csv, refused: missing_ids}\n",
    )
    assert result.ok
    assert result.blockers == ()
    assert {entry["result"] for entry in result.passport} <= {"pass", "warn", "not checked", "not applicable"}
    assert result.benchmark["step"] > 0
    assert [outcome.as_expected for outcome in result.outcomes] == [True, True]
    assert str(result.outcomes[0]) == "half.csv: public 0.693147, private 0.693147"


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("{file: half.csv, public: 0.6932}", "expected public 0.6932, but it is 0.69314718"),
        ("{file: half.csv, private: 0.0}", "expected private 0.0"),
        ("{file: half.csv, refused: missing_ids}", "expected refused MISSING_IDS, but it was accepted"),
        ("{file: short.csv, public: 0.5}", "it was refused with MISSING_IDS"),
        (
            "{file: short.csv, refused: duplicate_ids}",
            "expected a refusal with DUPLICATE_IDS, but got MISSING_IDS",
        ),
    ],
)
def test_a_wrong_expectation_is_reported_with_its_line(write: Write, example: str, words: str) -> None:
    result = check(write, f"  - {{file: half.csv, public: 0.6931}}\n  - {example}\n")
    (problem,) = result.problems
    assert (problem.code, problem.file, problem.line) == ("EXAMPLE_DIFFERS", "challenge.yaml", 7)
    assert words in problem.message


@pytest.mark.parametrize(
    ("written", "fits"),
    [("0.6931472", True), ("0.6931473", False), ("0.693", True), ("0.69", False), ("6.931e-1", True)],
)
def test_scores_are_compared_to_the_written_digits(write: Write, written: str, fits: bool) -> None:
    assert check(write, f"  - {{file: half.csv, public: {written}}}\n").ok == fits


def test_a_missing_sample_submission_is_a_problem_here(write: Write) -> None:
    folder = write()
    (folder / "public/sample_submission.csv").unlink()
    (problem,) = scorer.check(scorer.load(folder)).problems
    assert (problem.code, problem.file) == ("FILE_MISSING", "public/sample_submission.csv")


def test_a_sample_submission_that_would_be_refused_is_a_problem(write: Write) -> None:
    folder = write(files={"public/sample_submission.csv": HALF.replace("20,", "21,")})
    problems = scorer.check(scorer.load(folder)).problems
    assert {problem.code for problem in problems} == {"UNKNOWN_IDS", "MISSING_IDS"}
    assert all(problem.file == "public/sample_submission.csv" for problem in problems)


def test_a_sample_submission_that_holds_the_truth_is_a_problem(write: Write) -> None:
    folder = write(files={"public/sample_submission.csv": csv_text(("id", "target"), IDS, TRUTH)})
    assert [problem.code for problem in scorer.check(scorer.load(folder)).problems] == ["SAMPLE_IS_PERFECT"]


def test_a_split_without_a_class_is_a_problem_for_probabilities(write: Write) -> None:
    result = check(write, columns=(IDS, ["1"] * 8 + TRUTH[8:], USAGE))
    assert {problem.code for problem in result.problems} == {"CLASS_NOT_IN_SPLIT"}


def test_a_split_without_a_rare_label_is_a_notice_for_accuracy(write: Write) -> None:
    folder = write(YAML.replace("log_loss", "accuracy"), columns=(IDS, ["rare", *TRUTH[1:]], USAGE))
    result = scorer.check(scorer.load(folder))
    assert result.ok
    assert "NOTICE_CLASS_NOT_IN_SPLIT" in {notice.code for notice in result.notices}


def test_truth_that_cannot_score_best_is_a_problem(write: Write) -> None:
    folder = write(YAML.replace("log_loss", "{name: f1, positive: 1}"), columns=(IDS, ["0"] * 20, USAGE))
    assert "TRUTH_NOT_BEST" in {problem.code for problem in scorer.check(scorer.load(folder)).problems}


@pytest.mark.parametrize(
    ("metric", "truth"),
    [
        ("roc_auc", TRUTH),
        ("{name: log_loss, rows: reject}", TRUTH),
        ("sse", [str(i * 1.5) for i in range(20)]),
        ("rmsle", [str(i) for i in range(20)]),
        ("r2", [str(i) for i in range(20)]),
        ("accuracy", ["cat", "dog"] * 10),
        ("{name: f1, average: macro}", ["cat", "dog"] * 10),
        ("{name: qwk, min_rating: 1, max_rating: 3}", ["1", "2", "3", "2"] * 5),
    ],
)
def test_every_kind_of_metric_passes_the_self_test(write: Write, metric: str, truth: list[str]) -> None:
    sample = csv_text(("id", "target"), IDS, [truth[1]] * 20)
    usage = ["Ignored", *USAGE[1:]]
    folder = write(
        YAML.replace("log_loss", metric),
        columns=(IDS, truth, usage),
        files={"public/sample_submission.csv": sample},
    )
    assert scorer.check(scorer.load(folder)).problems == ()


def test_a_missing_optional_file_is_a_notice(write: Write) -> None:
    result = scorer.check(scorer.load(write()))
    assert result.ok
    assert {notice.code for notice in result.notices} >= {
        "NOTICE_NO_DESCRIPTION",
        "NOTICE_NO_EXAMPLES",
        "NOTICE_NO_SOURCE",
    }


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("submission: {id: id, columns: [target], max_bytes: 1000}\n", "submission.max_bytes"),
        ("competition: {max_upload_mb: 0.0006}\n", "competition.max_upload_mb"),
    ],
)
def test_a_stated_limit_below_an_ordinary_file_is_a_notice(write: Write, more: str, key: str) -> None:
    ids = [f"patient-{i:07}" for i in range(20)]
    yaml = YAML.replace("submission: {id: id, columns: [target]}\n", "") if "submission" in more else YAML
    sample = csv_text(("id", "target"), ids, ["0.5"] * 20)
    solution = (ids, TRUTH, USAGE)
    files = {"public/sample_submission.csv": sample}
    found = scorer.check(scorer.load(write(yaml + more, columns=solution, files=files))).notices
    [words] = [notice.message for notice in found if notice.code == "NOTICE_SMALL_LIMIT"]
    assert words.startswith(f"{key} allows ")
    plain = scorer.check(scorer.load(write(YAML, columns=solution, files=files))).notices
    assert "NOTICE_SMALL_LIMIT" not in {notice.code for notice in plain}


def test_progress_is_reported(write: Write) -> None:
    steps: list[str] = []
    yaml = YAML + "examples:\n  - {file: half.csv, public: 0.6931}\n"
    scorer.check(scorer.load(write(yaml, files={"examples/half.csv": HALF})), progress=steps.append)
    assert steps[:4] == ["files", "example half.csv", "sample submission", "self-test"]
    assert steps[4] == "reading the public tables"
    assert steps[-1] == "benchmark"


# --- the starter -----------------------------------------------------------------------------------


def test_the_starter_is_sound_and_complete(tmp_path: Path) -> None:
    folder = scorer.scaffold(tmp_path / "first-try", title='Say "when": a test')
    challenge = scorer.load(folder)
    result = scorer.check(challenge)
    assert result.problems == ()
    (notice,) = result.notices
    assert notice.code == "NOTICE_BASELINES"
    assert "baselines/constant.py, baselines/logistic_regression.py" in notice.message
    assert challenge.title == 'Say "when": a test'
    assert challenge.solution.n_rows == {"public": 30, "private": 70, "ignored": 0}
    assert len(result.outcomes) == 3


def test_the_starter_is_the_same_every_time(tmp_path: Path) -> None:
    one, other = (scorer.load(scorer.scaffold(tmp_path / name, title="T")) for name in ("a", "b"))
    assert one.digest == other.digest


def test_the_starters_logistic_regression_beats_its_constant(tmp_path: Path) -> None:
    folder = scorer.scaffold(tmp_path / "first")
    challenge = scorer.load(folder)
    scores = {}
    for baseline in challenge.baselines:
        out = tmp_path / f"{baseline.script}.csv"
        subprocess.run(
            [sys.executable, f"baselines/{baseline.script}", out], cwd=folder, check=True, timeout=120
        )
        scores[baseline.script] = scorer.score(challenge, out).private
    assert scores["logistic_regression.py"] < scores["constant.py"] < 0.8
    assert challenge.baselines[0].name == "The training share for everyone"


def test_the_starter_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(scorer.InvalidChallenge, match="not an empty folder"):
        scorer.scaffold(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# --- exports --------------------------------------------------------------------------------


def test_scorer_exports_every_name_it_lists() -> None:
    for name in scorer.__all__:
        assert getattr(scorer, name) is not None
    with pytest.raises(AttributeError):
        getattr(scorer, "nothing like that")


def test_no_submodule_hides_an_exported_function() -> None:
    modules = {path.stem for path in Path(scorer.__file__).parent.iterdir()}
    assert not modules & {"load", "score", "measure", "check"}
    assert callable(scorer.check)
    assert callable(scorer.scaffold)


def test_reports_load_no_numeric_library() -> None:
    code = "import sys, scorer.report; assert not {'numpy', 'pandas', 'sklearn', 'yaml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=ROOT)


# --- reference pages -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_page_is_up_to_date(name: str) -> None:
    """If this fails: python -m scorer.reference docs/reference."""
    assert (ROOT / "docs/reference" / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_code_in_the_source_is_explained_and_every_explained_code_exists() -> None:
    known = {*SUBMISSION_CODES, *NOTICE_CODES, *CHALLENGE_CODES}
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "scorer").rglob("*.py")
        if path.name != "reference.py"
    )
    used = set(
        re.findall(r'\w*(?:Problem|problem|RowFault|Notice|notice)\(\s*"([A-Z]+(?:_[A-Z]+)*)"', source)
    )
    assert used <= known
    assert {code for code in known if f'"{code}"' not in source} == set()
