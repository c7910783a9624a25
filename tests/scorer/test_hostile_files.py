"""Files made to exhaust the reader are refused in bounded time and memory.

One process imports the scorer and loads the challenge, then forks for every file, so that the time and memory
measured are the file's.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.scorer.conftest import IDS, TRUTH, USAGE, csv_text
from tests.servers import ROOT

MAX_SECONDS = 5.0
MAX_BYTES = 1_000_000_000
YAML = """\
format: 1
title: Tiny
metric: log_loss
submission: {id: id, columns: [target], parquet: true, max_bytes: 40000000}
"""
GOOD = csv_text(("id", "target"), IDS, ["0.5"] * 20).encode()

RUNNER = """
import json, os, resource, signal, sys, time
import pandas, pyarrow.parquet, sklearn.metrics
import scorer

challenge = scorer.load(sys.argv[1])
scorer.score(challenge, sys.argv[2].encode())
print("ready", flush=True)
for line in sys.stdin:
    reading, writing = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + 1_000_000_000,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        try:
            scorer.score(challenge, __import__("pathlib").Path(line.rstrip("\\n")))
            outcome = {"ended": "accepted"}
        except scorer.InvalidSubmission as refusal:
            outcome = {"ended": "refused", "problems": [(p.code, p.message) for p in refusal.problems]}
        except BaseException as error:
            outcome = {"ended": repr(error)[:300]}
        os.write(writing, json.dumps(outcome).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status, used = os.wait4(pid, 0)
    outcome = json.loads(answer) if answer else {"ended": f"killed by signal {status & 127}"}
    outcome |= {"seconds": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}
    print(json.dumps(outcome), flush=True)
"""


def zipped(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def bomb(unpacked_mb: int) -> bytes:
    """Return a gzip file of so many megabytes of rows.

    It is a thousand times smaller, and made quickly of equal members.
    """
    member = gzip.compress(b"1,0.5\n" * 1_600_000, 1)
    return gzip.compress(b"id,target\n") + member * (unpacked_mb // 10)


def dictionary_bomb() -> bytes:
    """One long string, pointed at by every row."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["9" * 1_000_000]))
    stream = io.BytesIO()
    table = pa.table({"id": pa.array(range(1_000_000)), "target": text})
    pyarrow.parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def parquet(columns: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


HEAD = b"id,target\n"
# name -> (the file, the code it is refused with)
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a gzip bomb of rows": (lambda: bomb(5000), "TOO_LARGE"),
    "a gzip bomb of zeros": (lambda: gzip.compress(b"0" * 100_000_000, 1) * 10, "TOO_LARGE"),
    "a zip bomb": (lambda: zipped(("a.csv", HEAD + b"0" * 100_000_000)), "TOO_LARGE"),
    "two files in a zip": (lambda: zipped(("a.csv", GOOD), ("b.csv", GOOD)), "SEVERAL_FILES"),
    "an archive in an archive": (lambda: zipped(("a.zip", zipped(("a.csv", GOOD)))), "NOT_CSV"),
    "thirty megabytes of commas": (lambda: b"," * 30_000_000, "LINE_TOO_LONG"),
    "a row of commas": (lambda: HEAD + b"," * 30_000_000, "LINE_TOO_LONG"),
    "a million columns": (lambda: b",".join(b"c%d" % i for i in range(1_000_000)) + b"\n", "LINE_TOO_LONG"),
    "columns of parquet": (lambda: parquet({f"c{i}": [1] for i in range(5_000)}), "COLUMN_NAME"),
    "a dictionary bomb": (dictionary_bomb, "LINE_TOO_LONG"),
    "an unclosed quote": (lambda: HEAD + b'1,"' + b"0.5\n" * 7_500_000, "UNCLOSED_QUOTE"),
    "thirty million empty lines": (lambda: HEAD + b"\n" * 30_000_000, "EMPTY_ROWS"),
    "twenty million digits": (lambda: HEAD + b"1," + b"9" * 20_000_000 + b"\n", "LINE_TOO_LONG"),
    "a million digits": (lambda: HEAD + b"1," + b"9" * 900_000 + b"\n", "NOT_FINITE"),
    "a huge exponent": (lambda: HEAD + b"1,1e" + b"9" * 900_000 + b"\n", "NOT_FINITE"),
    "an id of a million digits": (lambda: HEAD + b"1" * 900_000 + b",0.5\n", "UNKNOWN_IDS"),
    "NULs": (lambda: HEAD + b"\x00" * 30_000_000, "NOT_CSV"),
    "a NUL in a cell": (lambda: GOOD.replace(b"0.5", b"0\x00.5", 1), "ENCODING"),
    "bytes that are no UTF-8": (lambda: HEAD + b"\xff\xfe\xfd" * 10_000_000, "ENCODING"),
}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("hostile")
    for name, text in (
        ("challenge.yaml", YAML),
        ("private/solution.csv", csv_text(("id", "target", "Usage"), IDS, TRUTH, USAGE)),
        ("public/sample_submission.csv", GOOD.decode()),
    ):
        (folder / "tiny" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tiny" / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", RUNNER, str(folder / "tiny"), GOOD.decode()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        to: IO[str] = process.stdin  # type: ignore[assignment]
        back: IO[str] = process.stdout  # type: ignore[assignment]
        assert back.readline() == "ready\n"

        def ask(content: bytes) -> dict[str, Any]:
            file = folder / "file"
            file.write_bytes(content)
            to.write(f"{file}\n")
            to.flush()
            return dict(json.loads(back.readline()))

        yield ask
        to.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_time_and_memory(
    ask: Callable[[bytes], dict[str, Any]], name: str
) -> None:
    make, code = HOSTILE[name]
    outcome = ask(make())
    assert outcome["ended"] == "refused", outcome
    assert code in {problem[0] for problem in outcome["problems"]}, outcome
    for _, message in outcome["problems"]:
        assert 10 < len(message) < 1000
        assert message.isprintable()
    assert outcome["seconds"] < MAX_SECONDS
    assert outcome["peak"] < MAX_BYTES


@pytest.mark.parametrize(
    "name", ["../../../../etc/cron.d/owned", "/etc/owned", "..\\owned.csv", "a\x1b[2Jb.csv"]
)
def test_a_members_name_is_never_a_path(ask: Callable[[bytes], dict[str, Any]], name: str) -> None:
    # A good CSV under a hostile name is a good file: the name is at most shown escaped, nothing is written.
    assert ask(zipped((name, GOOD)))["ended"] == "accepted"
    assert not Path("/etc/cron.d/owned").exists()
    assert not Path("/etc/owned").exists()


def test_the_measurement_itself_works(ask: Callable[[bytes], dict[str, Any]]) -> None:
    outcome = ask(GOOD)
    assert outcome["ended"] == "accepted"
    assert 0 < outcome["seconds"] < 1
    assert 50_000_000 < outcome["peak"] < 600_000_000
