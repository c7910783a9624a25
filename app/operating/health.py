"""Health checks: the database, the storage, and free disk space."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from app import migrations
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import StorageFull, Unavailable
from app.base.storage import FULL, Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Disk:
    """A file system that holds files or data."""

    holds: str
    free_bytes: int
    total_bytes: int


def disks(settings: Settings) -> list[Disk]:
    """Return the file systems of files and data."""
    found: dict[int, Disk] = {}
    for holds, folder in (("files", settings.storage), ("data", settings.data_dir)):
        existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
        usage = shutil.disk_usage(existing)
        device = existing.stat().st_dev
        known = found.get(device)
        found[device] = Disk(f"{known.holds} and {holds}" if known else holds, usage.free, usage.total)
    return list(found.values())


def refuse_when_full(settings: Settings) -> None:
    """Refuse an upload if disk space is low.

    Called before the upload is read: the rest of the space is for the database and for uploads in progress.
    """
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
    """Return the parts that are not ready, with public reasons."""
    wrong: dict[str, str] = {}
    try:
        with database.read() as session:
            if not migrations.is_usable(session):
                wrong["database"] = "its schema does not match this program"
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
