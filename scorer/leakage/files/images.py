"""Size and embedded words of images, from their first bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from scorer.leakage.files.things import Column, Table, Thing, WalkState


def pixels_of(head: bytes) -> tuple[int, int] | None:
    """Width and height, if these are the first bytes of a PNG, GIF, BMP or JPEG image."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return int(width), int(height)
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return int(width), int(height)
    if head.startswith(b"BM") and len(head) >= 26:
        width, height = struct.unpack("<ii", head[18:26])
        return int(width), abs(int(height))
    if head.startswith(b"\xff\xd8"):
        for kind, piece in _jpeg_segments(head):
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) and len(piece) >= 5:
                height, width = struct.unpack(">HH", piece[1:5])
                return int(width), int(height)
    return None


def _jpeg_segments(head: bytes) -> Iterator[tuple[int, bytes]]:
    place = 2
    while place + 4 <= len(head) and head[place] == 0xFF:
        kind, size = head[place + 1], struct.unpack(">H", head[place + 2 : place + 4])[0]
        yield kind, head[place + 4 : place + 2 + size]
        if kind == 0xDA:
            return
        place += 2 + size


def read_media(path: str, head: bytes, state: WalkState) -> Iterator[Thing]:
    """Words that an image carries beside its pixels, as a table of one row."""
    if not state.contents:
        return
    words: dict[str, str] = {}
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        place = 8
        while place + 8 <= len(head):
            size, kind = struct.unpack(">I4s", head[place : place + 8])
            if kind == b"tEXt":
                key, _, value = head[place + 8 : place + 8 + size].partition(b"\0")
                words[key.decode("latin-1")] = value.decode("latin-1")
            place += 12 + size
    elif head.startswith(b"\xff\xd8"):
        for kind, piece in _jpeg_segments(head):
            if kind == 0xFE:
                words["comment"] = piece.decode("utf-8", "replace")
    if words:
        yield Table(path, [Column(name, [value]) for name, value in words.items()])
