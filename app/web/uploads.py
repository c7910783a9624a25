"""A file on its way from the network to storage: never whole in memory, never twice on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, cast
from urllib.parse import unquote

from flask import Request, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import RequestEntityTooLarge

from app.base import db, failpoints
from app.base.errors import Conflict, NotFound, Refused, TooLarge
from app.base.models import Competition, State, Submission, TrainFile
from app.base.storage import Incoming, Storage
from app.competing import competitions, submissions, teams
from app.competing.submissions import Receipt
from app.integrity import train_files
from app.operating import health
from app.people.accounts import Viewer
from app.web.context import parts

FORM_LIMIT_BYTES = 64 * 1024  # of every request but an upload, which sets its own
FORM_BYTES = 64 * 1024  # what a form may add to its file: boundaries, headers, the message
MAX_KEY_LENGTH = 120
ASKED = "heldout.asked"
"""In a request's environment: when its head was here, on the monotonic clock."""
HERE = "heldout.here"
"""The same: whether all of its body is, so that reading it waits for nobody."""
ONE_FILE = "Send exactly one file, in the form's field `file`."


@dataclass(frozen=True)
class Upload:
    incoming: Incoming
    filename: str
    message: str


class StreamingRequest(Request):
    """Once a view has said where files go, a form's file is written there while it arrives."""

    file_sink: Callable[[], Incoming] | None = None
    has_file = False

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        if self.file_sink is None:
            return super()._get_file_stream(total_content_length, content_type, filename, content_length)
        if self.has_file:  # a form of a thousand files would open a thousand of ours
            raise Refused(ONE_FILE)
        self.has_file = True
        return cast("IO[bytes]", self.file_sink())


@contextmanager
def receiving(storage: Storage, limit_bytes: int) -> Iterator[Upload]:
    """Read the request's body, a form with one file or the bare file; what is not kept is gone afterwards."""
    _refuse_announced_size(limit_bytes)
    health.refuse_when_full(parts().settings)
    request.max_content_length = limit_bytes + FORM_BYTES
    with ExitStack() as stack:
        try:
            if request.mimetype == "multipart/form-data":
                upload = _from_form(lambda: stack.enter_context(storage.receive(limit_bytes)))
            else:
                upload = _bare(stack.enter_context(storage.receive(limit_bytes)))
        except RequestEntityTooLarge:
            raise _too_large(limit_bytes) from None
        if upload.incoming.size_bytes == 0:
            raise Refused("The file is empty: choose a file with predictions in it.")
        yield upload


def _refuse_announced_size(limit_bytes: int) -> None:
    """A body that says it is too large is refused before a byte of it is read."""
    if (request.content_length or 0) > limit_bytes + FORM_BYTES:
        raise _too_large(limit_bytes)


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        raise Refused(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable characters.")
    return key


def _from_form(sink: Callable[[], Incoming]) -> Upload:
    cast("StreamingRequest", request).file_sink = sink
    files = request.files.getlist("file")
    if len(files) != 1:
        raise Refused(ONE_FILE)
    if not files[0].filename:
        raise Refused("No file was chosen.")
    return Upload(cast("Incoming", files[0].stream), files[0].filename, request.form.get("message", ""))


def _bare(incoming: Incoming) -> Upload:
    while chunk := request.stream.read(1 << 16):
        incoming.write(chunk)
    # The server tells no difference between the end of a body and the end of its client.
    if request.content_length is not None and incoming.size_bytes != request.content_length:
        raise Refused(
            f"Of the file's {request.content_length} bytes {incoming.size_bytes} arrived. Nothing was kept; send it again."
        )
    # Headers are ASCII in practice, so other characters come percent-encoded.
    filename = request.args.get("filename") or unquote(request.headers.get("X-Filename", ""))
    message = request.args.get("message") or unquote(request.headers.get("X-Message", ""))
    return Upload(incoming, filename or "submission.csv", message)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The file is larger than the limit of {limit_bytes / 1e6:g} MB.")


def take(
    slug: str,
    identify: Callable[[Session, datetime], Viewer],
    *,
    check_form: Callable[[], None] | None = None,
) -> Receipt:
    """One upload from its first byte to its receipt: admitted, streamed to storage, accepted, announced.

    It counts from when its head was here: neither a body that takes minutes nor a crowd before it makes it late.
    """
    with parts().database.read() as session:
        received_at = db.now(session) - _waited()
        who = identify(session, received_at)
        competition = competitions.by_slug(session, slug)
        key = _idempotency_key()
        known = submissions.admit(session, competition, who, received_at=received_at, idempotency_key=key)
    with _under_way(who), receiving(parts().storage, competition.max_upload_bytes) as upload:
        if check_form is not None:
            check_form()
        if known is not None and known != upload.incoming.sha256:
            # Not kept, or a known key would be a way to fill the disk.
            raise Conflict("This Idempotency-Key was already used for another upload; use a new one.")
        if len(upload.message) > submissions.MAX_MESSAGE_LENGTH:
            # Before `accept` says so too: what is refused after this line stays on the disk and costs no quota.
            raise Refused(f"The message is longer than {submissions.MAX_MESSAGE_LENGTH} characters.")
        if known is None:
            _refuse_beyond_room(competition, who, upload)
        blob = upload.incoming.keep()
    failpoints.reach("upload.kept")
    with parts().database.begin() as session:
        receipt = submissions.accept(
            session,
            competition,
            who,
            blob,
            filename=upload.filename,
            message=upload.message,
            received_at=received_at,
            now=db.now(session),
            idempotency_key=key,
            most_bytes=parts().settings.team_mb * 1_000_000,
        )
        parts().storage.refuse_unless_stored(blob)
    failpoints.reach("upload.accepted")
    parts().hints.send(receipt.id)  # after the commit, or a fast worker would look for a row not there yet
    failpoints.reach("upload.announced")
    return receipt


def _under_way(who: Viewer) -> AbstractContextManager[None]:
    """A place among those whose body is still on its way; what is here needs none."""
    return nullcontext() if request.environ.get(HERE) else parts().under_way.upload(who.id)


def _waited() -> timedelta:
    """How long ago the request's head was here; other servers than ours do not tell."""
    now = time.monotonic()
    return timedelta(seconds=now - request.environ.get(ASKED, now))


def take_train_file(
    submission_id: int,
    kind: str,
    identify: Callable[[Session, datetime], Viewer],
    *,
    check_form: Callable[[], None] | None = None,
) -> TrainFile:
    """The same for a file of predictions for the training rows, which only the submission's own team may send."""
    with parts().database.read() as session:
        who = identify(session, db.now(session))
        _, competition = _own(session, who, submission_id)
    with _under_way(who), receiving(parts().storage, competition.max_upload_bytes) as upload:
        if check_form is not None:
            check_form()
        # Before it is kept: what is refused later stays on the disk, and these files cost no quota.
        with parts().database.read() as session:
            submission, _ = _own(session, who, submission_id)
            train_files.admit(session, competition, submission, kind, now=db.now(session))
            present = train_files.of(session, submission_id).get(kind)
        if present is not None and present.state == State.QUEUED:
            raise Conflict(
                f"The {train_files.KINDS[kind]} sent before are still being scored; wait for them."
            )
        _refuse_beyond_room(competition, who, upload)
        blob = upload.incoming.keep()
    with parts().database.begin() as session:
        submission, competition = _own(session, who, submission_id)
        inspection = train_files.attach(
            session, competition, submission, kind, blob, by=who.name, now=db.now(session)
        )
        parts().storage.refuse_unless_stored(blob)
        file = train_files.get(session, submission_id, kind)
        inspection_id = inspection.id
    parts().hints.send_inspection(inspection_id)
    return file


def _refuse_beyond_room(competition: Competition, who: Viewer, upload: Upload) -> None:
    """Before the file is kept, or what is refused would fill the disk all the same."""
    with parts().database.read() as session:
        team = teams.of(session, competition, who.id)
        if team is not None:  # else what follows says so
            submissions.refuse_beyond_room(
                session, team.id, upload.incoming.size_bytes, most_bytes=parts().settings.team_mb * 1_000_000
            )


def _own(session: Session, who: Viewer, submission_id: int) -> tuple[Submission, Competition]:
    """A submission of the viewer's own team; an organiser sees others', but sends nothing for them."""
    submission, competition = submissions.visible(session, who, submission_id)
    team = teams.of(session, competition, who.id)
    if team is None or team.id != submission.team_id:
        raise NotFound(f"There is no submission {submission_id} of your team.")
    return submission, competition
