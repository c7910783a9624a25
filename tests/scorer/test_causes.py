"""Mistakes of other programs: one problem for one cause, in the words of that program."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

import scorer
from tests.scorer.conftest import Write

N = 12
IDS = [str(i) for i in range(1, N + 1)]
USAGE = ["Public", "Private"] * (N // 2)
NUMBER = "metric: mae\nsubmission: {id: id, columns: [y]}\n"
PROBABILITY = "metric: log_loss\nsubmission: {id: id, columns: [y]}\n"
CLASSES = 'metric: log_loss\nsubmission: {id: id, columns: ["0", "1", "2"]}\n'
TRUTH = {NUMBER: IDS, PROBABILITY: ["0", "0", "1", "1"] * 3, CLASSES: ["0", "0", "1", "1", "2", "2"] * 2}


def lines(header: str, cells: Sequence[str] | str, line: str = "{id},{cell}") -> bytes:
    cells = [cells] * N if isinstance(cells, str) else cells
    rows = (
        line.format(n=n, id=key, cell=cell) for n, (key, cell) in enumerate(zip(IDS, cells, strict=True), 1)
    )
    return "\n".join([header, *rows, ""]).encode()


def tar(mode: str, format_: int = tarfile.USTAR_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=format_) as archive:  # type: ignore[call-overload]
        entry = tarfile.TarInfo("submission.csv")
        content = lines("id,y", "0.5")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def old_tar() -> bytes:
    """Return a tar of the form before POSIX, without the word ustar."""
    data = bytearray(tar("w"))
    data[257:265] = bytes(8)
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    return bytes(data)


def parquet() -> bytes:
    stream = io.BytesIO()
    pd.DataFrame({"id": IDS}).to_parquet(stream)
    return stream.getvalue()


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


RDS = b"X\n\x00\x00\x00\x03\x00\x04\x02\x01\x00\x03\x05\x00\x00\x00\x00\x05UTF-8\x00\x00\x03\x13"
RNG = np.random.default_rng(0)
THOUSANDS = [f"{1000 + 234 * i:,}" for i in range(N)]
COMMAS = [f"{i},{i}5" for i in range(N)]
PERCENT = [str(10 + 7.5 * i) for i in range(N)]
HOT = [",".join("100" if c == i % 3 else "0" for c in range(3)) for i in range(N)]

CAUSES: dict[str, tuple[str, bytes, str, Sequence[str]]] = {
    # numbers
    "thousands": (
        NUMBER,
        lines("id,y", THOUSANDS, '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["1000", "1.000", "Excel"],
    ),
    "millions": (
        NUMBER,
        lines("id,y", ["1,234", *["1,234,567"] * 11], '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["leave out the thousands"],
    ),
    "thousands with a point": (
        NUMBER,
        lines("id,y", "1,234.5", '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["leave out the thousands"],
    ),
    "thousands by a blank": (NUMBER, lines("id,y", "1 234"), "NOT_A_NUMBER", ["leave out the thousands"]),
    "Swiss thousands": (NUMBER, lines("id,y", "1'234.5"), "NOT_A_NUMBER", ["leave out the thousands"]),
    "decimal commas": (NUMBER, lines("id,y", COMMAS, '{id},"{cell}"'), "NOT_A_NUMBER", ["decimal point"]),
    "decimal commas of three digits": (
        NUMBER,
        lines("id,y", ["1,234", *["0,234"] * 11], '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["decimal point"],
    ),
    "thousands without quotes": (NUMBER, lines("id,y", THOUSANDS), "FIELD_COUNT", ["1000", "1.000"]),
    "decimal commas without quotes": (NUMBER, lines("id,y", COMMAS), "FIELD_COUNT", ["decimal point"]),
    "percent signs": (PROBABILITY, lines("id,y", "45 %"[:2] + "%"), "NOT_A_NUMBER", ["write 0.45"]),
    "percent": (PROBABILITY, lines("id,y", PERCENT), "OUT_OF_RANGE", ["percent", "write 0.1,"]),
    "percent of classes": (
        CLASSES,
        lines("id,0,1,2", HOT),
        "OUT_OF_RANGE",
        ["percent", "2 more columns: 1, 2"],
    ),
    "classes for probabilities": (
        PROBABILITY,
        lines("id,y", ["cat", "dog"] * 6),
        "NOT_A_NUMBER",
        ["not a class", "predict_proba"],
    ),
    "yes and no": (PROBABILITY, lines("id,y", ["yes", "no"] * 6), "NOT_A_NUMBER", ["not a class"]),
    "booleans": (PROBABILITY, lines("id,y", ["True", "False"] * 6), "NOT_A_NUMBER", ["1 for True"]),
    "words in all class columns": (
        CLASSES,
        lines("id,0,1,2", "low,low,high"),
        "NOT_A_NUMBER",
        ["not a class", "2 more columns"],
    ),
    "one class for three columns": (
        CLASSES,
        lines("id,label", "cat"),
        "COLUMN_NAME",
        ["probability of each class"],
    ),
    "German thousands": (
        NUMBER,
        lines("id,y", "1.234,50", '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["decimal point: write 1234.50"],
    ),
    "logits": (PROBABILITY, lines("id,y", ["2.3", "1.5", "3"] * 4), "OUT_OF_RANGE", ["percent", "logits"]),
    "a tensor of a device": (
        NUMBER,
        lines("id,y", "tensor(1234.5, device='cuda:0')", '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["write 1234.5,"],
    ),
    "a tensor with a gradient": (
        NUMBER,
        lines("id,y", "tensor([0.5], grad_fn=<SigmoidBackward0>)", '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["write 0.5,"],
    ),
    "a tensor of TensorFlow": (
        NUMBER,
        lines("id,y", "tf.Tensor(0.5, shape=(), dtype=float32)", '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["write 0.5,"],
    ),
    "a list of two numbers": (
        PROBABILITY,
        lines("id,y", "[0.1, 0.9]", '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["several numbers", "[:, 1]"],
    ),
    "numpy's two numbers": (PROBABILITY, lines("id,y", "[0.1 0.9]"), "NOT_A_NUMBER", ["several numbers"]),
    "a tensor of two numbers": (
        PROBABILITY,
        lines("id,y", "tensor([0.1, 0.9], device='cuda:0')", '{id},"{cell}"'),
        "NOT_A_NUMBER",
        ["several numbers"],
    ),
    **{
        f"{cell or 'nothing'} in all columns": (
            CLASSES,
            lines("id,0,1,2", ",".join([cell] * 3)),
            code,
            ["The same in 2 more columns: 1, 2."],
        )
        for cell, code in (
            ("", "EMPTY_VALUE"),
            ("nan", "NOT_FINITE"),
            ("-inf", "NOT_FINITE"),
            ("-0.5", "OUT_OF_RANGE"),
        )
    },
    "numpy's brackets": (NUMBER, lines("id,y", "[0.5]"), "NOT_A_NUMBER", ["write 0.5", "ravel"]),
    "a tensor": (NUMBER, lines("id,y", "tensor(0.5)"), "NOT_A_NUMBER", ["write 0.5"]),
    "a numpy scalar": (NUMBER, lines("id,y", "np.float64(0.5)"), "NOT_A_NUMBER", ["write 0.5"]),
    "Excel's errors": (NUMBER, lines("id,y", "#DIV/0!"), "NOT_A_NUMBER", ["Excel"]),
    "Excel's narrow column": (NUMBER, lines("id,y", "######"), "NOT_A_NUMBER", ["Excel"]),
    "Excel's dates": (NUMBER, lines("id,y", "1-May"), "NOT_A_NUMBER", ["Excel"]),
    "R's NA": (NUMBER, lines("id,y", "NA"), "NOT_A_NUMBER", ["every row needs"]),
    # quotes and separators
    "quoted lines": (
        NUMBER,
        lines('"id,y"', "0.5", '"{id},{cell}"'),
        "BAD_QUOTE",
        ["whole line is in quotes", "Excel", "R"],
    ),
    "quoted lines with quotes": (
        NUMBER,
        lines('"id,""y"""', "0.5", '"{id},""{cell}"""'),
        "BAD_QUOTE",
        ["whole line"],
    ),
    "quoted lines under a header": (
        NUMBER,
        lines("id,y", "0.5", '"{id},{cell}"'),
        "BAD_QUOTE",
        ["whole line"],
    ),
    "semicolons": (NUMBER, lines("id;y", "0,5", "{id};{cell}"), "SEPARATOR", ['";"', "Excel"]),
    "quoted semicolons": (NUMBER, lines('"id";"y"', "0,5", '"{id}";{cell}'), "SEPARATOR", ['";"']),
    "quoted tabs": (NUMBER, lines('"id"\t"y"', "0.5", '"{id}"\t{cell}'), "SEPARATOR", ["tabs"]),
    "blanks": (NUMBER, lines("id y", "0.5", "{id} {cell}"), "SEPARATOR", ["spaces"]),
    # R
    "write.table": (
        NUMBER,
        lines('"id" "y"', "0.5", '"{n}" {id} {cell}'),
        "SEPARATOR",
        ["spaces", "row name", "row.names = FALSE"],
    ),
    "write.table, quote=FALSE": (
        NUMBER,
        lines("id y", "0.5", "{n} {id} {cell}"),
        "SEPARATOR",
        ["spaces", "row.names = FALSE"],
    ),
    "write.table, row.names=FALSE": (
        NUMBER,
        lines('"id" "y"', "0.5", "{id} {cell}"),
        "SEPARATOR",
        ["spaces", "write.csv"],
    ),
    'write.table, sep=","': (
        NUMBER,
        lines('"id","y"', "0.5", '"{n}",{id},{cell}'),
        "INDEX_COLUMN",
        ["row name", "row.names = FALSE"],
    ),
    'write.table, sep=",", quote=FALSE': (
        NUMBER,
        lines("id,y", "0.5", "{n},{id},{cell}"),
        "INDEX_COLUMN",
        ["row name", "row.names = FALSE"],
    ),
    "write.table, col.names=NA": (
        NUMBER,
        lines('"","id","y"', "0.5", '"{n}",{id},{cell}'),
        "INDEX_COLUMN",
        ["row names R adds", "row.names = FALSE"],
    ),
    "write.table, tabs": (
        NUMBER,
        lines('"id"\t"y"', "0.5", '"{n}"\t{id}\t{cell}'),
        "SEPARATOR",
        ["tabs", "row.names = FALSE"],
    ),
    "write.csv2": (
        NUMBER,
        lines('"";"id";"y"', "0,5", '"{n}";{id};{cell}'),
        "SEPARATOR",
        ["write.csv2", '"." in decimals'],
    ),
    "row names read again": (NUMBER, lines("X,id,y", "0.5", "{n},{id},{cell}"), "INDEX_COLUMN", ["R adds"]),
    "make.names": (CLASSES, lines("id,X0,X1,X2", "0.2,0.3,0.5"), "COLUMN_NAME", ["check.names = FALSE"]),
    "columns of a matrix": (CLASSES, lines("id,V1,V2,V3", "0.2,0.3,0.5"), "COLUMN_NAME", ["names(df)"]),
    "a vector": (NUMBER, lines("id,x", "0.5"), "COLUMN_NAME", ["names(df)"]),
    # pandas
    "an index": (
        NUMBER,
        lines(",id,y", [str(i) for i in range(N)], "{cell},{id},0.5"),
        "INDEX_COLUMN",
        ["index=False"],
    ),
    "an index read again": (
        NUMBER,
        lines("Unnamed: 0,id,y", "0.5", "{n},{id},{cell}"),
        "INDEX_COLUMN",
        ["index=False"],
    ),
    "a Series without name": (NUMBER, lines("id,0", "0.5"), "COLUMN_NAME", ["df.columns"]),
    # other files
    "tar": (NUMBER, tar("w"), "NOT_CSV", ["tar archive"]),
    "old tar": (NUMBER, old_tar(), "NOT_CSV", ["tar archive"]),
    "GNU tar": (NUMBER, tar("w", tarfile.GNU_FORMAT), "NOT_CSV", ["tar archive"]),
    "tar.gz": (NUMBER, tar("w:gz"), "NOT_CSV", ["tar archive", "gzip"]),
    "saveRDS": (NUMBER, gzip.compress(RDS + RNG.bytes(500)), "NOT_CSV", ["saveRDS", "write.csv"]),
    "save": (NUMBER, gzip.compress(b"RDX3\n" + RDS), "NOT_CSV", ["workspace of R"]),
    "a pickle in gzip": (NUMBER, gzip.compress(pickle.dumps(IDS)), "NOT_CSV", ["pickle", "gzip", "to_csv"]),
    "Parquet in gzip": (NUMBER, gzip.compress(parquet()), "NOT_CSV", ["Parquet", "gzip", "to_csv"]),
    "NumPy in gzip": (NUMBER, gzip.compress(npy()), "NOT_CSV", ["NumPy"]),
    "noise in gzip": (NUMBER, gzip.compress(b"\x07" + RNG.bytes(5000)), "NOT_CSV", ["binary", "gzip"]),
    "UTF-16 in gzip": (
        NUMBER,
        gzip.compress(lines("id,y", "0.5").decode().encode("utf-16-le")),
        "ENCODING",
        ["UTF-16"],
    ),
}


def load(write: Write, yaml: str) -> scorer.Challenge:
    return scorer.load(write(yaml, header=("id", "y", "Usage"), columns=(IDS, TRUTH[yaml], USAGE)))


@pytest.mark.parametrize("name", CAUSES)
def test_a_mistake_is_one_problem_that_names_its_cause(write: Write, name: str) -> None:
    yaml, data, code, words = CAUSES[name]
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(load(write, yaml), data)
    (problem,) = refusal.value.problems
    assert problem.code == code
    for word in words:
        assert word in problem.message
    if code in ("NOT_A_NUMBER", "FIELD_COUNT"):
        assert problem.count >= N


@pytest.mark.parametrize("name", ["._sub.csv", "__MACOSX/._sub.csv", "data/._sub.csv", ".DS_Store"])
def test_files_that_macos_adds_to_a_zip_are_ignored(write: Write, name: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data/sub.csv", lines("id,y", "0.5"))
        archive.writestr(name, b"\x00\x05\x16\x07")
    report = scorer.score(load(write, NUMBER), stream.getvalue())
    assert "NOTICE_DECOMPRESSED" in [notice.code for notice in report.notices]


def test_one_probability_above_one_is_not_called_percent(write: Write) -> None:
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(load(write, PROBABILITY), lines("id,y", ["1.2", *["0.5"] * 11]))
    assert "percent" not in str(refusal.value)


def test_a_single_word_is_not_called_a_class(write: Write) -> None:
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(load(write, PROBABILITY), lines("id,y", ["abc", *["0.5"] * 11]))
    assert "class" not in str(refusal.value)


def test_two_causes_in_one_column_are_two_problems_with_their_counts(write: Write) -> None:
    """The first cell's cause used to stand for all cells; each further cause cost another upload."""
    folder = write(NUMBER, header=("id", "y", "Usage"), columns=(IDS, IDS, USAGE))
    cells = ["1", "NA", "2,5", "5%", "3,25", "NA", "ill", "[4.5]", "9", "10%", "NA", "#N/A"]
    quoted = [f'"{cell}"' for cell in cells]
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(scorer.load(folder), lines("id,y", quoted))
    found = [(each.line, each.count, each.message.partition(" - ")[2]) for each in caught.value.problems]
    assert [(line, count) for line, count, _ in found] == [(3, 3), (4, 2), (5, 2), (8, 1), (9, 1), (13, 1)]
    assert found[1][2].startswith("use a decimal point: write 2.5. 2 lines")
    assert found[2][2].startswith("write 0.05. 2 lines")


def test_unclear_cells_of_one_column_are_one_problem(write: Write) -> None:
    folder = write(NUMBER, header=("id", "y", "Usage"), columns=(IDS, IDS, USAGE))
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(scorer.load(folder), lines("id,y", [*IDS[:8], "x", "1x", "~", "1..2"]))
    assert [(each.line, each.count) for each in caught.value.problems] == [(10, 4)]
