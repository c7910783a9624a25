"""Publishing a challenge: its files, rows and baselines.

Shared by the command and the demo. The transactions begin and end here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scorer
from app.authoring import baselines, challenges
from app.base import db, events, form_rules
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import ChallengeVersion, Phase
from app.base.storage import Blob, Storage, files_of
from app.competing import competitions, rescores, terms
from app.competing.rescores import Move
from scorer.wording import megabytes

if TYPE_CHECKING:
    from scorer.challenges.solution import Solution

MIN_REASON = 10


@dataclass(frozen=True)
class Publication:
    slug: str
    version: int
    digest: str
    is_new: bool
    competitions: Sequence[str]
    rescoring: Sequence[str]
    waiting: Sequence[str]
    """Competitions with an earlier rescore under this version, which is neither applied nor discarded."""
    kept: Mapping[str, Sequence[str]]
    """By competition, the terms that challenge.yaml changed and it keeps, with how to change them."""


def publish(
    installation: Installation,
    challenge: scorer.Challenge,
    *,
    actor: str,
    checked: scorer.CheckResult | None = None,
    overrides: Mapping[str, str] | None = None,
    rescore: bool = False,
    auto_apply: bool = False,
    open_competition: bool = True,
    terms_: Mapping[str, Any] | None = None,
    only_new: bool = False,
) -> Publication:
    """Publish a version; move competitions to it, or open one.

    `checked` only saves a second check. `overrides` maps the code of a blocking finding to the reason to
    publish in spite of it, which is kept with the version and in the log. `terms_` are the terms of the
    opened competition where they differ from the challenge's defaults. With `only_new` a name that has other
    versions is refused: a draft must not become a version of another challenge.
    """
    if checked is None:
        checked = scorer.check(challenge, allow_weak_sandbox=installation.settings.allow_weak_sandbox)
    if checked.problems:
        raise scorer.InvalidChallenge(checked.problems)
    reasons = _override_reasons(checked, overrides or {})
    manifest = challenges.store(challenge, installation.storage, installation.vault)
    manifest["submission"]["schema"] = scorer.describe_submission(challenge)
    manifest["folds"] = _store_folds(challenge, installation.storage)
    with installation.database.begin() as session:
        now = db.now(session)
        if only_new:
            challenges.refuse_others(session, challenge.slug, challenge.digest)
        published = challenges.publish(session, challenge, manifest, now=now)
        for sha256 in files_of(published.version.manifest):
            installation.storage.refuse_unless_stored(Blob(sha256, 0))
        published.version.audit = _audit(checked, reasons)
        published.version.benchmark = dict(checked.benchmark)
        existing = competitions.of_challenge(session, published.version)
        # A closed competition keeps its version; only `heldout rescore` changes it.
        running = [competition for competition in existing if competition.phase(now) is not Phase.CLOSED]
        kept = {
            competition.slug: sentences
            for competition in running
            if (sentences := terms.kept(competition, published.version.manifest))
        }
        moves = {
            competition.slug: rescores.take_version(
                session, competition, published.version, rescore=rescore, now=now, applies_itself=auto_apply
            )
            for competition in running
        }
        rescoring = [slug for slug, move in moves.items() if move is Move.RESCORING]
        if open_competition and not existing:
            limit = installation.settings.max_upload_mb * 1_000_000
            opened = competitions.open_(
                session, published.version, now=now, max_upload_bytes=limit, changes=terms_
            )
            running = [opened]
        publication = Publication(
            slug=challenge.slug,
            version=published.version.number,
            digest=challenge.digest,
            is_new=published.is_new,
            competitions=[competition.slug for competition in running],
            rescoring=rescoring,
            waiting=[slug for slug, move in moves.items() if move is Move.WAITING],
            kept=kept,
        )
        for code, reason in reasons.items():
            events.log(
                session,
                actor,
                "finding overridden",
                challenge.slug,
                now=now,
                code=code,
                reason=reason,
                version=publication.version,
            )
        events.log(
            session,
            actor,
            "challenge published",
            challenge.slug,
            now=now,
            version=publication.version,
            digest=challenge.digest,
            rescoring=rescoring,
        )
    return publication


def refresh_forms(installation: Installation) -> list[str]:
    """Compute limits and schemas of older versions from their stored files; return what became of each.

    The scorer goes by its own rules whatever version it scores, so a page with the limit of an older program
    would refuse files that are scored, or accept ones that are not.
    """
    with installation.database.read() as session:
        older = [
            (version.id, version.digest, f"{version.challenge.slug} version {version.number}")
            for version in form_rules.older_versions(session)
        ]
    words = []
    for id_, digest, name in older:
        try:
            challenge = installation.vault.load(digest)
            schema, folds = scorer.describe_submission(challenge), _fold_limit(challenge)
        except (Refused, scorer.HeldoutError, OSError) as wrong:
            words.append(f"{name} stays as it is: {wrong}")
            continue
        with installation.database.begin() as session:
            version = session.get_one(ChallengeVersion, id_)
            manifest = dict(version.manifest)
            before = manifest["submission"].get("max_bytes")
            manifest["submission"] |= {"max_bytes": challenge.max_bytes, "schema": schema}
            if "sha256" in (manifest.get("folds") or {}) and folds is not None:
                manifest["folds"] |= {"max_bytes": folds}
            version.manifest = {**manifest, "form_rules": form_rules.FORM_RULES}
            events.log(
                session,
                "command line",
                "limits computed",
                version.challenge.slug,
                now=db.now(session),
                version=version.number,
                before=before,
                after=challenge.max_bytes,
            )
        words.append(f"{name}: files up to {megabytes(challenge.max_bytes)}")
    return words


def _fold_limit(challenge: scorer.Challenge) -> int | None:
    """Return the limit of train files; None if the challenge takes none."""
    from scorer.folds import CannotScoreTrain, train_solution

    try:
        return _train_file_limit(challenge, train_solution(challenge))
    except CannotScoreTrain:
        return None


def _train_file_limit(challenge: scorer.Challenge, train: Solution) -> int:
    from scorer.challenges.definition import TRAIN_FILE
    from scorer.challenges.size_limit import train_file_max_bytes

    table_bytes = (challenge.folder / TRAIN_FILE).stat().st_size
    return train_file_max_bytes(challenge.max_bytes, train.task, train.ids, table_bytes=table_bytes)


def _store_folds(challenge: scorer.Challenge, storage: Storage) -> dict[str, Any]:
    """Store the folds for out-of-fold predictions, or return why not."""
    # Imported here because it needs pandas and scikit-learn: every command imports this module, and few
    # publish.
    from scorer.folds import CannotScoreTrain, assign, to_csv, train_solution

    try:
        train = train_solution(challenge)
        folds = assign(challenge)
    except CannotScoreTrain as reason:
        return {"why": str(reason)}
    content = to_csv(folds)
    with storage.receive(len(content)) as incoming:
        incoming.write(content)
        blob = incoming.keep()
    return {
        "sha256": blob.sha256,
        "size": blob.size_bytes,
        "strategy": folds.strategy,
        "words": folds.words,
        "max_bytes": _train_file_limit(challenge, train),
    }


def _override_reasons(checked: scorer.CheckResult, overrides: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons for blocking findings; refuse missing or needless ones."""
    blocking = {finding.code: finding for finding in reversed(checked.blockers)}
    wrong = [f"{code}: {f.evidence} {f.advice}" for code, f in blocking.items() if code not in overrides]
    if wrong:
        listed = "\n".join(f"- {words}" for words in wrong)
        revealing = set(blocking) - set(overrides) - {scorer.NOT_CHECKED}
        why = "The data reveals hidden labels" if revealing else "The labels could not be checked"
        raise Refused(
            f"{why}, so nothing was published:\n{listed}\n"
            'Correct it, or give a reason to publish: --override CODE="the reason, which stays in the log".'
        )
    unknown = sorted(set(overrides) - set(blocking))
    if unknown:
        raise Refused(f"There is no blocking finding {', '.join(unknown)} to override.")
    refuse_short(overrides)
    return {code: " ".join(reason.split())[:500] for code, reason in overrides.items()}


def refuse_short(overrides: Mapping[str, str]) -> None:
    """Refuse reasons that state nothing."""
    short = sorted(code for code, reason in overrides.items() if len(" ".join(reason.split())) < MIN_REASON)
    if short:
        raise Refused(f"The reason for {', '.join(short)} is shorter than {MIN_REASON} characters.")


def _audit(checked: scorer.CheckResult, reasons: Mapping[str, str]) -> dict[str, Any]:
    """Return the checks' results for the version's row.

    The public passport shows that there is an override, but not the finding.
    """
    passport = [
        {**entry, "result": "accepted by the organiser"} if entry["code"] in reasons else dict(entry)
        for entry in checked.passport
    ]
    return {
        "findings": [finding.as_dict() for finding in checked.findings],
        "passport": passport,
        "overrides": dict(reasons),
        "versions": dict(checked.versions),
    }


def post_baselines(
    installation: Installation,
    challenge: scorer.Challenge,
    slugs: Sequence[str],
    *,
    files: Iterable[baselines.BaselineFile] | None = None,
    done: Callable[[str], None] = lambda _name: None,
) -> list[str]:
    """Run the baselines, unless their files are given, and post these; return their names."""
    names = []
    for made in baselines.run(challenge, installation.settings) if files is None else files:
        with installation.storage.receive(len(made.content)) as incoming:
            incoming.write(made.content)
            blob = incoming.keep()
        for slug in slugs:
            with installation.database.begin() as session:
                competition = competitions.by_slug(session, slug)
                submission_id = baselines.post(session, competition, made, blob, now=db.now(session))
                installation.storage.refuse_unless_stored(blob)
            if submission_id is not None:
                installation.hints.send(submission_id)
        names.append(made.name)
        done(made.name)
    return names
