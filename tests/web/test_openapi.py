"""The description of the API says what the API does: every route, every field, every refusal."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import schemathesis

from app.web.api.openapi import DOCUMENT
from tests.web.site import CSV, House


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def test_the_description_and_the_url_map_name_the_same_routes(house: House) -> None:
    described = {(path, method) for path, method, _ in operations()}
    served = {
        (re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in house.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == served


def test_every_part_of_a_path_is_described() -> None:
    for path, method, operation in operations():
        named = set()
        for given in operation.get("parameters", []):
            if "$ref" in given:
                given = DOCUMENT["components"]["parameters"][given["$ref"].rpartition("/")[2]]
            if given["in"] == "path":
                named.add(given["name"])
        assert named == set(re.findall(r"{(\w+)}", path)), (method, path)
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


def test_the_description_is_valid_openapi_and_needs_no_token(house: House) -> None:
    answer = house.stranger().get("/api/v1/openapi.json")
    assert answer.json == DOCUMENT
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema), name


def _closed(schema: Any) -> Any:
    """The same, where an object with a field nobody described is wrong."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(value) for key, value in schema.items()}
    if "properties" in found and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


CLOSED = _closed(copy.deepcopy(DOCUMENT))


def conforms(house: House, path: str, method: str, address: str, headers: dict[str, str], **more: Any) -> int:
    answer = house.stranger().client.open(address, method=method, headers=headers, **more)
    responses = CLOSED["paths"][path][method.lower()]["responses"]
    described = responses[str(answer.status_code)]
    if "$ref" in described:
        described = CLOSED["components"]["responses"][described["$ref"].rpartition("/")[2]]
    content = described["content"][answer.mimetype]["schema"]
    if "json" in answer.mimetype:
        jsonschema.validate(answer.json, {**content, "components": CLOSED["components"]})
    return answer.status_code


def test_real_answers_of_every_route_have_exactly_the_described_fields(house: House) -> None:
    rejected, failed, scored = (house.submit("ada", CSV + b"\n" * n) for n in range(3))
    house.reject(rejected)
    house.fail(failed)
    house.score(scored, 0.3)
    house.baseline("Prior only", 0.66, 0.65)
    waiting = house.submit("ada")
    seen = set()
    for name in ("ada", "bob", "grace", None):
        token = house.token(name) if name else {}
        for number in (rejected, failed, scored, waiting, 0):
            for path, method, _ in operations():
                address = (
                    path.replace("{slug}", house.slug)
                    .replace("{name}", "train.csv")
                    .replace("{submission_id}", str(number))
                    .replace("{kind}", "oof")
                )
                body: Any = {"data": CSV, "content_type": "text/csv"} if method == "POST" else {}
                seen.add((path, method, conforms(house, path, method, address, token, **body)))
    fine = {(path, method) for path, method, status in seen if status < 300}
    # A train file wants folds, and a report wants the close: refused here, in described words.
    others = {"/folds.csv", "/report", "/train-files/{kind}"}
    assert {(p, m) for p, m, _ in operations() if not p.endswith(tuple(others))} <= fine
    house.close()
    board = "/api/v1/competitions/{slug}/leaderboard"
    assert conforms(house, board, "GET", board.replace("{slug}", house.slug), house.token("ada")) == 200
