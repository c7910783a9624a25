"""Fuzz the reader of submissions, guided by coverage (atheris, libFuzzer).

    python benchmarks/fuzz.py reader --minutes 8
    python benchmarks/fuzz.py --smoke

For any bytes the reader must accept or refuse with InvalidSubmission: any other exception, and any file that
needs more than 10 seconds or 1 GB, is a find. Finds stay in build/fuzz/ and can be given again as arguments.
"""

from __future__ import annotations

import argparse
import gzip
import io
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOUND = ROOT / "build" / "fuzz"
SMOKE_SECONDS = 4

IDS = [str(number) for number in range(1, 21)]
YAML = """\
format: 1
title: Tiny
metric: {metric}
submission: {{id: id, columns: [target], parquet: true}}
"""
WORDS = (
    '"id,target"', '"0.5"', '"1e308"', '"NaN"', '"inf"', '"\\x22"', '"\\x22\\x22"', '"\\x0d\\x0a"',
    '"\\xef\\xbb\\xbf"',
    '"PAR1"', '"PK\\x03\\x04"', '"\\x1f\\x8b\\x08"', '"-0"', '"1_0"', '"__MACOSX/"', '"\\x00"',
    '"\\xff\\xfe"', '"1,0.5"',
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("target", nargs="?", choices=["reader"], default="reader")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--smoke", action="store_true", help="a few seconds, as in CI")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(*given.child)
    if find_spec("atheris") is None:
        print("nothing was fuzzed: atheris needs Linux on x86_64 and Python below 3.14")
        return 0
    return run(SMOKE_SECONDS if given.smoke else round(given.minutes * 60))


def run(seconds: int) -> int:
    """Run one libFuzzer process over a corpus of seeds.

    Prints one table; ends with 1 if there is a find.
    """
    FOUND.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
        words = Path(folder, "words")
        words.write_text("\n".join(WORDS) + "\n", encoding="ascii")
        n_seeds = len(list(corpus.iterdir()))
        options = [
            f"-max_total_time={seconds}",
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=1000",
            f"-dict={words}",
            f"-artifact_prefix={FOUND}/",
            "-print_final_stats=1",
            "-close_fd_mask=1",
        ]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, __file__, "--child", folder, *options, str(corpus)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        took = time.monotonic() - began
        n_kept = len(list(corpus.iterdir())) - n_seeds
    output = done.stderr
    runs = re.findall(r"stat::number_of_executed_units:\s*(\d+)", output)
    reached = re.findall(r"cov: (\d+) ft: (\d+)", output)
    peak = re.findall(r"stat::peak_rss_mb:\s*(\d+)", output)
    print(
        "| reader | seconds | files tried | seeds | kept for new paths | edges | features | peak MB | finds |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    edges, features = reached[-1] if reached else ("?", "?")
    finds = re.findall(r"Test unit written to (\S+)", output)
    print(
        f"| any bytes | {took:.0f} | {runs[-1] if runs else '?'} | {n_seeds} | {n_kept} | {edges} "
        f"| {features} "
        f"| {peak[-1] if peak else '?'} | {len(finds)} |"
    )
    if done.returncode:
        print(output[-6000:], file=sys.stderr)
        for find in finds:
            print(f"find: {find}", file=sys.stderr)
    return 1 if done.returncode else 0


def child(folder: str, *options: str) -> int:
    """Be the process that is fuzzed.

    Its imports are instrumented, so that libFuzzer sees the paths that bytes take.
    """
    import atheris

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["scorer"], enable_loader_override=False):
        import scorer
        from scorer.submission.reader import read_submission
        from scorer.submission.sinks import Collected
    challenges = []
    for metric, truth in (("log_loss", [str(n % 2) for n in range(20)]), ("accuracy", ["cat", "dog"] * 10)):
        home = Path(folder, metric)
        (home / "private").mkdir(parents=True)
        (home / "public").mkdir()
        (home / "challenge.yaml").write_text(YAML.format(metric=metric), encoding="utf-8")
        usage = ["Public"] * 8 + ["Private"] * 12
        rows = "".join(f"{i},{t},{u}\n" for i, t, u in zip(IDS, truth, usage, strict=True))
        (home / "private/solution.csv").write_text("id,target,Usage\n" + rows, encoding="utf-8")
        sample = "".join(f"{i},{'0.5' if metric == 'log_loss' else 'cat'}\n" for i in IDS)
        (home / "public/sample_submission.csv").write_text("id,target\n" + sample, encoding="utf-8")
        challenges.append(scorer.load(home))

    def one(data: bytes) -> None:
        for challenge in challenges:
            try:
                kept = Collected(20)
                read_submission(data, challenge.solution, kept)
                kept.columns()
            except scorer.InvalidSubmission as refusal:
                if not refusal.problems:
                    raise AssertionError("refused without a reason") from refusal

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()
    return 0


def seeds() -> list[bytes]:
    """Return the tests' right and wrong files, packed in each way."""
    import pyarrow as pa
    import pyarrow.parquet

    good = "id,target\n" + "".join(f"{i},{0.05 * int(i):.2f}\n" for i in IDS)
    table = io.BytesIO()
    columns = {"id": list(range(1, 21)), "target": [0.5] * 20}
    pyarrow.parquet.write_table(pa.table(columns), table, compression="none")
    texts = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"id": IDS, "target": ["cat", None] * 10}), texts)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("__MACOSX/._a.csv", "x")
        made.writestr("a.csv", good)
    wrong = [
        good.replace("\n", "\r\n"), good.replace("\n", "\r"), "\ufeff" + good,
        good.replace("id,target", "target,id"),
        good.replace("0.50", '"0.5"'), good.replace("0.50", "nan"), good.replace("0.50", ""), good + good,
        good.replace("0.50", "1e999"), good.replace("0.50", "0,5"), good.replace(",", ";"),
        good.replace(",", "\t"),
        "id,target\n" + "".join(f"{i},{'cat' if int(i) % 2 else 'dog'}\n" for i in IDS),
        'id,target\n1,"0.5',
        good.replace("\n1,", "\n01,"), good.replace("\n1,", "\n1.0,"),
        "id\n1\n", "", "\n\n\n", "{}", "<html>",
    ]  # fmt: skip
    return [
        good.encode(),
        gzip.compress(good.encode(), mtime=0),
        archive.getvalue(),
        table.getvalue(),
        texts.getvalue(),
        good.encode("utf-16"),
        good.encode().replace(b"0.5", b"\xff\xfe"),
        good.encode().replace(b"0.5", b"\x00"),
        *(text.encode() for text in wrong),
    ]


if __name__ == "__main__":
    sys.exit(main())
