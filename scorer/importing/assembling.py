"""Write the challenge that a reader took from a bundle, choose its metric, and check the folder."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import scorer
from scorer.authoring.building import put
from scorer.challenges.definition import DEFINITION_FILE
from scorer.custom import MetricFailed
from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.equals import Candidate, candidates
from scorer.importing.foreign import Foreign, Wishes
from scorer.importing.forms import Columns
from scorer.importing.probes import MIX, probes
from scorer.metrics import METRICS
from scorer.report import ScoringFailed
from scorer.wording import LISTED, show

TOLERANCE = 1e-12
MAX_CLASSES = 20
USAGES = ("Public", "Private", "Ignored")
_SAMPLE = "public/sample_submission.csv"


@dataclass(frozen=True, slots=True)
class Imported:
    folder: Path
    account: Account
    metric: str
    is_own: bool
    """Whether the metric is the bundle's own code, in the sandbox."""
    scores: Mapping[str, float]
    """Of the sample submission."""


def assemble(
    foreign: Foreign,
    account: Account,
    folder: Path,
    wishes: Wishes,
    *,
    allow_weak_sandbox: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Imported:
    """Write the folder, aside and then as a whole; raises CannotImport.

    Whether it is sound, `scorer.check` reports: a finding of the audit is the owner's to mend.
    """
    report = progress or (lambda _: None)
    refuse_occupied(folder)
    foreign = _completed(foreign, account, wishes)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        inner = aside / (folder.name or folder.resolve().name)
        report("writing the files")
        _write_data(foreign, inner)
        report("comparing the metric")
        metric = _chosen(foreign, account, wishes, inner, allow_weak=allow_weak_sandbox)
        is_own = "file" in metric
        if not is_own:
            (inner / "private/metric.py").unlink(missing_ok=True)
        scores = _write_examples(foreign, metric, inner, allow_weak=allow_weak_sandbox)
        put(inner, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    name = "metric.py" if is_own else _words_of(metric)
    return Imported(folder, account, name, is_own, scores)


def refuse_occupied(folder: Path) -> None:
    """Raise CannotImport if the folder holds something: no file is ever overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotImport(f"{folder} is not an empty folder; nothing was written. Name another with --out.")


# --- the data -------------------------------------------------------------------------------------


def _completed(foreign: Foreign, account: Account, wishes: Wishes) -> Foreign:
    """Return the parts with a usage of each row and a sample; raises CannotImport."""
    ids = foreign.truth[foreign.id]
    counts = Counter(ids)
    twice = [key for key, count in counts.items() if count > 1]
    if twice and not foreign.complete:
        raise CannotImport(
            f"The solution has {show(foreign.id)} {show(twice[0])} {counts[twice[0]]} times, and rows are "
            "matched by it.",
            account,
        )
    if foreign.usage is None:
        usage = _divided(foreign, wishes.public_share)
        n_public = sum(each == "Public" for each in usage)
        account.guessed.append(
            f"The bundle does not divide its test rows. {n_public:,} of {len(ids):,} were drawn at "
            "random for "
            f"the public board (--public {wishes.public_share:g}); the others decide at the end."
        )
        foreign = replace(foreign, usage=usage)
    assert foreign.usage is not None
    for part in ("Public", "Private"):
        if part not in foreign.usage:
            raise CannotImport(f"No row of the solution is {part}, and both boards need rows.", account)
    if foreign.sample is None:
        if all(name in foreign.truth for name in foreign.columns):
            sample = {foreign.id: list(dict.fromkeys(ids))}
            sample |= {
                name: [_constant(foreign.truth[name])] * len(sample[foreign.id]) for name in foreign.columns
            }
            account.guessed.append(
                "The bundle has no sample submission. One was written in the form of the truth, with "
                "one value "
                "in all rows."
            )
            foreign = replace(foreign, sample=sample)
        else:
            account.asked.append("The bundle has no sample submission: give one with --sample FILE.")
            raise Incomplete(account)
    assert foreign.sample is not None
    lacking = [name for name in (foreign.id, *foreign.columns) if name not in foreign.sample]
    if lacking:
        raise CannotImport(
            f"The sample submission has no column {', '.join(map(show, lacking[:LISTED]))}; it has "
            f"{', '.join(map(show, list(foreign.sample)[:LISTED]))}.",
            account,
        )
    lost = [key for key in foreign.sample[foreign.id] if key not in counts]
    if lost and not foreign.complete:
        raise CannotImport(
            f"The sample submission has {len(lost):,} ids that the solution lacks: "
            f"{', '.join(map(show, lost[:LISTED]))}.",
            account,
        )
    return foreign


def _constant(cells: Sequence[str]) -> str:
    """Return one valid value that does not depend on how often values occur."""
    filled = sorted({cell for cell in cells if cell})
    try:
        numbers = [float(cell) for cell in filled]
    except ValueError:
        return filled[0] if filled else ""
    if filled and len(filled) <= MAX_CLASSES and all(number.is_integer() for number in numbers):
        return filled[numbers.index(min(numbers))]
    return "1.0" if numbers and min(numbers) > 0 else "0.0"


def _divided(foreign: Foreign, share: float) -> list[str]:
    """Return the usage of each row, drawn by a digest of the hidden labels, each class by itself."""
    hidden = hashlib.sha256(repr(sorted(foreign.truth.items())).encode()).digest()
    random = np.random.default_rng(int.from_bytes(hidden[:8]))
    ids = foreign.truth[foreign.id]
    unique = list(dict.fromkeys(ids))
    classes = _classes(foreign)
    of_id = dict(zip(ids, classes, strict=True))
    public: set[str] = set()
    for label in sorted(set(classes)):
        members = [key for key in unique if of_id[key] == label]
        order = random.permutation(len(members))
        n_public = min(max(1, round(share * len(members))), max(1, len(members) - 1))
        public |= {members[i] for i in order[:n_public]}
    return ["Public" if key in public else "Private" for key in ids]


def _classes(foreign: Foreign) -> list[str]:
    """Return the class of each row by its truth, one for all where it is no class."""
    named = [name for name in foreign.columns if name in foreign.truth]
    others = [name for name in foreign.truth if name != foreign.id]
    columns = [foreign.truth[name] for name in (named or others)]
    rows = ["\x1f".join(row) for row in zip(*columns, strict=True)]
    counts = Counter(rows)
    if 1 < len(counts) <= MAX_CLASSES and min(counts.values()) > 1 and not foreign.complete:
        return rows
    return [""] * len(foreign.truth[foreign.id])


def _write_data(foreign: Foreign, folder: Path) -> None:
    assert foreign.usage is not None
    assert foreign.sample is not None
    for name, path in foreign.public.items():
        target = folder / "public" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target, follow_symlinks=False)
    truth = {foreign.id: foreign.truth[foreign.id]} | {
        name: cells for name, cells in foreign.truth.items() if name != foreign.id
    }
    _write(folder / "private/solution.csv", csv_bytes(truth | {"Usage": list(foreign.usage)}))
    _write(folder / _SAMPLE, csv_bytes(foreign.sample))
    if foreign.metric is not None:
        _write(folder / "private/metric.py", foreign.metric.encode())
    _write(folder / "description.md", (foreign.description or _drafted(foreign)).encode())


def _drafted(foreign: Foreign) -> str:
    assert foreign.sample is not None
    columns = ", ".join(f"`{show(name)}`" for name in foreign.columns)
    header = ",".join([foreign.id, *foreign.columns])
    return (
        f"Predict {columns} for {len(set(foreign.truth[foreign.id])):,} rows.\n\n## What to submit\n\n"
        f"A CSV file with one line per row of `sample_submission.csv`, in any order:\n\n    {header}\n"
    )


def csv_bytes(columns: Columns) -> bytes:
    """Return columns of text as CSV."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return sink.getvalue().encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# --- the metric -----------------------------------------------------------------------------------


def _chosen(
    foreign: Foreign, account: Account, wishes: Wishes, folder: Path, *, allow_weak: bool
) -> dict[str, Any]:
    """Return the definition's metric: ours where it is stated or equal, else the bundle's code."""
    assert foreign.sample is not None
    files = probes(foreign.truth, foreign.sample, foreign.id, foreign.columns)
    if wishes.metric is not None:
        account.taken.append(f"The metric {wishes.metric}, as stated.")
        return _with_truth({"name": wishes.metric}, foreign)
    tried = candidates(foreign.names, foreign.code)
    if foreign.metric is None:
        return _by_name(foreign, account, tried, folder)
    own = {"file": "metric.py", "greater_is_better": True, **foreign.parameters}
    if foreign.complete:
        own["complete_submission"] = True
    _write_definition(foreign, own, folder)
    theirs = [_scored(folder, content, allow_weak=allow_weak) for _, content in files]
    if isinstance(theirs[0], str):
        if "ModuleNotFoundError" in theirs[0]:
            raise CannotImport(f"The bundle's program needs a library that is not here: {theirs[0]}", account)
        account.asked.append(
            f"The bundle's metric does not score its sample submission: {theirs[0]} Give a submission "
            "that it "
            "takes with --sample FILE."
        )
        raise Incomplete(account)
    compared = [i for i, scores in enumerate(theirs) if not isinstance(scores, str)]
    if len(compared) > 1 and len({theirs[i] for i in compared}) == 1 and theirs[0][0] == theirs[0][1]:
        raise CannotImport(
            f"The bundle's program gives every file the score {theirs[0][0]:g}. It may hide an error, need "
            "another form of file (--sample FILE), or be a template.",
            account,
        )
    telling = len({theirs[i] for i in compared}) > 1  # a constant sample may have the same score everywhere
    for candidate in tried if telling and not foreign.complete else []:
        metric = _with_truth(candidate, foreign)
        if METRICS[metric["name"]].greater_is_better != _direction(foreign, METRICS[metric["name"]]):
            continue
        try:
            _write_definition(foreign, metric, folder)
            ours = [_scored(folder, files[i][1], allow_weak=allow_weak) for i in compared]
        except CannotImport:
            continue
        if all(_equal(theirs[i], each) for i, each in zip(compared, ours, strict=True)):
            kinds = ", ".join(files[i][0] for i in compared)
            account.taken.append(
                f"The metric is {_words_of(metric)}: it gives the scores of the bundle's own within "
                f"{TOLERANCE:g} on {kinds}."
            )
            return metric
    of_mix = (scores for (kind, _), scores in zip(files, theirs, strict=True) if kind == MIX)
    mixed = next(of_mix, "")
    own["greater_is_better"] = higher = _own_direction(foreign, account, theirs[0], mixed)
    if not isinstance(mixed, str) and (sum(mixed) - sum(theirs[0])) * (1 if higher else -1) < 0:
        account.guessed.append(
            f"The bundle states that {'higher' if higher else 'lower'} is better, but a file with "
            "half of the "
            "truth scores worse than the sample. Look at it, and change it with --better."
        )
    account.taken.append("The metric is the bundle's own program, run in the sandbox (private/metric.py).")
    return own


def _direction(foreign: Foreign, metric: Any) -> bool:
    return metric.greater_is_better if foreign.greater_is_better is None else foreign.greater_is_better


def _own_direction(foreign: Foreign, account: Account, of_sample: Any, mixed: Any) -> bool:
    """Return whether higher is better; a file that only differs from the sample tells nothing of it."""
    if foreign.greater_is_better is not None:
        return foreign.greater_is_better
    if not isinstance(mixed, str) and mixed != of_sample:
        higher = bool(sum(mixed) > sum(of_sample))
        account.guessed.append(
            f"The bundle does not state the metric's direction. A file with half of the truth scores "
            f"{'higher' if higher else 'lower'} than the sample, so {'higher' if higher else 'lower'} is "
            "better (--better)."
        )
        return higher
    account.asked.append(
        "The bundle does not state whether higher or lower scores are better: state it with --better."
    )
    raise Incomplete(account)


def _by_name(foreign: Foreign, account: Account, tried: Sequence[Candidate], folder: Path) -> dict[str, Any]:
    for candidate in tried:
        metric = _with_truth(candidate, foreign)
        try:
            _write_definition(foreign, metric, folder)
        except CannotImport:
            continue
        account.guessed.append(
            f"The metric is {_words_of(metric)}, by its name {show(foreign.names[0])} alone (--metric)."
        )
        return metric
    named = f"{show(foreign.names[0])} is no metric of ours" if foreign.names else "The bundle has no metric"
    account.asked.append(
        f"{named}: state one with --metric NAME (docs/reference/metrics.md), or add metric.py with Kaggle's "
        "score(solution, submission, row_id_column_name)."
    )
    raise Incomplete(account)


def _with_truth(candidate: Mapping[str, Any], foreign: Foreign) -> dict[str, Any]:
    """Return the metric, naming the true column where it has another name than the predicted ones."""
    metric = dict(candidate)
    others = [name for name in foreign.truth if name != foreign.id]
    if not any(name in foreign.truth for name in foreign.columns) and len(others) == 1:
        metric["truth"] = others[0]
    if foreign.truth_values:
        metric["truth_values"] = dict(foreign.truth_values)
    return metric


def _scored(folder: Path, content: Columns, *, allow_weak: bool) -> tuple[float, float] | str:
    """Return both scores, or why there are none."""
    try:
        report = scorer.score(_loaded(folder), csv_bytes(content), allow_weak_sandbox=allow_weak)
    except scorer.InvalidSubmission as refusal:
        return refusal.problems[0].message
    except MetricFailed as failure:
        return str(failure).partition(" On the private rows")[0]
    except ScoringFailed as failure:
        return str(failure)
    return report.public, report.private


def _equal(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, str) or isinstance(ours, str):
        return False
    return all(abs(a - b) <= TOLERANCE * max(1.0, abs(a)) for a, b in zip(theirs, ours, strict=True))


def _words_of(metric: Mapping[str, Any]) -> str:
    others = ", ".join(
        f"{key} {value}" for key, value in metric.items() if key not in ("name", "truth", "truth_values")
    )
    return f"{metric['name']} ({others})" if others else str(metric["name"])


# --- the definition -------------------------------------------------------------------------------


def _write_definition(
    foreign: Foreign, metric: Mapping[str, Any], folder: Path, examples: Sequence[Mapping[str, Any]] = ()
) -> None:
    assert foreign.usage is not None
    scored = [each for each in foreign.usage if each != "Ignored"]
    definition = {
        "format": 1,
        "title": foreign.title,
        **({"summary": foreign.summary} if foreign.summary else {}),
        **({"source": dict(foreign.source)} if foreign.source else {}),
        "metric": dict(metric) if len(metric) > 1 else metric["name"],
        "submission": {"id": foreign.id, "columns": list(foreign.columns)},
        **({"competition": dict(foreign.competition)} if foreign.competition else {}),
        "split": {"public_fraction": round(scored.count("Public") / len(scored), 4)},
        **({"examples": list(examples)} if examples else {}),
    }
    text = yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=100)
    _write(folder / DEFINITION_FILE, text.encode())
    _loaded(folder)


def _loaded(folder: Path) -> scorer.Challenge:
    try:
        return scorer.load(folder)
    except scorer.InvalidChallenge as refusal:
        words = [re.sub(r"^Line \d+, ", "", problem.message) for problem in refusal.problems[:LISTED]]
        raise CannotImport(f"What was taken makes no challenge: {' '.join(words)}") from None


def _write_examples(
    foreign: Foreign, metric: Mapping[str, Any], folder: Path, *, allow_weak: bool
) -> dict[str, float]:
    """Write examples with their scores; return those of the sample submission."""
    assert foreign.sample is not None
    _write_definition(foreign, metric, folder)
    scores = _scored(folder, foreign.sample, allow_weak=allow_weak)
    if isinstance(scores, str):
        raise CannotImport(
            f"The sample submission cannot be scored: {scores} Give another with --sample FILE."
        )
    _write(folder / "examples/sample_submission.csv", csv_bytes(foreign.sample))
    examples: list[dict[str, Any]] = [
        {"file": "sample_submission.csv", "public": scores[0], "private": scores[1]}
    ]
    if not foreign.complete:
        short = {name: cells[:-1] for name, cells in foreign.sample.items()}
        _write(folder / "examples/missing_row.csv", csv_bytes(short))
        examples.append({"file": "missing_row.csv", "refused": "missing_ids"})
    _write_definition(foreign, metric, folder, examples)
    return {"public": scores[0], "private": scores[1]}
