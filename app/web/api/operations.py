"""The operations of the API: a route, its models, and what the document says of it, in one place.

A view returns a model, which becomes JSON, or a response of its own for a file. The OpenAPI document is made
from the same declarations (app/web/api/openapi.py), so neither can say what the other does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError

from app.base.errors import Refused
from app.people.tokens import Scope
from scorer.report import Problem
from scorer.wording import LISTED, show

PREFIX = "/api/v1"
blueprint = Blueprint("api", __name__, url_prefix=PREFIX)

BYTES = "application/octet-stream"
CSV = "text/csv"
ZIP = "application/zip"

_Model = TypeVar("_Model", bound=BaseModel)
_View = TypeVar("_View", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What the document says of one route and method."""

    method: str
    rule: str
    endpoint: str
    name: str
    """The operationId, which generated clients use as a name."""
    summary: str
    answer: type[BaseModel] | str
    """The model of the answer, or the media type of a file."""
    status: int
    says: str
    """What the answer is."""
    refuses: Sequence[int]
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    takes_file: bool
    takes_key: bool
    """An Idempotency-Key."""
    has_location: bool
    is_conditional: bool
    """Whether an ETag saves a second transfer."""
    is_public: bool
    scope: Scope


OPERATIONS: list[Operation] = []
"""In the order of declaration."""


def operation(
    method: str,
    rule: str,
    *,
    name: str,
    says: str,
    answer: type[BaseModel] | str,
    status: int = 200,
    refuses: Sequence[int] = (),
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    takes_file: bool = False,
    takes_key: bool = False,
    has_location: bool = False,
    is_conditional: bool = False,
    is_public: bool = False,
    scope: Scope | None = None,
) -> Callable[[_View], _View]:
    """Register a view; the first line of its docstring is the summary."""

    def register(view: _View) -> _View:
        endpoint = view.__name__
        OPERATIONS.append(
            Operation(
                method=method,
                rule=rule,
                endpoint=endpoint,
                name=name,
                summary=(view.__doc__ or "").strip().partition("\n")[0],
                answer=answer,
                status=status,
                says=says,
                refuses=refuses,
                query=query,
                body=body,
                takes_file=takes_file,
                takes_key=takes_key,
                has_location=has_location,
                is_conditional=is_conditional,
                is_public=is_public,
                scope=scope or (Scope.READ if method == "GET" else Scope.SUBMIT),
            )
        )

        @wraps(view)
        def answered(**values: Any) -> ResponseReturnValue:
            return _answered(view(**values), status, is_conditional=is_conditional)

        blueprint.add_url_rule(rule, endpoint, answered, methods=[method])
        return view

    return register


def _answered(found: Any, status: int, *, is_conditional: bool) -> ResponseReturnValue:
    headers: Mapping[str, str] = {}
    if isinstance(found, tuple):
        found, headers = found
    if isinstance(found, Response):
        return found
    # Fields that a view leaves out are absent, not null.
    answer = jsonify(found.model_dump(mode="json", by_alias=True, exclude_unset=True))
    answer.status_code = status
    answer.headers.update(headers)
    return revalidated(answer) if is_conditional else answer


def revalidated(answer: Response) -> Response:
    """Return the answer with the hash of its bytes as ETag, or 304 if the client has them."""
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.add_etag()
    answer.make_conditional(request)
    return answer


def read_query(model: type[_Model]) -> _Model:
    """Return the query string as the model; refuse with every wrong argument."""
    known = set(model.model_fields)
    return validated(model, {name: value for name, value in request.args.items() if name in known})


def read_body(model: type[_Model]) -> _Model:
    """Return a JSON body as the model; refuse with every wrong field."""
    try:
        given = request.get_json(force=True, silent=True)
    except RecursionError:  # of a thousand brackets
        given = None
    if not isinstance(given, dict):
        raise Refused(f"Send a JSON object with {_listed(model)}.")
    return validated(model, given)


def validated(model: type[_Model], given: Mapping[str, Any]) -> _Model:
    """Return values as the model; refuse with every wrong one."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        # The first of each field: one that may be absent has a second, that it is not absent.
        first = {str(one["loc"][0]): one["msg"] for one in reversed(found) if one["loc"]}
        names = [name for name in model.model_fields if name in first]
        # Only where the model refuses unknown ones; a megabyte holds 100,000 of them.
        unknown = [name for name in reversed(first) if name not in model.model_fields]
        shown = [(show(name), first[name]) for name in (*names, *unknown[:LISTED])]
        problems = [Problem("BAD_VALUE", f"{name}: {words}", column=name) for name, words in shown]
        words = "; ".join(problem.message for problem in problems) or "The request is wrong"
        more = f"; and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
        raise Refused(f"{words}{more}.", problems) from None


def _listed(model: type[BaseModel]) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields)
