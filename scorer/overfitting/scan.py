"""The nightly scan for probing, copies and too good scores.

Files become views on one sample of rows, the views of all teams are the crowd, and every detector reports
what it finds. An organiser decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import known_cells, truth_as_predictions
from scorer.overfitting import copies as copying
from scorer.overfitting import probing, too_good
from scorer.overfitting.views import NotComparable, is_hard, kind_of, sample_rows, standardised, view
from scorer.reading.columns import Column, FloatArray, Lists, take
from scorer.report import HeldoutError
from scorer.resampling import resampling
from scorer.resampling.units import Aligned, NotResampled

MAX_ROWS = 20_000
"""Rows of a file that are compared with other files."""
MAX_FILES = 25
"""Latest files of a team that are scanned."""


@dataclass(frozen=True, slots=True)
class File:
    submission_id: int
    path: Path
    public: float
    private: float
    """Stored scores: the file must have them again."""


@dataclass(frozen=True, slots=True)
class Team:
    id: int
    name: str
    is_baseline: bool
    files: Sequence[File]
    """Scored ones, in order of time."""
    final_id: int | None
    """The submission that counts in private; None off the board."""

    @property
    def final(self) -> File:
        return next((file for file in self.files if file.submission_id == self.final_id), self.files[-1])


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a detector found, for the organiser only."""

    code: str
    team_id: int
    evidence: str
    advice: str
    strength: float
    other_team_id: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scan:
    suspicions: tuple[Suspicion, ...]
    not_judged: tuple[str, ...]
    """What could not be judged, with reasons."""
    looked_at: Mapping[str, int]
    """teams, files, rows."""


def scan(
    challenge: Challenge, teams: Sequence[Team], *, progress: Callable[[float, str], None], seed: int = 0
) -> Scan:
    """Run every detector over the files of a competition.

    200 teams of 20,000 rows take well under a minute; memory is bounded by MAX_ROWS rows of one file per
    team, and of MAX_FILES files of one team at a time. What could not be judged is listed with its reason.
    """
    competitors = [team for team in teams if not team.is_baseline and team.files]
    baselines = [team for team in teams if team.is_baseline and team.files]
    found: list[Suspicion] = []
    not_judged: list[str] = []
    board = _Board(challenge, competitors, baselines, not_judged, seed)
    progress(0.0, "reading the files that count")
    board.read(lambda done: progress(0.4 * done, "reading the files that count"))
    progress(0.4, "comparing predictions")
    found += board.copied()
    progress(0.5, "looking at changes from file to file")
    found += board.probed(lambda done: progress(0.5 + 0.4 * done, "looking at changes from file to file"))
    progress(0.9, "comparing scores")
    found += board.too_good()
    looked_at = {"teams": len(competitors), "files": board.n_files, "rows": len(board.rows)}
    return Scan(tuple(found), tuple(dict.fromkeys(not_judged)), looked_at)


class _Board:
    """The files of one competition on one sample of rows."""

    def __init__(
        self,
        challenge: Challenge,
        competitors: Sequence[Team],
        baselines: Sequence[Team],
        not_judged: list[str],
        seed: int,
    ) -> None:
        self.challenge, self.competitors, self.baselines = challenge, competitors, baselines
        self.not_judged, self.seed = not_judged, seed
        self.solution = challenge.solution
        parts = self.solution.task.parts
        self.kind = kind_of(parts[0]) if len(parts) == 1 else "number"
        width = max(1, len(self.solution.task.columns)) * max(1, len(competitors))
        self.rows = sample_rows(
            len(self.solution.ids), max(1000, min(MAX_ROWS, _MOST_NUMBERS // width)), seed=seed
        )
        self.n_files = 0
        self.finals: list[FloatArray | None] = []
        """Of each team, in `competitors`'s order; None where it could not be read or compared."""
        self.known: list[FloatArray] = []
        self.scores: list[_Scored | None] = []
        self.best_baseline: _Scored | None = None
        self.baseline_match: too_good.Verdict | None = None

    # -- reading --

    def read(self, done: Callable[[float], None]) -> None:
        better = max if self.solution.task.greater_is_better else min
        for team in self.baselines:
            aligned = self._aligned(team.final)
            one = None if aligned is None else self._view(aligned)
            if one is not None:
                self.known.append(one)
            if aligned is not None:
                scored = _Scored(team.final, aligned)
                best = self.best_baseline
                if best is None or better(scored.file.private, best.file.private) == scored.file.private:
                    self.best_baseline = scored
                    self.baseline_match = self._match(aligned)
        for number, team in enumerate(self.competitors):
            done(number / len(self.competitors))
            aligned = self._aligned(team.final)
            self.finals.append(None if aligned is None else self._view(aligned))
            self.scores.append(None if aligned is None else self._score(team, aligned))

    def _aligned(self, file: File) -> Aligned | None:
        self.n_files += 1
        try:
            return resampling.read(self.challenge, file.path, scores=(file.public, file.private))
        except NotResampled as reason:
            self.not_judged.append(str(reason))
        except (
            HeldoutError,
            OSError,
            MemoryError,
        ) as reason:  # one file must not stop the scan of all others
            self.not_judged.append(
                f"Submission {file.submission_id} could not be read again: {str(reason)[:200]}"
            )
        return None

    def _view(self, aligned: Aligned) -> FloatArray | None:
        columns: dict[str, Column] = {
            name: take(column, self.rows) for name, column in aligned.columns.items()
        }
        try:
            return view(columns, self.kind, n_labels=len(self.solution.vocabulary)).astype(np.float32)
        except NotComparable as reason:
            self.not_judged.append(str(reason))
        return None

    def _score(self, team: Team, aligned: Aligned) -> _Scored:
        """Return a team's scores with standard errors.

        While its file is in memory, so that only one file is.
        """
        scored = _Scored(team.final, aligned)
        try:
            for name, rows in (("public", self.solution.public), ("private", self.solution.private)):
                scored.errors[name] = resampling.standard_error(self.solution, aligned, rows, seed=self.seed)
            if self.best_baseline is not None:
                scored.errors["baseline"] = resampling.se_of_difference(
                    self.solution, aligned, self.best_baseline.aligned, self.solution.private, seed=self.seed
                )
            scored.match = self._match(aligned)
        except NotResampled as reason:
            self.not_judged.append(str(reason))
        scored.forget()
        return scored

    def _match(self, aligned: Aligned) -> too_good.Verdict | None:
        truth = truth_as_predictions(self.solution)
        name, true = next(iter(truth.items())) if truth is not None and len(truth) == 1 else ("", None)
        predicted = aligned.columns.get(name)
        if (
            true is None
            or predicted is None
            or isinstance(predicted, Lists)
            or (isinstance(predicted, np.ndarray) and predicted.dtype == np.object_)
        ):
            self.not_judged.append(
                "Exact matches: they are judged for one predicted column of numbers or labels with one truth "
                "each."
            )
            return None
        known = known_cells(self.solution)[name]
        return too_good.exact_match(
            predicted, true, self.solution.public & known, self.solution.private & known
        )

    # -- detectors --

    def copied(self) -> list[Suspicion]:
        found = self._same_uploads()
        held = [number for number, one in enumerate(self.finals) if one is not None]
        if len(held) < 2:
            self.not_judged.append(f"Copies: {len(held)} team{'s' if len(held) != 1 else ''} to compare.")
            return found
        stack = np.stack([one for one in self.finals if one is not None])
        known = np.stack(self.known) if self.known else None
        if self.kind not in ("probability", "classes", "score") and not is_hard(stack, self.kind):
            crowd = np.median(stack, axis=0)
            stack = standardised(stack, crowd)
            known = None if known is None else standardised(known, crowd)
        result = copying.copies(stack, known)
        if result.reason:
            self.not_judged.append(f"Copies: {result.reason}")
        if result.on_baselines:
            n = len(result.on_baselines)
            self.not_judged.append(
                f"Copies: {n} team{'s' if n > 1 else ''} whose file is a registered baseline's, or nearly so."
            )
        reported = {frozenset((one.team_id, one.other_team_id)) for one in found}
        for pair in result.pairs:
            first, second = (self.competitors[held[place]] for place in (pair.first, pair.second))
            if pair.equal and frozenset((first.id, second.id)) in reported:
                continue
            found.append(
                Suspicion(
                    "same_predictions" if pair.equal else "copied_predictions",
                    first.id,
                    pair.evidence,
                    pair.advice,
                    1.0 if pair.equal else pair.strength,
                    second.id,
                    {name: round(value, 4) for name, value in pair.statistics.items()},
                )
            )
        return found

    def _same_uploads(self) -> list[Suspicion]:
        """Return suspicions of teams that sent the same bytes.

        Two or more equal files are not explained by chance or a shared notebook.
        """
        known = {file.path for team in self.baselines for file in team.files}
        senders: dict[Path, list[Team]] = {}
        for team in self.competitors:
            for path in {file.path for file in team.files} - known:
                senders.setdefault(path, []).append(team)
        shared: dict[tuple[int, int], int] = {}
        for sent in senders.values():
            if len(sent) > max(3, _COMMON * len(self.competitors)):
                # A file that many teams send comes from a tutorial.
                self.not_judged.append(f"Equal files: {len(sent)} teams sent one and the same file.")
                continue
            for place, first in enumerate(sent):
                for second in sent[place + 1 :]:
                    key = (min(first.id, second.id), max(first.id, second.id))
                    shared[key] = shared.get(key, 0) + 1
        advice = (
            "Compare when, from where and with which client they were sent, and ask both teams. One "
            "equal file may come from a shared notebook; register its file as a baseline and scan "
            "again."
        )
        return [
            Suspicion(
                "same_file",
                first,
                f"{n} uploaded file{'s' if n > 1 else ''} of the two teams {'are' if n > 1 else 'is'} "
                "equal to the byte.",
                advice,
                float(n),
                second,
                {"equal_files": n},
            )
            for (first, second), n in sorted(shared.items())
        ]

    def probed(self, done: Callable[[float], None]) -> list[Suspicion]:
        held = [number for number, one in enumerate(self.finals) if one is not None]
        many = [number for number in held if len(self.competitors[number].files) >= probing.MIN_FILES]
        few = len(held) - len(many)
        if many and few:
            self.not_judged.append(
                f"Probing: {few} of {len(held)} teams have sent fewer than {probing.MIN_FILES} files."
            )
        if long := sum(len(self.competitors[number].files) > MAX_FILES for number in many):
            self.not_judged.append(
                f"Probing: only the latest {MAX_FILES} files of {long} team{'s' if long > 1 else ''}."
            )
        if not many:
            self.not_judged.append(f"Probing: no team has sent {probing.MIN_FILES} files or more.")
            return []
        crowd = np.stack([one for one in self.finals if one is not None])
        try:
            spaces = dict(zip(held, probing.neighbourhoods(crowd, seed=self.seed), strict=True))
        except NotComparable as reason:
            self.not_judged.append(f"Probing: {reason}")
            return []
        middle = np.median(crowd, axis=0)
        del crowd
        found = []
        for place, number in enumerate(many):
            done(place / len(many))
            team = self.competitors[number]
            views = []
            for file in team.files[-MAX_FILES:]:
                aligned = self._aligned(file)
                one = None if aligned is None else self._view(aligned)
                if one is not None:
                    views.append(one)
            stack: FloatArray = np.array(views, dtype=np.float64)
            if (
                len(views)
                and self.kind not in ("probability", "classes", "score")
                and not is_hard(stack, self.kind)
            ):
                stack = standardised(stack, middle)
            score = probing.probing(stack, spaces[number], kind=self.kind)
            if score.verdict:
                found.append(
                    Suspicion(
                        "probing",
                        team.id,
                        score.evidence,
                        score.advice,
                        max(score.rough_share, score.local_share) / score.threshold,
                        detail={
                            "files": score.n_files,
                            "changes": score.n_changes,
                            "rough_share": round(score.rough_share, 4),
                            "local_share": round(score.local_share, 4),
                            "sparse_share": round(score.sparse_share, 4),
                            "coded_share": round(score.coded_share, 4),
                            "effective_rows": round(score.effective_rows, 4),
                            "line": round(score.threshold, 4),
                        },
                    )
                )
        return found

    def too_good(self) -> list[Suspicion]:
        greater = self.solution.task.greater_is_better
        found: list[Suspicion] = []
        judged = [
            (team, scored)
            for team, scored in zip(self.competitors, self.scores, strict=True)
            if scored is not None and {"public", "private"} <= set(scored.errors)
        ]
        found += self._matched(judged)
        if len(judged) >= _MIN_TEAMS:
            public, private = (
                np.array([getattr(s.file, name) for _, s in judged]) for name in ("public", "private")
            )
            errors = np.array([np.hypot(s.errors["public"], s.errors["private"]) for _, s in judged])
            gaps = too_good.public_gap(public, private, errors, greater_is_better=greater)
            found += [
                _of_verdict("public_gap", team, gap, gap.statistic)
                for (team, _), gap in zip(judged, gaps, strict=True)
                if gap.verdict
            ]
        else:
            self.not_judged.append(
                f"Public-private gaps: {len(judged)} teams; a board's own median needs {_MIN_TEAMS}."
            )
        compared = [(team, s) for team, s in judged if "baseline" in s.errors]
        if self.best_baseline is None:
            self.not_judged.append("Too good to be true: there is no baseline to compare with.")
        elif len(compared) >= _MIN_TEAMS:
            sign = 1.0 if greater else -1.0
            before = [
                max(
                    (sign * f.private for f in team.files if f.submission_id < s.file.submission_id),
                    default=np.nan,
                )
                * sign
                for team, s in compared
            ]
            verdicts = too_good.too_good(
                np.array([s.file.private for _, s in compared]),
                np.array(before),
                self.best_baseline.file.private,
                np.array([s.errors["baseline"] for _, s in compared]),
                greater_is_better=greater,
            )
            found += [
                _of_verdict("too_good_to_be_true", team, verdict, verdict.statistic)
                for (team, _), verdict in zip(compared, verdicts, strict=True)
                if verdict.verdict
            ]
        else:
            self.not_judged.append(
                f"Too good to be true: {len(compared)} teams; the rest of a board shows what is usual from "
                f"{_MIN_TEAMS} teams on."
            )
        return found

    def _matched(self, judged: Sequence[tuple[Team, _Scored]]) -> list[Suspicion]:
        """Return the files that are right in every row.

        With few private rows a good model may be, too; the others show how likely that is.
        """
        n_private = int(self.solution.private.sum())
        matches = [(team, scored.match) for team, scored in judged if scored.match is not None]
        shares = [match.statistic for _, match in matches]
        if self.baseline_match is not None:
            shares.append(self.baseline_match.statistic)
        least = too_good.judgeable_rate(n_private)
        usual = too_good.usual_rate([share for share in shares if share < 1.0], n_private)
        found = []
        for team, match in matches:
            judgement = too_good.judged_by_others(match, n_private, usual)
            if judgement.verdict:
                found.append(_of_verdict("exact_match", team, judgement, 10.0))
        if matches and n_private < too_good.MIN_ROWS_TO_MATCH and not usual < least:
            self.not_judged.append(
                f"Exact matches: with {n_private} private rows, fewer than {too_good.MIN_ROWS_TO_MATCH}, a "
                "file that is right in all of them is judged only where every other file is surely right in "
                f"fewer than {least:.0%} of them."
            )
        return found


@dataclass(slots=True)
class _Scored:
    """A team's final file: its scores and their standard errors."""

    file: File
    _aligned: Aligned | None
    errors: dict[str, float] = field(default_factory=dict)
    match: too_good.Verdict | None = None

    @property
    def aligned(self) -> Aligned:
        assert self._aligned is not None, "the file was released"
        return self._aligned

    def forget(self) -> None:
        self._aligned = None


def _of_verdict(code: str, team: Team, verdict: too_good.Verdict, strength: float) -> Suspicion:
    strength = float(np.clip(strength, 0.0, 1e6))
    return Suspicion(
        code, team.id, verdict.evidence, verdict.advice, strength, detail={"line": verdict.threshold}
    )


_MOST_NUMBERS = 40_000_000
"""Of all teams' views together, 160 MB."""
_MIN_TEAMS = 8
"""Teams from which a median or a 99 % quantile is meaningful."""
_COMMON = 0.25
"""Share of teams above which an equal file is common property."""
