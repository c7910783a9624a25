"""Challenge versions: rows, downloads and vault entries."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.base.errors import Conflict, NotFound
from app.base.form_rules import FORM_RULES
from app.base.models import Challenge, ChallengeVersion
from app.base.storage import Storage

if TYPE_CHECKING:
    import scorer
    from app.base.vault import Vault

BUNDLE_DATE = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same files give the same archive


@dataclass(frozen=True)
class Published:
    version: ChallengeVersion
    is_new: bool


def store(challenge: scorer.Challenge, storage: Storage, vault: Vault) -> dict[str, Any]:
    """Copy a checked folder to storage and vault; return the manifest.

    `publish` writes the row afterwards: a crash between the two leaves an unused copy, never a version
    without its files.
    """
    manifest: dict[str, Any] = challenge.manifest()
    public = challenge.folder / "public"
    for file in manifest["files"]:
        if storage.put_file(public / file["name"]).sha256 != file["sha256"]:
            raise Conflict(f"{file['name']} changed while it was being published; publish again.")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in manifest["files"]:
            entry = zipfile.ZipInfo(file["name"], BUNDLE_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, (public / file["name"]).read_bytes())
    with storage.receive(archive.getbuffer().nbytes) as incoming:
        incoming.write(archive.getvalue())
        blob = incoming.keep()
    manifest["bundle"] = {"sha256": blob.sha256, "size": blob.size_bytes}
    vault.put(challenge)
    manifest["form_rules"] = FORM_RULES
    return manifest


def publish(
    session: Session, challenge: scorer.Challenge, manifest: dict[str, Any], *, now: datetime
) -> Published:
    """Return the version of a stored folder; create it if its digest is new."""
    row = session.scalar(select(Challenge).where(Challenge.slug == challenge.slug))
    if row is None:
        row = Challenge(slug=challenge.slug, created_at=now)
        session.add(row)
        session.flush()
    mine = ChallengeVersion.challenge_id == row.id
    known = session.scalar(select(ChallengeVersion).where(mine, ChallengeVersion.digest == challenge.digest))
    if known is not None:
        # Limit and schema follow from the task and the program, which may be newer than the version.
        newer = {name: manifest["submission"].get(name) for name in ("max_bytes", "schema")}
        submission = {**known.manifest["submission"], **newer}
        known.manifest = {**known.manifest, "submission": submission, "form_rules": FORM_RULES}
        return Published(known, is_new=False)
    last = session.scalar(select(func.max(ChallengeVersion.number)).where(mine)) or 0
    version = ChallengeVersion(
        challenge=row,
        number=last + 1,
        digest=challenge.digest,
        solution_digest=challenge.solution_digest,
        metric_digest=challenge.metric_digest,
        manifest=manifest,
        created_at=now,
    )
    session.add(version)
    session.flush()
    return Published(version, is_new=True)


def refuse_others(session: Session, slug: str, digest: str) -> None:
    """Refuse a name that versions of another digest have."""
    versions = select(ChallengeVersion.id).join(Challenge).where(Challenge.slug == slug)
    if session.scalar(versions.where(ChallengeVersion.digest != digest).limit(1)) is not None:
        raise Conflict(f"The name {slug} is taken by another challenge; choose another.")


def latest(session: Session, slug: str) -> ChallengeVersion:
    version = session.scalar(
        select(ChallengeVersion)
        .join(Challenge)
        .where(Challenge.slug == slug)
        .order_by(ChallengeVersion.number.desc())
    )
    if version is None:
        raise NotFound(
            f"There is no published challenge {slug}; `heldout challenge publish DIR` publishes one."
        )
    return version


def named(session: Session, name: str) -> ChallengeVersion:
    """Return the version that `slug` (the newest) or `slug@number` names."""
    slug, _, number = name.partition("@")
    newest = latest(session, slug)
    if not number:
        return newest
    found = None
    if number.isdecimal() and len(number) < 10:
        mine = ChallengeVersion.challenge_id == newest.challenge_id
        found = session.scalar(select(ChallengeVersion).where(mine, ChallengeVersion.number == int(number)))
    if found is None:
        raise NotFound(f"{slug} has no version {number}: its versions are 1 to {newest.number}.")
    return found


def listed(session: Session) -> list[ChallengeVersion]:
    """Return the newest version of every challenge, by slug."""
    newest = select(func.max(ChallengeVersion.id)).group_by(ChallengeVersion.challenge_id)
    return list(
        session.scalars(
            select(ChallengeVersion)
            .join(Challenge)
            .where(ChallengeVersion.id.in_(newest))
            .order_by(Challenge.slug)
        )
    )


def any_with_own_metric(session: Session) -> bool:
    """Whether any version has an own metric."""
    own = ChallengeVersion.manifest["metric"]["own"].as_boolean()
    return session.scalar(select(ChallengeVersion.id).where(own).limit(1)) is not None
