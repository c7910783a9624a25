"""Check that a challenge does what its author intends.

Scores every example, and tests the metric on the truth itself. The module is not called `check` because
importing it would then hide the function `scorer.check`.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import DEFINITION_FILE, SAMPLE_FILE, Example
from scorer.challenges.label_checks import label_notices, label_problems, sample_notices
from scorer.challenges.number_checks import words_among_numbers
from scorer.challenges.size_limit import ordinary_bytes
from scorer.challenges.solution import truth_as_predictions
from scorer.challenges.solution_checks import classes_missing_in_split, left_out
from scorer.custom import MetricFailed
from scorer.leakage.audit import audit
from scorer.mistakes import mistakes, rows_to_spoil
from scorer.public_ids import rows_without_truth, sample_problem
from scorer.reading.cells import Cells
from scorer.reading.columns import Column, Labels, Lists, Vocabulary
from scorer.release.benchmark_figures import benchmark_figures
from scorer.report import Finding, InvalidSubmission, Notice, Problem, ScoringFailed
from scorer.sandbox import baselines, levels, sandbox
from scorer.scoring import evaluate, score
from scorer.submission.complete import read_complete
from scorer.submission.reader import align, read_submission
from scorer.submission.sinks import Collected
from scorer.wording import ID_JOINT, megabytes

_TOLERANCE = 5e-5
"""Of an expected score: what writing it with four decimals leaves open."""

Texts = dict[str, list[str]]
"""Prediction columns as they would stand in a file, rows in the solution's order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one example, beside what its author expected."""

    file: str
    expected: Mapping[str, float | str]
    """public and private, or refused."""
    got: Mapping[str, float | str]
    """The same keys; refused holds the codes, separated by commas."""
    as_expected: bool

    def __str__(self) -> str:
        words = ", ".join(
            f"{k} {v:.6g}" if isinstance(v, float) else f"{k}: {v}" for k, v in self.got.items()
        )
        return f"{self.file}: {words}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    problems: tuple[Problem, ...] = ()
    """What must be corrected before publishing."""
    notices: tuple[Notice, ...] = ()
    """What would make it better."""
    findings: tuple[Finding, ...] = ()
    """What the audit of the data reports; made only if there are no problems."""
    passport: tuple[Mapping[str, Any], ...] = ()
    """Of each check what participants may see: code, title, version, result."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries that the audit computed with."""
    benchmark: Mapping[str, Any] = field(default_factory=dict)
    """How public scores are to be released; see scorer.release.benchmark_figures."""
    outcomes: tuple[Outcome, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether the challenge may be published."""
        return not self.problems and not self.blockers

    @property
    def blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "block")


@dataclass(slots=True)
class _Findings:
    allow_weak_sandbox: bool = False
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def problem(
        self, code: str, message: str, *, line: int | None = None, file: str = DEFINITION_FILE
    ) -> None:
        self.problems.append(Problem(code, message, line=line, file=file))

    def mistake_accepted(self, what: str) -> None:
        message = f"A submission with {what} was accepted."
        if all(problem.message != message for problem in self.problems):
            self.problem("MISTAKE_ACCEPTED", message)

    def notice(self, code: str, message: str) -> None:
        self.notices.append(Notice(code, message))


def check(
    challenge: Challenge, *, progress: Callable[[str], None] | None = None, allow_weak_sandbox: bool = False
) -> CheckResult:
    """Return every finding about a loaded challenge.

    Scores each example and compares it with its expectation, then the self-test: the truth as a submission
    scores best; the sample submission is acceptable, finite and not perfect; permuted rows and columns change
    nothing; a missing id, a NaN and a word are each the participant's error; two calls agree. If all that is
    well, the data are audited for leaks.

    Parameters
    ----------
    progress
        Called with a short text before each step.
    allow_weak_sandbox
        Run an organiser's own metric even where this machine cannot isolate it well.
    """
    step = progress or (lambda _: None)
    found = _Findings(allow_weak_sandbox)
    step("files")
    _check_files(challenge, found)
    _check_classes(challenge, found)
    found.problems.extend(label_problems(challenge))
    found.notices.extend(label_notices(challenge))
    _check_limits(challenge, found)
    found.problems.extend(rows_without_truth(challenge))
    _check_baselines(challenge, found)
    if challenge.task.custom is not None:
        step("isolation")
        _check_isolation(found)
    try:
        if not found.problems or challenge.task.custom is None:
            for number, example in enumerate(challenge.examples):
                step(f"example {example.file}")
                _check_example(challenge, number, example, found)
            step("sample submission")
            sample = _check_sample(challenge, found)
            step("self-test")
            _self_test(challenge, sample, found)
    except ScoringFailed as failure:
        log = failure.log.strip() if isinstance(failure, MetricFailed) else ""
        found.problem("METRIC_FAILED", f"{failure}\n{log}".strip())
    problems, notices = words_among_numbers(challenge)
    found.problems.extend(problems)
    found.notices.extend(notices)
    result = CheckResult(tuple(found.problems), tuple(found.notices), outcomes=tuple(found.outcomes))
    if result.problems:
        return result
    audited = audit(challenge, progress=step)
    step("benchmark")
    return replace(
        result,
        findings=audited.findings,
        passport=audited.passport,
        versions=audited.versions,
        benchmark=benchmark_figures(challenge, allow_weak_sandbox=allow_weak_sandbox),
    )


def truth_problems(challenge: Challenge) -> list[Problem]:
    """Return the problems of a truth that loads, but that no ordinary file could equal.

    Labels and lists as a program prints them, grades that are none, a few words among the numbers of an own
    metric.
    """
    return [*label_problems(challenge), *words_among_numbers(challenge)[0]]


def _check_files(challenge: Challenge, found: _Findings) -> None:
    wanted = (
        (
            "NOTICE_NO_TITLE",
            ("title",) in challenge.lines,
            "There is no title; the folder's name stands for it.",
        ),
        (
            "NOTICE_NO_SUMMARY",
            bool(challenge.summary),
            "There is no summary: one sentence for the list of challenges.",
        ),
        (
            "NOTICE_NO_DESCRIPTION",
            bool(challenge.description),
            "There is no description.md for the overview page.",
        ),
        (
            "NOTICE_NO_SOURCE",
            challenge.source is not None,
            "There is no source: say where the data come from.",
        ),
        (
            "NOTICE_NO_EXAMPLES",
            bool(challenge.examples),
            "There are no examples with known scores to check against.",
        ),
        (
            "NOTICE_NO_BASELINES",
            bool(challenge.baselines),
            "There are no baselines, so the board will start empty.",
        ),
    )
    for code, present, message in wanted:
        if not present:
            found.notice(code, message)
    folder = challenge.folder / "examples"
    listed = {example.file for example in challenge.examples}
    for path in sorted(folder.glob("*.csv")) if folder.is_dir() else []:
        if path.name not in listed:
            found.notice("NOTICE_UNUSED_EXAMPLE", f"examples/{path.name} is not listed in {DEFINITION_FILE}.")


def _check_isolation(found: _Findings) -> None:
    """Report how this machine isolates the organiser's own metric."""
    isolation = sandbox.isolation()
    if isolation.is_enough:
        words = f"The metric runs in a sandbox; this machine isolates it at level {isolation.level}."
        found.notice("NOTICE_ISOLATION", words)
    elif found.allow_weak_sandbox and isolation.layers:
        words = f"This machine isolates the metric at level {isolation.level} only, which its settings allow."
        found.notice("NOTICE_ISOLATION", words)
    else:
        found.problem("SANDBOX_TOO_WEAK", levels.too_weak(isolation))


def _check_baselines(challenge: Challenge, found: _Findings) -> None:
    """Report which scripts publishing runs, and how this machine isolates them."""
    scripts = [baseline.script for baseline in challenge.baselines]
    if scripts:
        allow_weak = found.allow_weak_sandbox
        words = baselines.plan(sandbox.isolation(), scripts, allow_weak=allow_weak)
        found.notice("NOTICE_BASELINES", words)


def _check_limits(challenge: Challenge, found: _Findings) -> None:
    """Report a stated limit that an ordinary file would exceed."""
    sample = challenge.folder / SAMPLE_FILE
    ordinary = max(
        ordinary_bytes(challenge.task, challenge.solution.ids),
        sample.stat().st_size if sample.is_file() else 0,
    )
    upload_mb = challenge.competition.max_upload_mb
    stated = (
        ("submission.max_bytes", challenge.max_bytes),
        ("competition.max_upload_mb", None if upload_mb is None else int(upload_mb * 1e6)),
    )
    for name, limit in stated:
        if limit is not None and limit < ordinary:
            found.notice(
                "NOTICE_SMALL_LIMIT",
                f"{name} allows {megabytes(limit)}; a file with every digit of every number has up to "
                f"{megabytes(ordinary)} and would be refused.",
            )


def _check_classes(challenge: Challenge, found: _Findings) -> None:
    for sentence in left_out(challenge.solution):
        found.notice("NOTICE_LEFT_OUT", sentence)
    for problem in classes_missing_in_split(challenge.solution):
        # Accuracy means the same without a rare class; a split without positives is no test of probabilities.
        if challenge.task.kind == "label":
            found.notice("NOTICE_CLASS_NOT_IN_SPLIT", problem.message)
        else:
            found.problems.append(problem)


def _check_example(challenge: Challenge, number: int, example: Example, found: _Findings) -> None:
    expected: dict[str, float | str] = {}
    if example.refused is not None:
        expected["refused"] = example.refused.upper()
    if example.public is not None:
        expected["public"] = example.public
    if example.private is not None:
        expected["private"] = example.private

    got: dict[str, float | str]
    refusal = ""
    try:
        path = challenge.folder / "examples" / example.file
        report = score(challenge, path, allow_weak_sandbox=found.allow_weak_sandbox)
        got = {"public": report.public, "private": report.private}
    except InvalidSubmission as error:
        got = {"refused": ",".join(dict.fromkeys(problem.code for problem in error.problems))}
        refusal = f" ({error.problems[0].message})"

    wrong = []
    for key, value in expected.items():
        place = ("examples", number, key)
        line = challenge.lines.get(place)
        if key not in got:
            words = (
                f"it was refused with {got['refused']}{refusal}" if "refused" in got else "it was accepted"
            )
            wrong.append((line, f"expected {key} {value}, but {words}"))
        elif key == "refused":
            if value not in str(got[key]).split(","):
                wrong.append((line, f"expected a refusal with {value}, but got {got[key]}{refusal}"))
        elif not _matches(float(got[key]), float(value), challenge.written.get(place, "")):
            wrong.append(
                (line, f"expected {key} {challenge.written.get(place, value)}, but it is {got[key]:.8g}")
            )
    for line, words in wrong:
        found.problem("EXAMPLE_DIFFERS", f"Line {line}, examples/{example.file}: {words}.", line=line)
    found.outcomes.append(Outcome(example.file, expected, got, not wrong))


def _matches(got: float, expected: float, written: str) -> bool:
    """Return whether a score equals the digits written.

    0.6567 within 0.00005, 5421.3 within 0.05; never laxer for 0.0 or 1.
    """
    mantissa = written.lower().partition("e")[0]
    decimals = len(mantissa.partition(".")[2])
    significant = len(mantissa.replace(".", "").lstrip("+-0"))
    plain = "e" not in written.lower() and significant >= 3
    tolerance = 0.5 * 10.0**-decimals if plain else _TOLERANCE
    return abs(got - expected) <= tolerance + 1e-12 * abs(expected)


def _check_sample(challenge: Challenge, found: _Findings) -> Texts | None:
    """Return the sample submission's cells as text, if it is valid."""
    path = challenge.folder / SAMPLE_FILE
    if not path.is_file():
        found.problem(
            "FILE_MISSING", f"{SAMPLE_FILE} is missing; participants copy its form.", file=SAMPLE_FILE
        )
        return None
    kept = Collected(len(challenge.solution.ids))
    try:
        if challenge.task.complete:
            score(challenge, path, allow_weak_sandbox=found.allow_weak_sandbox)
            return None
        received = read_submission(path, challenge.solution, kept, max_bytes=challenge.max_bytes)
        found.notices.extend(sample_notices(received.notices))
        columns = kept.columns()
        values = evaluate(
            challenge.solution, columns, kept.vocabulary, allow_weak_sandbox=found.allow_weak_sandbox
        )
    except InvalidSubmission as error:
        problems = (sample_problem(problem, challenge) for problem in error.problems)
        found.problems.extend(problem for problem in problems if problem is not None)
        return None
    if any(_is_best(value, challenge.task.best) for value in values.values()):
        message = "The sample submission has the best possible score; it must not hold the true values."
        found.problem("SAMPLE_IS_PERFECT", message, file=SAMPLE_FILE)
    return {
        name: _write(column, kept.vocabulary, challenge.task.cells(name)) for name, column in columns.items()
    }


def _self_test(challenge: Challenge, sample: Texts | None, found: _Findings) -> None:
    task = challenge.task
    perfect = _truth_texts(challenge, sample)
    if perfect is not None and task.truth_is_best:
        for split, value in _score_texts(challenge, perfect, found).items():
            if _is_best(value, task.best):
                continue
            if any(part.metric.kind in ("labels", "boxes", "mask") for part in task.parts):
                words = (
                    f"The true values score {value:.8g} on the {split} rows, "
                    f"so no submission can reach {task.best:g}."
                )
                found.notice("NOTICE_TRUTH_NOT_BEST", words + " Rows with empty truth may be marked Ignored.")
            else:
                message = (
                    f"The true values score {value:.8g} on the {split} rows; "
                    f"the best {task.name} is {task.best:g}."
                )
                found.problem("TRUTH_NOT_BEST", message)

    if task.complete:
        _expect_refusals_of_complete(challenge, found)
        return
    texts = perfect if sample is None else sample
    if texts is None:
        return
    values = _score_texts(challenge, texts, found)
    if _score_texts(challenge, texts, found) != values:
        found.problem("NOT_REPRODUCIBLE", "Scoring one file twice gave two results.")
    if _score_texts(challenge, texts, found, permute=True) != values:
        found.problem("ORDER_MATTERS", "The order of rows or columns changes the score.")
    for name in challenge.columns:
        for row in rows_to_spoil(challenge, name):
            for what, cell in mistakes(challenge, name, texts[name]):
                spoilt = [*texts[name][:row], cell, *texts[name][row + 1 :]]
                _expect_refusal(challenge, texts | {name: spoilt}, what, found)
    _expect_refusal(challenge, texts, "a missing id", found, n_rows=len(challenge.solution.ids) - 1)


def _expect_refusals_of_complete(challenge: Challenge, found: _Findings) -> None:
    """Try the mistakes where an own metric gets whole files."""
    path = challenge.folder / SAMPLE_FILE
    try:
        texts, _ = read_complete(path, challenge.solution, max_bytes=challenge.max_bytes)
    except (OSError, InvalidSubmission):
        return  # reported with the sample submission
    for name in challenge.columns:
        for what, cell in mistakes(challenge, name, texts[name]):
            spoilt = texts | {name: [cell, *texts[name][1:]]}
            file = io.StringIO()
            csv.writer(file).writerows([[*spoilt], *zip(*spoilt.values(), strict=True)])
            try:
                score(challenge, file.getvalue().encode(), allow_weak_sandbox=found.allow_weak_sandbox)
            except InvalidSubmission:
                continue
            found.mistake_accepted(what)


def _truth_texts(challenge: Challenge, sample: Texts | None) -> Texts | None:
    """Return the truth as a file; None if it cannot be one."""
    solution, task = challenge.solution, challenge.task
    columns = truth_as_predictions(solution)
    if columns is None:
        return None
    texts = {name: _write(column, solution.vocabulary, task.cells(name)) for name, column in columns.items()}
    unscored = [name for name in task.columns if name not in texts]
    if unscored and sample is None:
        return None
    return texts | {name: sample[name] for name in unscored if sample is not None}


def _write(column: Column, vocabulary: Vocabulary, cells: Cells) -> list[str]:
    names = vocabulary.names
    if isinstance(column, Labels):
        return [names[code] for code in column.codes.tolist()]
    if isinstance(column, Lists):
        return [
            cells.split.join(names[code] for code in column.of(row).tolist()) for row in range(len(column))
        ]
    return [value if isinstance(value, str) else repr(float(value)) for value in column.tolist()]


def _score_texts(
    challenge: Challenge, texts: Texts, found: _Findings, *, n_rows: int | None = None, permute: bool = False
) -> dict[str, float]:
    """Score columns of text as if they had come in a file."""
    solution = challenge.solution
    ids = [key.split(ID_JOINT) for key in solution.ids]
    columns = {name: [key[i] for key in ids] for i, name in enumerate(solution.id_columns)} | dict(texts)
    order = list(range(len(ids)))[:n_rows]
    names = list(columns)
    if permute:
        random.Random(0).shuffle(order)  # noqa: S311 - an order, not a secret
        names.reverse()
    records = ((line, [columns[name][row] for name in names]) for line, row in enumerate(order, start=2))
    kept = Collected(len(ids))
    align(names, records, solution, kept)
    return evaluate(solution, kept.columns(), kept.vocabulary, allow_weak_sandbox=found.allow_weak_sandbox)


def _expect_refusal(
    challenge: Challenge, texts: Texts, what: str, found: _Findings, *, n_rows: int | None = None
) -> None:
    try:
        _score_texts(challenge, texts, found, n_rows=n_rows)
    except InvalidSubmission:
        return
    found.mistake_accepted(what)


def _is_best(value: float, best: float) -> bool:
    return abs(value - best) <= 1e-9
