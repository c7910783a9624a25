"""Received files: unpacked while read, recognised by first bytes, bounded."""

from __future__ import annotations

import gzip
import hashlib
import io
import time
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from scorer.reading.source import MAX_LINE_BYTES, UnreadableTable
from scorer.reading.tables import Table, open_table

CSV = b"id,p\n1,0.5\n2,0.25\n"
RECORDS = [(1, ["id", "p"]), (2, ["1", "0.5"]), (3, ["2", "0.25"])]


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()


def opened(data: bytes) -> Table:
    return open_table(data, max_bytes=10**8, parquet=True)


def refusal(data: bytes, *, max_bytes: int = 10**8) -> tuple[str, int | None, str]:
    """Return code, line and words of a table's one problem."""
    with pytest.raises(UnreadableTable) as error:
        for _ in open_table(data, max_bytes=max_bytes, parquet=True).records():
            pass
    (problem,) = error.value.problems
    return problem.code, problem.line, problem.message


@pytest.mark.parametrize(
    ("data", "packing"),
    [
        (CSV, ""),
        (b"\xef\xbb\xbf" + CSV, ""),
        (CSV.replace(b"\n", b"\r\n"), ""),
        (CSV.replace(b"\n", b"\r"), ""),
        (gzip.compress(CSV, mtime=0), "gzip"),
        (zipped("a.csv", CSV), "zip"),
        (parquet({"id": [1, 2], "p": [0.5, 0.25]}), "parquet"),
    ],
)
def test_a_table_is_the_same_in_every_packing(data: bytes, packing: str, tmp_path: Path) -> None:
    path = tmp_path / "any name"
    path.write_bytes(data)
    for source in (data, path):
        table = open_table(source, max_bytes=10**6, parquet=True)
        assert table.packing == packing
        assert list(table.records()) == list(table.records()) == RECORDS
        assert (table.size_bytes, table.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert [notice.code for notice in table.notices] == (
            ["NOTICE_DECOMPRESSED"] if packing in ("gzip", "zip") else []
        )


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (CSV, ["id", "p"]),
        (b"\xef\xbb\xbfid,p", ["id", "p"]),
        (b'"id","p, q"\r\n1,2\r\n', ["id", "p, q"]),
        (b"id, p\n1,\xff\n", ["id", " p"]),
        (b"id,p\r1,2\r", []),
        (b'id,"p\nq"\n1,2\n', []),
        (b"\nid,p\n", []),
        (b"id,\xff\n", []),
        (b"id," * 10**6, []),
        (parquet({"id": [1], "p": [0.5]}), ["id", "p"]),
    ],
)
def test_the_header_is_read_without_the_rest(data: bytes, header: list[str]) -> None:
    assert opened(data).header() == header


def test_blocks_end_where_lines_end() -> None:
    data = b"".join(b"%d,0.5\n" % number for number in range(1000))
    blocks = list(opened(data).blocks(100))
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") and len(block) < 120 for block in blocks)


def test_a_byte_that_is_not_utf8_is_found_with_its_line_in_any_block() -> None:
    good = b"id,p\r\n" + b"1,\xc3\xa4\r\n" * 1_000_000
    assert refusal(good + b"2,\xff\n") == (
        "ENCODING",
        1_000_002,
        "Line 1000002: byte 0xFF is not valid UTF-8. Save the file as UTF-8.",
    )
    assert refusal(good + b"3,\xc3")[:2] == ("ENCODING", 1_000_002)
    assert refusal(good + b"1,\x00\n" + good)[:2] == ("ENCODING", 1_000_002)


def test_a_character_may_lie_across_two_blocks() -> None:
    long = ("ä" * (MAX_LINE_BYTES * 3)).encode()
    assert refusal(b"id\nx" + long)[0] == "LINE_TOO_LONG"


def test_encoding_wins_over_a_broken_record_before_it() -> None:
    assert refusal(b'id,p\n1,"a"b\n' + CSV * 10 + b"\xff")[0] == "ENCODING"


@pytest.mark.parametrize(
    ("n", "code"),
    [(MAX_LINE_BYTES, None), (MAX_LINE_BYTES + 1, "LINE_TOO_LONG"), (3_000_000, "LINE_TOO_LONG")],
)
def test_a_line_is_bounded_with_its_end(n: int, code: str | None) -> None:
    data = b"id\n" + b"x" * (n - 1) + b"\n"
    if code:
        assert refusal(data) == (code, 2, "Line 2 is longer than 1 MB.")
    else:
        assert len(list(opened(data).records())) == 2


@pytest.mark.parametrize(
    "data", [b"id," * 10_000_000, b"id,p\n" + b"," * 30_000_000, b"," * 30_000_000 + b"\n1"]
)
def test_a_wide_line_is_refused_at_once(data: bytes) -> None:
    start = time.process_time()
    assert refusal(data)[0] == "LINE_TOO_LONG"
    assert time.process_time() - start < 1


@pytest.mark.parametrize("packed", [gzip.compress(CSV * 10_000, mtime=0), zipped("a.csv", CSV * 10_000)])
def test_what_unpacks_to_too_much_is_refused_on_the_way(packed: bytes) -> None:
    assert refusal(packed, max_bytes=100_000) == (
        "TOO_LARGE",
        None,
        "The file unpacks to more than the limit of 0.1 MB.",
    )


@pytest.mark.parametrize("cut", [11, 60, -5])
def test_a_cut_archive_is_damaged(cut: int) -> None:
    data = b"".join(b"%d,%d\n" % (number, number * 7919 % 1000) for number in range(50_000))
    assert refusal(gzip.compress(data, mtime=0)[:cut])[2].startswith("The file is a damaged gzip file.")
    assert refusal(zipped("a.csv", data)[:cut])[2].startswith("The file is a damaged zip file")


# --- Parquet --------------------------------------------------------------------------------------


def test_parquet_cells_are_written_as_csv_would_have_them() -> None:
    data = parquet(
        {
            "id": [1.0, 2.5, None],
            "f": pa.array([0.1, 1.0, -0.0], type=pa.float32()),
            "b": [True, False, None],
            "s": pa.array(["a", "NA", None]).dictionary_encode(),
            "n": pa.nulls(3),
            "big": pa.array([2**64 - 1, 0, 1], type=pa.uint64()),
        }
    )
    assert list(opened(data).records())[1:] == [
        (2, ["1", "0.10000000149011612", "True", "a", "", "18446744073709551615"]),
        (3, ["2.5", "1", "False", "NA", "", "0"]),
        (4, ["", "-0.0", "", "", "", "1"]),
    ]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([[1]]), "list"),
        (pa.array([{"a": 1}]), "struct"),
        (pa.array([b"x"]), "binary"),
        (pa.array(pd.to_datetime(["2024-01-01"])), "timestamp"),
        (pa.array([1]).cast(pa.decimal128(20, 0)), "decimal"),
    ],
)
def test_parquet_of_other_types_is_refused_by_column(column: pa.Array, words: str) -> None:
    code, _, message = refusal(parquet({"id": [1], "x": column}))
    assert code == "NOT_CSV"
    assert message.startswith(f"Column x holds {words}")


def test_parquet_is_refused_where_only_csv_is_read() -> None:
    with pytest.raises(UnreadableTable, match="The file is Parquet, not CSV; upload CSV"):
        open_table(parquet({"id": [1]}), max_bytes=10**6)


@pytest.mark.parametrize("cut", [5, 200, -1, -20])
def test_damaged_parquet_is_refused(cut: int) -> None:
    assert refusal(parquet({"id": list(range(1000))})[:cut])[0] == "NOT_CSV"


def test_any_byte_of_parquet_may_be_wrong() -> None:
    data = parquet({"id": ["a", "b", "c"] * 50, "p": [0.5] * 150})
    for at in range(0, len(data), 7):
        try:
            for _ in opened(data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :]).records():
                pass
        except UnreadableTable as error:
            assert error.problems  # noqa: PT017 - most are refused, some changes do no harm


def test_a_dictionary_of_one_long_string_stays_small() -> None:
    index = pa.array([0] * 2_000_000, type=pa.int32())
    long = pa.DictionaryArray.from_arrays(index, pa.array(["x" * 900_000]))
    data = parquet({"id": long}, compression="zstd", row_group_size=2_000_000)
    assert len(data) < 1_000_000
    before = pa.total_allocated_bytes()
    records = opened(data).records()
    for _ in range(100):
        next(records)
    assert pa.total_allocated_bytes() - before < 100_000_000
    records.close()


def test_parquet_text_that_is_not_text_is_refused() -> None:
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"))
    assert refusal(parquet({"id": bad}))[0] == "ENCODING"
    assert refusal(parquet({"id": ["a\x00b"]}))[0] == "ENCODING"
