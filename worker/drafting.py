"""What each step of a draft does, with the engine of `scorer.authoring`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

import scorer
from app.authoring import baselines, draft_steps, drafts, publishing
from app.authoring.baselines import BaselineFile, CannotRun
from app.authoring.draft_choices import DraftChoices
from app.authoring.draft_steps import BASELINE, Kind
from app.base import inbox
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models_drafts import Draft, DraftFile, InboxKey
from app.competing import competitions
from scorer.authoring import columns
from scorer.authoring.building import Built, build, make
from scorer.authoring.columns import FEW_NUMBERS, Profile, Target
from scorer.authoring.metric_choice import propose_metric
from scorer.authoring.parts import Form, Parts, form_of, write_parts
from scorer.authoring.proposal import Proposed, Wishes, propose, slug_of
from scorer.authoring.table import Table, Unusable, read_tables
from scorer.authoring.trial import POWER, spread, trial
from scorer.metrics import METRICS
from scorer.report import Problem
from worker.jobs import Runner

Finish = Callable[[Session, datetime], tuple[dict[str, Any], list[str]]]
MOST_SHOWN = 200
"""Findings and problems of one step."""


@dataclass(frozen=True)
class Given:
    """What a step works on."""

    runner: Runner
    draft_id: int
    owner: str
    title: str
    choices: DraftChoices
    files: Sequence[DraftFile]
    keys: Mapping[int, bytes]
    """Private keys by id."""
    results: Mapping[Kind, Mapping[str, Any] | None]
    """Of the steps that fit the choices."""
    folder: Path
    """For labels in the open; deleted afterwards."""
    progress: Callable[[float, str], None]
    hold: Callable[[], None]
    """Renews the lease; raises LeaseLost in a run that another has taken over."""

    def opened(self, *kinds: str) -> list[Path]:
        """Return the decrypted files of some kinds, under their own names."""
        paths = []
        for file in self.files:
            if file.kind in kinds:
                place = self.folder / f"file-{file.id}"
                place.mkdir(exist_ok=True)
                path = place / file.name
                if not path.exists():
                    inbox.decrypt(self.runner.storage, file, self.keys[file.key_id], path)
                paths.append(path)
        return paths

    @cached_property
    def table(self) -> Table:
        return read_tables(self.opened("table"))

    @cached_property
    def profile(self) -> Profile:
        return columns.profile(self.table.frame)

    def steps(self, first: float, last: float, count: int) -> Callable[[str], None]:
        """Return a progress for the engine, which reports a few words before each of about `count` parts."""
        done = 0

        def report(doing: str) -> None:
            nonlocal done
            done += 1
            self.progress(first + (last - first) * min(1.0, done / count), doing)

        return report

    def proposed(self, *, as_audited: bool = False) -> Proposed:
        """Complete the choices; for the audit without those that only the metric depends on."""
        choices = self.choices
        assert choices.target is not None, "the step is queued with a target"
        assert choices.seed is not None, "drawn by the worker"
        predicted, metric = choices.predicted, choices.metric
        if as_audited and predicted is not None:
            metric = None
            natural = draft_steps.natural_task(choices, self.results[Kind.PROFILE] or {"columns": ()})
            task = "numbers" if predicted == "numbers" else "classes"
            predicted = None if natural == task else ("numbers" if task == "numbers" else "labels")
        wishes = Wishes(
            id=choices.id,
            strategy=choices.strategy,
            time=choices.time,
            group=choices.group,
            predicted=predicted,
            metric=metric,
            test_share=choices.test_share,
            public_share=choices.public_share,
            drop=choices.drop,
            without_duplicates=choices.without_duplicates,
            without_rare=choices.without_rare,
            title=choices.title,
            slug=choices.slug,
            summary=choices.summary,
            description=choices.description,
        )
        return propose(self.table, self.profile, choices.target, wishes, seed=choices.seed)


# -- a table -----------------------------------------------------------------------------------


def _profile(given: Given) -> Finish:
    given.progress(0.1, "reading the table")
    table = given.table
    given.progress(0.5, "looking at the columns")
    described = given.profile
    guess = columns.guess_target(described)
    guesses = {"target": asdict(guess)}
    if guess.column is not None:
        given.progress(0.7, "looking for ids, times and groups")
        guesses |= _guesses(table, described, guess.column)
    result = {
        "name": table.name,
        "rows": described.n_rows,
        "notes": list(table.notes),
        "columns": [_column(table, column) for column in described.columns],
        "guesses": guesses,
    }
    return _of(result)


def _guesses(table: Table, described: Profile, name: str) -> dict[str, Any]:
    """Guess id, time and group for the guessed target; none where it cannot be one."""
    try:
        target = columns.target_of(table.frame, name)
    except Unusable:
        return {}
    found = {"id": columns.guess_id(table.frame, described, target=name)}
    found["time"] = columns.guess_time(table.frame, described, target)
    others = (found["id"].column, found["time"].column)
    found["group"] = columns.guess_group(table.frame, described, target, others=others)
    return {kind: asdict(guess) for kind, guess in found.items()}


def _column(table: Table, column: columns.Column) -> dict[str, Any]:
    """Describe a column: its least and greatest value are cells, and are left out."""
    n_rows = max(1, len(table.frame))
    task = "classes"
    if table.frame.feature(column.name).kind == "number":
        feature = table.frame.feature(column.name)
        known = feature.numbers[~feature.missing]
        is_few = column.n_distinct <= FEW_NUMBERS and bool(np.all(known == np.floor(known)))
        task = "classes" if is_few else "numbers"
    return {
        "name": column.name,
        "kind": column.kind,
        "missing": column.n_missing,
        "missing_share": round(column.n_missing / n_rows, 4),
        "distinct": column.n_distinct,
        "task": task,
        "holds_files": column.holds_files,
    }


def _audit(given: Given) -> Finish:
    given.progress(0.05, "reading the table")
    proposed = given.proposed(as_audited=True)
    folder = given.folder / "audit" / proposed.choices.slug
    built = build(
        given.table,
        given.profile,
        proposed.target,
        proposed.choices,
        folder,
        allow_weak_sandbox=given.runner.settings.allow_weak_sandbox,
        progress=given.steps(0.15, 0.98, 30),
    )
    written, result = built.written, built.result
    choices = proposed.choices.model_dump(exclude={"seed"})
    benchmark = result.benchmark
    error = benchmark.get("se_public")
    found = {
        "ok": result.ok,
        "choices": choices,
        "reasons": proposed.reasons,
        "notes": columns.understood(given.table.frame, given.profile, proposed.target.name),
        "classes": len(proposed.target.classes),
        "rows": {"train": written.n_train, "public": written.n_public, "private": written.n_private},
        "left_out": list(written.left_out),
        "problems": [problem_words(problem) for problem in result.problems[:MOST_SHOWN]],
        "findings": [finding.as_dict() for finding in result.findings[:MOST_SHOWN]],
        "mends": [_mend(mend.code, mend.words, dict(mend.change)) for mend in built.mends],
        "metrics": metrics_for(proposed.target),
        "board": {
            "metric": choices["metric"],
            "public": benchmark.get("public"),
            "error": error,
            "detectable": None if error is None else POWER * error,
            "why": benchmark.get("why"),
            "costs": list(benchmark.get("costs") or ()),
        },
    }
    return _of(found)


def _mend(code: str, words: str, change: dict[str, Any]) -> dict[str, Any]:
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in change.items()}
    return {"code": code, "words": words, "change": listed}


def metrics_for(target: Target) -> dict[str, Any]:
    """Return for each thing that can be predicted the proposed metric, and the others that fit."""
    kinds: dict[Any, tuple[str, ...]] = {"numbers": ("number",)}
    if target.kind != "number":
        scores = ("score",) if target.kind == "binary" else ()
        are_whole = all(re.fullmatch(r"-?\d+", name) for name in target.classes)
        kinds = {
            "probabilities": ("probability", *scores),
            "labels": ("label", *(("ordinal",) if are_whole else ())),
        }
    found = {}
    for predicted, fitting in kinds.items():
        proposal = propose_metric(target, predicted)
        found[predicted] = {
            "metric": proposal.metric,
            "reason": proposal.reason,
            "fitting": [
                {"name": metric.name, "title": metric.title}
                for metric in METRICS.values()
                if metric.kind in fitting
            ],
        }
    return found


def _train(given: Given) -> Finish:
    given.progress(0.02, "reading the table")
    proposed = given.proposed()
    folder = given.folder / "train" / proposed.choices.slug
    make(given.table, given.profile, proposed.target, proposed.choices, folder)
    challenge = scorer.load(folder)
    found: dict[str, Any] = {
        "choices": proposed.choices.model_dump(exclude={"seed"}),
        "reason": proposed.reasons["metric"],
        "metric": {
            "name": challenge.task.name,
            "title": challenge.task.title,
            "greater_is_better": challenge.greater_is_better,
        },
        "columns": list(challenge.columns),
        "summary": challenge.summary,
        "description": challenge.description,
        "baselines": [],
        "spread": None,
        "failed": None,
    }
    made = _trained(given, challenge, found)
    given.progress(0.9, "scoring the baselines")
    contents = [(file.name, file.content) for file in made]
    trials = trial(challenge, contents)
    compared = spread(challenge, trials, contents)
    if compared is not None:
        found["spread"] = asdict(compared) | {"words": compared.words}
    scripts = {one.name or one.script: one.script for one in challenge.baselines}
    for one in trials:
        script = scripts[one.name]
        text = (folder / "baselines" / script).read_text(encoding="utf-8")
        found["baselines"].append(asdict(one) | {"script": script, "text": text})
    stored = _store(given, made)

    def finish(session: Session, now: datetime) -> tuple[dict[str, Any], list[str]]:
        for entry, file in zip(found["baselines"], stored, strict=True):
            row = DraftFile(draft_id=given.draft_id, received_at=now, **file)
            session.add(row)
            session.flush()
            entry["file_id"] = row.id
        return found, []

    return finish


def _trained(given: Given, challenge: scorer.Challenge, found: dict[str, Any]) -> list[BaselineFile]:
    """Run the baselines, in the order of their scripts; those that fail are named in words."""
    made: list[BaselineFile] = []
    n_scripts = max(1, len(challenge.baselines))
    given.progress(0.1, f"training {n_scripts} baselines")
    try:
        for file in baselines.run(challenge, given.runner.settings):
            made.append(file)
            doing = f"training baselines: {len(made)} of {n_scripts}"
            given.progress(0.1 + 0.8 * len(made) / n_scripts, doing)
    except CannotRun as weak:
        found["failed"] = weak.message
    except Refused:  # the messages of the scripts may quote cells
        missing = sorted(
            {one.name or one.script for one in challenge.baselines} - {file.name for file in made}
        )
        found["failed"] = f"These could not be trained on this table: {', '.join(missing)}."
    order = [one.name or one.script for one in challenge.baselines]
    return sorted(made, key=lambda file: order.index(file.name))


def _store(given: Given, made: Sequence[BaselineFile]) -> list[dict[str, Any]]:
    """Store the baselines' files encrypted, and return the facts of their rows."""
    stored = []
    with given.runner.database.read() as session:
        key: InboxKey = inbox.newest_key(session)
    receiver = inbox.inbox(given.runner.storage, key)
    for file in made:
        with receiver.receive(len(file.content)) as incoming:
            incoming.write(file.content)
            blob = incoming.keep()
        stored.append(
            {
                "kind": BASELINE,
                "name": file.filename,
                "sha256": blob.sha256,
                "size_bytes": len(file.content),
                "key_id": key.id,
            }
        )
    return stored


# -- given parts -------------------------------------------------------------------------------


def _check(given: Given) -> Finish:
    """Return whether a solution and its files make a challenge: ready, errors, row counts."""
    given.progress(0.1, "reading the solution")
    found: dict[str, Any] = {"ready": False, "errors": [], "rows": None, "findings": []}
    found["metrics"] = [{"name": metric.name, "title": metric.title} for metric in METRICS.values()]
    try:
        parts, form = _form(given)
        found["rows"] = dict(form.rows)
        folder = _written(given, parts, form)
        challenge = scorer.load(folder)
        found["metric"] = challenge.task.name
        result = scorer.check(
            challenge,
            progress=given.steps(0.2, 0.98, 30),
            allow_weak_sandbox=given.runner.settings.allow_weak_sandbox,
        )
    except Unusable as reason:
        found["errors"] = [{"code": "SETUP", "message": in_pages(str(reason))}]
    except scorer.InvalidChallenge as refusal:
        found["errors"] = [_problem(problem) for problem in refusal.problems[:MOST_SHOWN]]
    else:
        blockers = [finding for finding in result.blockers if finding.code not in given.choices.overrides]
        found["ready"] = not result.problems and not blockers
        found["errors"] = [_problem(problem) for problem in result.problems[:MOST_SHOWN]]
        found["findings"] = [finding.as_dict() for finding in result.findings[:MOST_SHOWN]]
        found["errors"] += [
            {"code": finding.code, "message": f"{finding.evidence} {finding.advice}"} for finding in blockers
        ]
    return _of(found)


def _form(given: Given) -> tuple[Parts, Form]:
    one = {kind: next(iter(given.opened(kind)), None) for kind in ("train", "test", "sample", "metric")}
    (solution,) = given.opened("solution")
    parts = Parts(solution, **one, data=given.opened("data"))
    return parts, form_of(parts, id=given.choices.id, columns=given.choices.columns)


def _written(given: Given, parts: Parts, form: Form) -> Path:
    """Write the folder of a draft from given parts."""
    choices = given.choices
    title = choices.title or given.title
    folder = given.folder / "challenge" / (choices.slug or slug_of(title))
    write_parts(
        parts,
        form,
        folder,
        metric=choices.metric,
        parameters=choices.metric_parameters,
        title=title,
        summary=choices.summary,
        description=choices.description,
    )
    return folder


# -- the opening -------------------------------------------------------------------------------


def _build(given: Given) -> Finish:
    """Write the folder, check it, publish it and open the competition, as the command does.

    Repeated after a kill, each part finds what the run before has done.
    """
    runner = given.runner
    with ExitStack() as stack:
        if any(file.kind == "solution" for file in given.files):
            folder = _written(given, *_form(given))
            challenge = scorer.load(folder)
            checked = scorer.check(
                challenge,
                progress=given.steps(0.2, 0.7, 30),
                allow_weak_sandbox=runner.settings.allow_weak_sandbox,
            )
        else:
            built = _built(given)
            challenge, checked = scorer.load(built.written.folder), built.result
        if checked.problems:
            raise scorer.InvalidChallenge(checked.problems)
        revealing = {finding.code for finding in checked.blockers}
        overrides = {code: given.choices.overrides[code] for code in revealing & set(given.choices.overrides)}
        if codes := ", ".join(sorted(revealing - set(overrides))):
            raise Refused(f"The data reveal the labels ({codes}), so nothing was published.")
        given.progress(0.75, "publishing")
        given.hold()  # nothing takes a publication back: a run that slept may build what was changed since
        installation = Installation(runner.settings)
        stack.callback(installation.database.dispose)
        publication = publishing.publish(
            installation,
            challenge,
            actor=given.owner,
            checked=checked,
            overrides=overrides,
            terms_=given.choices.terms(),
            only_new=True,
        )
        with installation.database.begin() as session:
            drafts.published(session, given.draft_id, challenge.slug)
        given.progress(0.9, "posting the baselines")
        publishing.post_baselines(installation, challenge, [challenge.slug], files=_posted(given, challenge))
    slug = challenge.slug

    def finish(session: Session, now: datetime) -> tuple[dict[str, Any], list[str]]:
        competition = competitions.by_slug(session, slug)
        draft = session.get_one(Draft, given.draft_id)
        removed = drafts.opened(session, draft, competition, now=now)
        return {"competition": slug, "digest": publication.digest}, removed

    return finish


def _built(given: Given) -> Built:
    given.progress(0.05, "reading the table")
    proposed = given.proposed()
    return build(
        given.table,
        given.profile,
        proposed.target,
        proposed.choices,
        given.folder / "challenge" / proposed.choices.slug,
        accepted=given.choices.overrides,
        allow_weak_sandbox=given.runner.settings.allow_weak_sandbox,
        progress=given.steps(0.1, 0.7, 30),
    )


def _posted(given: Given, challenge: scorer.Challenge) -> list[BaselineFile]:
    """Return the files that the baselines made in training."""
    trained = given.results.get(Kind.TRAIN) or {"baselines": ()}
    by_id = {file.id: file for file in given.files}
    scripts = {one.script: one.name or one.script for one in challenge.baselines}
    made = []
    for entry in trained["baselines"]:
        file = by_id[entry["file_id"]]
        path = given.folder / f"baseline-{file.id}"
        inbox.decrypt(given.runner.storage, file, given.keys[file.key_id], path)
        made.append(BaselineFile(scripts[entry["script"]][:60], file.name, path.read_bytes()))
    return made


# -- words without cells -----------------------------------------------------------------------


def _of(result: dict[str, Any]) -> Finish:
    def finish(_session: Session, _now: datetime) -> tuple[dict[str, Any], list[str]]:
        return result, []

    return finish


def _problem(problem: Problem) -> dict[str, Any]:
    shown = {"code": problem.code, "message": problem_words(problem)}
    places = {"file": problem.file, "line": problem.line, "column": problem.column}
    return shown | {name: value for name, value in places.items() if value is not None}


def problem_words(problem: Problem) -> str:
    """Return the message of a problem without the received text and id, which may be a label's."""
    words = problem.message
    if problem.code == "METRIC_FAILED":
        words = _without_texts(words)
    for received in (problem.value, problem.id):
        if received:
            words = words.replace(received, "…")
    return in_pages(words)


def _without_texts(words: str) -> str:
    """Return why an own metric failed, without its exception's text and its log: both may quote labels."""
    first = words.partition("\n")[0]
    first = re.sub(r"(raised [^:]*): .*", r"\1.", first)
    first = re.sub(r"returned .*, which", "returned something, which", first)
    return f"{first} Its text and log may quote labels, so only `heldout challenge check` shows them."


def in_pages(words: str) -> str:
    """Return a message of the engine without the command's options."""
    return re.sub(r" \(--[^)]*\)", "", words)


def finite(value: Any) -> Any:
    """Replace infinity and nan, which JSON lacks, by None, and numpy's numbers by Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value


RUN: Mapping[Kind, Callable[[Given], Finish]] = {
    Kind.PROFILE: _profile,
    Kind.AUDIT: _audit,
    Kind.TRAIN: _train,
    Kind.CHECK: _check,
    Kind.BUILD: _build,
}
