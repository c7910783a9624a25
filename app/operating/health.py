"""Whether an installation can do its work just now: its database, its storage, and the room they have."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app import migrations
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import StorageFull, Unavailable
from app.base.storage import FULL, Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Disk:
    """Where files or data lie, and what is left there."""

    holds: str
    free_bytes: int
    total_bytes: int


def disks(settings: Settings) -> list[Disk]:
    """One entry a file system."""
    found: dict[int, Disk] = {}
    for holds, folder in (("files", settings.storage), ("data", settings.data_dir)):
        place = _existing(folder)
        usage = shutil.disk_usage(place)
        device = place.stat().st_dev
        known = found.get(device)
        found[device] = Disk(f"{known.holds} and {holds}" if known else holds, usage.free, usage.total)
    return list(found.values())


def refuse_when_full(settings: Settings) -> None:
    """Said before a byte of a file is read: the room that is left is for the database and for what is under way."""
    for disk in disks(settings):
        if disk.free_bytes < settings.disk_floor_mb * 1_000_000:
            log.error(
                "DISK FULL: %.0f MB left for %s, less than HELDOUT_DISK_FLOOR_MB=%s; uploads are refused",
                disk.free_bytes / 1e6,
                disk.holds,
                settings.disk_floor_mb,
            )
            raise StorageFull(FULL)


def unready(settings: Settings, database: Database, storage: Storage) -> Mapping[str, str]:
    """What keeps this process from doing its work, by part; empty if nothing does. Words for anybody."""
    wrong: dict[str, str] = {}
    try:
        with database.read() as session:
            if not migrations.is_usable(session):
                wrong["database"] = "its schema does not go together with this program"
    except SQLAlchemyError:
        wrong["database"] = "does not answer"
    try:
        storage.refuse_unless_writable()
    except (Unavailable, StorageFull) as refusal:
        log.warning("not ready: %s", refusal.message)
        wrong["storage"] = "cannot be written"
    try:
        refuse_when_full(settings)
    except StorageFull:
        wrong["disk"] = "too little is free"
    return wrong


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.exists())
