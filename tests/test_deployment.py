"""Compose and Kubernetes files: valid, and as the guide describes.

Neither Docker nor Kubernetes is run here. tests/storm/test_hosts.py runs the same services on separate hosts.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from app.base.config import load
from app.base.db import Database
from tests.servers import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCHEMA = json.loads((ROOT / "tests/data/compose-spec.json").read_text(encoding="utf-8"))

KUBERNETES = ROOT / "deploy/kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load(
    (KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8")
)
RESOURCES: list[dict[str, Any]] = [
    resource
    for name in KUSTOMIZATION["resources"]
    for resource in yaml.safe_load_all((KUBERNETES / name).read_text(encoding="utf-8"))
]
# Their schemas come with other programs than Kubernetes, so they are not validated here.
NOT_OF_KUBERNETES = ("keda.sh/v1alpha1",)


def complaints(compose: object) -> list[str]:
    import jsonschema  # here, since it takes two seconds in every process of the tests

    validator = jsonschema.Draft7Validator(SCHEMA)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)]


def test_the_compose_file_matches_the_specification() -> None:
    assert complaints(COMPOSE) == []
    wrong = {**COMPOSE, "services": {"web": {**SERVICES["web"], "read_onyl": True}}}
    assert complaints(wrong), "the schema must reject a misspelt key"


def test_all_services_use_one_storage_setting() -> None:
    for name in ("web", "worker", "migrate", "sweeper"):
        given = SERVICES[name]["environment"]
        assert given["HELDOUT_STORAGE_URL"] == "${HELDOUT_STORAGE_URL:-file:///storage}"
        assert {key for key in given if key.startswith("HELDOUT_S3_")} == {
            "HELDOUT_S3_ENDPOINT",
            "HELDOUT_S3_REGION",
            "HELDOUT_S3_KEY",
            "HELDOUT_S3_SECRET",
        }


def test_a_worker_reaches_only_the_bucket() -> None:
    assert SERVICES["worker"]["networks"] == ["inside"]
    inside = COMPOSE["networks"]["inside"]
    assert inside["internal"] is True
    door = SERVICES["bucket"]
    assert door["profiles"] == ["bucket"], "started on request only"
    address = door["networks"]["inside"]["ipv4_address"]
    assert SERVICES["worker"]["extra_hosts"] == [f"${{S3_HOST:-bucket.invalid}}:{address}"]
    target = door["command"][1]
    assert target.startswith("TCP:${S3_HOST:-bucket.invalid}:"), "one host, the bucket's"
    assert not door.get("volumes")
    assert not door.get("environment")
    assert not door.get("ports")


def test_all_used_volumes_and_networks_are_declared() -> None:
    for service in SERVICES.values():
        for entry in service.get("volumes", []):
            source = entry.split(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"]
        assert set(service["networks"]) <= set(COMPOSE["networks"])


def test_copies_of_a_bucket_are_on_disk_not_in_memory() -> None:
    for name in ("web", "worker"):
        assert "cache:/data/cache" in SERVICES[name]["volumes"], "/data itself is a tmpfs"
    assert re.search(r"/data /data/cache ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [r for r in RESOURCES if r["kind"] == kind and r["metadata"]["name"] == name]
    return found


def pod(kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = named(kind, name)["spec"]["template"]["spec"]
    return spec


PODS = [("Job", "migrate"), ("Deployment", "web"), ("Deployment", "worker"), ("Deployment", "sweeper")]


@pytest.mark.parametrize(
    "resource", RESOURCES, ids=[f"{r['kind']} {r['metadata']['name']}" for r in RESOURCES]
)
def test_every_manifest_matches_the_schema_of_kubernetes(resource: dict[str, Any]) -> None:
    import kubernetes_validate

    if resource["apiVersion"] not in NOT_OF_KUBERNETES:
        kubernetes_validate.validate(resource, "1.35", strict=True)
    if resource["kind"] != "Namespace":
        assert resource["metadata"]["namespace"] == "heldout"


def test_every_manifest_is_applied_except_the_secrets_template() -> None:
    there = {path.name for path in KUBERNETES.glob("*.yaml")}
    import kubernetes_validate

    assert there - set(KUSTOMIZATION["resources"]) == {"kustomization.yaml", "secret.example.yaml"}
    template = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text(encoding="utf-8"))
    kubernetes_validate.validate(template, "1.35", strict=True)
    assert set(template["stringData"].values()) == {""}, "a template has no values"


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_every_pod_is_confined(kind: str, name: str) -> None:
    spec = pod(kind, name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert {v["name"] for v in spec["volumes"]} == {m["name"] for m in container["volumeMounts"]}
    assert all("emptyDir" in volume for volume in spec["volumes"]), "no folder is shared by pods"
    opens_vault = any(variable["name"].startswith("HELDOUT_VAULT_") for variable in container["env"])
    assert opens_vault == (name == "worker")


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_every_variable_of_a_pod_is_a_setting_and_every_secret_is_in_the_template(
    kind: str, name: str
) -> None:
    [container] = pod(kind, name)["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "heldout"}}]
    template = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text(encoding="utf-8"))
    given = dict(named("ConfigMap", "heldout")["data"])
    for variable in container["env"]:
        if "value" in variable:
            given[variable["name"]] = variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference == {"name": "heldout", "key": variable["name"]}
            assert variable["name"] in template["stringData"]
            given[variable["name"]] = f"{variable['name']:x<32}"
    assert not re.search("PASSWORD|SECRET|KEY|VAULT", " ".join(named("ConfigMap", "heldout")["data"]))
    if "HELDOUT_S3_KEY" not in given:
        assert name in ("migrate", "sweeper"), "these open no file"
    load(given, ROOT / "no-such-file.toml")


def test_pods_reach_only_database_queue_and_bucket() -> None:
    nothing = named("NetworkPolicy", "nothing")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ways = named("NetworkPolicy", "to-what-is-needed")["spec"]["egress"]
    assert all(way["to"] and way["ports"] for way in ways), "a rule without a target allows every address"
    assert {port["port"] for way in ways for port in way["ports"]} == {53, 5432, 6379, 9000}
    opened = [
        r["metadata"]["name"] for r in RESOURCES if r["kind"] == "NetworkPolicy" and r["spec"].get("ingress")
    ]
    assert opened == ["web-from-the-ingress"]


def test_selectors_match_their_pods() -> None:
    for kind, name in PODS[1:]:
        labels = named(kind, name)["spec"]["template"]["metadata"]["labels"]
        assert named(kind, name)["spec"]["selector"]["matchLabels"] == labels
    web = named("Deployment", "web")["spec"]["template"]["metadata"]["labels"]
    assert named("Service", "web")["spec"]["selector"] == web
    assert named("PodDisruptionBudget", "web")["spec"]["selector"]["matchLabels"] == web
    for scaler in ("HorizontalPodAutoscaler", "ScaledObject"):
        [found] = [r for r in RESOURCES if r["kind"] == scaler]
        target = named("Deployment", found["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"], "applying the file again would undo the scaling"


def test_the_scalers_query_counts_the_queue(database: Database) -> None:
    [trigger] = named("ScaledObject", "worker")["spec"]["triggers"]
    with database.read() as session:
        assert session.scalar(text(trigger["metadata"]["query"])) == 0


def test_a_pod_without_its_database_leaves_the_service_but_is_not_restarted() -> None:
    [web] = pod("Deployment", "web")["containers"]
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "tcpSocket" in web["livenessProbe"], "/healthz is 503 while the database is away"
    assert pod("Deployment", "worker")["terminationGracePeriodSeconds"] > load({}).job_seconds
