"""Measure how many submissions read public labels off public scores.

Under each release rule. 1,000 rows with two classes, one of them 35.5 %, and seven attackers that know the
metric, the rules and how many rows of each class there are. Log-loss in logits: a row at z costs softplus(z)
- y z, so the score is linear in the labels, and an attacker that knows all else reads them off. The boards
are the platform's own: `scorer.release` rounds, decides and shows, and exact scores come from the
registry's log-loss, summed without rounding.

    code          m rows at logits n step 2^j, all others at one half (Whitehill 2017)
    secret subset the same with three outcomes a row, as only a secret 30 % of the rows are scored
    designs       own: of a few random files the one whose rounded answer splits 12 rows' labellings best
    AUC           own: designs again, rows of known label being spacers between the rows in question
    sabotage      against the published ladder: begin at the worst score, so that every file improves
    threshold     own, against the ladder: a row's label alone decides whether a file is shown; known rows,
                  kept back, pay for the improvement
    good model    code: a few labels in every step from the benchmark to the model; threshold: as above, the
                  model's own advantage paying

The last two count rows: labels right at the end less those the attacker had right before.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
from figure import Figure
from numpy.typing import NDArray

from scorer.exact import ExactSum
from scorer.metrics.probability import log_loss
from scorer.release import modes
from scorer.release.oracle_budget import CODE_BITS, oracle_budget

TITLE = "Reading public labels off public scores (1,000 rows)"

FloatArray = NDArray[np.float64]

N = 1000
POSITIVE = 0.355
MOST_FILES = 1000


def largest_logit(clip: float) -> float:
    return math.log((1 - clip) / clip)


def draw_labels(rng: np.random.Generator, n: int, share: float = POSITIVE) -> FloatArray:
    """Exactly the stated share is positive, in random order."""
    y = np.zeros(n)
    y[: round(share * n)] = 1.0
    return rng.permutation(y)


def benchmark_logit(y: FloatArray) -> float:
    """Of the best constant file."""
    return math.log(y.mean() / (1 - y.mean()))


def benchmark_error(y: FloatArray) -> float:
    """The standard error of its score."""
    return standard_error(losses(y, np.full(len(y), benchmark_logit(y))))


def softplus(z: FloatArray | float) -> FloatArray:
    return np.logaddexp(0.0, z)


def losses(y: FloatArray, z: FloatArray) -> FloatArray:
    return softplus(z) - y * z


@dataclass
class Files:
    """Files until 95 % and until all labels were read.

    None if never.
    """

    to_95: int | None
    to_all: int | None
    share: float

    def __str__(self) -> str:
        if self.to_95 is None:
            return f"never ({self.share:.0%})"
        return f"{self.to_95} / {'never' if self.to_all is None else self.to_all}"


class Tally:
    """Counts files and the labels read right."""

    def __init__(self, n: int) -> None:
        self.n, self.files, self.right = n, 0, 0
        self.to_95: int | None = None
        self.to_all: int | None = None

    def read(self, right: int) -> None:
        self.right += right
        if self.to_95 is None and self.right >= 0.95 * self.n:
            self.to_95 = self.files
        if self.to_all is None and self.right == self.n:
            self.to_all = self.files

    def files_taken(self) -> Files:
        return Files(self.to_95, self.to_all, self.right / self.n)


# -- the code, exact and rounded ---------------------------------------------------------------------


def code_on_rounded(y: FloatArray, clip: float, step: float) -> Files:
    n, tally = len(y), Tally(len(y))
    budget = oracle_budget(
        "log_loss",
        mode="rounded",
        n_public=n,
        step=step,
        bounds=(0, math.inf),
        greater_is_better=False,
        clip=clip,
    )
    if budget.formula != "code":
        return tally.files_taken()
    m = int(budget.bits)
    for rows in np.array_split(np.arange(n), math.ceil(n / m)):
        codes = 2.0 ** np.arange(len(rows))
        z = np.zeros(n)
        z[rows] = -n * step * codes
        tally.files += 1
        shown = modes.rounded(float(losses(y, z).mean()), step)
        spelt = round((shown - float(softplus(z).mean())) / step)
        bits = (spelt >> np.arange(len(rows))) & 1
        tally.read(int((bits == y[rows]).sum()))
    return tally.files_taken()


def code_on_exact(y: FloatArray, clip: float, m: int) -> Files:
    """Attack exact log-loss scores of the registry.

    Decoded in fractions, from the largest code down.
    """
    n, tally = len(y), Tally(len(y))
    for rows in np.array_split(np.arange(n), math.ceil(n / m)):
        p = np.full(n, 0.5)
        p[rows] = 1 / (1 + np.exp(0.999999 * largest_logit(clip) / 2.0 ** np.arange(len(rows))))
        total = ExactSum()
        total.add(log_loss(y, p, eps=clip))
        tally.files += 1
        if_negative, if_positive = log_loss(np.zeros(n), p, eps=clip), log_loss(np.ones(n), p, eps=clip)
        left = Fraction(total.value() / n) * n - sum(map(Fraction, if_negative.tolist()))
        codes = [
            Fraction(a) - Fraction(b)
            for a, b in zip(if_positive[rows].tolist(), if_negative[rows].tolist(), strict=True)
        ]
        right = 0
        for j, code in enumerate(codes):
            is_positive = left > (code + sum(codes[j + 1 :])) / 2
            left -= code if is_positive else 0
            right += int(is_positive == bool(y[rows[j]]))
        tally.read(right)
    return tally.files_taken()


def code_on_subset(y: FloatArray, clip: float, step: float, rng: np.random.Generator) -> Files:
    """Attack scores of which 30 % of the rows count.

    A row changes the file's score in one of three ways: not scored, negative, positive.
    """
    n_scored = round(0.3 * len(y))
    scored = np.zeros(len(y), dtype=bool)
    scored[rng.permutation(len(y))[:n_scored]] = True
    logits, outcomes, meanings = _ternary_code(largest_logit(clip), n_scored, step)
    tally = Tally(n_scored)
    m = len(logits)
    for rows in np.array_split(np.arange(len(y)), math.ceil(len(y) / m)):
        z = np.zeros(len(y))
        z[rows] = logits[: len(rows)]
        tally.files += 1
        shown = modes.rounded(float(losses(y, z)[scored].mean()), step)
        change = (shown - math.log(2)) * n_scored
        guess = meanings[np.abs(outcomes - change).argmin()][: len(rows)]
        truth = np.where(scored[rows], y[rows], -1)
        tally.read(int((scored[rows] & (guess == truth)).sum()))
    return tally.files_taken()


def _ternary_code(limit: float, n_scored: int, step: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return logits whose sums of outcomes differ by a step.

    As many as possible; beside them the sums, and the outcomes that each one means.
    """
    best: tuple[FloatArray, FloatArray, FloatArray] = (np.zeros(0), np.zeros(1), np.zeros((1, 0)))
    # A small logit moves the score by half of it either way, less its square over 8: hence some slack.
    for m, slack, ratio in itertools.product(
        range(1, 8), (1.01, 1.05, 1.2, 1.4), (3.0, 3.1, 3.3, 3.6, 4.0, 5.0)
    ):
        small: FloatArray = -2 * slack * n_scored * step * ratio ** np.arange(m, dtype=np.float64)
        with_limit: FloatArray = np.append(small[:-1], -limit)
        for logits in (small, with_limit):
            if m <= len(best[0]) or np.abs(logits).max() > limit:
                continue
            table = np.array(list(itertools.product((-1, 0, 1), repeat=m)), dtype=float)
            change = softplus(logits) - math.log(2)
            outcomes = np.where(table == -1, 0.0, change - (table == 1) * logits).sum(axis=1)
            if np.diff(np.sort(outcomes)).min() > n_scored * step:
                best = (logits, outcomes, table)
    return best


# -- designs: rounding is no wall --------------------------------------------------------------------


BLOCK = 12
LABELLINGS = np.array(list(itertools.product((0.0, 1.0), repeat=BLOCK)))


def _most_telling(answers: NDArray[np.int64]) -> int:
    """Return the file whose answers split the labellings most evenly.

    A column is a file, a row a labelling.
    """
    best, most = 0, -1.0
    for j in range(answers.shape[1]):
        column = answers[:, j] - answers[:, j].min()
        counts = np.bincount(column)
        share = counts[counts > 0] / len(column)
        entropy = -float((share * np.log2(share)).sum())
        if entropy > most:
            best, most = j, entropy
    return best


def designs_on_rounded(y: FloatArray, clip: float, step: float, rng: np.random.Generator) -> Files:
    """Attack rounded scores with designed files.

    All other rows stay at one common logit, which costs the same whatever their labels are.
    """
    n, limit, tally, n_positive = len(y), largest_logit(clip), Tally(len(y)), y.sum()
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(n, start + BLOCK))
        left = np.unique(LABELLINGS[:, : len(rows)], axis=0)
        while len(left) > 1:
            tries = 24
            z = rng.choice((-1.0, 1.0), (len(rows), tries)) * limit
            z[:, ::2] *= rng.random((len(rows), tries // 2))
            base = rng.uniform(-0.3, 0.3, tries)
            constant = softplus(z).sum(axis=0) + (n - len(rows)) * softplus(base) - base * n_positive
            answers = np.rint((constant - left @ (z - base)) / n / step).astype(np.int64)
            j = _most_telling(answers)
            file = np.full(n, base[j])
            file[rows] = z[:, j]
            tally.files += 1
            shown = modes.rounded(float(losses(y, file).mean()), step)
            kept = left[answers[:, j] == round(shown / step)]
            if len(kept):  # none if a border was met to the last bit: the answer is then left out
                left = kept
        tally.read(int((left[0] == y[rows]).sum()))
    return tally.files_taken()


def designs_on_auc(y: FloatArray, step: float, rng: np.random.Generator, *, most: int = MOST_FILES) -> Files:
    """Attack AUC as pairs won.

    The file is an order, unknown rows tied in its middle, known rows as spacers.
    """
    n, tally, n_positive = len(y), Tally(len(y)), float(y.sum())
    n_pairs = n_positive * (n - n_positive)
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(n, start + BLOCK))
        left = np.unique(LABELLINGS[:, : len(rows)], axis=0)
        while len(left) > 1:
            tried = [_auc_design(rows, start, y, left, n_positive, rng) for _ in range(16)]
            answers = np.stack(
                [np.rint(pairs / n_pairs / step).astype(np.int64) for _, pairs in tried], axis=1
            )
            j = _most_telling(answers)
            if tally.files == most:
                return tally.files_taken()
            tally.files += 1
            shown = modes.rounded(_pairs_won(y, tried[j][0]) / n_pairs, step)
            kept = left[answers[:, j] == round(shown / step)]
            if len(kept):
                left = kept
        tally.read(int((left[0] == y[rows]).sum()))
    return tally.files_taken()


def _auc_design(
    rows: NDArray[np.intp],
    n_known: int,
    y: FloatArray,
    left: FloatArray,
    n_positive: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return scores of a file, and its wins by labelling.

    Known rows go below or above the middle by class, so that a row in question gains or loses whole classes
    of them; its place among them makes its weight.
    """
    n = len(y)
    scores = np.zeros(n)
    known = np.arange(n_known)
    scores[known] = rng.random(n_known) * rng.choice((-1.0, 1.0)) * (1.0 if rng.random() < 0.5 else 0.5)
    if rng.random() < 0.5:  # negatives at one end, positives at the other: the widest range of weights
        scores[known] = np.abs(scores[known]) * np.where(y[known] == 1, 1.0, -1.0) * rng.choice((-1.0, 1.0))
    scores[rows] = rng.uniform(-1.05, 1.05, len(rows))
    middle_positive = n_positive - y[known].sum() - left.sum(axis=1)
    middle_negative = (n - n_known - len(rows)) - middle_positive
    known_sorted = [np.sort(scores[known][y[known] == c]) for c in (0, 1)]
    s = scores[rows]
    below = np.searchsorted(known_sorted[0], s)  # known negatives under each row
    over = len(known_sorted[1]) - np.searchsorted(known_sorted[1], s)  # known positives over each row
    won = left @ below + (1 - left) @ over
    is_above = (s > 0).astype(float)
    won += (left @ is_above) * middle_negative + ((1 - left) @ (1 - is_above)) * middle_positive
    order = np.argsort(s)
    ordered = left[:, order]
    won += (ordered * np.cumsum(1 - ordered, axis=1)).sum(axis=1)
    fixed = float((np.searchsorted(known_sorted[0], known_sorted[1])).sum())
    won += (
        fixed + middle_negative * (known_sorted[1] > 0).sum() + middle_positive * (known_sorted[0] < 0).sum()
    )
    won += middle_negative * middle_positive / 2
    return scores, won


def _pairs_won(y: FloatArray, scores: FloatArray) -> float:
    negatives = np.sort(scores[y == 0])
    positives = scores[y == 1]
    lower = np.searchsorted(negatives, positives, side="left")
    upper = np.searchsorted(negatives, positives, side="right")
    return float((lower + upper).sum() / 2)


# -- the ladder --------------------------------------------------------------------------------------


class Ladder:
    """A team's state, and the platform's rule on it."""

    def __init__(self, y: FloatArray, *, c: float, step: float, start: FloatArray | None) -> None:
        self.y, self.c, self.step = y, c, step
        self.leader = None if start is None else losses(y, start)
        self.released = math.inf if self.leader is None else float(self.leader.mean())
        self.files = 0

    def submit(self, z: FloatArray) -> float | None:
        self.files += 1
        row_losses = losses(self.y, z)
        score = float(row_losses.mean())
        if self.leader is None:  # the published ladder: the first file always counts
            shown: float | None = modes.rounded(score, self.step)
        else:
            shown = modes.ladder_release(
                score,
                self.released,
                standard_error(row_losses - self.leader),
                c=self.c,
                step=self.step,
                greater_is_better=False,
            )
        if shown is not None:
            self.released, self.leader = shown, row_losses
        return shown


def standard_error(difference: FloatArray) -> float:
    return float(difference.std(ddof=1)) / math.sqrt(len(difference))


def sabotage(y: FloatArray, *, clip: float, c: float, step: float, m: int, from_infinity: bool) -> Files:
    """Attack a ladder from the worst score, so every file improves.

    All rows slide from the worst common logit to the best one, m of them a code's distance ahead. The score
    falls by equal amounts; a file that is not shown is sent again a little further down.
    """
    n, limit, tally, n_positive = len(y), largest_logit(clip), Tally(len(y)), float(y.sum())
    ladder = Ladder(y, c=c, step=step, start=None if from_infinity else np.full(n, benchmark_logit(y)))
    grid = np.linspace(benchmark_logit(y), limit, 20_001)
    scores = softplus(grid) - grid * n_positive / n
    if ladder.submit(np.full(n, limit)) is None:
        tally.files = 1
        return tally.files_taken()
    groups = np.array_split(np.arange(n), math.ceil(n / m))
    fall = (scores[-1] - scores[0]) / len(groups)
    now, done = scores[-1], 0
    while done < len(groups) and now > scores[0] + 1e-9:
        now = max(scores[0], now - fall)
        base = float(np.interp(now, scores, grid))
        rows = groups[done]
        z = np.full(n, base)
        z[rows] = np.maximum(-limit, base - 1.0001 * n * step * 2.0 ** np.arange(len(rows)))
        shown = ladder.submit(z)
        if shown is None:
            fall = (now - scores[0]) / max(1, len(groups) - done)
            continue
        tally.files = ladder.files
        patterns = LABELLINGS_OF[len(rows)]
        constant = softplus(z).sum() - base * (n_positive)
        answers = (constant - patterns @ (z[rows] - base)) / n
        tally.read(int((patterns[np.abs(answers - shown).argmin()] == y[rows]).sum()))
        done += 1
    return tally.files_taken()


LABELLINGS_OF = {m: np.array(list(itertools.product((0.0, 1.0), repeat=m))) for m in range(1, 9)}


def best_sabotage(y: FloatArray, *, clip: float, c: float, step: float, from_infinity: bool = True) -> Files:
    """Return the fastest of 1 to 6 labels a file.

    The one that was soonest at 95 %.
    """
    tried = [sabotage(y, clip=clip, c=c, step=step, m=m, from_infinity=from_infinity) for m in range(1, 7)]
    return min(tried, key=lambda files: (files.to_95 or math.inf, -files.share))


# -- the ladder from the benchmark -------------------------------------------------------------------

SURE = 6.0
"""The logit of a row with a known or guessed label: right it costs .002, wrong 6."""


def threshold_alone(
    y: FloatArray, *, c: float, step: float, guess: float, rng: np.random.Generator, most: int = MOST_FILES
) -> int:
    """Return labels read in `most` files without a model.

    A file holds one row at a guessed label, and known rows moved towards theirs by just so much that it will
    be shown if the guess is right, and not if it is wrong. Either answer gives the label. A shown file spends
    what known rows can still gain, a refused one adds to it. While there is too little to spend, as at the
    start, several rows are guessed at once, and only success is informative.
    """
    n = len(y)
    start = benchmark_logit(y)
    ladder = Ladder(y, c=c, step=step, start=np.full(n, start))
    z = np.full(n, start)
    at_first = {1.0: float(softplus(-start)), 0.0: float(softplus(start))}
    gain = at_first[guess] - float(softplus(-SURE))
    score = ladder.released  # the benchmark's, which is published
    label = np.full(n, np.nan)
    unspent = np.zeros(n)  # what a known row still costs
    unknown = list(rng.permutation(n))
    while unknown and ladder.files < most:
        for g in range(1, 41):
            spent = _least_spending(ladder, score, float(unspent.sum()), float((unspent**2).sum()), g, gain)
            if spent is not None:
                break
        else:
            break
        g = min(g, len(unknown))
        rows = unknown[:g]
        file = z.copy()
        moved = unspent > 0
        left = np.maximum(unspent[moved] * (1 - spent), 1e-12)
        file[moved] = np.where(label[moved] == 1, 1.0, -1.0) * -np.log(np.expm1(left))
        file[rows] = SURE if guess == 1 else -SURE
        if ladder.submit(file) is not None:
            score -= (spent * float(unspent.sum()) + g * gain) / n
            z, unspent = file, unspent * (1 - spent)
            label[rows] = guess
            unspent[rows] = float(softplus(-SURE))
            del unknown[:g]
        elif g == 1:
            label[rows] = 1 - guess
            unspent[rows] = at_first[1 - guess]
            del unknown[0]
        else:
            rng.shuffle(unknown)
    return int((label == y).sum()) - int((~np.isnan(label) & (label != y)).sum())


def _least_spending(
    ladder: Ladder, score: float, total: float, squares: float, g: int, gain: float
) -> float | None:
    """Return the least losses to spend for g right guesses.

    As a share of the unspent ones; None if all is too little.
    """
    n = len(ladder.y)

    def is_shown(share: float) -> bool:
        change = share * total + g * gain
        variance = (share**2 * squares + g * gain**2 - change**2 / n) / (n - 1)
        shown = modes.ladder_release(
            score - change / n,
            ladder.released,
            math.sqrt(variance / n),
            c=ladder.c,
            step=ladder.step,
            greater_is_better=False,
        )
        return shown is not None

    if is_shown(0.0):
        return 0.0
    if not is_shown(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if is_shown(middle) else (middle, high)
    return min(1.0, high + 1e-7)


def draw_good_model(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    """Return labels, and the logits of a calibrated model.

    Log-loss about .39 where the benchmark has .65.
    """
    logits = rng.normal(-1.2, 2.5, n)
    return (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(float), logits


class Slide:
    """The way from the benchmark to a good model.

    z(t) = benchmark + t (model - benchmark). The score along it has one unknown, U = sum of y (model -
    benchmark) over the rows not yet read; the attacker starts from what the model expects and keeps the
    interval that the answers leave.
    """

    def __init__(self, y: FloatArray, model: FloatArray, *, c: float, step: float) -> None:
        self.n, self.model = len(y), model
        self.n_positive = float(y.sum())  # known, as everywhere here
        self.start = benchmark_logit(y)
        self.ladder = Ladder(y, c=c, step=step, start=np.full(self.n, self.start))
        self.p = 1 / (1 + np.exp(-model))
        self.d = model - self.start
        self.label = np.full(self.n, np.nan)
        middle = float((self.p * self.d).sum())
        self.spread = math.sqrt(float((self.p * (1 - self.p) * self.d**2).sum()))
        self.low, self.high = middle - 5 * self.spread, middle + 5 * self.spread
        self.middle = middle
        self.t, self.sent = 0.0, np.full(self.n, self.start)
        self.n_right_before = int(((model > 0) == (y == 1)).sum())

    def file(self, t: float) -> FloatArray:
        """Unread rows along the way, read ones at their label."""
        known = ~np.isnan(self.label)
        return np.where(known, np.where(self.label == 1, SURE, -SURE), self.start + t * self.d)

    def total(self, z: FloatArray, t: float, label: FloatArray, u: float) -> float:
        """Return the losses if U is u and `label` are the labels.

        Of the rows where `label` is not nan.
        """
        known = ~np.isnan(label)
        n_left = self.n_positive - float(label[known].sum())
        return float(softplus(z).sum() - (label[known] * z[known]).sum()) - self.start * n_left - t * u

    def is_shown(self, z: FloatArray, total: float, label: FloatArray) -> bool:
        """Return what the ladder would decide.

        The standard error of the difference is what the model expects of it.
        """
        y = np.where(np.isnan(label), self.p, label)
        a, b = softplus(z) - softplus(self.sent), z - self.sent
        squares = float((a**2 - 2 * a * b * y + b**2 * y).sum())
        mean = float((a - b * y).mean())
        # A tenth more: a file not shown for its error's sake would be read as a wrong guess.
        error = 1.1 * math.sqrt(max(0.0, squares - self.n * mean**2) / (self.n - 1) / self.n)
        ladder = self.ladder
        shown = modes.ladder_release(
            total / self.n, ladder.released, error, c=ladder.c, step=ladder.step, greater_is_better=False
        )
        return shown is not None

    def send(self, z: FloatArray, t: float) -> bool:
        shown = self.ladder.submit(z)
        if shown is not None:
            self.t, self.sent = t, z
        return shown is not None

    def narrow(self, low: float, high: float) -> None:
        """Narrow the interval of U.

        If that contradicts the known interval, an expected error was off: the known interval is widened.
        """
        if max(low, self.low) < min(high, self.high):
            self.low, self.high = max(low, self.low), min(high, self.high)
        else:
            self.low, self.high = self.low - self.spread / 10, self.high + self.spread / 10

    def narrow_by_shown(self, z: FloatArray, t: float) -> None:
        """Narrow U by a shown score, off by half a step at most.

        The file z is the leader.
        """
        rest = self.total(z, t, self.label, 0.0) - self.n * self.ladder.released
        half = self.n * self.ladder.step / 2
        self.narrow((rest - half) / t, (rest + half) / t)

    def read(self, row: int, label: float) -> None:
        self.label[row] = label
        moved = label * float(self.d[row])
        self.low, self.high, self.middle = self.low - moved, self.high - moved, self.middle - moved

    def gained(self) -> int:
        truth = self.ladder.y == 1
        final = np.where(np.isnan(self.label), self.model > 0, self.label == 1)
        return int((final == truth).sum()) - self.n_right_before


GRID = np.linspace(0.0, 1.0, 1001)


def threshold_with_model(
    y: FloatArray, model: FloatArray, *, c: float, step: float, most: int = MOST_FILES
) -> tuple[int, int]:
    """Return rows gained, and files sent.

    The doubtful rows first, each guessed against the model, so that few are shown. The slide goes on by just
    so much that the file is shown if the guess is right and not if it is wrong.
    """
    slide = Slide(y, model, c=c, step=step)
    for row in np.argsort(np.abs(model)).tolist():
        guess = 0.0 if model[row] > 0 else 1.0
        while slide.ladder.files < most:
            t, is_decisive = _meeting_point(slide, row, guess)
            if t is None:
                return slide.gained(), slide.ladder.files
            z = slide.file(t)
            if is_decisive:
                z[row] = SURE if guess == 1 else -SURE
                is_shown = slide.send(z, t)
                slide.read(row, guess if is_shown else 1 - guess)
                if is_shown and t > 0:
                    slide.narrow_by_shown(z, t)
                break
            # U is not known well enough: a file without a guess, which its middle value decides.
            middle = (slide.low + slide.high) / 2
            t = _first(GRID[slide.t < GRID], partial(_is_shown_at, slide, middle))
            if t is None:
                return slide.gained(), slide.ladder.files
            z = slide.file(t)
            if slide.send(z, t):
                slide.narrow(middle - abs(middle) * 1e-3, math.inf)
                slide.narrow_by_shown(z, t)
            else:
                slide.narrow(-math.inf, middle + abs(middle) * 1e-3)
    return slide.gained(), slide.ladder.files


def _is_shown_at(slide: Slide, u: float, t: float) -> bool:
    z = slide.file(t)
    return slide.is_shown(z, slide.total(z, t, slide.label, u), slide.label)


def _meeting_point(slide: Slide, row: int, guess: float) -> tuple[float | None, bool]:
    """Return the first t that shows a right guess for every U.

    Beside it whether a wrong guess is not shown there.
    """
    own = float(slide.d[row])

    def shown_if(t: float, label: float, u: float) -> bool:
        z, labels = slide.file(t), slide.label.copy()
        z[row], labels[row] = (SURE if guess == 1 else -SURE), label
        return slide.is_shown(z, slide.total(z, t, labels, u - label * own), labels)

    t = _first(GRID[slide.t <= GRID], lambda t: shown_if(t, guess, slide.low))
    return t, t is not None and not shown_if(t, 1 - guess, slide.high)


def _first(grid: FloatArray, holds: Callable[[float], bool]) -> float | None:
    """Return the first value from which the condition holds.

    By halving; None if it does not hold at the last.
    """
    if not len(grid) or not holds(float(grid[-1])):
        return None
    low, high = -1, len(grid) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(float(grid[middle])) else (middle, high)
    return float(grid[high])


def code_with_model(
    y: FloatArray, model: FloatArray, *, c: float, step: float, m: int, fall: float, most: int = MOST_FILES
) -> tuple[int, int]:
    """Return rows gained, and files sent.

    Every file is `fall` steps better than the last shown one is expected to be, and holds m doubtful rows
    ahead of the slide by a code's distances, which its shown score is to spell.
    """
    slide = Slide(y, model, c=c, step=step)
    queue = np.argsort(np.abs(model)).tolist()
    ahead = 1.0
    while len(queue) >= m and slide.ladder.files < most:
        rows = np.array(queue[:m])
        target = slide.n * (slide.ladder.released - ahead * fall * step)
        u = float(np.clip(slide.middle, slide.low, slide.high))
        t = _first(GRID[slide.t < GRID], partial(_is_below, slide, u, target))
        if t is None:
            break
        z = slide.file(t)
        z[rows] -= np.sign(model[rows]) * slide.n * step * 2.0 ** np.arange(m)
        if not slide.send(z, t):
            ahead += 0.5
            continue
        ahead = 1.0
        best, most_likely, interval = None, -1.0, (slide.low, slide.high)
        rest = slide.n * slide.ladder.released
        half = slide.n * step / 2
        for pattern in LABELLINGS_OF[m]:
            labels = slide.label.copy()
            labels[rows] = pattern
            moved = float(pattern @ slide.d[rows])
            at_zero = slide.total(z, t, labels, 0.0) - rest
            low, high = (
                max(slide.low, (at_zero - half) / t + moved),
                min(slide.high, (at_zero + half) / t + moved),
            )
            chance = float(np.prod(np.where(pattern == 1, slide.p[rows], 1 - slide.p[rows])))
            chance *= max(0.0, _normal(high, slide) - _normal(low, slide))
            if chance > most_likely and low < high:
                best, most_likely, interval = pattern, chance, (low, high)
        if best is not None:
            slide.narrow(*interval)
            for row, label in zip(rows.tolist(), best.tolist(), strict=True):
                slide.read(row, label)
        queue = queue[m:]
    return slide.gained(), slide.ladder.files


def _is_below(slide: Slide, u: float, target: float, t: float) -> bool:
    return slide.total(slide.file(t), t, slide.label, u) < target


def _normal(u: float, slide: Slide) -> float:
    """The model's own belief about U."""
    return math.erf((u - slide.middle) / slide.spread / math.sqrt(2)) / 2


# -- figures -----------------------------------------------------------------------------------------


def figures(*, smoke: bool) -> list[Figure]:
    rng = np.random.default_rng(20260)
    y = draw_labels(rng, N)
    step = modes.rounding_step(N, benchmark_error(y))
    c = modes.LADDER_C
    ours = f"our step {step:g}, c={c:g}"
    found: list[Figure] = []

    def files(name: str, taken: Files, aim: str = "", met: bool | None = None) -> None:
        found.append(Figure(f"{name}: files to 95 % / all", str(taken), aim, met))

    # Reading of the code, against the figures measured before (research: 25, 84, 112, 167; clip 1e-6: 91;
    # subset 200).
    taken = code_on_exact(y, 1e-15, CODE_BITS)
    files("log-loss, exact, code of 40", taken, "25", taken.to_all == 25)
    for decimals, expected in ((5, 84), (4, 112), (3, 167)):
        taken = code_on_rounded(y, 1e-15, 10.0**-decimals)
        files(f"log-loss, {decimals} decimals, code", taken, str(expected), taken.to_all == expected)
    taken = code_on_rounded(y, 1e-6, 1e-5)
    files("log-loss, 5 decimals, clip 1e-6, code", taken, "91", taken.to_all == 91)
    taken = code_on_subset(y, 1e-15, 1e-5, rng)
    files("log-loss, 5 decimals, secret 30 % scored, code", taken, "200", taken.to_all == 200)

    # The budget must not promise more than this benchmark's own attacks allow.
    taken = designs_on_rounded(y, 1e-15, step, rng)
    files(f"log-loss, rounded to {step:g}, own designs", taken)
    if not smoke:
        files("log-loss, exact, code of 48", code_on_exact(y, 1e-15, 48))
        files(f"log-loss, rounded to {step:g}, code", code_on_rounded(y, 1e-15, step))
        for clip, coarse in ((1e-2, step), (1e-3, 0.01)):
            files(f"log-loss, rounded to {coarse:g}, clip {clip:g}, code", code_on_rounded(y, clip, coarse))
            taken = designs_on_rounded(y, clip, coarse, rng)
            files(f"log-loss, rounded to {coarse:g}, clip {clip:g}, own designs", taken)
        for auc_step in (1e-5, 1e-4, 1e-3, 5e-3):
            files(f"AUC, rounded to {auc_step:g}, own designs", designs_on_auc(y, auc_step, rng))

    for rungs, height in ((1.0, 1e-3),) if smoke else ((1.0, 1e-3), (2.0, 1e-3), (3.0, 1e-3), (1.0, step)):
        taken = best_sabotage(y, clip=1e-15, c=rungs, step=height)
        aim, met = ("", None)
        if height == 1e-3 and rungs < 3:
            aim, met = "201 or fewer", taken.to_all is not None and taken.to_all <= 201
        files(f"ladder from infinity, c={rungs:g}, step {height:g}, sabotage", taken, aim, met)
    taken = best_sabotage(y, clip=1e-15, c=c, step=1e-3, from_infinity=False)
    files(f"ladder from the benchmark, c={c:g}, step .001, sabotage", taken, "never", taken.to_95 is None)

    def read(name: str, labels: FloatArray, c: float, step: float, *, aimed: bool) -> None:
        # The attacker without a model may guess either class; the better of the two is printed.
        right = max(threshold_alone(labels, c=c, step=step, guess=g, rng=rng) for g in (0.0, 1.0))
        value = f"{right} of {len(labels)} labels in {MOST_FILES:,} files"
        aim = f"over {MOST_FILES:,} files for 95 %" if aimed else ""
        found.append(Figure(name, value, aim, right < 0.95 * len(labels) if aimed else None))

    read(f"ladder from the benchmark, {ours}, own threshold", y, c, step, aimed=True)
    if not smoke:
        for rungs, height in ((2.0, step), (3.0, step), (1.0, 1e-3), (2.0, 1e-3), (3.0, 1e-3)):
            read(
                f"ladder from the benchmark, c={rungs:g}, step {height:g}, own threshold",
                y,
                rungs,
                height,
                aimed=False,
            )
        even = draw_labels(rng, N, 0.5)
        finest = modes.rounding_step(N, benchmark_error(even))
        name = f"the same, classes even, so the benchmark's error is 0 and our step {finest:g}"
        read(name, even, c, finest, aimed=True)
        read(f"the same, step {step:g}", even, c, step, aimed=False)

    found += _good_model_figures(c, step, smoke=smoke)
    return found


def _good_model_figures(c: float, step: float, *, smoke: bool) -> list[Figure]:
    boards = [draw_good_model(np.random.default_rng([20260, i]), N) for i in range(1 if smoke else 5)]
    found = []
    for rungs, height in ((c, step),) if smoke else ((c, step), (1.0, step), (c, 1e-3), (c, 1e-2)):
        is_ours = (rungs, height) == (c, step)
        aim = "at most 5 rows" if is_ours else ""
        settings = [(1, 1.0), (1, 2.0)] if smoke else [(m, fall) for m in (1, 2) for fall in (1.0, 2.0, 4.0)]
        coded = [
            [code_with_model(y, model, c=rungs, step=height, m=m, fall=fall) for y, model in boards]
            for m, fall in settings
        ]
        best = max(coded, key=lambda runs: sum(gain for gain, _ in runs))
        for name, runs in (
            ("code", best),
            ("own threshold", [threshold_with_model(y, model, c=rungs, step=height) for y, model in boards]),
        ):
            gain = sum(gain for gain, _ in runs) / len(runs)
            sent = sum(sent for _, sent in runs) / len(runs)
            found.append(
                Figure(
                    f"good model, ladder{', ours:' if is_ours else ''} c={rungs:g}, step {height:g}, {name}",
                    f"+{gain:.1f} rows right in {sent:.0f} files",
                    aim,
                    gain <= 5 if is_ours else None,
                )
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds: fewer attacks, one board")
    given = parser.parse_args()
    began = time.perf_counter()
    print(TITLE)
    for figure in figures(smoke=given.smoke):
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        print(f"{figure.name:<90}  {figure.value:<40}  {figure.aim:<24}  {verdict}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
