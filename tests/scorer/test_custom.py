"""Own metrics: Kaggle's contract, and what each role may read."""

from __future__ import annotations

import json
import math
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scorer.custom import CustomMetric, MetricFailed, ParticipantRefusal, UnreadableMetric
from scorer.report import ScoringFailed
from scorer.sandbox import levels, sandbox
from scorer.sandbox.sandbox import Limits
from tests.conftest import missing

HERE = Path(__file__).parent
CASES = json.loads((HERE / "vectors/kaggle_docstrings.json").read_text(encoding="utf-8"))["cases"]
NOTEBOOKS = {
    "kl_divergence": "kl_divergence",
    "r2": "r2",
    "fbeta": "fbeta",
    "relative_l2": "relative_l2",
    "rmse_pooled_columns": "rmse_pooled_columns",
    "roc_auc": "weighted_auc",
    "stratified_cindex": "stratified_c_index",
}
HEAD = (
    "import os, sys, time\nimport numpy as np, pandas as pd\nclass ParticipantVisibleError(Exception): pass\n"
)
SOLUTION = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "y": [1.0, 2.0, 3.0, 4.0],
        "Usage": ["Public", "Private", "Public", "Private"],
    }
)
SUBMISSION = pd.DataFrame({"id": ["a", "b", "c", "d"], "y": [1.0, 2.5, 2.0, 4.0]})
SPLITS = {"public": np.array([True, False, True, False]), "private": np.array([False, True, False, True])}


@pytest.fixture(scope="module", autouse=True)
def locked_in() -> None:
    if not sandbox.isolation().is_enough:
        missing("A sandbox of level standard", levels.too_weak(sandbox.isolation()))


@pytest.fixture
def metric(tmp_path: Path) -> Any:
    """Return a metric with this body, or this whole text.

    The text is whole if it defines score itself.
    """

    def metric(body: str, signature: str = "", **params: Any) -> CustomMetric:
        text = textwrap.dedent(body)
        if "def score" not in text:
            line = f"def score(solution, submission, row_id_column_name{signature}):\n"
            text = HEAD + line + textwrap.indent(text, "    ")
        path = tmp_path / "metric.py"
        path.write_text(text, encoding="utf-8")
        return CustomMetric.read(path, params)

    return metric


def evaluate(metric: CustomMetric, **more: Any) -> dict[str, float]:
    limits = Limits(wall_seconds=more.pop("seconds", 20), memory_mb=256)
    return metric.evaluate(SOLUTION, SUBMISSION, "id", SPLITS, limits=limits, **more)


def faults(text: str, path: Path, **params: Any) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableMetric) as caught:
        CustomMetric.read(path, params)
    return [f"{line}: {words}" for words, line in caught.value.faults]


# --- Kaggle's notebooks ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_notebook_gives_the_number_that_kaggle_printed(case: Mapping[str, Any]) -> None:
    params = {key: value for key, value in case["params"].items() if key != "columns"}
    if "column_weights" in params:
        params["weights"] = params.pop("column_weights")
    custom = CustomMetric.read(HERE / "kaggle_form" / f"{NOTEBOOKS[case['metric']]}.py", params)
    solution, submission = pd.DataFrame(case["solution"]), pd.DataFrame(case["submission"])
    value = custom.evaluate(solution, submission, "id", {"all": None})["all"]
    assert value == pytest.approx(case["full_value"], rel=1e-12, abs=1e-15)


def test_a_missing_probability_is_refused_where_kaggles_helper_lets_it_pass() -> None:
    custom = CustomMetric.read(HERE / "kaggle_form/kl_divergence.py", {})
    solution = pd.DataFrame({"id": [0, 1], "ham": [0, 1], "spam": [1, 0]})
    submission = pd.DataFrame({"id": [0, 1], "ham": [0.5, float("nan")], "spam": [0.5, 1.0]})
    with pytest.raises(ParticipantRefusal, match="must be given"):
        custom.evaluate(solution, submission, "id", {"all": None})


@pytest.mark.parametrize(
    ("message", "solution", "shown"),
    [
        ("Found input with missing values", {"y": [1.0]}, True),
        ("Found 3 missing values", {"y": [1.0]}, False),
        ("Unknown label cat", {"y": ["cat"]}, False),
        ("Expected True", {"y": [True]}, False),
        ("Expected a number", {"y": [True]}, True),
    ],
)
def test_only_a_message_that_cannot_hold_a_label_is_shown(
    metric: Any, message: str, solution: dict[str, Any], shown: bool
) -> None:
    custom = metric(f"""
        import kaggle_metric_utilities
        def fail(truth, rows, word):
            raise TypeError(word)
        def score(solution, submission, row_id_column_name):
            columns = solution[["y"]]
            return kaggle_metric_utilities.safe_call_score(fail, columns, submission, word={message!r})
        """)
    frame = pd.DataFrame({"id": ["a"], **solution})
    with pytest.raises(ParticipantRefusal if shown else MetricFailed) as caught:
        custom.evaluate(frame, frame, "id", {"all": None})
    assert message in str(caught.value)


# --- what the function is given -------------------------------------------------------------------


def test_it_is_called_once_for_each_split_with_that_splits_rows(metric: Any) -> None:
    custom = metric("""
        assert row_id_column_name == "id"
        assert list(solution.columns) == list(submission.columns) == ["id", "y"]
        assert list(solution.index) == list(submission.index) == [0, 1]
        print(list(solution["id"]), list(submission["id"]))
        return (solution["y"] - submission["y"]).abs().sum()
        """)
    assert evaluate(custom) == {"public": 1.0, "private": 0.5}


def test_the_complete_submission_is_given_in_every_call_if_asked_for(metric: Any) -> None:
    custom = metric("""
        assert submission["id"].tolist() == ["a", "b", "c", "d"]
        return len(solution) + len(submission)
        """)
    assert evaluate(custom, complete=True) == {"public": 6.0, "private": 6.0}
    longer = pd.concat([SUBMISSION, SUBMISSION], ignore_index=True)
    custom = metric("return len(submission)")
    assert custom.evaluate(SOLUTION, longer, "id", SPLITS, complete=True) == {"public": 8.0, "private": 8.0}


def test_a_change_of_the_frames_does_not_reach_the_next_call(metric: Any) -> None:
    before = SOLUTION.copy(), SUBMISSION.copy()
    custom = metric("""
        assert not hasattr(pd, "mark")
        pd.mark = 1
        value = float(solution["y"].sum())
        solution["y"] = 0
        submission.drop(columns="y", inplace=True)
        del solution[row_id_column_name]
        return value
        """)
    assert evaluate(custom) == evaluate(custom) == {"public": 4.0, "private": 6.0}
    pd.testing.assert_frame_equal(SOLUTION, before[0])
    pd.testing.assert_frame_equal(SUBMISSION, before[1])


def test_rows_in_another_order_are_an_error_of_the_caller(metric: Any) -> None:
    with pytest.raises(ValueError, match="solution's order"):
        metric("return 1").evaluate(SOLUTION, SUBMISSION.iloc[::-1], "id", SPLITS)


def test_parameters_are_given_by_name(metric: Any) -> None:
    custom = metric("return k + len(names)", ", *, k: int = 1, names: list[str] = ()", names=["x", "y"])
    assert evaluate(custom) == {"public": 3.0, "private": 3.0}


def test_future_annotations_and_dataclasses_work(metric: Any) -> None:
    custom = metric("""
        from __future__ import annotations
        from dataclasses import dataclass
        import pandas as pd

        @dataclass
        class Pair:
            a: float
            b: float | None = None

        def score(
            solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str, k: int | None = None
        ) -> float:
            return Pair(2.0).a

        if __name__ == "__main__":
            raise SystemExit
        """)
    assert evaluate(custom)["public"] == 2.0


# --- what it may return ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("1", 1.0),
        ("-0.25", -0.25),
        ("np.float32(0.5)", 0.5),
        ("np.float64(0.1)", 0.1),
        ("np.int64(3)", 3.0),
        ("solution['y'].mean() * 0 + 1e308", 1e308),
    ],
)
def test_a_number_of_python_or_numpy_is_a_score(metric: Any, result: str, value: float) -> None:
    got = evaluate(metric(f"return {result}"))["public"]
    assert got == value
    assert type(got) is float


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("float('nan')", "returned nan, which is not finite"),
        ("np.inf", "returned inf, which is not finite"),
        ("np.float32('-inf')", "returned -inf, which is not finite"),
        ("10 ** 400", "returned a whole number too large for a float"),
        ("None", "returned 'None', which is not a number"),
        ("True", "returned 'True', which is not a number"),
        ("np.bool_(True)", "raised TypeError: the result is of type bool, which is no number"),
        ("'0.5'", "returned '0.5', which is not a number"),
        ("'x' * 1000", f"returned '{'x' * 40}', which is not a number"),
        ("[0.5]", "returned '[0.5]', which is not a number"),
        ("solution", "raised TypeError: the result is of type DataFrame, which is no number"),
        ("np.array([0.5])", "raised TypeError: the result is of type ndarray, which is no number"),
        ("1j", "raised TypeError: the result is of type complex, which is no number"),
    ],
)
def test_any_other_result_is_a_failure(metric: Any, result: str, words: str) -> None:
    with pytest.raises(MetricFailed) as caught:
        evaluate(metric(f"return {result}"))
    assert (
        str(caught.value) == f"On the public rows the metric {words}. On the private rows the metric {words}."
    )


# --- what each role reads -------------------------------------------------------------------------------


def test_a_visible_error_is_shown_in_280_printable_characters(metric: Any) -> None:
    custom = metric("raise ParticipantVisibleError('Row\\n\\t\\x00 \\u202e3 is <b>long</b> ' + 'x' * 500)")
    with pytest.raises(ParticipantRefusal) as caught:
        evaluate(custom)
    assert caught.value.text.startswith("Row 3 is <b>long</b> xxx")
    assert len(caught.value.text) == 280
    assert caught.value.text.isprintable()


def test_a_visible_error_without_text_gets_a_default(metric: Any) -> None:
    with pytest.raises(ParticipantRefusal, match="refused this file"):
        evaluate(metric("raise ParticipantVisibleError"))


def test_a_visible_error_is_recognised_by_its_class_name(metric: Any) -> None:
    custom = metric(
        """
        from kaggle_metric_utilities import ParticipantVisibleError as Renamed
        class Hidden(Renamed): pass
        def score(solution, submission, row_id_column_name, hidden: bool):
            raise (Hidden if hidden else Renamed)("the text")
        """,
        hidden=False,
    )
    with pytest.raises(ParticipantRefusal):
        evaluate(custom)
    with pytest.raises(MetricFailed):
        evaluate(CustomMetric(custom.source, {"hidden": True}, "", ""))


@pytest.mark.parametrize("refusing", ["public", "private"])
@pytest.mark.parametrize("otherwise", ["0.5", "1 / 0", "os._exit(1)"])
def test_a_refusal_is_the_same_whichever_split_it_came_from(
    metric: Any, refusing: str, otherwise: str
) -> None:
    first = "a" if refusing == "public" else "b"
    custom = metric(f"""
        if solution["id"][0] == {first!r}:
            raise ParticipantVisibleError("Too few rows")
        return {otherwise}
        """)
    with pytest.raises(ParticipantRefusal) as caught:
        evaluate(custom)
    assert caught.value.text == "Too few rows"


def test_of_two_refusals_the_first_by_alphabet_is_reported(metric: Any) -> None:
    for first in "ab":
        custom = metric(f"""
            raise ParticipantVisibleError("Bad" if solution["id"][0] == {first!r} else "Also bad")
            """)
        with pytest.raises(ParticipantRefusal, match=r"^Also bad$"):
            evaluate(custom)


def test_every_split_runs_before_anything_is_reported(metric: Any) -> None:
    custom = metric("time.sleep(0.3)\nraise ParticipantVisibleError('no')")
    began = time.monotonic()
    with pytest.raises(ParticipantRefusal):
        evaluate(custom)
    assert time.monotonic() - began > 0.6


def test_any_other_error_is_for_the_organiser_with_its_log(metric: Any) -> None:
    custom = metric("""
        print("seen", solution["y"].tolist())
        raise ValueError(f"label {solution['y'][0]}")
        """)
    with pytest.raises(ScoringFailed) as caught:
        evaluate(custom)
    assert isinstance(caught.value, MetricFailed)
    assert str(caught.value).startswith("On the public rows the metric raised ValueError: label 1.0.")
    assert "seen [1.0, 3.0]" in caught.value.log
    assert 'File "metric.py"' in caught.value.log


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit(0)", "raised SystemExit: 0"),
        ("os._exit(0)", "ended itself without an answer (exit code 0)"),
        ("os.kill(os.getpid(), 9)", "was killed (signal 9, Killed)"),
        ("import ctypes; ctypes.string_at(0)", "was killed (signal 11, Segmentation fault)"),
        ("return float(np.ones(1 << 28).sum())", "needed more memory than it may have"),
        ("while True: print('x' * 10_000_000)", "gave out more than 64 KiB"),
        ("while True: pass", "took longer than 0.5 seconds"),
        ("open('/etc/passwd')", "raised PermissionError"),
        ("import socket; socket.create_connection(('127.0.0.1', 80))", "raised PermissionError"),
    ],
)
def test_a_hostile_metric_is_a_failure_like_any_other(metric: Any, body: str, words: str) -> None:
    with pytest.raises(MetricFailed) as caught:
        evaluate(metric(body), seconds=0.5 if "0.5" in words else 20)
    assert f"On the private rows the metric {words}" in str(caught.value)


def test_a_file_that_hangs_on_import_is_stopped(metric: Any) -> None:
    custom = metric("while True: pass\ndef score(solution, submission, row_id_column_name): return 1")
    with pytest.raises(MetricFailed, match=r"took longer than 0\.5 seconds"):
        evaluate(custom, seconds=0.5)


def test_a_forged_answer_must_still_be_a_finite_number(metric: Any) -> None:
    custom = metric("""
        import stat
        for fd in range(3, 64):
            try:
                if stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.write(fd, b'{"layers": [], "value": NaN}')
            except OSError:
                pass
        os._exit(0)
        """)
    with pytest.raises(MetricFailed, match="returned nan, which is not finite"):
        evaluate(custom)


def test_the_solutions_folder_and_the_secrets_are_out_of_reach(
    metric: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELDOUT_SECRET", "CANARY")
    (tmp_path / "solution.csv").write_text("CANARY")
    custom = metric(f"""
        found = str(dict(os.environ))
        for name in ("solution.csv", "metric.py", "."):
            try:
                path = {str(tmp_path)!r} + "/" + name
                found += str(os.listdir(path) if name == "." else open(path).read())
            except PermissionError:
                pass
        return found.count("CANARY") + found.count("solution")
        """)
    assert evaluate(custom) == {"public": 0.0, "private": 0.0}


# --- reading the file -----------------------------------------------------------------------------


def test_reading_does_not_execute(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f'open({str(mark)!r}, "w")\ndef score(solution, submission, row_id_column_name): "Doc"; return 1\n'
    (tmp_path / "metric.py").write_text(text)
    CustomMetric.read(tmp_path / "metric.py", {})
    assert not mark.exists()


def test_title_and_help_are_the_docstrings(tmp_path: Path) -> None:
    custom = CustomMetric.read(HERE / "kaggle_form/kl_divergence.py", {"eps": 1e-9})
    assert custom.title == "Kullback-Leibler divergence"
    assert custom.help == "Lower is better; 0 for the same probabilities."
    assert (custom.name, custom.params) == ("kl_divergence", {"eps": 1e-9})
    assert len(custom.sha256) == 64
    assert custom.sha256.startswith(custom.version)
    plain = tmp_path / "own.py"
    plain.write_text("def score(a, b, c): return 1")
    assert CustomMetric.read(plain, {}).title == "own"


def test_a_changed_file_has_another_version(metric: Any) -> None:
    assert metric("return 1").version != metric("return 2").version
    assert metric("return 1").version == metric("return 1").version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def score(:", "1: it is not Python: invalid syntax"),
        ("x = 1\0", "it is not Python"),
        (
            "x = 1",
            "None: the file must define def score(solution, submission, row_id_column_name, ...) -> float",
        ),
        ("score = lambda a, b, c: 1", "1: the file must define"),
        ("async def score(a, b, c): pass", "1: the file must define"),
        ("from x import y as score", "1: the file must define"),
        ("if True:\n  def score(a, b, c): pass", "None: the file must define"),
        (
            "def score(a, b): pass",
            "1: score must take solution, submission and row_id_column_name, in this order",
        ),
        ("def score(a, b, c, *rest): pass", "1: score must name its parameters instead of taking *rest"),
        ("def score(a, b, c): yield 1", "1: score must return its number, not yield it"),
        ("def score(a, b, c) -> str: pass", "1: score must return a float, not str"),
        (
            "def score(a, b, c, d, /): pass",
            "1: score must take its parameter d by name, so not before a slash",
        ),
        ("#" * (256 * 1024 + 1), "None: the file is larger than 256 KiB"),
    ],
)
def test_a_file_outside_the_contract_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in faults(text, tmp_path / "metric.py")[0]


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    text = """
def score(
    solution, submission, row_id_column_name,
    k: int,
    beta: float = 1.0,
    *, needed: str,
) -> float: ...
"""
    assert faults(text, tmp_path / "metric.py", beta="high", kay=3, solution=1) == [
        "5: parameter beta must be float, and 'high' was given",
        "2: score has no parameter 'kay'; its parameters are: k, beta, needed",
        "2: score has no parameter 'solution'; its parameters are: k, beta, needed",
        "4: parameter k has no default and must be given",
        "6: parameter needed has no default and must be given",
    ]


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [1, -3], [True, 1.0, "1", None]),
        ("float", [1, 1.5], [False, "1", None, [1.0]]),
        ("'float'", [1.5], ["1"]),
        ("str", ["", "x"], [1, None]),
        ("bool", [True], [1, 0.0, "yes"]),
        ("None", [None], [0]),
        ("Optional[float]", [None, 1], ["1", True]),
        ("typing.Optional[int]", [None, 1], [1.5]),
        ("Union[str, int]", ["a", 1], [1.5, None]),
        ("float | None", [None, 0.5], ["x"]),
        ("list", [[], [1, "a"]], ["ab", 1]),
        ("list[str]", [[], ["a"]], [["a", 1], "a"]),
        ("Sequence[Union[int, None]]", [[1, None]], [["a"]]),
        ("tuple[int, str]", [[1, "a"]], [1]),
        ("dict", [{"a": 1}], [[1]]),
        ("dict[str, float]", [{"a": 1.0}], ["a"]),
        ("Literal['macro', 'micro']", ["macro"], ["weighted", 1]),
        ("np.ndarray", [1, "a", None], []),
        ("'not python ('", [1, "a"], []),
        ("Any", [1, None], []),
    ],
)
def test_parameters_must_fit_their_annotations(
    annotation: str, good: list[Any], bad: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "metric.py"
    text = f"def score(a, b, c, p: {annotation} = None): pass"
    path.write_text(text)
    for value in good:
        assert CustomMetric.read(path, {"p": value}).params == {"p": value}
    for value in bad:
        expected = f"1: parameter p must be {annotation}, and {value!r} was given"
        assert faults(text, path, p=value) == [expected]


def test_any_name_fits_double_stars(tmp_path: Path) -> None:
    path = tmp_path / "metric.py"
    path.write_text("def score(a, b, c, **rest): return 1")
    assert CustomMetric.read(path, {"x": math.pi}).params == {"x": math.pi}
    assert faults(path.read_text(), path, a=1) == ["1: score has no parameter 'a'; its parameters are: none"]
