"""Streams encrypted with a passphrase or a public key: AES-256-GCM in chunks.

The key of the chunks comes from the passphrase by scrypt, or from a fresh X25519 key agreement with the
public key by HKDF; then only the holder of the private key can read the stream, and not its writer. The
nonce counts the chunks and its last byte marks the final one (the STREAM construction): a chunk that was
changed, moved, repeated or cut off is detected before any of it is used.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.base.errors import Refused

MAGIC = b"heldout-sealed-1\n"
KEY_MAGIC = b"heldout-inbox-1\n"
KEY_BYTES = 32
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


class Sink(Protocol):
    """Takes the encrypted bytes."""

    def write(self, content: bytes, /) -> object: ...


class _Chunks:
    """Encrypt what is written in chunks."""

    def __init__(self, raw: Sink, cipher: AESGCM, magic: bytes) -> None:
        self._raw, self._cipher, self._magic = raw, cipher, magic
        self._waiting = bytearray()
        self._number = 0

    def write(self, content: bytes) -> int:
        self._waiting += content
        while len(self._waiting) > CHUNK:
            self._encrypt_chunk(bytes(self._waiting[:CHUNK]), is_last=False)
            del self._waiting[:CHUNK]
        return len(content)

    def _encrypt_chunk(self, chunk: bytes, *, is_last: bool) -> None:
        self._raw.write(self._cipher.encrypt(_nonce(self._number, is_last=is_last), chunk, self._magic))
        self._number += 1

    def finish(self) -> None:
        """Write the final chunk, without which nothing can be read."""
        self._encrypt_chunk(bytes(self._waiting), is_last=True)


class Writer(_Chunks):
    """Encrypt a file while it is written.

    An exception in the block leaves out the final chunk, so that the file is unreadable.
    """

    def __init__(self, raw: BinaryIO, passphrase: str) -> None:
        if len(passphrase) < MIN_PASSPHRASE:
            raise Refused(f"The passphrase is shorter than {MIN_PASSPHRASE} characters.")
        salt = os.urandom(16)
        super().__init__(raw, _cipher(passphrase, salt), MAGIC)
        raw.write(MAGIC + salt)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()


class KeyWriter(_Chunks):
    """Encrypt a file for the holder of a private key; `finish` ends it."""

    def __init__(self, raw: Sink, public_key: bytes) -> None:
        fresh = X25519PrivateKey.generate()
        shown = fresh.public_key().public_bytes_raw()
        shared = fresh.exchange(X25519PublicKey.from_public_bytes(public_key))
        super().__init__(raw, _agreed(shared, shown, public_key), KEY_MAGIC)
        raw.write(KEY_MAGIC + shown)


def _agreed(shared: bytes, shown: bytes, public_key: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=shown + public_key, info=KEY_MAGIC).derive(shared))


def new_key() -> tuple[bytes, bytes]:
    """Return a private key and its public key."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


class _Decrypted:
    """Decrypt chunks while they are read."""

    def __init__(self, raw: BinaryIO, cipher: AESGCM, magic: bytes, *, wrong_key: str, damaged: str) -> None:
        self._raw, self._cipher, self._magic = raw, cipher, magic
        self._words = wrong_key, damaged
        self._next = raw.read(CHUNK + TAG)
        self._ready = bytearray()
        self._number = 0

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and self._next:
            following = self._raw.read(CHUNK + TAG)
            nonce = _nonce(self._number, is_last=not following)
            try:
                self._ready += self._cipher.decrypt(nonce, self._next, self._magic)
            except InvalidTag:
                raise Refused(self._words[min(self._number, 1)]) from None
            self._number += 1
            self._next = following
        content = bytes(self._ready[:size])
        del self._ready[:size]
        return content


class Reader(_Decrypted):
    """Decrypt a file while it is read."""

    def __init__(self, raw: BinaryIO, passphrase: str) -> None:
        begin = raw.read(len(MAGIC) + 16)
        super().__init__(
            raw,
            _cipher(passphrase, begin[len(MAGIC) :]),
            MAGIC,
            wrong_key="The passphrase is wrong, or the archive is damaged.",
            damaged="The archive is cut short or damaged; nothing was restored.",
        )


class KeyReader(_Decrypted):
    """Decrypt a file for the holder of a private key."""

    def __init__(self, raw: BinaryIO, private_key: bytes) -> None:
        begin = raw.read(len(KEY_MAGIC) + KEY_BYTES)
        damaged = "An uploaded file is damaged in storage; upload it again."
        if not begin.startswith(KEY_MAGIC) or len(begin) != len(KEY_MAGIC) + KEY_BYTES:
            raise Refused(damaged)
        private = X25519PrivateKey.from_private_bytes(private_key)
        shown = begin[len(KEY_MAGIC) :]
        shared = private.exchange(X25519PublicKey.from_public_bytes(shown))
        cipher = _agreed(shared, shown, private.public_key().public_bytes_raw())
        super().__init__(raw, cipher, KEY_MAGIC, wrong_key=damaged, damaged=damaged)
