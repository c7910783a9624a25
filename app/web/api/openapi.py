"""Describe the JSON API as an OpenAPI 3.1 document.

Clients can be generated from it. A test compares it with the URL map and with real answers, so a missing
route or field fails.
"""

from __future__ import annotations

from typing import Any

from app.base.models import Phase, PublicScore, State
from app.competing.leaderboard import MAX_PAGE_SIZE, PAGE_SIZE, Sort
from app.integrity.train_files import KINDS
from app.people.tokens import Scope
from app.web.uploads import MAX_KEY_LENGTH

Json = dict[str, Any]

MAX_ID = 2**63 - 1
STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time"}
SHA256: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
LINK: Json = {"type": "string", "format": "uri-reference"}
ANY_OBJECT: Json = {"type": "object"}


def _nullable(schema: Json) -> Json:
    return (
        {"anyOf": [schema, {"type": "null"}]}
        if "$ref" in schema
        else {**schema, "type": [schema["type"], "null"]}
    )


def _list(of: Json) -> Json:
    return {"type": "array", "items": of}


def _map(of: Json) -> Json:
    return {"type": "object", "additionalProperties": of}


def _object(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_COMPETITION: Json = {
    "slug": STRING,
    "title": STRING,
    "summary": STRING,
    "phase": {"type": "string", "enum": list(Phase)},
    "is_paused": BOOLEAN,
    "opens_at": TIME,
    "closes_at": _nullable(TIME),
    "settles_at": {
        **_nullable(TIME),
        "description": "When no upload can arrive any more and private scores are shown.",
    },
    "timezone": STRING,
    "metric_name": STRING,
    "greater_is_better": BOOLEAN,
}
_RECEIPT: Json = {
    **STRING,
    "pattern": "^heldout-receipt-1 ",
    "description": "One signed line that proves the upload: competition, id, team, sha256, size and time.",
}
_LATER_RECEIPT: Json = {
    **_RECEIPT,
    "type": ["string", "null"],
    "description": f"{_RECEIPT['description']} Null if the log's record of the upload is missing or differs.",
}

SCHEMAS: Json = {
    "Me": _object(
        {
            "name": STRING,
            "is_organiser": BOOLEAN,
            "token": {
                **_object(
                    {
                        "label": STRING,
                        "scope": {"type": "string", "enum": list(Scope)},
                        "expires_at": _nullable(TIME),
                        "last_used_at": _nullable(TIME),
                    }
                ),
                "description": "The token of this request. Its last use is noted at most once a minute.",
            },
        }
    ),
    "Problem": _object(
        {
            "code": {**STRING, "description": "A stable name, such as MISSING_IDS."},
            "message": STRING,
            "line": INTEGER,
            "id": STRING,
            "column": STRING,
            "value": STRING,
            "count": {**INTEGER, "description": "Number of places with this problem."},
            "file": STRING,
        },
        optional=("line", "id", "column", "value", "file"),
    ),
    "Refusal": {
        **_object(
            {
                "type": STRING,
                "title": STRING,
                "status": INTEGER,
                "detail": STRING,
                "problems": _list(_ref("Problem")),
            }
        ),
        "description": "A problem document of RFC 9457; `detail` is a message for the user.",
    },
    "Notice": _object({"code": STRING, "message": STRING}),
    "ListedCompetition": _object({**_COMPETITION, "teams": INTEGER}),
    "Competition": _object(
        {
            **_COMPETITION,
            "description": {**STRING, "description": "Markdown."},
            "metric": ANY_OBJECT,
            "submission": ANY_OBJECT,
            "split": ANY_OBJECT,
            "baselines": _list(ANY_OBJECT),
            "version": INTEGER,
            "limits": _object(
                {
                    "daily": INTEGER,
                    "total": _nullable(INTEGER),
                    "pending": INTEGER,
                    "final_picks": INTEGER,
                    "team_size": INTEGER,
                    "upload_bytes": INTEGER,
                }
            ),
            "public_score": _object(
                {"shown": {"type": "string", "enum": list(PublicScore)}, "step": _nullable(NUMBER)}
            ),
            "passport": _list(ANY_OBJECT),
            "folds": _nullable(ANY_OBJECT),
            "team": {
                **_nullable(STRING),
                "description": "Your team in this competition, or null before you join.",
            },
        }
    ),
    "File": _object(
        {
            "name": STRING,
            "size": INTEGER,
            "sha256": SHA256,
            "n_rows": _nullable(INTEGER),
            "schema": {"type": ["array", "null"], "items": ANY_OBJECT},
            "link": LINK,
        }
    ),
    "Joined": _object({"competition": STRING, "team": STRING}),
    "Quota": _object(
        {
            "limit": INTEGER,
            "used": INTEGER,
            "remaining": INTEGER,
            "pending": INTEGER,
            "total_limit": _nullable(INTEGER),
            "total_used": _nullable(INTEGER),
            "pending_limit": {**INTEGER, "description": "1 from `rejected_limit` rejected files on."},
            "rejected": {**INTEGER, "description": "Files of the team that were rejected today."},
            "rejected_limit": INTEGER,
            "next_at": {
                **_nullable(TIME),
                "description": "When the next file can be sent after a rejected one; null: at once.",
            },
            "resets_at": TIME,
            "timezone": STRING,
        }
    ),
    "State": {"type": "string", "enum": list(State)},
    "Links": _object({"self": LINK, "file": LINK, "page": LINK}),
    "Receipt": {
        **_object(
            {
                "id": INTEGER,
                "sha256": SHA256,
                "size_bytes": INTEGER,
                "received_at": TIME,
                "state": {"const": State.QUEUED.value},
                "remaining_today": INTEGER,
                "is_replay": {
                    **BOOLEAN,
                    "description": "True for an earlier upload with the same Idempotency-Key.",
                },
                "receipt": _LATER_RECEIPT,
                "receipt_key": {
                    **STRING,
                    "description": "Public key of this installation; verifies its receipts.",
                },
                "links": _ref("Links"),
            }
        ),
        "description": "The file is stored, counts once, and ends scored, rejected or failed.",
    },
    "Submission": _object(
        {
            "id": INTEGER,
            "competition": STRING,
            "team": STRING,
            "state": _ref("State"),
            "place_in_queue": _nullable(INTEGER),
            "received_at": TIME,
            "started_at": _nullable(TIME),
            "finished_at": _nullable(TIME),
            "filename": STRING,
            "message": STRING,
            "sha256": SHA256,
            "size_bytes": INTEGER,
            "public": _nullable(NUMBER),
            "private": {**_nullable(NUMBER), "description": "Null until the competition is over."},
            "also": _object(
                {
                    "public": _map(NUMBER),
                    "private": {"type": ["object", "null"], "additionalProperties": NUMBER},
                }
            ),
            "problems": _list(_ref("Problem")),
            "problem_count": INTEGER,
            "notices": _list(_ref("Notice")),
            "fault": {**_nullable(STRING), "description": "Shown to organisers only."},
            "is_picked": BOOLEAN,
            "receipt": _LATER_RECEIPT,
            "links": _ref("Links"),
        }
    ),
    "TrainFile": _object(
        {
            "submission": INTEGER,
            "kind": {"type": "string", "enum": list(KINDS)},
            "state": _ref("State"),
            "sha256": SHA256,
            "size_bytes": INTEGER,
            "received_at": TIME,
            "result": _nullable(ANY_OBJECT),
            "problems": {"type": ["array", "null"], "items": _ref("Problem")},
            "links": _object({"index": LINK, "page": LINK}),
        }
    ),
    "Row": _object(
        {
            "rank": {**_nullable(INTEGER), "description": "Null for a baseline."},
            "team": STRING,
            "is_baseline": BOOLEAN,
            "is_mine": BOOLEAN,
            "score": NUMBER,
            "also": _map(NUMBER),
            "entries": INTEGER,
            "last_at": TIME,
            "moved": _nullable(INTEGER),
        }
    ),
    "Board": _object(
        {
            "competition": STRING,
            "scores": {"type": "string", "enum": ["public", "private"]},
            "page": INTEGER,
            "pages": INTEGER,
            "total": INTEGER,
            "rows": _list(_ref("Row")),
            "mine": _nullable(_ref("Row")),
        }
    ),
    "Report": {
        **_object(
            {
                "competition": STRING,
                "made_at": _nullable(TIME),
                "metric": {},
                "greater_is_better": BOOLEAN,
                "rows": {},
                "notes": {"type": "array"},
            }
        ),
        "additionalProperties": True,
        "description": "The public part of the close report; further keys are its sections.",
    },
}


def _answers(
    status: str, description: str, content: Json, *refusals: int, headers: Json | None = None
) -> Json:
    found: Json = {status: {"description": description, "content": content}}
    if headers:
        found[status]["headers"] = headers
    for number in (401, *refusals):
        found[str(number)] = {"$ref": "#/components/responses/Refusal"}
    # Requests refused early (bad Host, method, size) and server errors.
    found["default"] = {"$ref": "#/components/responses/Refusal"}
    return found


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _wrapped(name: str, of: str) -> Json:
    return _json(_object({name: _list(_ref(of))}))


_BYTES: Json = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_FILE_TYPES = ("text/csv", "application/gzip", "application/zip", "application/octet-stream")
_SLUG: Json = {"$ref": "#/components/parameters/slug"}
_ID: Json = {"$ref": "#/components/parameters/submission_id"}
_KIND: Json = {
    "name": "kind",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": list(KINDS)},
}
_LOCATION: Json = {"Location": {"description": "Address of the new resource.", "schema": LINK}}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_UPLOAD: Json = {
    "required": True,
    "description": "One file: the bare body, or the form field `file`.",
    "content": {
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in _FILE_TYPES},
        "multipart/form-data": {
            "schema": _object(
                {"file": {"type": "string", "format": "binary"}, "message": {**STRING, "maxLength": 500}},
                optional=("message",),
            )
        },
    },
}
_ABOUT_A_BARE_FILE: list[Json] = [
    _query("filename", STRING, "Name of a bare file."),
    _query("message", {**STRING, "maxLength": 500}, "Your note on a bare file."),
]
_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes a retry safe: the same key and file return the first receipt.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
}
_SORTS = [sign + sort.value for sort in Sort for sign in ("", "-")]


def _operation(
    name: str, summary: str, responses: Json, parameters: tuple[Json, ...] = (), body: Json | None = None
) -> Json:
    found: Json = {"operationId": name, "summary": summary, "responses": responses}
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = body
    return found


_C = "/api/v1/competitions/{slug}"
_S = "/api/v1/submissions/{submission_id}"

PATHS: Json = {
    "/api/v1/openapi.json": {
        "get": {
            "operationId": "description",
            "summary": "Get this document.",
            "security": [],
            "responses": {"200": {"description": "The OpenAPI 3.1 document", "content": _json(ANY_OBJECT)}},
        }
    },
    "/api/v1/me": {
        "get": _operation("me", "Get the user of the token.", _answers("200", "The user", _json(_ref("Me"))))
    },
    "/api/v1/competitions": {
        "get": _operation(
            "competitions",
            "List all competitions.",
            _answers("200", "Competitions", _wrapped("competitions", "ListedCompetition")),
        )
    },
    _C: {
        "get": _operation(
            "competition",
            "Get a competition: its task, metric, limits and your team.",
            _answers("200", "The competition", _json(_ref("Competition")), 404),
            (_SLUG,),
        )
    },
    f"{_C}/files": {
        "get": _operation(
            "files",
            "List the public files.",
            _answers("200", "Files", _wrapped("files", "File"), 403, 404),
            (_SLUG,),
        )
    },
    f"{_C}/files/{{name}}": {
        "get": _operation(
            "file",
            "Download a public file.",
            _answers("200", "The file", _BYTES, 403, 404),
            (
                _SLUG,
                {
                    "name": "name",
                    "in": "path",
                    "required": True,
                    "schema": STRING,
                    "description": "As in the list of files; may contain slashes.",
                },
            ),
        )
    },
    f"{_C}/folds.csv": {
        "get": _operation(
            "folds",
            "Download the fold of each training row.",
            _answers("200", "A CSV file", _BYTES, 403, 404),
            (_SLUG,),
        )
    },
    f"{_C}/join": {
        "post": _operation(
            "join",
            "Join as a team of one; joining twice changes nothing.",
            _answers("200", "Your team", _json(_ref("Joined")), 403, 404, 409),
            (_SLUG,),
        )
    },
    f"{_C}/quota": {
        "get": _operation(
            "quota",
            "Get your team's remaining uploads.",
            _answers("200", "The quota", _json(_ref("Quota")), 403, 404),
            (_SLUG,),
        )
    },
    f"{_C}/submissions": {
        "post": _operation(
            "submit",
            "Upload a submission.",
            _answers(
                "201", "The receipt", _json(_ref("Receipt")), 403, 404, 409, 413, 422, 429, headers=_LOCATION
            ),
            (_SLUG, _KEY, *_ABOUT_A_BARE_FILE),
            _UPLOAD,
        ),
        "get": _operation(
            "submissions",
            "List your team's submissions, newest first.",
            _answers("200", "Submissions", _wrapped("submissions", "Submission"), 403, 404),
            (
                _SLUG,
                _query(
                    "limit",
                    {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
                    "Maximum number of submissions.",
                ),
                _query("before", {"type": "integer", "minimum": 1}, "Only those with a smaller id."),
            ),
        ),
    },
    f"{_C}/leaderboard": {
        "get": _operation(
            "leaderboard",
            "Get a page of the leaderboard.",
            _answers("200", "The page", _json(_ref("Board")), 404, 422),
            (
                _SLUG,
                _query(
                    "page",
                    {"type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 1},
                    "Page number, from 1.",
                ),
                _query(
                    "page_size",
                    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
                    "Rows per page.",
                ),
                _query("search", STRING, "Only teams whose name contains this."),
                _query("sort", {"type": "string", "enum": _SORTS}, "Sort order; `-` in front reverses it."),
            ),
        )
    },
    f"{_C}/report": {
        "get": _operation(
            "report",
            "Get the close report, once there is one.",
            _answers("200", "The report", _json(_ref("Report")), 403, 404),
            (_SLUG,),
        )
    },
    _S: {
        "get": _operation(
            "submission",
            "Get a submission of your team; organisers may get any.",
            _answers("200", "The submission", _json(_ref("Submission")), 404),
            (_ID,),
        )
    },
    f"{_S}/file": {
        "get": _operation(
            "upload", "Download the uploaded file.", _answers("200", "The file", _BYTES, 404), (_ID,)
        )
    },
    f"{_S}/train-files": {
        "get": _operation(
            "train_files",
            "List the train files of a submission.",
            _answers("200", "The files", _wrapped("train_files", "TrainFile"), 404),
            (_ID,),
        )
    },
    f"{_S}/train-files/{{kind}}": {
        "post": _operation(
            "send_train_file",
            "Upload predictions for the training rows.",
            _answers(
                "201", "The file", _json(_ref("TrainFile")), 403, 404, 409, 413, 422, 429, headers=_LOCATION
            ),
            (_ID, _KIND),
            _UPLOAD,
        )
    },
}

for path in PATHS.values():
    if "post" in path:
        path["post"]["security"] = [{"bearer": [Scope.SUBMIT.value]}]

DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "Heldout",
        "version": "1",  # of the API; its addresses contain it too
        "description": "Competitions with hidden labels. Refusals are `application/problem+json`.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "servers": [{"url": "/"}],
    "security": [{"bearer": []}],
    "paths": PATHS,
    "components": {
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": (
                    "A token from your account page. Its scope is `read`, `submit` or `organise`; each one "
                    "includes those before it. An unknown, revoked or expired token is answered 401, one "
                    "with too narrow a scope 403."
                ),
            }
        },
        "parameters": {
            "slug": {
                "name": "slug",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$"},
            },
            "submission_id": {
                "name": "submission_id",
                "in": "path",
                "required": True,
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_ID},
            },
        },
        "responses": {
            "Refusal": {
                "description": "A refusal, with its reason in `detail`.",
                "content": {"application/problem+json": {"schema": _ref("Refusal")}},
            }
        },
        "schemas": SCHEMAS,
    },
}
