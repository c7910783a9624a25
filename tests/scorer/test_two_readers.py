"""Both readers agree from file to report; known failures of other tools."""

from __future__ import annotations

import gzip
import io
import math
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import scorer
import scorer.scoring
import scorer.submission.reader
from scorer.challenges.task import Task
from scorer.reading.columnar import NotColumnar
from tests.scorer.conftest import IDS, TRUTH, USAGE, YAML, Write, csv_text
from tests.scorer.many import KINDS, Kind


def zipped(text: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("s.csv"), text, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def parquet(kind: Kind) -> bytes:
    stream = io.BytesIO()
    table = {name: list(map(str, column)) for name, column in {"id": kind.ids, **kind.sent}.items()}
    pyarrow.parquet.write_table(pa.table(table), stream)
    return stream.getvalue()


def swapped(text: str) -> str:
    return "\n".join(",".join(line.split(",")[::-1]) for line in text.splitlines())


def files(kind: Kind) -> dict[str, bytes]:
    """Return variants of a good submission, by what was changed."""
    text = kind.text()
    header, *rows = text.splitlines()
    shuffled = random.Random(3).sample(rows, len(rows))
    half = len(rows) // 2
    made = {
        "as it is": text,
        "shuffled rows": "\n".join([header, *shuffled]),
        "swapped columns": swapped(text),
        "CRLF": text.replace("\n", "\r\n"),
        "everything quoted": text.replace(",", '","').replace("\n", '"\n"')[:-1].join(['"', ""]),
        "blank lines": text.replace("\n", "\n\n"),
        "no last line end": text.rstrip("\n"),
        "a row of empty cells": text + "," * header.count(",") + "\n",
        "a byte order mark": "\ufeff" + text,
        "spaces around ids": "\n".join([header, *(f" {row}" for row in rows)]),
        "ids with zeros before": "\n".join([header, *(f"0{row}" for row in rows)]),
        "one row short": "\n".join([header, *rows[:-1]]),
        "a row twice": text + rows[3] + "\n",
        "a row twice and one missing": "\n".join([header, *rows[:-1], rows[3]]),
        "an unknown id": text + "77777" + rows[0][rows[0].index(",") :] + "\n",
        "the header again": "\n".join([header, *rows[:half], header, *rows[half:]]),
        "a value more": text.replace("\n", ",1\n", 4),
        "a lone carriage return": text.replace("\n", "\r"),
        "a broken quote": text + '"',
        "words": "\n".join([header, *(row.rpartition(",")[0] + ",nonsense" for row in rows)]),
        "constant": "\n".join([header, *(row.split(",")[0] + ",1" * header.count(",") for row in rows)]),
        "empty values": "\n".join([header, *(row.split(",")[0] + "," * header.count(",") for row in rows)]),
    }
    packed = {"gzip": gzip.compress(text.encode(), mtime=0), "zip": zipped(text), "parquet": parquet(kind)}
    return {name: each.encode() for name, each in made.items()} | packed


def outcome(challenge: scorer.Challenge, data: bytes | Path) -> tuple[str, Any]:
    try:
        return "scored", scorer.score(challenge, data)
    except scorer.InvalidSubmission as refusal:
        return "refused", ([problem.as_dict() for problem in refusal.problems], refusal.total)


def not_columnar(*_: object, **__: object) -> None:
    raise NotColumnar("for this test")


@pytest.mark.parametrize("name", KINDS)
def test_both_readers_and_both_ways_of_scoring_agree(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind = KINDS[name]
    challenge = scorer.load(replace(kind, more=f"{kind.more}, parquet: true").folder(write))
    given = files(kind)

    def outcomes() -> dict[str, tuple[str, Any]]:
        return {variant: outcome(challenge, data) for variant, data in given.items()}

    always = outcomes()
    with monkeypatch.context() as patch:
        patch.setattr(Task, "streams", False)
        assert outcomes() == always
    monkeypatch.setattr(scorer.submission.reader, "read_columnar", not_columnar)
    assert outcomes() == always
    fine = {variant for variant, (what, _) in always.items() if what == "scored"}
    same = {
        "shuffled rows",
        "swapped columns",
        "CRLF",
        "everything quoted",
        "blank lines",
        "gzip",
        "zip",
        "parquet",
    }
    assert {"as it is", *same} <= fine
    reports = [always[variant][1] for variant in ("as it is", *same)]
    assert len({(report.public, report.private, str(report.also)) for report in reports}) == 1
    assert not {"one row short", "a row twice", "a row twice and one missing", "a value more"} & fine


def test_the_columnar_reader_is_really_used(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the test above could compare the exact reader with itself."""

    def never(*_: object) -> None:
        raise AssertionError("read record by record")

    monkeypatch.setattr(scorer.submission.reader, "align", never)
    for name, kind in KINDS.items():
        if kind.exact:
            continue
        challenge = scorer.load(kind.folder(write))
        for variant in ("as it is", "shuffled rows", "swapped columns", "CRLF", "gzip", "everything quoted"):
            assert outcome(challenge, files(kind)[variant])[0] == "scored", (name, variant)


def test_a_file_of_many_blocks_is_scored_the_same_in_pieces(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks go through threads, pieces of 65,536 rows through sums."""
    n = 150_000
    rng = random.Random(1)
    ids = [str(i) for i in range(n)]
    values = [f"{rng.random():.40f}" for _ in ids]
    folder = write(
        YAML.replace("log_loss", "log_loss\nalso: [mse]"),
        columns=(ids, [str(rng.randrange(2)) for _ in ids], [rng.choice(["Public", "Private"]) for _ in ids]),
    )
    challenge = scorer.load(folder)
    order = rng.sample(range(n), n)
    data = csv_text(("id", "target"), [ids[i] for i in order], [values[i] for i in order]).encode()
    streamed = scorer.score(challenge, data)
    monkeypatch.setattr(Task, "streams", False)
    assert scorer.score(challenge, data) == streamed


# --- what goes wrong elsewhere --------------------------------------------------------------------

VALUES = [f"0.{number:02d}" for number in range(5, 25)]


def codes(challenge: scorer.Challenge, text: str) -> set[str]:
    what, found = outcome(challenge, text.encode())
    assert what == "refused"
    return {problem["code"] for problem in found[0]}


def table(ids: list[str] = IDS, values: list[str] = VALUES) -> str:
    return csv_text(("id", "target"), ids, values)


@pytest.mark.parametrize("spelling", ["NaN", "nan", "-nan", "NAN", "", "inf", "NA", "null", "None"])
def test_a_nan_never_scores_perfect(write: Write, spelling: str) -> None:
    """Kaggle's kl_divergence accepts it and gives 0, the best."""
    for metric, columns in (
        ("kl_divergence", ["cat", "dog"]),
        ("log_loss", ["target"]),
        ("rmse", ["target"]),
    ):
        truth = [TRUTH, [str(1 - int(flag)) for flag in TRUTH]][: len(columns)]
        yaml = f"metric: {metric}\nsubmission: {{id: id, columns: [{', '.join(columns)}]}}\n"
        challenge = scorer.load(write(yaml, header=("id", *columns, "Usage"), columns=(IDS, *truth, USAGE)))
        halves = [["0.5"] * 20 for _ in columns]
        halves[-1] = [spelling] * 20
        assert codes(challenge, csv_text(("id", *columns), IDS, *halves)) <= {
            "NOT_FINITE",
            "NOT_A_NUMBER",
            "EMPTY_VALUE",
        }


def test_a_doubled_id_does_not_make_up_for_a_missing_one(challenge: scorer.Challenge) -> None:
    """A count of rows, or a join on the id, does not notice."""
    assert codes(challenge, table(["1", "1", *IDS[2:]])) == {"DUPLICATE_IDS", "MISSING_IDS"}


def test_ids_beyond_2_53_are_not_one(write: Write) -> None:
    """pandas reads floats if a row is blank; neighbours become equal."""
    ids = [str(2**53 + number) for number in range(20)]
    challenge = scorer.load(write(columns=(ids, TRUTH, USAGE)))
    data = table(ids, TRUTH).replace("\n", "\n\n", 3)
    report = scorer.score(challenge, data.encode())
    assert report.public == report.private < 1e-14
    assert codes(challenge, table([*ids[:-1], ids[0]], TRUTH)) == {"DUPLICATE_IDS", "MISSING_IDS"}


def test_ids_that_pandas_reads_as_missing_are_ids(write: Write) -> None:
    ids = ["NA", "None", "null", "nan", "N/A", "-", *IDS[6:]]
    challenge = scorer.load(write(columns=(ids, TRUTH, USAGE)))
    assert scorer.score(challenge, table(ids, TRUTH).encode()).public < 1e-14
    assert codes(challenge, table(["null", "None", "null", *ids[3:]])) == {"DUPLICATE_IDS", "MISSING_IDS"}


def test_a_trailing_comma_does_not_move_the_columns(challenge: scorer.Challenge) -> None:
    """pandas makes the id the index, and the predictions the ids."""
    header, rows = table().split("\n", 1)
    assert codes(challenge, f"{header}\n" + rows.replace("\n", ",\n")) == {"FIELD_COUNT"}


@pytest.mark.parametrize(
    "text", ["0_5", "1_0", "\u0660.\u0665", "\uff10.\uff15", "0x1", "1e", "\u00bd", "5d-1"]
)
def test_text_that_only_a_lenient_parser_reads_is_no_number(challenge: scorer.Challenge, text: str) -> None:
    """Python's float() takes underscores and the digits of every script."""
    assert codes(challenge, table(values=[text, *VALUES[1:]])) == {"NOT_A_NUMBER"}


def test_a_zip_bomb_is_refused_before_it_is_large(challenge: scorer.Challenge) -> None:
    bomb = zipped("id,target\n" + "1,0.5\n" * 5_000_000)
    assert len(bomb) < 100_000
    what, found = outcome(challenge, bomb)
    assert (what, found[0][0]["code"]) == ("refused", "TOO_LARGE")


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_file_of_ones_is_no_perfect_probability(write: Write, metric: str) -> None:
    """scikit-learn from 1.5 on gives it a log loss of 2.2e-16."""
    names = ["ant", "bee", "cow"]
    yaml = f"metric: {metric}\nsubmission: {{id: id, columns: [{', '.join(names)}]}}\n"
    challenge = scorer.load(write(yaml, columns=(IDS, (names * 7)[:20], USAGE)))
    ones, thirds = (
        scorer.score(challenge, csv_text(("id", *names), IDS, *[[value] * 20] * 3).encode())
        for value in ("1", "0.25")
    )
    assert (ones.public, ones.private) == (thirds.public, thirds.private)
    assert ones.public == pytest.approx(math.log(3) if metric == "log_loss" else 2 / 3)


def test_an_item_repeated_twelve_times_is_found_once(write: Write) -> None:
    """Other programs give 12.0, where 1 is perfect."""
    yaml = YAML.replace("log_loss", "{name: map_at_k, k: 12}")
    challenge = scorer.load(write(yaml, columns=(IDS, ["a b"] * 20, USAGE)))
    report = scorer.score(challenge, table(values=[" ".join(["a"] * 12)] * 20).encode())
    assert (report.public, report.private) == (0.5, 0.5)


def test_kappa_without_its_range_is_not_guessed_from_the_labels_that_occur(write: Write) -> None:
    """By position among the labels, as in scikit-learn, 3 and 5 are neighbours."""
    with pytest.raises(scorer.InvalidChallenge, match="needs the parameter min_rating"):
        scorer.load(write(YAML.replace("log_loss", "qwk"), columns=(IDS, ["1", "5"] * 10, USAGE)))
    frame = pd.DataFrame({"id": range(4), "y": [1, 2, 3, 5]})
    sent = frame.assign(y=[1, 2, 5, 5])
    wide = scorer.measure("qwk", frame, sent, min_rating=1, max_rating=5)
    assert wide == pytest.approx(1 - 4 / 22.5)  # by position it is 11 / 12
    assert scorer.measure("qwk", frame, sent, min_rating=1, max_rating=9) == pytest.approx(wide)
