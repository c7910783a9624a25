"""The columnar reader gives the exact reader's values, bit for bit."""

from __future__ import annotations

import gzip
import io
import os
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from scorer.reading.cells import Cells, ColumnBuilder
from scorer.reading.columnar import NotColumnar, read_columnar
from scorer.reading.columns import Column, Labels, Lists, Vocabulary
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, is_blank, open_table

N_CASES = int(os.environ.get("HELDOUT_FUZZ_CASES", "600"))
"""Of each kind; set it higher to search longer."""

NUMBER = {"p": Cells("number")}
Plain = tuple[list[str], dict[str, list[Any]]]


def values(column: Column, vocabulary: Vocabulary) -> list[Any]:
    """Return a column as comparable values, floats by their bits."""
    if isinstance(column, Labels):
        return [vocabulary.names[code] for code in column.codes]
    if isinstance(column, Lists):
        return [[vocabulary.names[code] for code in column.of(row)] for row in range(len(column))]
    if column.dtype == np.float64:
        return [value.hex() for value in column.tolist()]
    return column.tolist()


def plainly(
    data: bytes,
    header: Sequence[str],
    wanted: Mapping[str, Cells],
    *,
    numeric_ids: bool = True,
    parquet: bool = False,
) -> Plain | None:
    """Return ids and values of the columnar reader.

    None where it gives up.
    """
    vocabulary = Vocabulary(["known", "cat"])
    ids: list[str] = []
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    try:
        table = open_table(data, max_bytes=10**9, parquet=parquet)
        for block in read_columnar(
            table, header, wanted, dict.fromkeys(wanted, vocabulary), id_column="id", numeric_ids=numeric_ids
        ):
            ids += [str(number) for number in block.ids.tolist()] if numeric_ids else block.ids.to_pylist()
            for name, column in block.columns.items():
                assert len(column) == len(block)
                columns[name] += values(column, vocabulary)
    except (NotColumnar, UnreadableTable):
        return None
    return ids, columns


def exactly(
    data: bytes, header: Sequence[str], wanted: Mapping[str, Cells], *, parquet: bool = False
) -> Plain | None:
    """Return the same by the exact reader.

    None for anything that it refuses or reports.
    """
    try:
        records = open_table(data, max_bytes=10**9, parquet=parquet).records()
        _, names = next(records)
        rows = [fields for _, fields in records if fields]
    except UnreadableTable:
        return None
    if [name.strip(SPACES) for name in names] != list(header):
        return None
    if any(is_blank(fields) or len(fields) != len(header) for fields in rows):
        return None
    place = {name: position for position, name in enumerate(header)}
    ids = [fields[place["id"]] for fields in rows]
    if any(not text or text != text.strip(SPACES) for text in ids):
        return None
    vocabulary = Vocabulary(["known", "cat"])
    columns = {}
    for name, cells in wanted.items():
        builder = ColumnBuilder(cells, len(rows), vocabulary)
        for row, fields in enumerate(rows):
            builder.put(row, fields[place[name]])
        if builder.faults:
            return None
        columns[name] = values(builder.column(), vocabulary)
    return ids, columns


# --- random tables, spoilt byte by byte -----------------------------------------------------------

FORMS: list[tuple[list[str], dict[str, Cells]]] = [
    (["id", "p"], NUMBER),
    (["id", "p"], {"p": Cells("number", low=0.0, high=1.0)}),
    (["p", "id"], {"p": Cells("integer", low=-5.0)}),
    (["id", "p", "flag"], {"p": Cells("number", low=0.0), "flag": Cells("flag", low=0.0, high=1.0)}),
    (["id", "label", "skipped"], {"label": Cells("label")}),
    (["id", "a", "b"], {"a": Cells("list"), "b": Cells("list", split=";")}),
    (["id", "text", "best"], {"text": Cells("text"), "best": Cells("label", take="first")}),
    (["id", "mask"], {"mask": Cells("text", grammar="rle")}),
    (["id"], {}),
]

NUMBERS = [
    "0", "1", "-1", "0.5", ".5", "5.", "-0.0", "1e5", "1E-5", "+3", "1.5e+10", "007", "0x1f",
    "1e400", "1e-400",
    "4.9e-324", "2.5e-324", "2.2250738585072011e-308", "179769313486231580793728971405301e276", "nan", "-inf",
    "Infinity", "9007199254740993", "0.1000000000000000055511151231257827021181583404541015625",
    "1_0", " 1", "1 ",
    "123456789012345678901234567890", "1e100", "1.0000000000000001e100", "\u0661", "1,5", "",
    "True", "false", "1d3",
    "8.98846567431158e307", "0.30000000000000004", "1e22", "1e23", "-.5e-3", "NaN(1)", "null", "1e5 ", "\t2",
]  # fmt: skip
IDS = [
    "1", "2", "30", "-4", "0", "-0", "007", "+5", " 6", "7 ", "1.0", "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808", "0x1F", "0xFFFFFFFFF", "abc", "NA", "\u00e4", "id 1", "", "1e3",
    "9007199254740993", "\ufeff1",
]  # fmt: skip
TEXTS = [
    "cat", "dog", "1.0", "1", "-0.0", "true", "TRUE", "", " ", "a b", "a  b", "x;y;", ";",
    "1 2 3 4", "1 0", "\u00e4\u00f6",
    "a,b", '"', '""', "cat ", "\u00a0", "known", "1 3 2 2", "-", "NA", "null",
]  # fmt: skip
BYTES = b'\n\r",;01x.eE+- \t\x00\xff\xef\xbb\xbfa_'


def random_table(
    rng: random.Random, header: Sequence[str], wanted: Mapping[str, Cells], *, tame: bool
) -> bytes:
    """Return CSV of a form, mostly well made.

    So that much of it is accepted.
    """
    end = rng.choice(["\n", "\n", "\r\n"])
    quote_all = rng.random() < 0.15
    lines = [",".join(header)]
    for row in range(rng.randint(0, 6)):
        fields = []
        for name in header:
            kind = wanted[name].kind if name in wanted else "label"
            if name == "id":
                text = str(row * 7 - 5) if tame or rng.random() < 0.8 else rng.choice(IDS)
            elif kind in ("number", "integer", "flag"):
                likely = rng.choice(["0", "1"]) if kind != "number" else random_number(rng)
                text = likely if tame or rng.random() < 0.8 else rng.choice(NUMBERS)
            else:
                text = rng.choice(TEXTS)
            quoted = quote_all or rng.random() < 0.03 or ("," in text and rng.random() < 0.9)
            fields.append(f'"{text}"' if quoted else text)
        lines.append(",".join(fields))
        if rng.random() < 0.03:
            lines.append("")
    mark = "\ufeff" if rng.random() < 0.05 else ""
    return (mark + end.join(lines) + (end if rng.random() < 0.8 else "")).encode()


def random_number(rng: random.Random) -> str:
    way = rng.randrange(5)
    if way == 0:
        return repr(rng.random())
    if way == 1:
        return f"{rng.getrandbits(64)}e{rng.randint(-340, 80)}"
    if way == 2:
        return f"{rng.random():.{rng.randint(1, 40)}f}"
    if way == 3:
        return "".join(rng.choice("0123456789.") for _ in range(rng.randint(1, 30)))
    return rng.choice(NUMBERS[:10])


def spoil(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at = rng.randint(0, len(data))
        way = rng.randrange(4)
        byte = bytes([rng.choice(BYTES)])
        if way == 0:
            data = data[:at] + byte + data[at:]
        elif way == 1:
            data = data[:at] + data[at + 1 :]
        elif way == 2:
            data = data[:at] + byte + data[at + 1 :]
        else:
            data = data[:at] + rng.choice([*NUMBERS, *IDS, *TEXTS]).encode() + data[at:]
    return data


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_both_readers_agree_on_random_and_damaged_tables(form: int) -> None:
    header, wanted = FORMS[form]
    rng = random.Random(form)
    n_accepted = 0
    for case in range(N_CASES):
        data = random_table(rng, header, wanted, tame=case % 2 == 0)
        if case % 4:
            data = spoil(rng, data)
        numeric = rng.random() < 0.6
        fast = plainly(data, header, wanted, numeric_ids=numeric)
        if fast is not None:
            n_accepted += 1
            assert fast == exactly(data, header, wanted), data
    assert n_accepted > N_CASES / 20, "too few were accepted for this to show anything"


def random_column(rng: random.Random, n: int) -> pa.Array:
    whole: Callable[[], Any] = lambda: rng.choice([0, 1, 2**53 + 1, -7, 10**18])  # noqa: E731
    float_: Callable[[], Any] = lambda: rng.choice(  # noqa: E731
        [0.5, 1.0, -0.0, 1e300, 0.1, float("nan"), 2.0**63, 1e99]
    )
    text: Callable[[], Any] = lambda: rng.choice([*TEXTS, *IDS, *NUMBERS])  # noqa: E731
    kind, make = rng.choice(
        [
            (pa.int64(), whole),
            (pa.uint64(), lambda: abs(whole())),
            (pa.int8(), lambda: rng.randint(0, 1)),
            (pa.float64(), float_),
            (pa.float32(), lambda: rng.choice([0.5, 1.0, 0.1])),
            (pa.bool_(), lambda: rng.random() < 0.5),
            (pa.string(), text),
            (pa.large_string(), text),
            (pa.dictionary(pa.int8(), pa.string()), text),
        ]
    )
    cells = [None if rng.random() < 0.01 else make() for _ in range(n)]
    return pa.array(cells, type=kind)


def parquet(columns: Mapping[str, pa.Array], **options: Any) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(dict(columns)), stream, **options)
    return stream.getvalue()


def test_both_readers_agree_on_random_parquet_files() -> None:
    rng = random.Random(0)
    n_accepted = 0
    for _ in range(N_CASES):
        header, wanted = rng.choice(FORMS[:-1])
        n = rng.randint(0, 4)
        data = parquet({name: random_column(rng, n) for name in header})
        fast = plainly(data, header, wanted, numeric_ids=rng.random() < 0.6, parquet=True)
        if fast is not None:
            n_accepted += 1
            assert fast == exactly(data, header, wanted, parquet=True)
    assert n_accepted > N_CASES / 20


# --- what is plain, and what is not ---------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"id,p\n1,0.5\n2,0.25\n",
        b"id,p\r\n1,0.5\r\n2,0.25\r\n",
        b"\xef\xbb\xbfid,p\n1,0.5\n2,0.25",
        b'"id","p"\n"1","0.5"\n"2","0.25"\n',
        b"id,p\n\n1,0.5\n\n2,0.25\n\n",
        gzip.compress(b"id,p\n1,0.5\n2,0.25\n", mtime=0),
    ],
)
def test_an_ordinary_file_is_plain(data: bytes) -> None:
    assert plainly(data, ["id", "p"], NUMBER) == (["1", "2"], {"p": [(0.5).hex(), (0.25).hex()]})


@pytest.mark.parametrize(
    "line",
    [
        "007,1",
        "+5,1",
        "-0,1",
        " 5,1",
        "5 ,1",
        "0x1f,1",
        "5.0,1",
        "9223372036854775808,1",
        ",1",
        "5",
        "5,1,1",
        ",",
        "5,",
        "5,nan",
        "5,inf",
        "5,1e400",
        "5,1e101",
        "5,abc",
        "5,0_5",
        "5,\u0661",
        '5,"1',
        '5,1"',
        '5,"1""2"',
        "5,1\x00",
        "5,1\r6,1",
        '"5\n",1',
        "5," + "0" * 1_000_000,
        "5,\xa01",
    ],
)
def test_anything_odd_is_left_to_the_exact_reader(line: str) -> None:
    for where in (f"{line}\n8,1\n", f"8,1\n{line}\n", f"8,1\n{line}"):
        assert plainly(f"id,p\n{where}".encode(), ["id", "p"], NUMBER) is None


def test_a_zip_is_read_like_its_member() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"id,p\n1,0.5\n")
    assert plainly(stream.getvalue(), ["id", "p"], NUMBER) == (["1"], {"p": [(0.5).hex()]})


def test_blocks_come_in_the_order_of_the_file() -> None:
    rng = np.random.default_rng(0)
    ids, p = rng.permutation(700_000), rng.random(700_000)
    lines = "".join(f"{i},{x!r}\n" for i, x in zip(ids.tolist(), p.tolist(), strict=True))
    table = open_table(f"id,p\n{lines}".encode(), max_bytes=10**9)
    blocks = list(read_columnar(table, ["id", "p"], NUMBER, {}, id_column="id", numeric_ids=True))
    assert len(blocks) > 2
    assert np.array_equal(np.concatenate([block.ids for block in blocks]), ids)
    assert np.array_equal(np.concatenate([np.asarray(block.columns["p"]) for block in blocks]), p)


def test_a_fault_in_a_late_block_is_found() -> None:
    good = b"".join(b"%d,0.5\n" % number for number in range(500_000))
    for bad in (b"x,0.5\n", b"5,nan\n", b'5,"0.5\n', b"05,0.5\n"):
        assert plainly(b"id,p\n" + good + bad, ["id", "p"], NUMBER) is None


def test_names_already_known_keep_their_codes() -> None:
    vocabulary = Vocabulary(["dog", "cat"])
    table = open_table(b"id,label\n1,cat\n2,bird\n3,dog\n4,cat\n", max_bytes=10**6)
    (block,) = read_columnar(
        table,
        ["id", "label"],
        {"label": Cells("label")},
        {"label": vocabulary},
        id_column="id",
        numeric_ids=True,
    )
    assert isinstance(block.columns["label"], Labels)
    assert block.columns["label"].codes.tolist() == [1, 2, 0, 1]
    assert vocabulary.names == ["dog", "cat", "bird"]


def test_parquet_is_read_by_columns_too() -> None:
    data = parquet({"id": pa.array([3, 1, 2]), "p": pa.array([0.5, 0.25, 1.0])}, row_group_size=2)
    expected = (["3", "1", "2"], {"p": [(0.5).hex(), (0.25).hex(), (1.0).hex()]})
    assert plainly(data, ["id", "p"], NUMBER, parquet=True) == expected
