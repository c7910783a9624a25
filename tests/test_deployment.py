"""The files for many machines: valid by the schemas of those who read them, and holding what the guide promises.

Neither Docker nor Kubernetes is run here. tests/e2e/test_hosts.py runs the same parts as hosts of their own.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import yaml

from tests.servers import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCHEMA = json.loads((ROOT / "tests/data/compose-spec.json").read_text(encoding="utf-8"))

# -- Compose -----------------------------------------------------------------------------------


def complaints(compose: object) -> list[str]:
    validator = jsonschema.Draft7Validator(SCHEMA)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)]


def test_the_compose_file_is_valid_by_the_specification() -> None:
    assert complaints(COMPOSE) == []
    wrong = {**COMPOSE, "services": {"web": {**SERVICES["web"], "read_onyl": True}}}
    assert complaints(wrong), "the schema would not notice a misspelt key"


def test_storage_is_one_setting_for_all_who_open_it() -> None:
    for name in ("web", "worker", "migrate", "sweeper"):
        given = SERVICES[name]["environment"]
        assert given["HELDOUT_STORAGE_URL"] == "${HELDOUT_STORAGE_URL:-file:///storage}"
        assert {key for key in given if key.startswith("HELDOUT_S3_")} == {
            "HELDOUT_S3_ENDPOINT", "HELDOUT_S3_REGION", "HELDOUT_S3_KEY", "HELDOUT_S3_SECRET",
        }  # fmt: skip


def test_a_worker_reaches_a_bucket_and_nothing_else() -> None:
    assert SERVICES["worker"]["networks"] == ["inside"]
    inside = COMPOSE["networks"]["inside"]
    assert inside["internal"] is True
    door = SERVICES["bucket"]
    assert door["profiles"] == ["bucket"], "not started unless asked for"
    address = door["networks"]["inside"]["ipv4_address"]
    assert SERVICES["worker"]["extra_hosts"] == [f"${{S3_HOST:-bucket.invalid}}:{address}"]
    target = door["command"][1]
    assert target.startswith("TCP:${S3_HOST:-bucket.invalid}:"), "one host, the bucket's"
    assert not door.get("volumes")
    assert not door.get("environment")
    assert not door.get("ports")


def test_every_volume_and_network_that_is_used_is_declared() -> None:
    for service in SERVICES.values():
        for entry in service.get("volumes", []):
            source = entry.split(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"]
        assert set(service["networks"]) <= set(COMPOSE["networks"])


def test_copies_of_a_bucket_lie_on_disk_and_not_in_memory() -> None:
    for name in ("web", "worker"):
        assert "cache:/data/cache" in SERVICES[name]["volumes"], "/data itself is a tmpfs"
    assert re.search(r"/data /data/cache ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
