"""An organiser's table is read as the program that wrote it meant it."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scorer.authoring.columns import (
    guess_group,
    guess_id,
    guess_target,
    guess_time,
    profile,
    target_of,
    understood,
)
from scorer.authoring.dates import dates_of
from scorer.authoring.table import Unusable, read_table, read_tables

PEOPLE = pd.DataFrame({"name": ["Ada, L.", "Zoë", "B|b"], "size": [1.5, 2.25, -3.0], "n": [1, 2, 3]})
CELLS = [["Ada, L.", "Zoë", "B|b"], [1.5, 2.25, -3.0], [1, 2, 3]]


def r_table(path: Path) -> None:
    path.write_text('"name"\t"size"\t"n"\n"1"\t"Ada, L."\t1.5\t1\n"2"\t"Zoë"\t2.25\t2\n"3"\t"B|b"\t-3\t3\n')


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("people.csv", PEOPLE.to_csv(index=False))


def with_last_separators(path: Path) -> None:
    path.write_text('name,size,n,\n"Ada, L.",1.5,1,\nZoë,2.25,2,\nB|b,-3,3,\n')


def with_short_header(path: Path) -> None:
    path.write_text('name,size,n\n"Ada, L.",1.5,1,\nZoë,2.25,2,\nB|b,-3,3,\n')


def with_stated_separator(path: Path) -> None:
    path.write_text("sep=;\nname;size;n\nAda, L.;1,5;1\nZoë;2,25;2\nB|b;-3;3\n")


WAYS: dict[str, Callable[[Path], object]] = {
    "plain.csv": lambda p: PEOPLE.to_csv(p, index=False),
    "index.csv": lambda p: PEOPLE.to_csv(p),
    "marked.csv": lambda p: PEOPLE.to_csv(p, index=False, encoding="utf-8-sig"),
    "windows.csv": lambda p: PEOPLE.to_csv(p, index=False, encoding="cp1252", lineterminator="\r\n"),
    "excel.csv": lambda p: PEOPLE.to_csv(p, index=False, sep=";", decimal=","),
    "bars.txt": lambda p: PEOPLE.to_csv(p, index=False, sep="|"),
    "tabs.tsv": lambda p: PEOPLE.to_csv(p, index=False, sep="\t", encoding="utf-16"),
    "r.txt": r_table,
    "packed.csv.gz": lambda p: p.write_bytes(gzip.compress(PEOPLE.to_csv(index=False).encode())),
    "packed.zip": zipped,
    "last.csv": with_last_separators,
    "short.csv": with_short_header,
    "stated.csv": with_stated_separator,
    "table.parquet": lambda p: PEOPLE.to_parquet(p),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_read_from_every_program(way: str, tmp_path: Path) -> None:
    WAYS[way](tmp_path / way)
    frame = read_table(tmp_path / way).frame
    assert frame.names == ["name", "size", "n"]
    assert frame.texts("name").to_pylist() == CELLS[0]
    for name, cells in zip(["size", "n"], CELLS[1:], strict=True):
        assert frame.feature(name).numbers.tolist() == cells


def test_a_workbook_is_read_with_its_first_filled_sheet(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(workbook([["name", "size", "n"], *PEOPLE.to_numpy().tolist()]))
    table = read_table(path)
    assert table.frame.texts("name").to_pylist() == CELLS[0]
    assert table.frame.texts("n").to_pylist() == ["1", "2", "3"]


def workbook(rows: list[list[object]]) -> bytes:
    """The smallest workbook that Excel opens: inline texts, one sheet."""
    cells = "".join(
        "<row>"
        + "".join(
            f"<c><v>{cell}</v></c>"
            if isinstance(cell, int | float)
            else f'<c t="inlineStr"><is><t>{cell}</t></is></c>'
            for cell in row
        )
        + "</row>"
        for row in rows
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    sheet_type = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override '
        f'PartName="/xl/workbook.xml" ContentType="{sheet_type}.sheet.main+xml"/><Override '
        f'PartName="/xl/worksheets/sheet1.xml" ContentType="{sheet_type}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="People" '
        'sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a,b\n", "has no rows"),
        (b"a,b,a\n1,2,3\n", "two columns of one name: a"),
        (b"1.5,2\n3,4\n5,6\n", "not the names of the columns"),
        (b"a,b\n1,2\n3\n" + b"4,5\n" * 10, "line 3 has 1 values, the header 2"),
        (b"\x00\x01\x02\x03", "is not text"),
        (b"a,b\n,\n,\n", "no column with a value"),
        (b"My survey;;;\na;b;c;d\n1;2;3;4\n5;6;7;8\n", "remove titles above the names"),
        (b"\n" * 300 + b"a\n", "no column|has no rows|no names"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(Unusable, match=words) as refusal:
        read_table(tmp_path / "t.csv")
    assert str(refusal.value).count(". ") == 0


def test_a_missing_file_and_a_workbook_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(b"PK nothing")
    for name, words in (("none.csv", "no file"), ("x.xlsx", "could not be read as a workbook")):
        with pytest.raises(Unusable, match=words):
            read_table(tmp_path / name)


def test_tables_with_the_same_columns_are_one_and_others_are_refused(tmp_path: Path) -> None:
    PEOPLE.to_csv(tmp_path / "a.csv", index=False)
    PEOPLE[["n", "size", "name"]].to_csv(tmp_path / "b.csv", index=False, sep=";")
    PEOPLE[["n"]].to_csv(tmp_path / "c.csv", index=False)
    both = read_tables([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert both.frame.texts("name").to_pylist() == CELLS[0] * 2
    with pytest.raises(Unusable, match="different columns"):
        read_tables([tmp_path / "a.csv", tmp_path / "c.csv"])


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%b %d, %Y", "%d.%m.%Y %H:%M", "%Y%m%d", "%B %Y", "%Y/%m/%d %H:%M"],
)
def test_dates_are_recognised_in_every_usual_form(form: str, tmp_path: Path) -> None:
    days = pd.date_range("2019-01-01", periods=200)
    pd.DataFrame({"when": days.strftime(form), "x": range(200)}).to_csv(tmp_path / "d.csv", index=False)
    feature = read_table(tmp_path / "d.csv").frame.feature("when")
    found = dates_of(feature)
    assert found is not None
    expected = [pd.to_datetime(text, format=form).timestamp() for text in days.strftime(form)]
    assert found.seconds.tolist() == expected
    assert pd.to_datetime(found.iso()[0]) == pd.to_datetime(expected[0], unit="s")


def test_the_target_and_the_id_are_guessed_with_their_reason(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"patientID": [f"p{i}" for i in range(30)], "x": range(30), "y": [0, 1] * 15, "z": range(30)}
    )
    rows.to_csv(tmp_path / "t.csv", index=False)
    frame = read_table(tmp_path / "t.csv").frame
    described = profile(frame)
    assert guess_target(described).column == "y"
    assert guess_target(described).reason == "its name"
    assert guess_id(frame, described, target="y").column == "patientID"


@pytest.mark.parametrize(
    ("cells", "kind", "classes"),
    [
        (["yes", "no"] * 10, "binary", ("no", "yes")),
        ([1.0, 0.0] * 10, "binary", ("0", "1")),
        ([3, 1, 2, 1] * 5, "class", ("1", "2", "3")),
        ([1.5, 2.5] * 10, "number", ()),
        (list(range(20)), "number", ()),
    ],
)
def test_the_kind_of_a_target_follows_from_its_cells(
    cells: list[object], kind: str, classes: tuple[str, ...], tmp_path: Path
) -> None:
    pd.DataFrame({"x": range(len(cells)), "y": cells}).to_csv(tmp_path / "t.csv", index=False)
    target = target_of(read_table(tmp_path / "t.csv").frame, "y")
    assert (target.kind, target.classes) == (kind, classes)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["same"] * 20, "one value in all rows"),
        ([f"text {i}" for i in range(120)], "120 distinct texts; classes may be 100 at most"),
    ],
)
def test_a_target_from_which_nothing_can_be_learnt_is_refused(
    cells: list[str], words: str, tmp_path: Path
) -> None:
    pd.DataFrame({"x": range(len(cells)), "y": cells}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(Unusable, match=words):
        target_of(read_table(tmp_path / "t.csv").frame, "y")


@pytest.mark.parametrize(
    ("columns", "time", "group"),
    [
        ({"year": [1990 + n // 12 for n in range(360)]}, "year", None),
        ({"study_time": [n % 37 for n in range(360)]}, None, None),
        ({"birth_date": [f"19{50 + n // 12}-01-01" for n in range(360)]}, None, None),
        ({"patient_no": [n // 6 for n in range(360)]}, None, "patient_no"),
        ({"PatientID": [f"p{n // 6}" for n in range(360)]}, None, "PatientID"),
        ({"customer_age": [20 + n // 6 for n in range(360)]}, None, None),
        ({"family_size": [n % 7 for n in range(360)]}, None, None),
        ({"workshop": [n // 6 for n in range(360)]}, None, None),
        ({"age_group": [f"g{n // 6}" for n in range(360)]}, None, None),
        ({"Customer_ID": [n // 6 for n in range(360)]}, None, "Customer_ID"),
        ({"week": list(range(1, 361))}, "week", None),
    ],
)
def test_time_and_group_are_proposed_for_moments_and_things_not_for_properties(
    columns: dict[str, list[object]], time: str | None, group: str | None, tmp_path: Path
) -> None:
    (cells,) = columns.values()
    order = {cell: place for place, cell in enumerate(sorted(set(cells), key=str))}
    target = [order[cell] + n % 3 * 0.5 for n, cell in enumerate(cells)]
    pd.DataFrame({**columns, "y": target}).to_csv(tmp_path / "t.csv", index=False)
    frame = read_table(tmp_path / "t.csv").frame
    described, found = profile(frame), target_of(frame, "y")
    assert guess_time(frame, described, found).column == time
    assert guess_group(frame, described, found, others=[time]).column == group


def test_thousands_currencies_and_percent_become_numbers_where_all_cells_are_so(tmp_path: Path) -> None:
    columns = {
        "money": ["$1,234.50", "$ 7", ""],
        "share": ["12%", "7.5 %", "0%"],
        "codes": ["1,23", "A1", "7"],
        "y": [1, 2, 3],
    }
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv")
    assert table.frame.texts("money").to_pylist() == ["1234.50", "7", ""]
    assert table.frame.texts("share").to_pylist() == ["12", "7.5", "0"]
    assert table.frame.texts("codes").to_pylist() == ["1,23", "A1", "7"]
    assert "were removed in money, share" in table.notes[-1]


@pytest.mark.parametrize(
    ("separator", "cells", "expected"),
    [
        (";", ["1.101,50", "-2.000", "3,5"], [1101.5, -2000, 3.5]),
        (";", ["1,234", "2,500", "0,125"], [1.234, 2.5, 0.125]),
        (";", ["1.234.567", "12.000.000", "1.000"], [1234567, 12000000, 1000]),
        (";", ["1 101,50", "22\u00a0000,25", "3\u202f333"], [1101.5, 22000.25, 3333]),
        (";", ["1'101.50", "2\u2019000", "3"], [1101.5, 2000, 3]),
        (";", ["1,234.50", "7", "2,000,000"], [1234.5, 7, 2000000]),
        (";", ["1.101 €", "7 €", "8,50 €"], [1101, 7, 8.5]),
        (",", ["1,234", "2,500", "7"], [1234, 2500, 7]),
        (",", ["1,5", "2,25", "7"], [1.5, 2.25, 7]),
        (",", ["0,125", "1,234", "7"], [0.125, 1.234, 7]),
        (",", ["\u22121,234.5", "$-7", "- $8"], [-1234.5, -7, -8]),
        ("\t", ["1,5e3", "2,25", "7"], [1500, 2.25, 7]),
    ],
)
def test_numbers_of_every_country_are_read_by_the_form_of_their_column(
    separator: str, cells: list[str], expected: list[float], tmp_path: Path
) -> None:
    pd.DataFrame({"x": cells, "y": [1, 2, 3]}).to_csv(tmp_path / "t.csv", index=False, sep=separator)
    assert read_table(tmp_path / "t.csv").frame.feature("x").numbers.tolist() == expected


@pytest.mark.parametrize("cells", [["1.2.3", "4.5.6", "7.8.9"], ["12 34", "56 78", "9"], ["1,23", "A1", "7"]])
def test_texts_that_only_resemble_numbers_stay_as_they_are(cells: list[str], tmp_path: Path) -> None:
    pd.DataFrame({"x": cells, "y": [1, 2, 3]}).to_csv(tmp_path / "t.csv", index=False, sep=";")
    assert read_table(tmp_path / "t.csv").frame.texts("x").to_pylist() == cells


def test_the_form_of_numbers_and_empty_columns_follow_from_all_tables(tmp_path: Path) -> None:
    pd.DataFrame({"x": ["1,234", "2,000"], "z": ["", ""], "y": [1, 2]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    pd.DataFrame({"x": ["0,5", "2,25"], "z": ["u", "v"], "y": [1, 2]}).to_csv(tmp_path / "b.csv", index=False)
    frame = read_tables([tmp_path / "a.csv", tmp_path / "b.csv"]).frame
    assert frame.feature("x").numbers.tolist() == [1.234, 2.0, 0.5, 2.25]
    assert frame.texts("z").to_pylist() == ["", "", "u", "v"]


def test_names_of_rows_in_parquet_are_read_and_columns_of_one_name_refused(tmp_path: Path) -> None:
    PEOPLE.set_index(pd.Index([5, 6, 7])).to_parquet(tmp_path / "numbers.parquet")
    assert read_table(tmp_path / "numbers.parquet").frame.names == ["name", "size", "n"]
    PEOPLE.set_index(pd.Index(["a", "b", "c"])).to_parquet(tmp_path / "words.parquet")
    assert read_table(tmp_path / "words.parquet").frame.names == ["row_name", "name", "size", "n"]
    table = pa.table([pa.array([1, 2]), pa.array([3, 4])], names=["x", "x "])
    pq.write_table(table, tmp_path / "twice.parquet")
    with pytest.raises(Unusable, match="two columns of one name"):
        read_table(tmp_path / "twice.parquet")


def test_a_target_of_mostly_one_value_agrees_with_nothing(tmp_path: Path) -> None:
    """Ranks by place made rows of equal targets correlate with each other."""
    rng = np.random.default_rng(1)
    rain = np.where(rng.random(600) < 0.9, 0.0, rng.random(600))
    days = pd.date_range("2020-01-01", periods=600).strftime("%Y-%m-%d")
    pd.DataFrame({"day": days, "rain": rain}).to_csv(tmp_path / "t.csv", index=False)
    frame = read_table(tmp_path / "t.csv").frame
    assert guess_time(frame, profile(frame), target_of(frame, "rain")).column is None


def test_codes_with_leading_zeros_and_long_numbers_stay_classes_of_their_own(tmp_path: Path) -> None:
    for cells in (["01", "1", "2"], ["9007199254740992", "9007199254740993", "7"]):
        pd.DataFrame({"x": range(30), "y": cells * 10}).to_csv(tmp_path / "t.csv", index=False)
        target = target_of(read_table(tmp_path / "t.csv").frame, "y", task="classes")
        assert sorted(target.classes) == sorted(cells)


def test_what_was_understood_of_target_and_dates_is_said(tmp_path: Path) -> None:
    days = ["03/04/2020", "05/06/2020", "01/02/2020"] * 10
    answers = ["None", "low", "high"] * 10
    pd.DataFrame({"day": days, "y": answers}).to_csv(tmp_path / "t.csv", index=False)
    frame = read_table(tmp_path / "t.csv").frame
    said = understood(frame, profile(frame), "y")
    assert said[0] == "10 rows without a target are left out (empty, or None)."
    assert "day and month could be swapped" in said[1]
