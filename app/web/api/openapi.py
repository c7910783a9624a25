"""The OpenAPI 3.1 document, generated from the operations and their models.

Clients can be generated from it, and the page /api shows it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.competing.submissions import MAX_MESSAGE_LENGTH
from app.integrity.train_files import KINDS
from app.people.tokens import Scope
from app.web.api import (
    account,
    admissions,
    announcements,
    boards,
    certificates,
    checks,
    classes,
    cloning,
    competitions,
    drafts,
    integrity,
    models,
    operations,
    organising,
    participants,
    questions,
    rules,
    running,
    submissions,
    teams,
    upload_tickets,
)
from app.web.api.operations import OPERATIONS, PREFIX, Operation, operation
from app.web.uploads import MAX_KEY_LENGTH

Json = dict[str, Any]

blueprint = operations.blueprint
ROOMS = (
    *(competitions, rules, teams, submissions, upload_tickets, checks, boards, certificates, account),
    *(announcements, questions, organising, admissions, cloning, running, participants, integrity, drafts),
    *(classes,),
)
"""Importing them declares their operations."""

MAX_ID = 2**63 - 1
STRING: Json = {"type": "string"}
FILE_TYPES = ("text/csv", "application/gzip", "application/zip", "application/octet-stream")
BINARY: Json = {"type": "string", "format": "binary"}

PARTS: dict[str, Json] = {
    "slug": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$"},
    "name": {"type": "string"},
    "kind": {"type": "string", "enum": list(KINDS)},
}
"""Schemas of the parts of a path; all others are ids."""

BEARER = (
    "A token from your account page. Its scope is `read`, `submit` or `organise`; each one includes those "
    "before it. An unknown, revoked or expired token is answered 401, one with too narrow a scope 403."
)


class Document(BaseModel):
    """An OpenAPI 3.1 document."""


@operation(
    "GET",
    "/openapi.json",
    name="description",
    says="The OpenAPI 3.1 document",
    answer=Document,
    is_public=True,
)
def description() -> Response:
    """Get this document."""
    return jsonify(document())


@lru_cache(maxsize=1)
def document() -> Json:
    """Return the document; it is the same for every installation."""
    paths: Json = {}
    for one in OPERATIONS:
        path = PREFIX + re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", one.rule)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Heldout",
            "version": "1",  # of the API; its addresses contain it too
            "description": "Competitions with hidden labels. Refusals are `application/problem+json`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": BEARER}},
            "responses": {
                "Refusal": {
                    "description": "A refusal, with its reason in `detail`.",
                    "headers": {
                        "Retry-After": {
                            "description": "Seconds after which the same request can succeed, if known.",
                            "schema": {"type": "integer"},
                        }
                    },
                    "content": {"application/problem+json": {"schema": _ref(models.Refusal)}},
                }
            },
            "schemas": _schemas(),
        },
    }


def _schemas() -> Json:
    """Return the schemas of all models by name."""
    answers = {one.answer for one in OPERATIONS if isinstance(one.answer, type)} | {models.Refusal}
    bodies = {one.body for one in OPERATIONS if one.body is not None}
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "serialization") for model in answers),
        *((model, "validation") for model in bodies),
    ]
    wanted.sort(key=lambda pair: pair[0].__name__)
    _, found = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    schemas: Json = _tidy(found["$defs"])
    schemas["Document"]["additionalProperties"] = True
    return dict(sorted(schemas.items()))


def _tidy(schema: Any) -> Any:
    """Remove what says nothing or too much.

    These are titles made of names, the default of a field that may be absent, and that an answer has no other
    fields: a later version may add some.
    """
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _tidy(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and value is None)
        and not (key == "additionalProperties" and value is False)
    }


def _operation(one: Operation) -> Json:
    found: Json = {"operationId": one.name, "summary": one.summary}
    parameters = [*_path_parameters(one), *_query_parameters(one), *_header_parameters(one)]
    if parameters:
        found["parameters"] = parameters
    if one.takes_file:
        found["requestBody"] = _upload(_fields_of_query(one))
    elif one.body is not None:
        found["requestBody"] = {"required": True, "content": _json(one.body)}
    if one.is_public:
        found["security"] = []
    elif one.scope is not Scope.READ:
        found["security"] = [{"bearer": [one.scope.value]}]
    found["responses"] = _responses(one)
    return found


def _responses(one: Operation) -> Json:
    is_file = isinstance(one.answer, str)
    content = {one.answer: {"schema": BINARY}} if is_file else _json(one.answer)
    answer: Json = {"description": one.says, "content": content}
    headers: Json = {}
    if one.has_location:
        headers["Location"] = {
            "description": "Address of the new resource.",
            "schema": {"type": "string", "format": "uri-reference"},
        }
    if one.is_conditional or is_file:
        headers["ETag"] = {"description": "Send it as If-None-Match.", "schema": STRING}
    if headers:
        answer["headers"] = headers
    found: Json = {str(one.status): answer}
    if is_file:
        found["206"] = {**answer, "description": "The part that Range asks for"}
    if one.is_conditional or is_file:
        found["304"] = {"description": "The client has this already."}
    if one.is_public:
        return found
    for status in (401, *one.refuses):
        found[str(status)] = {"$ref": "#/components/responses/Refusal"}
    # Requests refused early (bad Host, method, size) and server errors.
    found["default"] = {"$ref": "#/components/responses/Refusal"}
    return found


def _path_parameters(one: Operation) -> list[Json]:
    number = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
    return [
        {"name": name, "in": "path", "required": True, "schema": PARTS.get(name, number)}
        for name in re.findall(r"<(?:[^:>]+:)?(\w+)>", one.rule)
    ]


def _query_parameters(one: Operation) -> list[Json]:
    about = [_query("filename", STRING, "Name of a bare file."), _query("message", MESSAGE, "Your note.")]
    listed = about if one.takes_file else []
    for name, field in _fields_of_query(one).items():
        words = field.pop("description", "")
        listed.append(_query(name, field, words))
    return listed


def _fields_of_query(one: Operation) -> Json:
    if one.query is None:
        return {}
    fields: Json = _tidy(one.query.model_json_schema(ref_template="#/components/schemas/{model}"))[
        "properties"
    ]
    return fields


def _header_parameters(one: Operation) -> list[Json]:
    if not one.takes_key:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Makes a retry safe: the same key and file return the first receipt.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
        }
    ]


MESSAGE: Json = {"type": "string", "maxLength": MAX_MESSAGE_LENGTH}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _upload(more: Json) -> Json:
    fields = {"file": BINARY, "message": MESSAGE, **more}
    form = {"type": "object", "properties": fields, "required": ["file"]}
    return {
        "required": True,
        "description": "One file: the bare body, or the form field `file`.",
        "content": {
            **{kind: {"schema": BINARY} for kind in FILE_TYPES},
            "multipart/form-data": {"schema": form},
        },
    }


def _json(model: type[BaseModel] | str) -> Json:
    assert isinstance(model, type)
    return {"application/json": {"schema": _ref(model)}}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
