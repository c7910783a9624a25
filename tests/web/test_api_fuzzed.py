"""Fuzz the API from its OpenAPI document, as each role.

No request may cause a server error or an answer that the document does not describe.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from app.web.api.openapi import document
from tests.web.site import CSV, Site

DOCUMENT = document()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {
    result.ok().label: result.ok()  # type: ignore[union-attr]
    for result in SCHEMA.get_all_operations()
}
# Existing names and edge cases: random names alone would only get 404.
IDS = [1, 1, 2, 0, 2**63 - 1, 2**63, 10**18]
NAMED: dict[str, list[Any]] = {
    "slug": ["biopsy"] * 5 + ["Biopsy", "a" * 60],
    "name": ["train.csv", "../private/solution.csv", "a\x00b", "%2e%2e/x"],
    "token_id": [0, 999, 2**63 - 1, 2**63, 10**18],  # none that the roles use
    "kind": ["oof", "oof", "nothing"],
}
PLACES = {place for path in DOCUMENT["paths"] for place in re.findall(r"{(\w+)}", path)}
NAMED |= {place: IDS for place in PLACES if place.endswith("_id") and place not in NAMED}


@pytest.fixture
def site_with_scores(site: Site) -> Site:
    site.score(site.submit("ada"), 0.3)
    site.reject(site.submit("ada", CSV + b"\n"))
    return site


def test_every_operation_is_fuzzed() -> None:
    assert NAMED.keys() >= PLACES
    assert len(OPERATIONS) == sum(map(len, DOCUMENT["paths"].values()))


@pytest.mark.storm
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_described_request_causes_a_server_error(site_with_scores: Site, label: str) -> None:
    operation = OPERATIONS[label]
    roles: list[dict[str, str]] = [
        {},
        site_with_scores.token("ada"),
        site_with_scores.token("bob"),
        site_with_scores.token("grace"),
    ]
    site_with_scores.app.config["PROPAGATE_EXCEPTIONS"] = False  # an error becomes the 500 of production
    described = set(operation.definition.raw["responses"])

    def whole(environ: Any, start: Any) -> list[bytes]:
        """Call the application, read its answer and close it, as a server does."""
        pieces = site_with_scores.app(environ, start)
        try:
            return [b"".join(pieces)]
        finally:
            pieces.close()  # type: ignore[attr-defined]

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(data=st.data())
    def fuzz(data: Any) -> None:
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if data.draw(st.integers(0, 3)):
            case.path_parameters = {
                name: data.draw(st.sampled_from(NAMED[name])) for name in case.path_parameters or {}
            }
        role = data.draw(st.sampled_from(roles))
        case.headers = {k: v for k, v in (case.headers or {}).items() if k.lower() != "authorization"} | role
        answer = case.call(app=whole)
        status, kind = answer.status_code, answer.headers["content-type"][0]
        assert status < 500, (case.as_curl_command(), answer.text)
        if status >= 400:  # "default" in the document is any refusal
            assert kind == "application/problem+json", (case.as_curl_command(), status, answer.text[:300])
            assert answer.json()["status"] == status
        else:
            assert str(status) in described, (case.as_curl_command(), status, answer.text[:300])

    fuzz()
