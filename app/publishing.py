"""Publishing a folder as a whole: files stored, rows in one transaction, baselines through the queue.

An edge, shared by the command and the demo: the transactions begin and end here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import scorer
from app import baselines, challenges, competitions, db, events
from app.installation import Installation


@dataclass(frozen=True)
class Publication:
    slug: str
    version: int
    digest: str
    is_new: bool
    competitions: Sequence[str]
    rescoring: Sequence[str]


def publish(
    installation: Installation,
    folder: Path,
    *,
    actor: str,
    rescore: bool = False,
    open_competition: bool = True,
) -> Publication:
    """Store the folder, make its version, move the challenge's competitions to it or open the first one."""
    challenge = scorer.load(folder)
    manifest = challenges.store(challenge, installation.storage, installation.settings.vault)
    with installation.database.begin() as session:
        now = db.now(session)
        published = challenges.publish(session, challenge, manifest, now=now)
        running = competitions.of_challenge(session, published.version)
        rescoring = [
            competition.slug
            for competition in running
            if competition.version_id != published.version.id
            and competitions.take_version(session, competition, published.version, rescore=rescore, now=now)
        ]
        if open_competition and not running:
            limit = installation.settings.max_upload_mb * 1_000_000
            running = [competitions.open_(session, published.version, now=now, max_upload_bytes=limit)]
        publication = Publication(
            slug=challenge.slug,
            version=published.version.number,
            digest=challenge.digest,
            is_new=published.is_new,
            competitions=[competition.slug for competition in running],
            rescoring=rescoring,
        )
        events.log(
            session, actor, "challenge published", challenge.slug, now=now,
            version=publication.version, digest=challenge.digest, rescoring=rescoring,
        )  # fmt: skip
    return publication


def post_baselines(
    installation: Installation,
    folder: Path,
    slugs: Sequence[str],
    *,
    done: Callable[[str], None] = lambda _name: None,
) -> list[str]:
    """Run every baseline script, two at a time, and post its file to each competition; their names, in order."""
    names = []
    for made in _runs(folder):
        try:
            blob = installation.storage.put_file(made.file)
        finally:
            made.file.unlink()
        for slug in slugs:
            with installation.database.begin() as session:
                competition = competitions.by_slug(session, slug)
                submission_id = baselines.post(session, competition, made, blob, now=db.now(session))
            if submission_id is not None:
                installation.hints.send(submission_id)
        names.append(made.name)
        done(made.name)
    return names


def _runs(folder: Path) -> Iterator[baselines.Made]:
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda script: baselines.run(folder, script), baselines.scripts(folder))
