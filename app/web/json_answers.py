"""JSON that both pages and the API return."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import request, url_for
from sqlalchemy.orm import Session

from app.base.models import Competition, TrainFile
from app.competing import receipts
from app.competing.receipts import Facts
from app.competing.submissions import Receipt
from app.web.context import parts


def receipt_json(receipt: Receipt, slug: str) -> dict[str, Any]:
    return {
        "id": receipt.id,
        "sha256": receipt.sha256,
        "size_bytes": receipt.size_bytes,
        "received_at": time_text(receipt.received_at),
        "state": "queued",
        "remaining_today": receipt.remaining_today,
        "is_replay": receipt.is_replay,
        "is_ranked": receipt.is_ranked,
        "is_late": receipt.is_late,
        "receipt": _signature(receipt, slug),
        "receipt_key": parts().signer.public_key,
        "links": links(receipt.id),
    }


def _signature(receipt: Receipt, slug: str) -> str | None:
    """Return the signed line that proves the upload."""
    if receipt.is_replay:
        with parts().database.read() as session:
            return signatures(session, receipt.id).get(receipt.id)
    return parts().signer.sign(
        Facts(slug, receipt.id, receipt.team_id, receipt.sha256, receipt.size_bytes, receipt.received_at)
    )


def signatures(session: Session, *submission_ids: int) -> dict[int, str]:
    """Return signed receipts of submissions unchanged since the log recorded them."""
    return {
        id_: parts().signer.sign(facts) for id_, facts in receipts.recorded(session, submission_ids).items()
    }


def schema_json(competition: Competition) -> dict[str, Any]:
    """Return what a file of predictions must look like, from public knowledge alone."""
    asked = competition.version.manifest["submission"]
    schema = asked.get("schema") or {}
    ids = schema.get("ids")
    return {
        "competition": competition.slug,
        "version": competition.version.number,
        "header": [
            *(ids["columns"] if ids else asked["id"].split("+")),
            *(column["name"] for column in asked["columns"]),
        ],
        "formats": ["csv", "csv.gz", "zip", *(["parquet"] if asked.get("parquet") else [])],
        "max_bytes": competition.upload_limit_bytes,
        "ids": ids,
        "columns": schema.get("columns"),
        "rows": schema.get("rows"),
        "metric": schema.get("metric"),
    }


def train_file_json(file: TrainFile) -> dict[str, Any]:
    return {
        "submission": file.submission_id,
        "kind": file.kind,
        "state": file.state,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "received_at": time_text(file.received_at),
        "result": file.result,
        "problems": file.problems,
        "links": {
            "index": url_for("api.train_file_index", submission_id=file.submission_id),
            "page": url_for("submissions.show", submission_id=file.submission_id) + "#beside",
        },
    }


def links(submission_id: int) -> dict[str, str]:
    return {
        "self": url_for("api.submission_show", submission_id=submission_id),
        "file": url_for("api.submission_file", submission_id=submission_id),
        "page": url_for("submissions.show", submission_id=submission_id),
    }


def invite_link(slug: str, secret: str) -> str:
    """Return the whole address of an invite link."""
    return request.host_url.rstrip("/") + url_for("teams.invited", slug=slug, secret=secret)


def private_link(slug: str, secret: str) -> str:
    """Return the whole address of a private link."""
    return request.host_url.rstrip("/") + url_for("admissions.entry", slug=slug, secret=secret)


def time_text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
