"""Stream uploads to storage.

A file is never in memory as a whole and never twice on disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, Protocol, cast
from urllib.parse import unquote

from flask import Request, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import RequestEntityTooLarge

from app.authoring.draft_choices import MAX_DESCRIPTION
from app.base import db, failpoints
from app.base.errors import Conflict, NotFound, Refused, TooLarge
from app.base.models import Competition, State, Submission, TrainFile
from app.base.storage import Incoming
from app.competing import statuses, submissions, teams, upload_room, visibility
from app.competing.submissions import Receipt
from app.integrity import file_checks, train_files
from app.operating import health
from app.people.accounts import Viewer
from app.web.context import parts

FORM_LIMIT_BYTES = 64 * 1024  # of every request except uploads, which set their own
LARGE_FORM_BYTES = 2 * 12 * MAX_DESCRIPTION + FORM_LIMIT_BYTES
"""Of a draft's form: a description and the drafted one, each character 4 bytes and a byte 3 letters."""
LARGE_FORMS = ("drafts.choose", "api.draft_create", "api.draft_change")
FORM_BYTES = 64 * 1024  # added to a file by its form: boundaries, headers, the message
MAX_KEY_LENGTH = 120
HEAD_AT = "heldout.head_at"
"""Key of the WSGI environment: when the head had arrived, on the monotonic clock."""
BODY_ARRIVED = "heldout.body_arrived"
"""Key of the WSGI environment: whether the whole body has arrived, so that reading it never waits."""
BY_AGENT = "heldout.by_agent"
"""Key of the WSGI environment: whether a tool of the MCP endpoint makes the request."""
ONE_FILE = "Send exactly one file, in the form field `file`."


@dataclass(frozen=True)
class Upload:
    incoming: Incoming
    filename: str
    message: str
    sandbox: bool = False
    """Asks for a score without a rank, which only organisers may."""


class StreamingRequest(Request):
    """A request that writes its form file to `file_sink`."""

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
        if self.has_file:  # a form with a thousand files would open a thousand here
            raise Refused(ONE_FILE)
        self.has_file = True
        return cast("IO[bytes]", self.file_sink())


class Receiver(Protocol):
    """A storage, or the inbox of one, which encrypts."""

    def receive(self, limit_bytes: int, /) -> Incoming: ...


@contextmanager
def receiving(storage: Receiver, limit_bytes: int) -> Iterator[Upload]:
    """Receive one file, bare or in a form.

    The file is deleted afterwards unless the caller keeps it.
    """
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
            raise TooLarge.over(limit_bytes) from None
        if upload.incoming.size_bytes == 0:
            raise Refused("The file is empty. Choose another.")
        yield upload


def _refuse_announced_size(limit_bytes: int) -> None:
    """Refuse an announced size above the limit, unread."""
    if (request.content_length or 0) > limit_bytes + FORM_BYTES:
        raise TooLarge.over(limit_bytes)


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        raise Refused(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable characters.")
    return key


def _from_form(sink: Callable[[], Incoming]) -> Upload:
    cast("StreamingRequest", request).file_sink = sink
    files = request.files.getlist("file")
    if not files:
        raise Refused(_missing_field())
    if len(files) != 1:
        raise Refused(ONE_FILE)
    if not files[0].filename:
        raise Refused("No file was chosen. Choose a file with predictions.")
    message, sandbox = request.form.get("message", ""), asks_sandbox(request.form.get("sandbox"))
    return Upload(cast("Incoming", files[0].stream), files[0].filename, message, sandbox)


def asks_sandbox(word: str | None) -> bool:
    """Return a flag of a request; false if it is not given."""
    plain = (word or "false").lower()
    if plain not in ("true", "1", "false", "0"):
        raise Refused(f"sandbox is true or false, not {plain[:20]!r}.")
    return plain in ("true", "1")


def _missing_field() -> str:
    """Return which fields a form without the file has instead."""
    way = f"{ONE_FILE} With curl: -F file=@submission.csv"
    if "file" in request.form:
        return f"The form field `file` holds a text, not a file. {way}"
    given = sorted({*request.files, *request.form} - {"csrf_token", "message", "sandbox"})
    names = ", ".join(f"`{name[:40]}`" for name in given[:5]) or "no other"
    return f"The form has no field `file`; it has {names}. {way}"


def _bare(incoming: Incoming) -> Upload:
    while chunk := request.stream.read(1 << 16):
        incoming.write(chunk)
    # The server does not distinguish the end of the body from a closed connection.
    if request.content_length is not None and incoming.size_bytes != request.content_length:
        raise Refused(
            f"Only {incoming.size_bytes} of the file's {request.content_length} bytes arrived. "
            "Nothing was stored; send it again."
        )
    # Headers are ASCII in practice, so other characters are percent-encoded.
    filename = request.args.get("filename") or unquote(request.headers.get("X-Filename", ""))
    message = request.args.get("message") or unquote(request.headers.get("X-Message", ""))
    return Upload(incoming, filename or "submission.csv", message)


def take(
    slug: str,
    identify: Callable[[Session, datetime], Viewer],
    *,
    check_form: Callable[[], None] | None = None,
) -> Receipt:
    """Receive one submission and return its receipt.

    It counts as received when its head arrived: neither a body that takes minutes nor other uploads in
    front of it make it late.
    """
    with parts().database.read() as session:
        received_at = db.now(session) - age()
        user = identify(session, received_at)
        competition = visibility.find(session, slug, user)
        key = _idempotency_key()
        known = submissions.admit(
            session,
            competition,
            user,
            received_at=received_at,
            idempotency_key=key,
            sandbox=asks_sandbox(request.args.get("sandbox")),
        )
    with slot(user.id), receiving(parts().storage, competition.upload_limit_bytes) as upload:
        if check_form is not None:
            check_form()
        if known is not None and known != upload.incoming.sha256:
            # Not kept, or a known key could be used to fill the disk.
            raise Conflict("This Idempotency-Key was already used for another upload; use a new one.")
        if len(upload.message) > submissions.MAX_MESSAGE_LENGTH:
            # `accept` checks this too, but a file refused there stays on the disk and costs no quota.
            raise Refused(
                f"The message has {len(upload.message)} characters; "
                f"the limit is {submissions.MAX_MESSAGE_LENGTH}."
            )
        if known is None:
            _refuse_beyond_room(competition, user, upload)
        blob = upload.incoming.keep()
    failpoints.reach("upload.kept")
    with parts().database.begin() as session:
        receipt = submissions.accept(
            session,
            competition,
            user,
            blob,
            filename=upload.filename,
            message=upload.message,
            received_at=received_at,
            now=db.now(session),
            idempotency_key=key,
            most_bytes=parts().settings.team_bytes,
            sandbox=upload.sandbox or asks_sandbox(request.args.get("sandbox")),
            is_by_agent=is_by_agent(),
        )
        parts().storage.refuse_unless_stored(blob)
    failpoints.reach("upload.accepted")
    parts().hints.send(receipt.id)  # after the commit, or a fast worker would find no row
    failpoints.reach("upload.announced")
    return receipt


def take_check(slug: str, identify: Callable[[Session, datetime], Viewer]) -> int:
    """Receive a file to check and return the check's id; nothing is charged."""
    with parts().database.read() as session:
        received_at = db.now(session) - age()
        user = identify(session, received_at)
        competition = visibility.find(session, slug, user)
        file_checks.admit(session, competition, user, received_at=received_at)
    with slot(user.id), receiving(parts().storage, competition.upload_limit_bytes) as upload:
        _refuse_beyond_room(competition, user, upload)
        blob = upload.incoming.keep()
    with parts().database.begin() as session:
        check_id = file_checks.ask(
            session,
            competition,
            user,
            blob,
            filename=upload.filename,
            received_at=received_at,
            now=db.now(session),
            most_bytes=parts().settings.team_bytes,
        )
        parts().storage.refuse_unless_stored(blob)
    parts().hints.send_inspection(check_id)
    return check_id


def slot(user_id: int) -> AbstractContextManager[None]:
    """Take an upload slot, unless the body has already arrived."""
    return nullcontext() if request.environ.get(BODY_ARRIVED) else parts().upload_slots.take(user_id)


def is_by_agent() -> bool:
    return BY_AGENT in request.environ


def age() -> timedelta:
    """Return the time since the head arrived.

    Servers other than ours do not set it; then it is zero.
    """
    now = time.monotonic()
    return timedelta(seconds=now - request.environ.get(HEAD_AT, now))


def take_train_file(
    submission_id: int,
    kind: str,
    identify: Callable[[Session, datetime], Viewer],
    *,
    check_form: Callable[[], None] | None = None,
) -> TrainFile:
    """Receive one train file from the submission's own team."""
    with parts().database.read() as session:
        user = identify(session, db.now(session))
        _, competition = _own(session, user, submission_id)
    with slot(user.id), receiving(parts().storage, competition.train_file_limit_bytes) as upload:
        if check_form is not None:
            check_form()
        # Before it is kept: a file refused later stays on the disk, and these files cost no quota.
        with parts().database.read() as session:
            submission, _ = _own(session, user, submission_id)
            train_files.admit(session, competition, submission, kind, now=db.now(session))
            present = train_files.of(session, submission_id).get(kind)
        if present is not None and present.state == State.QUEUED:
            raise Conflict(
                f"Your {train_files.KINDS[kind]} are still being scored. Send others after the result."
            )
        _refuse_beyond_room(competition, user, upload)
        blob = upload.incoming.keep()
    with parts().database.begin() as session:
        submission, competition = _own(session, user, submission_id)
        inspection = train_files.attach(
            session, competition, submission, kind, blob, by=user.name, now=db.now(session)
        )
        parts().storage.refuse_unless_stored(blob)
        file = train_files.get(session, submission_id, kind)
        inspection_id = inspection.id
    parts().hints.send_inspection(inspection_id)
    return file


def _refuse_beyond_room(competition: Competition, user: Viewer, upload: Upload) -> None:
    """Refuse a file beyond the team's storage limit.

    Called before the file is kept: a refused file must not fill the disk.
    """
    with parts().database.read() as session:
        team = teams.of(session, competition, user.id)
        if team is not None:  # without a team, the caller refuses the file next
            upload_room.refuse_beyond_room(
                session, team.id, upload.incoming.size_bytes, most_bytes=parts().settings.team_bytes
            )


def _own(session: Session, user: Viewer, submission_id: int) -> tuple[Submission, Competition]:
    """Return a submission of the viewer's own team.

    Organisers see submissions of other teams, but cannot send files for them.
    """
    submission, competition = statuses.visible(session, user, submission_id)
    team = teams.of(session, competition, user.id)
    if team is None or team.id != submission.team_id:
        raise NotFound(f"Your team has no submission {submission_id}.")
    return submission, competition
