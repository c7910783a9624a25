"""Publishing a folder as a whole: files stored, rows in one transaction, baselines through the queue.

An edge, shared by the command and the demo: the transactions begin and end here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import baselines, challenges, competitions, db, events
from app.installation import Installation
from app.models import Phase

if TYPE_CHECKING:
    import scorer


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
    challenge: scorer.Challenge,
    *,
    actor: str,
    rescore: bool = False,
    open_competition: bool = True,
) -> Publication:
    """Store the folder, make its version, move the challenge's competitions to it or open the first one."""
    manifest = challenges.store(challenge, installation.storage, installation.settings.vault)
    with installation.database.begin() as session:
        now = db.now(session)
        published = challenges.publish(session, challenge, manifest, now=now)
        every = competitions.of_challenge(session, published.version)
        # What is over stays as it ended; only `heldout rescore` changes it.
        running = [competition for competition in every if competition.phase(now) is not Phase.CLOSED]
        rescoring = [
            competition.slug
            for competition in running
            if competitions.take_version(session, competition, published.version, rescore=rescore, now=now)
        ]
        if open_competition and not every:
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
    challenge: scorer.Challenge,
    slugs: Sequence[str],
    *,
    done: Callable[[str], None] = lambda _name: None,
) -> list[str]:
    """Run every baseline script and post its file to each competition as soon as it is made; their names."""
    names = []
    for made in baselines.run(challenge):
        blob = installation.storage.put_file(made.file)
        for slug in slugs:
            with installation.database.begin() as session:
                competition = competitions.by_slug(session, slug)
                submission_id = baselines.post(session, competition, made, blob, now=db.now(session))
            if submission_id is not None:
                installation.hints.send(submission_id)
        names.append(made.name)
        done(made.name)
    return names
