"""Width and height of images, from their first bytes."""

from __future__ import annotations

import struct


def pixels_of(head: bytes) -> tuple[int, int] | None:
    """Return width and height if a PNG or JPEG image starts here."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return int(width), int(height)
    if not head.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 9 <= len(head) and head[place] == 0xFF:
        kind, size = head[place + 1], struct.unpack(">H", head[place + 2 : place + 4])[0]
        # A start-of-frame segment: precision, height, width.
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return int(width), int(height)
        if kind == 0xDA:
            return None
        place += 2 + size
    return None
