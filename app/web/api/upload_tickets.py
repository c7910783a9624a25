"""Files that are sent to an address of their own first, and submitted afterwards."""

from __future__ import annotations

from flask import request, url_for

from app.base import db
from app.competing import upload_tickets, visibility
from app.web.api import models
from app.web.api.access import sender
from app.web.api.operations import operation, read_body
from app.web.context import parts
from app.web.json_answers import receipt_json
from app.web.uploads import is_by_agent


@operation(
    "POST",
    "/competitions/<slug:slug>/uploads",
    name="begin_upload",
    says="The address",
    answer=models.Upload,
    status=201,
    refuses=(403, 404, 413, 422, 429),
    body=models.NewUpload,
)
def upload_begin(slug: str) -> models.Upload:
    """Get an address that takes one file; nothing is charged until it is submitted."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        wanted = read_body(models.NewUpload)
        secret = upload_tickets.issue(
            session,
            competition,
            user,
            filename=wanted.filename,
            size_bytes=wanted.size_bytes,
            most_bytes=parts().settings.team_bytes,
            now=now,
        )
    return models.Upload(
        upload=secret,
        address=request.host_url.rstrip("/") + url_for("kaggle_transfers.upload", secret=secret),
        expires_at=(now + upload_tickets.LIFE).isoformat(),
    )


@operation(
    "POST",
    "/competitions/<slug:slug>/uploads/submit",
    name="submit_upload",
    says="The receipt",
    answer=models.Receipt,
    status=201,
    refuses=(403, 404, 409, 422, 429),
    body=models.SentUpload,
    has_location=True,
)
def upload_submit(slug: str) -> tuple[models.Receipt, dict[str, str]]:
    """Submit a file that was sent to its address; repeated, it returns the first receipt."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        sent = read_body(models.SentUpload)
        receipt = upload_tickets.submit(
            session,
            competition,
            user,
            sent.upload,
            message=sent.message,
            most_bytes=parts().settings.team_bytes,
            now=now,
            sandbox=sent.sandbox,
            is_by_agent=is_by_agent(),
        )
        parts().storage.refuse_unless_stored(receipt.blob)
    parts().hints.send(receipt.id)
    location = url_for("api.submission_show", submission_id=receipt.id)
    return models.Receipt.model_validate(receipt_json(receipt, slug)), {"Location": location}
