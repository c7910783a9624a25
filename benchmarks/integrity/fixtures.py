"""Challenges with leaks shaped like real ones found after publication.

mle-bench lists them (openai/mle-bench, issues 77, 93, 108, 63); the data here are generated, only the shape
of the leak is real:

    77   the test samples' MATLAB files hold the gestures that are to be recognised
    93   beside the test recordings lies a log with the positions that are to be predicted
    108  a column names the giver of a request, and so is only known of granted ones
    63   the same speakers are in train and test, where the task is to recognise new ones

Found means: of the codes that fit, one blocks or warns; beside it the share of sound twins of the same shape
that get such a finding.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
from figure import Figure
from numpy.typing import NDArray

import scorer
from scorer.leakage.audit import Audit, audit

TITLE = "Leaks of the shape of real ones (mle-bench issues 77, 93, 108, 63)"


@dataclass
class Draft:
    """A challenge before it is written; leaks are planted in it."""

    train: pd.DataFrame
    test: pd.DataFrame
    """With the target."""
    target: list[str]
    metric: str
    usage: NDArray[np.str_]
    rng: np.random.Generator
    split: dict[str, str] = field(default_factory=dict)
    """What challenge.yaml declares."""
    sample: pd.DataFrame | None = None
    """Default: a constant for every row."""
    files: dict[str, bytes] = field(default_factory=dict)
    """More files of public/, by name."""
    hidden_columns: list[str] = field(default_factory=list)
    """Columns of the test table that only the organiser has."""
    dates: dict[str, float] = field(default_factory=dict)
    """Of files: seconds since 1970."""

    @property
    def ids(self) -> list[str]:
        return self.test["id"].astype(str).tolist()

    @property
    def y(self) -> NDArray[np.float64]:
        """The hidden target as numbers, classes by their code."""
        column = self.test[self.target[0]]
        return (
            column if pd.api.types.is_numeric_dtype(column) else column.astype("category").cat.codes
        ).to_numpy(dtype=np.float64)

    def write(self, folder: Path) -> Path:
        public, private = folder / "public", folder / "private"
        public.mkdir(parents=True)
        private.mkdir()
        split = json.dumps(self.split)
        (folder / "challenge.yaml").write_text(
            f"format: 1\ntitle: A draft\nmetric: {self.metric}\n"
            f"submission: {{id: id, columns: {json.dumps(self.target)}}}\nsplit: {split}\n"
        )
        self.train.to_csv(public / "train.csv", index=False)
        self.test.drop(columns=[*self.target, *self.hidden_columns]).to_csv(public / "test.csv", index=False)
        sample = self.sample
        if sample is None:
            sample = self.test[["id"]].copy()
            for name in self.target:
                column = self.train[name]
                constant = (
                    column.mean()
                    if self.metric in ("rmse", "log_loss", "roc_auc", "mae")
                    else column.mode()[0]
                )
                sample[name] = constant
        sample.to_csv(public / "sample_submission.csv", index=False)
        self.test[["id", *self.target]].assign(Usage=self.usage).to_csv(private / "solution.csv", index=False)
        for name, content in self.files.items():
            path = public / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, moment in self.dates.items():
            os.utime(public / name, (moment, moment))
        return folder

    def audit(self, folder: Path) -> Audit:
        """Written, loaded, audited, removed."""
        try:
            return audit(scorer.load(self.write(folder)))
        finally:
            shutil.rmtree(folder)


def usage(rng: np.random.Generator, n: int, share: float = 0.35) -> NDArray[np.str_]:
    """Public and Private at random, both with rows."""
    return np.where(rng.permutation(n) < max(1, round(share * n)), "Public", "Private")


# --- the four ---------------------------------------------------------------------------------------


def gestures(rng: np.random.Generator, *, leaky: bool) -> Draft:
    """77: one zip per sample, whose struct still has Labels."""
    n = 160
    kinds = rng.integers(0, 6, n)
    table = pd.DataFrame({"id": [f"Sample{number:05d}" for number in rng.permutation(99_999)[:n]]})
    for column in range(5):
        table[f"motion_{column}"] = np.round(rng.normal(0.6 * (kinds == column), 1), 4)
    names = np.array(["vattene", "basta", "perfetto", "furbo", "okay", "fame"])
    table["gesture"] = names[kinds]
    train, test = table[:100].reset_index(drop=True), table[100:].reset_index(drop=True)
    draft = Draft(train, test, ["gesture"], "accuracy", usage(rng, len(test)), rng)
    for side, rows in (("train", train), ("test", test)):
        for row in rows.itertuples():
            frames = rng.integers(900, 1800)
            labels = {"Name": row.gesture, "Begin": 1.0, "End": float(frames)}
            video = {
                "NumFrames": float(frames),
                "FrameRate": 20.0,
                "Skeleton": rng.normal(size=(4, 3)),
                **({"Labels": labels} if leaky or side == "train" else {}),
            }
            matrix, packed = io.BytesIO(), io.BytesIO()
            scipy.io.savemat(matrix, {"Video": video}, do_compression=True)
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr(f"{row.id}_data.mat", matrix.getvalue())
            draft.files[f"{side}/{row.id}.zip"] = packed.getvalue()
    return draft


def positions(rng: np.random.Generator, *, leaky: bool) -> Draft:
    """93: a folder per drive with the better receiver's log.

    Beside the phone's readings.
    """
    rows: list[dict[str, object]] = []
    files: dict[str, bytes] = {}
    for drive in range(12):
        side = "train" if drive < 8 else "test"
        steps = int(rng.integers(60, 90))
        lat = 37.3 + drive * 0.01 + np.cumsum(rng.normal(0, 1e-5, steps))
        lon = -122.1 + drive * 0.01 + np.cumsum(rng.normal(0, 1e-5, steps))
        name = f"2021-0{1 + drive % 9}-1{drive % 10}-US-{drive}"
        start = 1_300_000_000 + drive * 90_000
        sentences = []
        for step in range(steps):
            rows.append(
                {
                    "id": f"{name}_{start + step}",
                    "drive": name,
                    "seconds": start + step,
                    "signal": round(rng.normal(40, 4), 2),
                    "clock": round(rng.normal(), 5),
                    "latDeg": round(lat[step], 7),
                    "lngDeg": round(lon[step], 7),
                    "_side": side,
                }
            )
            degrees = [f"{int(abs(v)):02d}{(abs(v) % 1) * 60:010.7f}" for v in (lat[step], lon[step])]
            sentences.append(
                f"$GPGGA,{step:06d}.00,{degrees[0]},N,{degrees[1]},W,1,"
                f"{rng.integers(8, 14)},0.8,31.4,M,,M,,*5{step % 10}"
            )
            sentences.append(f"$GPRMC,{step:06d}.00,A,{rng.normal():.3f},{rng.normal():.3f}*7{step % 10}")
        files[f"{side}/{name}/supplemental/gnss.txt"] = "".join(
            f"Raw,{step},{rng.normal():.4f},{rng.integers(1, 32)}\n" for step in range(steps)
        ).encode()
        if leaky or side == "train":
            files[f"{side}/{name}/supplemental/span_log.nmea"] = "\r\n".join(sentences).encode()
    table = pd.DataFrame(rows)
    train = table[table["_side"] == "train"].drop(columns="_side").reset_index(drop=True)
    test = table[table["_side"] == "test"].drop(columns="_side").reset_index(drop=True)
    draft = Draft(train, test, ["latDeg", "lngDeg"], "rmse", usage(rng, len(test)), rng, files=files)
    draft.split = {"strategy": "grouped", "group": "drive"}
    draft.usage = np.where(test["drive"].isin(test["drive"].unique()[:2]), "Public", "Private")
    return draft


def requests(rng: np.random.Generator, *, leaky: bool) -> Draft:
    """108: the giver of the pizza, known of some granted requests."""
    n = 1500
    given = (rng.random(n) < 0.25).astype(int)
    table = pd.DataFrame(
        {
            "id": [f"t3_{number:05x}" for number in rng.permutation(999_999)[:n]],
            "account_age": np.round(rng.gamma(2, 200, n) * (1 + 0.3 * given), 2),
            "n_words": rng.poisson(60 + 8 * given),
            "karma": np.round(rng.normal(900, 300, n)),
            "hour": rng.integers(0, 24, n),
            "giver_username_if_known": np.where(
                (given == 1) & (rng.random(n) < 0.8) & leaky,
                [f"user{k}" for k in rng.integers(0, 400, n)],
                "N/A",
            ),
            "received": given,
        }
    )
    if not leaky:
        table = table.drop(columns="giver_username_if_known")
    cut = 1000
    train, test = table[:cut].reset_index(drop=True), table[cut:].reset_index(drop=True)
    return Draft(train, test, ["received"], "roc_auc", usage(rng, len(test)), rng)


def speakers(rng: np.random.Generator, *, leaky: bool) -> Draft:
    """63: 40 speakers with some 20 clips each.

    Clips drawn at random put every speaker on both sides.
    """
    speaker = np.repeat(np.arange(40), 20)
    n = len(speaker)
    accent = rng.normal(size=40)
    voice = rng.normal(size=(40, 6))
    table = pd.DataFrame({"id": [f"clip{number:06d}" for number in rng.permutation(999_999)[:n]]})
    names = np.array([f"spk{number}" for number in rng.permutation(9999)[:40]])
    table["speaker"] = names[speaker]
    for column in range(6):
        table[f"mfcc_{column}"] = np.round(
            voice[speaker, column] + rng.normal(0, 0.4, n) + 0.15 * accent[speaker], 4
        )
    table["command"] = (accent[speaker] + rng.normal(0, 0.4, n) > 0).astype(int)
    order = rng.permutation(n)
    in_test = np.isin(speaker, rng.permutation(40)[:14]) if not leaky else rng.permutation(n) < 280
    train = table[~in_test].sample(frac=1, random_state=int(order[0])).reset_index(drop=True)
    test = table[in_test].sample(frac=1, random_state=int(order[1])).reset_index(drop=True)
    draft = Draft(train, test, ["command"], "log_loss", usage(rng, len(test)), rng)
    draft.split = {"strategy": "grouped", "group": "speaker"}
    return draft


def undeclared_speakers(rng: np.random.Generator, *, leaky: bool) -> Draft:
    """63, where the speaker is not declared as a group."""
    draft = speakers(rng, leaky=leaky)
    draft.split = {}
    return draft


FIXTURES: Mapping[str, tuple[Callable[..., Draft], tuple[str, ...]]] = {
    "77, labels in .mat test files": (gestures, ("labels_in_public_file",)),
    "93, answers in a log beside the test data": (positions, ("labels_in_public_file",)),
    "108, a column known after the outcome": (
        requests,
        ("post_outcome_feature", "strong_feature", "missingness_signal"),
    ),
    "63, speakers on both sides, declared": (speakers, ("group_overlap",)),
    "63, speakers on both sides, not declared": (undeclared_speakers, ("group_overlap",)),
}


def figures(*, smoke: bool) -> list[Figure]:
    found: list[Figure] = []
    repetitions = 1 if smoke else 5
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as home:
        for number, (name, (make, codes)) in enumerate(FIXTURES.items()):
            hits, false, severity = 0, 0, set()
            for repetition in range(repetitions):
                for leaky in (True, False):
                    draft = make(np.random.default_rng([63, number, repetition]), leaky=leaky)
                    result = draft.audit(Path(home) / "draft")
                    loud = [f for f in result.findings if f.code in codes and f.severity != "info"]
                    if leaky:
                        hits += bool(loud)
                        severity |= {f.severity for f in loud}
                    else:
                        false += bool(loud)
            words = "/".join(sorted(severity)) or "-"
            found.append(
                Figure(
                    name,
                    f"found {hits} of {repetitions} ({words}); sound twins {false} of {repetitions}",
                    "all found",
                    hits == repetitions and not false,
                )
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="one of each")
    given = parser.parse_args()
    began = time.perf_counter()
    print(TITLE)
    for figure in figures(smoke=given.smoke):
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        print(f"{figure.name:<50}  {figure.value:<60}  {figure.aim:<12}  {verdict}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
