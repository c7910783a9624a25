"""Streams encrypted with a passphrase: scrypt and AES-256-GCM in chunks.

The nonce counts the chunks and its last byte marks the final one (the STREAM construction): a chunk that was
changed, moved, repeated or cut off is detected before any of it is used.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.base.errors import Refused

MAGIC = b"heldout-sealed-1\n"
CHUNK = 1 << 16
TAG = 16
MIN_PASSPHRASE = 12


def is_encrypted(raw: BinaryIO) -> bool:
    begin = raw.read(len(MAGIC))
    raw.seek(0)
    return begin == MAGIC


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**16, r=8, p=1).derive(passphrase.encode()))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


class Writer:
    """Encrypt a file while it is written.

    An exception in the block leaves out the final chunk, so that the file is unreadable.
    """

    def __init__(self, raw: BinaryIO, passphrase: str) -> None:
        if len(passphrase) < MIN_PASSPHRASE:
            raise Refused(f"The passphrase is shorter than {MIN_PASSPHRASE} characters.")
        salt = os.urandom(16)
        self._raw, self._cipher = raw, _cipher(passphrase, salt)
        self._waiting = bytearray()
        self._number = 0
        raw.write(MAGIC + salt)

    def write(self, content: bytes) -> int:
        self._waiting += content
        while len(self._waiting) > CHUNK:
            self._encrypt_chunk(bytes(self._waiting[:CHUNK]), is_last=False)
            del self._waiting[:CHUNK]
        return len(content)

    def _encrypt_chunk(self, chunk: bytes, *, is_last: bool) -> None:
        self._raw.write(self._cipher.encrypt(_nonce(self._number, is_last=is_last), chunk, MAGIC))
        self._number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            self._encrypt_chunk(bytes(self._waiting), is_last=True)


class Reader:
    """Decrypt a file while it is read."""

    def __init__(self, raw: BinaryIO, passphrase: str) -> None:
        begin = raw.read(len(MAGIC) + 16)
        self._raw, self._cipher = raw, _cipher(passphrase, begin[len(MAGIC) :])
        self._next = raw.read(CHUNK + TAG)
        self._ready = bytearray()
        self._number = 0

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and self._next:
            following = self._raw.read(CHUNK + TAG)
            nonce = _nonce(self._number, is_last=not following)
            try:
                self._ready += self._cipher.decrypt(nonce, self._next, MAGIC)
            except InvalidTag:
                raise Refused(
                    "The passphrase is wrong, or the archive is damaged."
                    if self._number == 0
                    else "The archive is cut short or damaged; nothing was restored."
                ) from None
            self._number += 1
            self._next = following
        content = bytes(self._ready[:size])
        del self._ready[:size]
        return content
