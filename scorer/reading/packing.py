"""Detect how a received file is packed, and refuse other formats."""

from __future__ import annotations

import codecs
import re
import struct
import zipfile
import zlib

from scorer.reading.source import UnreadableTable
from scorer.report import Problem
from scorer.wording import show

BOM = codecs.BOM_UTF8
_PACKINGS = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)

_OTHER_FORMATS = (
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow/Feather"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x89HDF", "HDF5"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
)

WHITE = b" \t\r\n" + BOM

_JSON_START = re.compile(rb'(?:\[\s*)+[{"]|\[\s*\[|\{\s*["}]')

UNPACKING_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def packing_of(data: bytes) -> str | None:
    return next((name for magic, name in _PACKINGS if data.startswith(magic)), None)


def only_member(archive: zipfile.ZipFile) -> tuple[zipfile.ZipInfo, str]:
    """Return the one file of a zip, and the words of the notice."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" in names or "mimetype" in names:
        message = "The file is an Excel workbook or another office document, not CSV. Save it as CSV (UTF-8)."
        raise UnreadableTable(Problem("NOT_CSV", message))
    members = [entry for entry in entries if not _is_litter(entry.filename)]
    if not members:
        raise UnreadableTable(Problem("EMPTY_FILE", "The zip holds no file."))
    if len(members) > 1:
        listed = ", ".join(show(entry.filename) for entry in members[:5])
        message = f"The zip holds {len(members)} files ({listed}); pack exactly one CSV file."
        raise UnreadableTable(Problem("SEVERAL_FILES", message))
    member = members[0]
    # Only what every zip program writes: LZMA members may need gigabytes before the first byte.
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        message = "The zip is encrypted or uses an unusual compression; make an ordinary zip of one CSV file."
        raise UnreadableTable(Problem("NOT_CSV", message))
    words = f"The file was unpacked (zip, {show(member.filename)})."
    if len(members) < len(entries):
        words += " Ignored __MACOSX/ and .DS_Store."
    return member, words


def _is_litter(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1] in {".DS_Store", "Thumbs.db", "desktop.ini"}


def refuse_other_formats(start: bytes) -> None:
    for magic, name in _OTHER_FORMATS:
        if start.startswith(magic):
            raise UnreadableTable(Problem("NOT_CSV", f"The file is {name}, not CSV; upload CSV."))
    text = start[:1000].removeprefix(BOM).lstrip().lower()
    if text.startswith((b"<!doctype", b"<!--", b"<html", b"<?xml", b"<head", b"<body", b"<table")):
        message = "The file is a web page (HTML or XML), not CSV. Was a login page saved instead of the file?"
        raise UnreadableTable(Problem("NOT_CSV", message))
    if _JSON_START.match(text):
        message = "The file is JSON, not CSV. In pandas: df.to_csv(path, index=False)."
        raise UnreadableTable(Problem("NOT_CSV", message))
