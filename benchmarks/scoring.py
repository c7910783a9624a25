"""Measure scoring one file, against peers and a floor.

Of every file four things are timed, in turns within one process, so that a slow spell of the machine slows
all of them: `scorer.score`; the same with the file parsed in the sandbox, as workers do; the peers' way,
which is pandas.read_csv, a merge on the id with a solution already in memory, and the metric of scikit-learn
(or a plain loop where it has none) on both splits; and the floor, pyarrow's CSV parser on one thread, which
gets columns and checks nothing. Ids are shuffled. Memory is measured in a process of its own for each way.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import sklearn.metrics
from _common import median, ms

import scorer

K = 5
CLASSES = [f"c{i}" for i in range(10)]


@dataclass(frozen=True)
class Kind:
    """A metric with data for it and the peers' code."""

    metric: str
    """As it stands in challenge.yaml."""
    columns: Sequence[str]
    truth: Callable[[np.random.Generator, int], dict[str, Any]]
    predicted: Callable[[np.random.Generator, int], dict[str, Any]]
    peers: Callable[[pd.DataFrame], float]
    """Of the merged frame: truth columns as y, y_..., predictions by their names."""


def _flags(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {"y": rng.integers(0, 2, n)}


def _uniform(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {"p": rng.random(n)}


def _map_at_k(frame: pd.DataFrame) -> float:
    total = 0.0
    for truth, listed in zip(frame["y"], frame["p"], strict=True):
        relevant = truth.split()
        hits, score = 0, 0.0
        for place, item in enumerate(listed.split()[:K]):
            if item in relevant and item not in listed.split()[:place]:
                hits += 1
                score += hits / (place + 1)
        total += score / min(len(relevant), K)
    return total / len(frame)


def _items(count: int) -> Callable[[np.random.Generator, int], Any]:
    def draw(rng: np.random.Generator, n: int) -> Any:
        items = np.array([f"i{number}" for number in range(1000)])
        columns = [pa.array(items[rng.integers(0, 1000, n)]) for _ in range(count)]
        return pa.compute.binary_join_element_wise(*columns, " ") if count > 1 else columns[0]

    return draw


def _class_probabilities(rng: np.random.Generator, n: int) -> dict[str, Any]:
    raw = rng.random((n, len(CLASSES)))
    raw /= raw.sum(axis=1, keepdims=True)
    return {name: raw[:, i] for i, name in enumerate(CLASSES)}


KINDS = {
    "log_loss": Kind("log_loss", ["p"], _flags, _uniform, lambda f: sklearn.metrics.log_loss(f["y"], f["p"])),
    "sse": Kind(
        "sse",
        ["p"],
        lambda rng, n: {"y": rng.normal(size=n)},
        lambda rng, n: {"p": rng.normal(size=n)},
        lambda f: float(((f["y"] - f["p"]) ** 2).sum()),
    ),
    "accuracy": Kind(
        "accuracy",
        ["p"],
        lambda rng, n: {"y": rng.integers(0, 10, n)},
        lambda rng, n: {"p": rng.integers(0, 10, n)},
        lambda f: sklearn.metrics.accuracy_score(f["y"], f["p"]),
    ),
    "roc_auc": Kind(
        "roc_auc", ["p"], _flags, _uniform, lambda f: sklearn.metrics.roc_auc_score(f["y"], f["p"])
    ),
    "qwk": Kind(
        "{name: qwk, min_rating: 0, max_rating: 4}",
        ["p"],
        lambda rng, n: {"y": rng.integers(0, 5, n)},
        lambda rng, n: {"p": rng.integers(0, 5, n)},
        lambda f: sklearn.metrics.cohen_kappa_score(f["y"], f["p"], weights="quadratic"),
    ),
    "map_at_k": Kind(
        f"{{name: map_at_k, k: {K}}}",
        ["p"],
        lambda rng, n: {"y": _items(1)(rng, n)},
        lambda rng, n: {"p": _items(K)(rng, n)},
        _map_at_k,
    ),
    "log_loss, 10 classes": Kind(
        "log_loss",
        CLASSES,
        lambda rng, n: {"y": np.array(CLASSES)[rng.integers(0, 10, n)]},
        _class_probabilities,
        lambda f: sklearn.metrics.log_loss(f["y"], f[CLASSES], labels=CLASSES),
    ),
}


def write_challenge(folder: Path, kind: Kind, n_rows: int, *, string_ids: bool) -> Path:
    """Write a challenge of so many rows, and a submission.

    The submission has its rows in another order.
    """
    rng = np.random.default_rng(n_rows)
    numbers = np.arange(n_rows)
    shuffled = rng.permutation(n_rows)
    ids, sent = (_string_ids(numbers), _string_ids(shuffled)) if string_ids else (numbers, shuffled)
    usage = pa.array(np.where(rng.random(n_rows) < 0.3, "Public", "Private"))
    truth = kind.truth(rng, n_rows)
    if kind.columns == ["p"]:
        truth = {"p": truth["y"]}
    (folder / "private").mkdir(parents=True)
    _write(folder / "private/solution.csv", {"id": ids, **truth, "Usage": usage})
    _write(folder / "submission.csv", {"id": sent, **kind.predicted(rng, n_rows)})
    limit = (folder / "submission.csv").stat().st_size * 2 + 100_000
    (folder / "challenge.yaml").write_text(
        f"title: Benchmark\nmetric: {kind.metric}\n"
        f"submission: {{id: id, columns: [{', '.join(kind.columns)}], max_bytes: {limit}}}\n",
        encoding="utf-8",
    )
    return folder


def _string_ids(numbers: Any) -> pa.Array:
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return pa.array([f"{number:016x}" for number in mixed.tolist()])


def _write(path: Path, columns: dict[str, Any]) -> None:
    options = pa.csv.WriteOptions(quoting_style="none")
    pa.csv.write_csv(pa.table(columns), path, write_options=options)


class Ways:
    """The ways to read one file, ready to be called."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder, self.kind = folder, kind

    def load(self) -> scorer.Challenge:
        return scorer.load(self.folder, prepared=self.folder / "prepared")

    def ours(self) -> Callable[[], Any]:
        challenge = self.load()
        return lambda: scorer.score(challenge, self.folder / "submission.csv").public

    def locked(self) -> Callable[[], Any]:
        here = self.ours()

        def run() -> Any:
            with scorer.locked_in():
                return here()

        return run

    def peers(self) -> Callable[[], Any]:
        solution = pd.read_csv(self.folder / "private/solution.csv")
        solution = solution.rename(columns={"p": "y"})

        def run() -> dict[str, float]:
            submission = pd.read_csv(self.folder / "submission.csv")
            merged = solution.merge(submission, on="id", validate="one_to_one")
            return {
                split: self.kind.peers(merged[merged["Usage"] == split]) for split in ("Public", "Private")
            }

        return run

    def floor(self) -> Callable[[], Any]:
        path = self.folder / "submission.csv"
        options = pa.csv.ReadOptions(use_threads=False)
        return lambda: pa.csv.read_csv(path, read_options=options).num_rows


def in_turns(runs: Sequence[Callable[[], Any]], times: int) -> list[float]:
    """Return the median seconds of each, after one discarded run."""
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(times + 1):
        for run, own in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            if turn:
                own.append(time.perf_counter() - start)
    return [median(own) for own in seconds]


# --- memory -----------------------------------------------------------------------------------------


def measure_memory(folder: Path, kind: str, way: str) -> tuple[float, float]:
    """Return (resident, private) peak megabytes above those of the imports.

    Measured in a process of its own.
    """
    command = [sys.executable, __file__, "--memory-of", way, "--kind", kind, "--folder", str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    resident, private = run.stdout.split()
    return float(resident), float(private)


def print_memory(folder: Path, kind: str, way: str) -> None:
    ways = Ways(folder, KINDS[kind])
    base = _status("VmRSS"), _status("RssAnon")
    peak, done = [base[1]], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], _status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    getattr(ways, way)()()
    done.set()
    watcher.join()
    # Not getrusage: a process inherits its maximum from the one that started it.
    sys.stdout.write(f"{_status('VmHWM') - base[0]:.0f} {peak[0] - base[1]:.0f}\n")


def _status(what: str) -> float:
    """Megabytes, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


# --- tables -----------------------------------------------------------------------------------------


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--smoke", action="store_true", help="small files, two runs")
    arguments.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
    arguments.add_argument("--memory-rows", type=int, nargs="*", default=[10_000_000, 40_000_000])
    arguments.add_argument("--times", type=int, default=5)
    arguments.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    arguments.add_argument(
        "--memory-of", choices=["ours", "locked", "peers", "floor"], help=argparse.SUPPRESS
    )
    arguments.add_argument("--kind", help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.memory_of:
        print_memory(given.folder, given.kind, given.memory_of)
        return
    if given.smoke:
        given.rows, given.memory_rows, given.times = [1_000], [20_000], 2
    common.console.print(common.machine())
    with tempfile.TemporaryDirectory(prefix="heldout-scoring-") as home:
        rows = []
        for n_rows in given.rows:
            for name in given.kinds:
                # Ten columns of ten million rows are two gigabytes of text, and a loop takes minutes.
                if n_rows > 2_000_000 and name in ("map_at_k", "log_loss, 10 classes"):
                    continue
                for string_ids in (False, True):
                    # The peers' merge on ten million texts takes minutes each time.
                    if n_rows > 2_000_000 and string_ids:
                        continue
                    folder = write_challenge(
                        Path(home, "challenge"), KINDS[name], n_rows, string_ids=string_ids
                    )
                    ways = Ways(folder, KINDS[name])
                    runs = [ways.ours(), ways.locked(), ways.peers(), ways.floor()]
                    ours, locked, peers, floor = in_turns(runs, given.times)
                    common.console.print(
                        f"{name}, {n_rows:,} rows: {ours:.3f} s, {locked:.3f} s, {peers:.3f} s, {floor:.3f} s"
                    )
                    rows.append(
                        [
                            name,
                            f"{n_rows:,}",
                            "text" if string_ids else "integer",
                            ms(ours),
                            ms(locked),
                            ms(peers),
                            ms(floor),
                            f"{locked / ours:.2f}",
                            f"{peers / ours:.1f}",
                            f"{ours / floor:.2f}",
                        ]
                    )
                    shutil.rmtree(folder)
        header = [
            "metric",
            "rows",
            "ids",
            "ours ms",
            "in the sandbox ms",
            "peers ms",
            "floor ms",
            "sandbox / ours",
            "peers / ours",
            "ours / floor",
        ]
        common.print_table(f"Seconds of scoring one file, medians of {given.times}", header, rows)

        rows = []
        for n_rows in given.memory_rows:
            for name in [kind for kind in ("log_loss", "sse", "accuracy", "roc_auc") if kind in given.kinds]:
                folder = write_challenge(Path(home, "challenge"), KINDS[name], n_rows, string_ids=False)
                scorer.load(folder, prepared=folder / "prepared")
                own, private = measure_memory(folder, name, "ours")
                # The peers' way does not fit into memory at the largest size.
                theirs = f"{measure_memory(folder, name, 'peers')[0]:.0f}" if n_rows <= 10_000_000 else "-"
                rows.append([name, f"{n_rows:,}", f"{private:.0f}", f"{own:.0f}", theirs])
                shutil.rmtree(folder)
        header = ["metric", "rows", "ours private MB", "ours resident MB", "peers resident MB"]
        common.print_table("Peak memory above the imports, integer ids", header, rows)


if __name__ == "__main__":
    main()
