"""The inbox: files that organisers upload, which only workers can read.

The web process encrypts a file while it arrives, with a public key from the database. The private key is in
the vault, which the web process never opens: labels that have arrived are out of its reach.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import encryption
from app.base.errors import NotFound, Refused, Unavailable
from app.base.models_drafts import DraftFile, InboxKey
from app.base.storage import Inbox, Storage

if TYPE_CHECKING:
    from app.base.vault import Vault

_PART_BYTES = 1 << 20


def newest_key(session: Session) -> InboxKey:
    """Return the key to encrypt with; Unavailable before a worker has made one."""
    key = session.scalar(select(InboxKey).order_by(InboxKey.id.desc()).limit(1))
    if key is None:
        raise Unavailable(
            "No worker has made the key yet that your file would be encrypted with. Try again once a worker "
            "has started."
        )
    return key


def inbox(storage: Storage, key: InboxKey) -> Inbox:
    """Return what receives files and encrypts them with the key."""
    return Inbox(storage, key.public_key)


def ensure_key(session: Session, vault: Vault, *, now: datetime) -> InboxKey:
    """Return the newest key; make one if there is none, or the vault lost it. For workers."""
    key = session.scalar(select(InboxKey).order_by(InboxKey.id.desc()).limit(1))
    if key is not None and vault.key(key.private_sha256) is not None:
        return key
    private, public = encryption.new_key()
    key = InboxKey(public_key=public, private_sha256=vault.keep_key(private), created_at=now)
    session.add(key)
    session.flush()
    return key


def private_key(session: Session, vault: Vault, key_id: int) -> bytes:
    """Return the private key of a file; refuse if the vault does not have it."""
    found = vault.key(session.get_one(InboxKey, key_id).private_sha256)
    if found is None:
        raise Refused(
            "A file of this draft was encrypted for a key that the vault no longer has, so it cannot be "
            "read. Upload it again."
        )
    return found


def decrypt(storage: Storage, file: DraftFile, private: bytes, target: Path) -> None:
    """Write the content of a file in the open; `target` is in a workspace of the vault."""
    try:
        path = storage.path(file.sha256)
    except NotFound:
        raise Refused(f"{file.name} is no longer in storage, as after a restore. Upload it again.") from None
    with path.open("rb") as stream, target.open("xb") as out:
        reader = encryption.KeyReader(stream, private)
        while chunk := reader.read(_PART_BYTES):
            out.write(chunk)
