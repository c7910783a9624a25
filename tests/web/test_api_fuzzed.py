"""Requests made up from the API's own description, by everybody: no fault of ours, no answer nobody described."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from app.web.api.openapi import DOCUMENT
from tests.web.site import CSV, House

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations()}  # type: ignore[union-attr]
# What a path names that is there, and what lies at the edge: made-up names alone never get past the first 404.
NAMED: dict[str, list[Any]] = {
    "slug": ["biopsy"] * 5 + ["Biopsy", "a" * 60],
    "name": ["train.csv", "../private/solution.csv", "a\x00b", "%2e%2e/x"],
    "submission_id": [1, 1, 2, 0, 2**63 - 1, 2**63, 10**18],
    "kind": ["oof", "oof", "nothing"],
}


@pytest.fixture
def played(house: House) -> House:
    house.score(house.submit("ada"), 0.3)
    house.reject(house.submit("ada", CSV + b"\n"))
    return house


def test_the_whole_description_is_tried() -> None:
    assert len(OPERATIONS) == sum(map(len, DOCUMENT["paths"].values()))


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_that_the_description_allows_is_a_fault(played: House, label: str) -> None:
    operation = OPERATIONS[label]
    roles: list[dict[str, str]] = [{}, played.token("ada"), played.token("bob"), played.token("grace")]
    played.app.config["PROPAGATE_EXCEPTIONS"] = False  # a fault is the 500 it would be
    described = set(operation.definition.raw["responses"])

    def whole(environ: Any, start: Any) -> list[bytes]:
        """The app, read to its end and closed, as a server does."""
        pieces = played.app(environ, start)
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
        if status >= 400:  # the description's "default" is any refusal, with its reason in words
            assert kind == "application/problem+json", (case.as_curl_command(), status, answer.text[:300])
            assert answer.json()["status"] == status
        else:
            assert str(status) in described, (case.as_curl_command(), status, answer.text[:300])

    fuzz()
