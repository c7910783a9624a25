"""Detect how a received file is packed, and refuse other formats."""

from __future__ import annotations

import codecs
import re
import struct
import tarfile
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
    (b"RDX2", "a workspace of R (save)"),
    (b"RDX3", "a workspace of R (save)"),
    (b"X\n\x00\x00\x00", "an object of R (saveRDS)"),
    (b"A\n2\n", "an object of R (saveRDS)"),
    (b"A\n3\n", "an object of R (saveRDS)"),
    (b"<stata_dta>", "a Stata file"),
    (b"$FL2", "an SPSS file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"{\\rtf", "a text document (RTF)"),
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
        words += " Ignored what macOS or Windows adds (__MACOSX/, ._ files, .DS_Store)."
    return member, words


def _is_litter(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    litter = {".DS_Store", "Thumbs.db", "desktop.ini"}
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in litter


def refuse_other_formats(start: bytes, packing: str) -> None:
    """Refuse what the first bytes show to be no CSV; raises UnreadableTable."""
    subject = f"The {packing} file holds" if packing else "The file is"
    for magic, name in _OTHER_FORMATS:
        if start.startswith(magic):
            raise _not_csv(f"{subject} {name}, not CSV; upload CSV{_remedy(name)}.")
    if _is_tar(start):
        advice = "Pack the CSV file alone, with gzip or zip, or upload it as it is"
        raise _not_csv(f"{subject} a tar archive{' (.tar.gz)' if packing == 'gzip' else ''}. {advice}.")
    text = start[:1000].removeprefix(BOM).lstrip().lower()
    if text.startswith((b"<!doctype", b"<!--", b"<html", b"<?xml", b"<head", b"<body", b"<table")):
        raise _not_csv(
            "The file is a web page (HTML or XML), not CSV. Was a login page saved instead of the file?"
        )
    if _JSON_START.match(text):
        raise _not_csv("The file is JSON, not CSV. In pandas: df.to_csv(path, index=False).")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _looks_like_utf16(start):
        message = 'The file is UTF-16 (Excel calls it "Unicode text"). Save it as "CSV UTF-8".'
        raise UnreadableTable(Problem("ENCODING", message))
    if _is_binary(start):
        raise _not_csv(f"{subject} binary data, not text. Write the predictions as CSV and upload that.")


def _not_csv(message: str) -> UnreadableTable:
    return UnreadableTable(Problem("NOT_CSV", message))


def _remedy(name: str) -> str:
    if "of R (" in name:
        return ": write.csv(df, path, row.names = FALSE)"
    python = ("pickle", "NumPy", "HDF5", "Parquet", "Arrow")
    return ": df.to_csv(path, index=False) in pandas" if any(word in name for word in python) else ""


def _is_tar(start: bytes) -> bool:
    """Return whether a file begins with the header of a tar member, whose checksum fits."""
    try:
        tarfile.TarInfo.frombuf(start[:512], "utf-8", "replace")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _looks_like_utf16(start: bytes) -> bool:
    """Return whether every other byte of the first line is 0, as of ASCII in UTF-16."""
    first = start[:200][: len(start[:200]) // 2 * 2]
    for zeros, letters in ((first[1::2], first[::2]), (first[::2], first[1::2])):
        if letters and 0 not in letters and zeros.count(0) > 0.8 * len(zeros):
            return True
    return False


def _is_binary(start: bytes) -> bool:
    """Return whether the first bytes are mostly not text in any encoding.

    A NUL or a control character may be a damaged text, of which the line is named.
    """
    first = start[:1000]
    n_odd = sum(byte < 32 and byte not in b"\t\n\r\x0b\x0c\x1b\x1f" for byte in first)
    return n_odd > 0.05 * len(first) and n_odd > 2
