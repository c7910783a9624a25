"""The client's check decides as the server does, on shared bad files and on two thousand mutated ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import scorer
from heldout_client.checking import Schema, Verdict, check
from heldout_client.content import Content
from heldout_client.participant import cells_of
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import open_table
from scorer.submission.reader import align
from scorer.submission.sinks import Collected
from tests.scorer.conftest import IDS, USAGE, Write, csv_text
from tests.scorer.many import KINDS
from tests.scorer.test_causes import CAUSES, load
from tests.scorer.test_submission import ACCEPTED, CASES, GOOD, REFUSED, payload

MAX_BYTES = 10_000_000
FILES = 2000

ABOUT_IDS = {"UNKNOWN_IDS", "MISSING_IDS", "ID_FORMAT"}
"""Which of them a file has depends on causes of misspelt ids that only the server knows all of."""

SERVER_ONLY = {"UNKNOWN_LABELS", "BAD_FORM", "NOT_AN_ORDERING", "NOT_A_BOX", "OUTSIDE_IMAGE", "OUT_OF_RANGE"}
"""What the server may find beside the client, where the client says that it leaves something unchecked."""

Codes = set[str]


def schema_of(challenge: scorer.Challenge) -> Schema:
    """Return the schema as a client has it: the server's answer, and the sample of the public files."""
    document: dict[str, Any] = scorer.describe_submission(challenge)
    names = [column["name"] for column in document["columns"]]
    sample = Content.of_path(challenge.folder / "public" / "sample_submission.csv")
    ids, cells = cells_of(sample, document["ids"]["columns"], names)
    more: dict[str, Any] = {"sample": cells}
    if document["ids"]["file"] and document["ids"]["values"] is None:
        more["ids"] = ids
    return Schema.of({**document, "max_bytes": MAX_BYTES}, **more)


def of_server(challenge: scorer.Challenge, data: bytes) -> Codes:
    """Return the codes by which the exact reader, which alone refuses files, refuses a file."""
    solution = challenge.solution
    try:
        records = open_table(data, max_bytes=MAX_BYTES, parquet=solution.task.parquet).records()
        _, header = next(records)
        align(header, records, solution, Collected(len(solution.ids)))
    except UnreadableTable as refusal:
        return {problem.code for problem in refusal.problems}
    except scorer.InvalidSubmission as refusal:
        return {problem.code for problem in refusal.problems}
    return set()


def of_client(schema: Schema, data: bytes) -> tuple[Codes, Verdict]:
    verdict = check(Content("file.csv", data=data), schema)
    return {problem.code for problem in verdict.problems}, verdict


def compared(codes: Codes) -> Codes:
    return {"ids" if code in ABOUT_IDS else code for code in codes}


def difference(challenge: scorer.Challenge, schema: Schema, data: bytes) -> str:
    """Return in what the two verdicts differ; empty if in nothing that the client checks."""
    server, (client, verdict) = compared(of_server(challenge, data)), of_client(schema, data)
    mine = compared(client)
    if schema.id_rule == "others_ignored":  # which rows are scored is not public
        agree = mine <= server
    else:
        agree = mine <= server and server - mine <= (SERVER_ONLY if verdict.unchecked else set())
    return "" if agree else f"server {sorted(server)}, client {sorted(mine)}, of {data[:300]!r}"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_published_payloads_get_the_verdict_of_the_server(write: Write, case: dict[str, Any]) -> None:
    challenge = scorer.load(write())
    schema, data = schema_of(challenge), payload(case)
    assert difference(challenge, schema, data) == ""
    assert of_client(schema, data)[1].ok == (case["decision"] == "accept")


def test_variations_that_the_server_accepts_or_refuses_get_its_verdict(write: Write) -> None:
    challenge = scorer.load(write())
    schema = schema_of(challenge)
    for name, (given, *_) in (ACCEPTED | REFUSED).items():
        data = given.encode() if isinstance(given, str) else given
        assert difference(challenge, schema, data) == "", name
        assert of_client(schema, data)[1].ok == (name in ACCEPTED), name


@pytest.mark.parametrize("name", CAUSES)
def test_mistakes_of_other_programs_get_the_verdict_of_the_server(write: Write, name: str) -> None:
    yaml, data, code, _ = CAUSES[name]
    challenge = load(write, yaml)
    columns = challenge.solution.task.columns
    sample = csv_text(
        ("id", *columns), ids := list(challenge.solution.ids), *[["0.5"] * len(ids)] * len(columns)
    )
    (challenge.folder / "public" / "sample_submission.csv").write_text(sample)
    codes, _ = of_client(schema_of(challenge), data)
    assert codes == {code}


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_file_of_every_kind_is_accepted_and_mutated_ones_as_by_the_server(
    write: Write, kind: str
) -> None:
    made = KINDS[kind]
    sample = csv_text(("id", *made.sent), list(made.ids), *(list(map(str, c)) for c in made.sent.values()))
    challenge = scorer.load(made.folder(write, **{"public/sample_submission.csv": sample}))
    schema, text = schema_of(challenge), made.text()
    assert difference(challenge, schema, text.encode()) == ""
    draw = random.Random(kind)
    files = (mutated(text, draw) for _ in range(FILES // len(KINDS) + 1))
    assert [words for data in files if (words := difference(challenge, schema, data))] == []


CELLS = (
    *("", " ", "nan", "NaN", "inf", "-inf", "1e400", "1e101", "-1", "2", "0", "1", "0.5", " 0.25 ", "+5E-1"),
    *(".5", "5.", "0x10", "1_0", "1,5", "45%", "True", "false", "abc", "NA", "-", "1 0", "1 3 2 2", "\u0665"),
    *("cat", "bee", "bee ", "a b", "car 0.9 0 0 4 4", "1.0", "01", "r1", "1e0", "\u00a01", "0.3000000000001"),
)
JUNK = ('"', ",", "\n", "\r", ";", "\t", "\x00", "\u00e9", "#", "'", " ", "\ufeff")


def mutated(text: str, draw: random.Random) -> bytes:
    """Return a file with one to three small changes, of cells, lines, columns or bytes."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        _change(rows, draw)
    made = "\n".join(",".join(row) for row in rows) + draw.choice(("\n", "", "\n\n"))
    data = made.encode()
    if draw.random() < 0.15:
        at = draw.randrange(len(data))
        data = data[:at] + draw.choice((b"\xff", *(junk.encode() for junk in JUNK))) + data[at:]
    return data.replace(b"\n", b"\r\n") if draw.random() < 0.1 else data


def _change(rows: list[list[str]], draw: random.Random) -> None:
    row = draw.randrange(len(rows))
    match draw.randrange(10):
        case 0 | 1 | 2 | 3:
            rows[row][draw.randrange(len(rows[row]))] = draw.choice(CELLS)
        case 4:
            column = draw.randrange(len(rows[0]))
            cell = draw.choice(CELLS)
            for each in rows[1:]:
                if column < len(each):
                    each[column] = cell
        case 5:
            del rows[row]
        case 6:
            rows.insert(draw.randrange(len(rows) + 1), list(rows[row]))
        case 7:
            rows[row] = [*rows[row], draw.choice(CELLS)] if draw.random() < 0.5 else rows[row][:-1] or [""]
        case 8:
            rows[1:] = draw.sample(rows[1:], len(rows) - 1)
        case _:
            for each in rows:
                each.insert(draw.choice((0, len(each))), draw.choice(CELLS))
    if not rows:
        rows.append([""])


ODD: dict[str, tuple[str, str]] = {
    "0/1 labels for log-loss": (csv_text(("id", "target"), IDS, ["0", "1"] * 10), "NOTICE_HARD_LABELS"),
    "a constant": (csv_text(("id", "target"), IDS, ["0.3"] * 20), "NOTICE_CONSTANT"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_file_that_is_legal_but_rarely_meant_is_warned_about(write: Write, name: str) -> None:
    text, code = ODD[name]
    _, verdict = of_client(schema_of(scorer.load(write())), text.encode())
    assert verdict.ok
    assert [warning.code for warning in verdict.warnings] == [code]


def test_numbers_that_look_like_percent_are_warned_about(write: Write) -> None:
    truth = [f"{i / 20}" for i in range(20)]
    folder = write("metric: mae\nsubmission: {id: id, columns: [target]}\n", columns=(IDS, truth, USAGE))
    schema = schema_of(scorer.load(folder))
    _, verdict = of_client(schema, csv_text(("id", "target"), IDS, [str(5 * i) for i in range(20)]).encode())
    assert [warning.code for warning in verdict.warnings] == ["LOOKS_LIKE_PERCENT"]
    assert of_client(schema, GOOD.encode())[1].warnings == ()


def test_ids_are_compared_by_their_digest_where_the_list_is_not_at_hand(write: Write) -> None:
    document = scorer.describe_submission(scorer.load(write()))
    document["ids"]["values"] = None
    schema = Schema.of(document)
    lines = GOOD.splitlines()
    for data, codes in (
        (GOOD, set()),
        ("\n".join(lines[:-1]), {"MISSING_IDS"}),
        ("\n".join([*lines, "999,0.5"]), {"UNKNOWN_IDS"}),
        ("\n".join([*lines[:-1], "999,0.5"]), {"UNKNOWN_IDS"}),
        ("\n".join([*lines, lines[-1]]), {"DUPLICATE_IDS"}),
    ):
        assert of_client(schema, data.encode())[0] == codes


def test_ids_of_the_sample_are_read_in_one_form_of_unicode() -> None:
    sample = Content("sample.csv", data=" id ,y\nZu\u0308rich ,0.5\n".encode())
    assert cells_of(sample, ["id"], ["y"]) == (["Z\u00fcrich"], {"y": ["0.5"]})


def lines_of_a_large_file(n: int) -> Iterator[bytes]:
    yield b"id,target\n"
    yield from (b"%d,0.5\n" % i for i in range(n))


def test_the_check_reads_a_file_of_another_competition_only_as_far_as_it_helps(
    write: Write, tmp_path: Path
) -> None:
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.writelines(lines_of_a_large_file(20_000))
    verdict = check(Content.of_path(large), schema_of(scorer.load(write())))
    assert {problem.code for problem in verdict.problems} == {"UNKNOWN_IDS"}
