"""What the client keeps of a competition between two commands: its schema, and the files that were sent."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout_client.checking import Schema
from heldout_client.logins import folder, write_private

_MOST_SENT = 1000


class Kept:
    """The notes about one competition of one installation."""

    def __init__(self, env: Mapping[str, str], address: str, slug: str) -> None:
        place = _as_name(address.partition("://")[2])
        self._path: Path = folder(env) / "competitions" / place / f"{_as_name(slug)}.json"
        try:
            notes = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            notes = None  # nothing here is needed: it is fetched and noted again
        self._notes: dict[str, Any] = notes if isinstance(notes, dict) else {}

    @property
    def document(self) -> Mapping[str, Any] | None:
        """The schema as the server sent it."""
        return self._notes.get("document")

    def schema(self) -> Schema | None:
        notes = self._notes
        if not notes.get("document"):
            return None
        more = {"sample": notes.get("sample") or {}}
        if notes.get("ids") is not None:
            more["ids"] = notes["ids"]
        return Schema.of(notes["document"], **more)

    def keep_schema(
        self, document: Mapping[str, Any], *, ids: list[str] | None, sample: Mapping[str, list[str]]
    ) -> None:
        self._notes.update(document=document, ids=ids, sample=sample)
        self._write()

    def earlier(self, sha256: str) -> int | None:
        """Return the submission in which these bytes were sent, if there is one."""
        return next((sent["id"] for sent in self._sent if sent["sha256"] == sha256 and sent.get("id")), None)

    def key_for(self, sha256: str, message: str) -> str:
        """Return the key of an upload: that of an upload of this file that has no receipt yet, or a new one.

        A command that ended before the receipt came may have sent the file; the same key counts it once.
        """
        for sent in self._sent:
            if (sent["sha256"], sent["message"], sent.get("id")) == (sha256, message, None):
                return str(sent["key"])
        key = f"heldout-client-{secrets.token_hex(16)}"
        self._sent.append({"sha256": sha256, "message": message, "key": key, "id": None})
        del self._sent[:-_MOST_SENT]
        self._write()
        return key

    def note_receipt(self, key: str, submission_id: int) -> None:
        for sent in self._sent:
            if sent["key"] == key:
                sent["id"] = submission_id
        self._write()

    def forget(self, key: str) -> None:
        """Forget an upload that the server refused, so that the next one is another."""
        self._notes["sent"] = [sent for sent in self._sent if sent["key"] != key]
        self._write()

    @property
    def _sent(self) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = self._notes.setdefault("sent", [])
        return sent

    def _write(self) -> None:
        write_private(self._path, json.dumps(self._notes))


def _as_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in text)
