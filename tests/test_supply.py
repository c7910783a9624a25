"""Dependencies: listed, audited, and under a permissive licence."""

from __future__ import annotations

import re
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from tools import supply

# Distributors of Heldout need not publish their own code for these, but must keep them replaceable.
COPYLEFT = {
    "psycopg": "LGPL-3.0: used as it is, as a package of its own that anybody can replace",
    "psycopg-binary": "the same; with libpq (PostgreSQL's licence) inside",
}
FREE = re.compile(r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC|Zlib|CC0|Unlicense", re.IGNORECASE)


def runtime() -> dict[str, metadata.Distribution]:
    """Return everything that `pip install heldout[server]` brings along on this machine."""
    found: dict[str, metadata.Distribution] = {}
    ahead = [("heldout", ""), ("heldout", "server")]
    done = set()
    while ahead:
        name, extra = ahead.pop()
        name = name.lower().replace("_", "-")
        if (name, extra) in done:
            continue
        done.add((name, extra))
        found[name] = metadata.distribution(name)
        for line in found[name].requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                ahead += [(wanted.name, each) for each in {"", *wanted.extras}]
    return found


def licence(package: metadata.Distribution) -> str:
    """Return the shortest licence field of a package: some hold the whole text."""
    said: Any = package.metadata
    words = said.get("License-Expression") or ""
    words = words or " ".join(
        line.rpartition("::")[2] for line in said.get_all("Classifier") or () if "License" in line
    )
    return words or str(said.get("License") or "")[:100]


def test_only_listed_packages_are_copyleft() -> None:
    packages = runtime()
    assert len(packages) > 50
    licences = {name: licence(package) for name, package in packages.items()}
    assert {name for name, words in licences.items() if "GPL" in words or "MPL" in words} == set(COPYLEFT)
    unclear = {
        name: words for name, words in licences.items() if name not in COPYLEFT and not FREE.search(words)
    }
    assert unclear == {}


def test_the_bill_of_materials_holds_all_locked_and_vendored_packages() -> None:
    listed = supply.sbom()
    assert listed["bomFormat"] == "CycloneDX"
    parts = {(part["name"].lower(), part["version"]) for part in listed["components"]}
    for lock in supply.LOCKS:
        entries = lock.read_text(encoding="utf-8")
        assert set(re.findall(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==([^ ;]+)", entries, re.MULTILINE)) <= parts
    assert {(p["npm"], p["version"]) for p in supply.vendor.packages()} <= parts
    hashed = [p for p in listed["components"] if "sha256" in str(p).lower() or "SHA-" in str(p)]
    assert len(hashed) == len(listed["components"])


def answer(*vulns: dict[str, Any]) -> dict[str, Any]:
    return {
        "dependencies": [
            {"name": "flask", "version": "1.0", "vulns": list(vulns)},
            {"name": "rq", "skip_reason": "?"},
        ]
    }


def test_both_locks_are_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(command: list[str], **_: Any) -> Any:
        asked.extend(command)
        return SimpleNamespace(stdout="{}", stderr="")

    monkeypatch.setattr(supply.subprocess, "run", run)
    supply.look_up()
    named = [asked[n + 1] for n, word in enumerate(asked) if word == "--requirement"]
    assert named == [str(lock) for lock in supply.LOCKS]


HOLE = {"id": "PYSEC-2030-1", "fix_versions": ["1.1"], "aliases": ["CVE-2030-7"]}


def test_a_known_vulnerability_fails_unless_it_is_ignored_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, [line] = supply.judge(answer(HOLE), "")
    assert code == 1
    assert line == "flask 1.0: PYSEC-2030-1 (fixed in 1.1)"
    monkeypatch.setattr(supply, "IGNORED", {"CVE-2030-7": "we never call it"})
    assert supply.judge(answer(HOLE), "")[0] == 0
    assert all(reason for reason in supply.IGNORED.values())


def test_a_failed_look_up_is_reported_and_passes() -> None:
    assert supply.judge(answer(), "") == (
        0,
        ["1 packages audited, nothing known against them; not known to the advisories: rq"],
    )
    nobody = {"dependencies": [{"name": "flask", "skip_reason": "Dependency not found"}]}
    assert supply.judge(nobody, "")[1] == [
        "NOT AUDITED: the advisories could not be reached for any of 1 packages"
    ]
    code, [line] = supply.judge(None, "requests.exceptions.ConnectionError: Max retries exceeded")
    assert (code, line[:12]) == (0, "NOT AUDITED:")
    assert supply.judge(None, "ERROR: a hash is missing")[0] == 1, "a broken lock is no broken line"
