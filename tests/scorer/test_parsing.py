"""A participant's file is parsed in isolation, and the result is not trusted."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import random
import re
import signal
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer
from scorer.reading import _reader, parsing
from scorer.reading.cells import Cells
from scorer.sandbox import levels, sandbox
from scorer.sandbox.sandbox import Limits
from scorer.submission.reader import read_submission
from scorer.submission.sinks import Collected
from tests.conftest import missing
from tests.scorer.conftest import IDS, TRUTH, USAGE, YAML, Write, csv_text
from tests.scorer.many import KINDS
from tests.scorer.test_hostile_files import HOSTILE
from tests.scorer.test_hostile_files import YAML as LARGE
from tests.scorer.test_two_readers import files, outcome

GOOD = csv_text(("id", "target"), IDS, [f"0.{n}" for n in range(1, 21)])
ODD = GOOD + ",\n"  # a row of empty cells: only the exact reader takes it


@pytest.fixture(scope="module", autouse=True)
def there_is_a_sandbox() -> None:
    if not sandbox.isolation().is_enough:
        missing("A sandbox of level standard", levels.too_weak(sandbox.isolation()))


@pytest.fixture
def locked() -> Iterator[str]:
    with scorer.locked_in() as level:
        yield level


def without_level(found: tuple[str, Any]) -> tuple[str, Any]:
    what, report = found
    if what != "scored":
        return found
    return what, replace(report, provenance={**report.provenance, "isolation": ""})


# --- the same as without it -----------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_file_read_in_the_sandbox_gets_the_same_score_and_messages(write: Write, name: str) -> None:
    kind = KINDS[name]
    challenge = scorer.load(replace(kind, more=f"{kind.more}, parquet: true").folder(write))
    for variant, data in files(kind).items():
        here = without_level(outcome(challenge, data))
        with scorer.locked_in():
            there = outcome(challenge, data)
        assert without_level(there) == here, variant
        if there[0] == "scored":
            assert there[1].provenance["isolation"] == sandbox.isolation().level, variant


@pytest.mark.parametrize("packed", ["", "gzip"])
def test_a_file_of_many_blocks_comes_whole_and_in_order(write: Write, packed: str, locked: str) -> None:
    n = 60_000
    rng = random.Random(2)
    ids = [f"row {i} {'of a long name ' * 8}of {n}" for i in range(n)]  # blocks are some megabytes
    names = [rng.choice(["ant", "bee", "Zürich 雪"]) for _ in ids]
    usage = [rng.choice(["Public", "Private"]) for _ in ids]
    yaml = "format: 1\ntitle: Many\nmetric: accuracy\nsubmission: {id: id, columns: [target]}\n"
    challenge = scorer.load(write(yaml, columns=(ids, names, usage)))
    order = rng.sample(range(n), n)
    sent = csv_text(("id", "target"), [ids[i] for i in order], [names[i] for i in order]).encode()
    report = scorer.score(challenge, gzip.compress(sent, 1) if packed else sent)
    assert (report.public, report.private) == (1.0, 1.0)


def test_unknown_ids_are_left_out_as_outside_the_sandbox(write: Write, locked: str) -> None:
    yaml = YAML.replace("columns: [target]", "columns: [target], extra_ids: ignore")
    challenge = scorer.load(write(yaml))
    assert (
        scorer.score(challenge, f"{GOOD}unknown,0.5\n".encode()).public
        == scorer.score(challenge, GOOD.encode()).public
    )


def test_files_of_one_team_read_in_one_run_give_what_each_gives_alone(
    challenge: scorer.Challenge, locked: str, tmp_path: Path
) -> None:
    texts = [
        GOOD,
        ODD,
        "nonsense",
        GOOD.replace("0.3", "0.9"),
        csv_text(("id", "target"), IDS[:3], ["0.5"] * 3),
    ]
    paths = [tmp_path / f"{n}.csv" for n in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    alone = [outcome(challenge, path.read_bytes()) for path in paths]
    readers = set()
    with parsing.in_one_run(paths, max_bytes=challenge.max_bytes):
        for path, expected in zip(paths, alone, strict=True):
            assert outcome(challenge, path) == expected
            readers.update(forks_of(sandbox._running["reader"].process.pid))
    assert len(readers) < len(paths)  # one more for each answer that is not read to its end
    no_reader_is_left()


def test_a_run_that_one_file_kills_is_started_again_for_the_next(
    challenge: scorer.Challenge, locked: str, tmp_path: Path
) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_text(GOOD)
    with parsing.in_one_run(paths, max_bytes=challenge.max_bytes):
        with (
            parsing.opened(paths[0], max_bytes=challenge.max_bytes) as table,
            pytest.raises(sandbox.SandboxFailed),
        ):
            (child,) = forks_of(sandbox._running["reader"].process.pid)
            os.kill(child, signal.SIGKILL)
            table.header()
        assert outcome(challenge, paths[1]) == outcome(challenge, GOOD.encode())


def test_by_default_the_library_reads_files_in_its_own_process(challenge: scorer.Challenge) -> None:
    assert scorer.score(challenge, GOOD.encode()).provenance["isolation"] == "none"
    with scorer.locked_in(), scorer.locked_in():
        pass
    assert parsing.level() == "none"


# --- nothing to take ------------------------------------------------------------------------------


def memory_of(pid: int) -> bytes:
    """All that a process holds in memory of its own."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
            assert match
            start, end = int(match[1], 16), int(match[2], 16)
            if "r" not in match[3] or match[4] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            memory.seek(start)
            try:
                found.append(memory.read(end - start))
            except OSError:
                continue  # reserved and never touched
    return b"".join(found)


def forks_of(zygote: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()]


def no_reader_is_left() -> None:
    until = time.monotonic() + 5
    while forks_of(sandbox._running["reader"].process.pid):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_parsing_process_has_no_labels_ids_or_weights_in_memory(write: Write, locked: str) -> None:
    """The whole memory of the parsing process is searched for the solution."""
    n = 100_000  # more than a pipe holds, so that it waits in the middle
    labels = ["canarius-serinus", "canarius-flaviventris"]
    weights = [f"{1 + i / 7:.17g}" for i in range(n)]
    ids = [f"canary-id-{i:06d}" for i in range(n)]
    challenge = scorer.load(
        write(
            "format: 1\ntitle: Birds\nmetric: {name: accuracy, weight: w}\n"
            "submission: {id: id, columns: [target]}\n",
            header=("id", "target", "w", "Usage"),
            columns=(ids, [labels[i % 2] for i in range(n)], weights, ["Public", "Private"] * (n // 2)),
        )
    )
    sent = csv_text(("id", "target"), [f"mine-{i}" for i in range(n)], ["guess"] * n).encode()
    solution = challenge.solution
    zygote = sandbox._running["reader"].process.pid
    with parsing.opened(sent, max_bytes=10**8) as table:
        blocks = table.raw_blocks(
            ["id", "target"], {"target": solution.task.cells("target")}, id_column="id", numeric_ids=False
        )
        assert len(next(blocks).ids)
        (child,) = forks_of(zygote)
        held = {"the fork": memory_of(child), "what it was forked from": memory_of(zygote)}
    assert b"mine-77" in held["the fork"], "the search looks in the right place"
    secrets = [label.encode() for label in labels] + [ids[5].encode(), struct.pack("=d", float(weights[5]))]
    for where, memory in held.items():
        assert len(memory) > 10_000_000
        for secret in secrets:
            assert secret not in memory, (where, secret)


def test_the_parsing_process_has_all_the_layers_this_machine_gives(locked: str) -> None:
    """The reader would not start without them; here the kernel is asked."""
    with parsing.opened(GOOD.encode(), max_bytes=10_000):
        (child,) = forks_of(sandbox._running["reader"].process.pid)
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
        limits = Path(f"/proc/{child}/limits").read_text()
        descriptors = [str(entry.readlink()) for entry in Path(f"/proc/{child}/fd").iterdir()]
        environment = Path(f"/proc/{child}/environ").read_bytes()
    assert status["Seccomp"].strip() == "2"
    assert status["NoNewPrivs"].strip() == "1"
    assert int(status["CapEff"], 16) == 0
    assert re.search(r"Max file size\s+0\s+0", limits)
    assert not any("socket:" in name for name in descriptors)
    assert environment == b""


def test_two_files_are_never_read_by_one_process(challenge: scorer.Challenge, locked: str) -> None:
    zygote = sandbox._running["reader"].process.pid
    seen = []
    for _ in range(2):
        with parsing.opened(GOOD.encode(), max_bytes=10_000):
            seen += forks_of(zygote)
    assert len(set(seen)) == 2


# --- hostile files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_the_sandbox_within_five_seconds_and_a_gigabyte(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, locked: str
) -> None:
    """The kernel holds the reader to both limits.

    Seconds of processor time on each side, since the clock would measure the machine.
    """
    make, code = HOSTILE[name]
    challenge = scorer.load(write(LARGE))
    path = tmp_path / "hostile"
    path.write_bytes(make())
    monkeypatch.setattr(Limits, "as_job", lambda _: {"cpu_seconds": 5, "memory_bytes": 1_000_000_000})
    began = time.process_time()
    with pytest.raises(scorer.InvalidSubmission) as refused:
        scorer.score(challenge, path)
    assert time.process_time() - began < 5
    assert code in {problem.code for problem in refused.value.problems}
    assert "takes more than" not in str(refused.value)


def test_a_file_that_takes_too_much_memory_is_refused_with_the_reason(
    write: Write, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    monkeypatch.setattr(parsing, "MEMORY_MB", 20)
    challenge = scorer.load(write(LARGE))
    table = pa.table(
        {"id": pa.array(np.arange(1_000_000)), "target": pa.array(np.random.default_rng(0).random(1_000_000))}
    )
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream)
    with pytest.raises(scorer.InvalidSubmission, match="takes more than 20 MB of memory"):
        scorer.score(challenge, stream.getvalue())


def test_a_file_that_takes_too_long_is_refused_with_the_reason(
    challenge: scorer.Challenge, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    def one_second(given: Limits) -> dict[str, int]:
        return {"cpu_seconds": 1, "memory_bytes": 1 << 30}

    monkeypatch.setattr(Limits, "as_job", one_second)
    rows = "".join(f'{i},"0.{i}"x\n' if i == 3_000_000 else f"{i},0.5\n" for i in range(3_000_001))
    with (
        pytest.raises(scorer.InvalidSubmission, match="seconds of processor time"),
        parsing.opened(f"id,target\n{rows}".encode(), max_bytes=10**9) as table,
    ):
        try:
            for _ in table.records():
                pass
        except parsing.UnreadableTable as refused:
            raise scorer.InvalidSubmission(refused.problems) from None


def test_a_reader_that_is_killed_is_no_fault_of_the_file(challenge: scorer.Challenge, locked: str) -> None:
    """As when the machine's memory runs out: tried again, not refused."""
    zygote = sandbox._running["reader"].process.pid
    with (
        pytest.raises(sandbox.SandboxFailed, match="was killed"),
        parsing.opened(GOOD.encode(), max_bytes=10_000) as table,
    ):
        for child in forks_of(zygote):
            os.kill(child, signal.SIGKILL)
        table.header()
    assert scorer.score(challenge, GOOD.encode())


def test_a_wide_parquet_file_is_read_in_the_sandbox_as_outside_of_it(write: Write) -> None:
    """Arrow wants the pages of all columns at once.

    The file is not damaged because of that.
    """
    names = [f"c{i}" for i in range(400)]
    ids = [str(i) for i in range(20_000)]
    rng = np.random.default_rng(1)
    truth = np.where(rng.random((len(ids), len(names))) < 0.5, "0", "1")
    yaml = (
        "format: 1\ntitle: Wide\nmetric: rmse\n"
        f"submission: {{id: id, columns: [{', '.join(names)}], parquet: true, max_bytes: 200000000}}\n"
    )
    usage = ["Public", "Private"] * (len(ids) // 2)
    challenge = scorer.load(
        write(yaml, header=("id", *names, "Usage"), columns=(ids, *truth.T.tolist(), usage))
    )
    table = pa.table(
        {"id": pa.array(np.arange(len(ids))), **{name: pa.array(rng.random(len(ids))) for name in names}}
    )
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream)
    here = scorer.score(challenge, stream.getvalue())
    with scorer.locked_in():
        assert scorer.score(challenge, stream.getvalue()).public == here.public


@pytest.mark.parametrize("limit_mb", [1, 2, 4, 8, 12, 16, 24])
def test_too_little_memory_is_reported_neither_as_a_damaged_file_nor_as_our_failure(
    write: Write, monkeypatch: pytest.MonkeyPatch, limit_mb: int, locked: str
) -> None:
    monkeypatch.setattr(parsing, "MEMORY_MB", limit_mb)
    challenge = scorer.load(write(LARGE))
    rows = np.arange(200_000)
    stream = io.BytesIO()
    pyarrow.parquet.write_table(
        pa.table({"id": rows, "target": np.random.default_rng(0).random(len(rows))}), stream
    )
    text = b"id,target\n" + b"".join(b"%d,0.%09d\n" % (i, i) for i in range(600_000))
    for data in (stream.getvalue(), text):
        with pytest.raises(scorer.InvalidSubmission) as refused:
            scorer.score(challenge, data)
        assert "damaged" not in str(refused.value)


def test_lines_of_commas_are_refused_as_outside_the_sandbox(write: Write) -> None:
    """Each empty value takes bytes of the answer, but no letter."""
    challenge = scorer.load(write(LARGE))
    data = b"id,target\n" + (b"," * 900_000 + b"\n") * 20
    here = outcome(challenge, data)
    with scorer.locked_in():
        assert outcome(challenge, data) == here


def test_no_reader_is_left_behind(challenge: scorer.Challenge, locked: str) -> None:
    for data in (GOOD, ODD, "nonsense", GOOD.replace("0.3", "3")):
        outcome(challenge, data.encode())
    no_reader_is_left()


# --- answers are not trusted ----------------------------------------------------------------


@dataclass
class Impostor:
    """Stands for `sandbox.Session`: an honest reader's answer, then changed."""

    twist: Callable[[bytes], bytes]
    ignores_commands: bool = False
    answers: io.BytesIO = field(default_factory=io.BytesIO)

    def __call__(self, kind: str, entry: str, inputs: Sequence[int], **_: Any) -> Impostor:
        self._at, self.answers = 0, io.BytesIO()
        self._reader = _reader._Reader(_reader._Out(self.answers), [_reader.Descriptor(os.dup(inputs[0]))])
        return self

    def send(self, command: Any) -> None:
        start = self.answers.tell()
        if not self.ignores_commands:
            self._reader.answer(json.loads(json.dumps(command)))
        honest = self.answers.getvalue()[start:]
        self.answers.seek(start)
        self.answers.truncate()
        self.answers.write(self.twist(honest))

    def read(self, n_bytes: int) -> bytearray:
        content = self.answers.getvalue()[self._at : self._at + n_bytes]
        self._at += n_bytes
        if len(content) < n_bytes:
            raise sandbox.Ended(0, None, "")
        return bytearray(content)

    def close(self) -> None:
        os.close(self._reader.files[0]._fd)


def reader_answering(answer: bytes) -> parsing.LockedTable:
    """Return a table whose reader gives this answer to every command."""
    table = parsing.LockedTable(b"", max_bytes=10_000, parquet=False)
    read, write = os.pipe()
    os.close(write)
    table._run.session = Impostor(lambda _: answer, ignores_commands=True)("reader", "", [read])  # type: ignore[assignment]
    os.close(read)
    return table


@st.composite
def twists(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    seed = draw(st.integers(0, 2**32))
    how = draw(st.sampled_from(["bytes", "cut", "words", "number", "swap", "none"]))

    def twist(honest: bytes) -> bytes:
        dice = random.Random(seed)
        answer = bytearray(honest)
        if how == "bytes":
            for _ in range(dice.randrange(1, 5)):
                answer[dice.randrange(len(answer))] = dice.randrange(256)
        elif how == "cut":
            del answer[dice.randrange(len(answer)) :]
        elif how == "words":
            other = dice.choice(
                [b'["block", 1]', b'["end", null]', b'["refused", [{"code": 5}]]', b'["refused", 7]', b"[[[["]
            )
            answer = bytearray(_reader.HEAD.pack(b"j", len(other)) + other + answer)
        elif how == "number" and len(answer) > 80:
            at = dice.randrange(len(answer) - 8)
            answer[at : at + 8] = struct.pack(
                "=d", dice.choice([math.nan, math.inf, -1e300, 1.0000001, -0.5])
            )
        elif how == "swap":
            middle = dice.randrange(len(answer))
            answer = answer[middle:] + answer[:middle]
        return bytes(answer)

    return twist


BOUNDS = {"log_loss": (0.0, math.inf), "accuracy": (0.0, 1.0), "map_at_k": (0.0, 1.0)}
TASKS = {
    "log_loss": (TRUTH, [f"0.{n}" for n in range(1, 21)], "log_loss", ""),
    "accuracy": (["ant", "bée"] * 10, ["ant", "cow"] * 10, "accuracy", ""),
    "map_at_k": (["a", "b"] * 10, ["a b", "c"] * 10, "{name: map_at_k, k: 2}", ""),
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[scorer.Challenge, bytes]]:
    made = {}
    for name, (truth, sent, metric, more) in TASKS.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "private").mkdir()
        ids = [f"i{n}" for n in IDS]
        (folder / "challenge.yaml").write_text(
            f"format: 1\ntitle: Tiny\nmetric: {metric}\nsubmission: {{id: id, columns: [target]{more}}}\n"
        )
        (folder / "private" / "solution.csv").write_text(
            csv_text(("id", "target", "Usage"), ids, truth, USAGE)
        )
        made[name] = scorer.load(folder), csv_text(("id", "target"), ids, sent).encode()
    return made


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(TASKS)), twist=twists(), odd=st.booleans())
def test_no_answer_of_the_reader_gives_a_score_out_of_bounds_or_an_error(
    tasks: dict[str, tuple[scorer.Challenge, bytes]], name: str, twist: Callable[[bytes], bytes], odd: bool
) -> None:
    """A file that controls the reader may lose its own score only."""
    challenge, data = tasks[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "Session", Impostor(twist))
        patch.setattr(parsing, "_locked", True)
        try:
            report = scorer.score(challenge, data + b",\n" if odd else data)
        except (scorer.InvalidSubmission, sandbox.SandboxFailed):
            return
    low, high = BOUNDS[name]
    assert low <= report.public <= high
    assert low <= report.private <= high


def test_unchanged_answers_are_accepted(tasks: dict[str, tuple[scorer.Challenge, bytes]]) -> None:
    """Otherwise the test above could consist of refusals only."""
    for challenge, data in tasks.values():
        honest = scorer.score(challenge, data).public
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sandbox, "Session", Impostor(bytes))
            patch.setattr(parsing, "_locked", True)
            assert scorer.score(challenge, data).public == honest


ENDLESS = {
    "blocks of nothing": lambda out: (
        out.send("block", 0),
        [out.send_array(np.zeros(n, np.int64)) for n in (0, 0)],
    ),
    "records of nothing": lambda out: out.send("records", []),
    "blank lines": lambda out: out.send("records", [[1, []]] * 1000),
    "a billion blank lines": lambda out: out.send("records", [[1, 1_000_000_000]]),
    "wide records": lambda out: out.send("records", [[1, ["x"] * 2_000_000]]),
    "no records at all": lambda out: out.send("end"),
    "half a character": lambda out: out.send("records", [[1, ["id", "\ud800"]]]),
    "NUL": lambda out: out.send("records", [[1, ["id", "a\0"]]]),
    "a code of its own": lambda out: out.send("refused", [{"code": "you are hacked", "message": ""}]),
    "a count beyond counting": lambda out: out.send(
        "refused", [{"code": "ENCODING", "message": "", "count": 2**63}]
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_endless_or_senseless_answers_are_cut_short(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = io.BytesIO()
    # Not the reader's own writer, which could not write half a character.
    monkeypatch.setattr(
        _reader._Out,
        "send",
        lambda out, kind, content=None: out._write(b"j", json.dumps([kind, content]).encode()),
    )
    ENDLESS[what](_reader._Out(answer))
    table = reader_answering(answer.getvalue() * max(1, 2_000_000 // len(answer.getvalue())))
    with pytest.raises(sandbox.SandboxFailed):
        if "block" in what:
            list(table.raw_blocks(["id"], {}, id_column="id", numeric_ids=True))
        else:
            for n_records, _ in enumerate(table.records()):
                assert n_records < 2_000_000
    table.close()


def test_a_refusal_is_a_few_problems_in_printable_words() -> None:
    answer = io.BytesIO()
    _reader._Out(answer).send("refused", [{"code": "ENCODING", "message": "a\u202eb" * 5000}] * 100)
    table = reader_answering(answer.getvalue())
    with pytest.raises(parsing.UnreadableTable) as refused:
        list(table.records())
    problems = refused.value.problems
    assert len(problems) == 20
    assert all(p.message.isprintable() and len(p.message) < 20_000 for p in problems)
    table.close()


def test_a_reader_that_reads_no_command_does_not_block(monkeypatch: pytest.MonkeyPatch, locked: str) -> None:
    """More commands are sent than a pipe holds."""
    with parsing.opened(GOOD.encode(), max_bytes=10_000) as table:
        (child,) = forks_of(sandbox._running["reader"].process.pid)
        os.kill(child, signal.SIGSTOP)
        assert isinstance(table, parsing.LockedTable)
        session = table._run.session
        assert session is not None
        session._until = time.monotonic() + 0.5
        with pytest.raises(sandbox.SandboxFailed, match="too long"):
            session.send({"names": ["x" * 100] * 20_000})


def test_a_killed_zygote_of_the_reader_is_started_again_by_its_starter(locked: str) -> None:
    before = sandbox._running["reader"].process
    before.kill()
    before.wait()
    sandbox.start("reader")
    assert sandbox._running["reader"].process.pid != before.pid


@pytest.mark.parametrize(
    ("of", "offsets", "data", "codes", "why"),
    [
        ("ids", [0, 3, 2], b"ab", None, "without bounds"),
        ("ids", [0, 1, 9], b"ab", None, "without bounds"),
        ("ids", [], b"", None, "without bounds"),
        ("ids", [0, 1, 2], "é".encode(), None, "within a character"),
        ("ids", [0, 1, 2], b"\xff\xfe", None, "not UTF-8"),
        ("label", [0, 1], b"a", [0, 1], "without a name"),
        ("label", [0, 1], b"a", [0, -1], "without a name"),
        ("label", [0, 1], b"a", [0], "another length"),
        ("label", [0, 1, 2, 3], b"abc", [0, 0], "without a row"),
        ("ids", [0, 1, 2], b"a\0", None, "NUL"),
    ],
)
def test_arrays_that_would_lead_outside_their_memory_are_refused(
    of: str, offsets: list[int], data: bytes, codes: list[int] | None, why: str
) -> None:
    """Arrow trusts offsets and codes beyond the end."""
    answer = io.BytesIO()
    out = _reader._Out(answer)
    out.send("block", 0)
    ids = [0, 1, 2], b"xy"
    for bounds, letters in [(offsets, data)] if of == "ids" else [ids, (offsets, data)]:
        out.send_array(np.array(bounds, dtype=np.int64))
        out.send_array(np.frombuffer(letters, dtype=np.uint8))
    if codes is not None:
        out.send_array(np.array(codes, dtype=np.int32))
    out.send("end")
    table = reader_answering(answer.getvalue())
    wanted = {} if of == "ids" else {"target": Cells("label")}
    with pytest.raises(sandbox.SandboxFailed, match=why):
        list(table.raw_blocks(["id", "target"], wanted, id_column="id", numeric_ids=False))
    table.close()


def test_a_number_out_of_range_is_read_again_by_the_exact_reader(challenge: scorer.Challenge) -> None:
    """The reader in the sandbox accepts 1.5; the exact reader refuses it."""
    with scorer.locked_in(), pytest.raises(scorer.InvalidSubmission, match=r"1\.5"):
        read_submission(GOOD.replace("0.3", "1.5").encode(), challenge.solution, Collected(20))
