"""Files around the code: containers, locks, package, make targets and CI.

Docker is not run here; its files are compared with the documentation.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.base.db import Database, now
from app.base.heartbeats import beat
from tests.servers import ROOT, environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "web", "worker", "sweeper")
SECRET_VALUE = re.compile(r"\$\{([A-Z_]+):\?[^}]+\}")

# Build files must not contain an address, or a name that needs one.
BUILD_FILES = (
    "Makefile",
    "Dockerfile",
    "docker-compose.yml",
    "pyproject.toml",
    "requirements.lock",
    "requirements-dev.lock",
    ".ci/run",
    ".github/workflows/ci.yml",
    "tools/lock.sh",
)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def mounts(service: str) -> dict[str, str]:
    """Return the mounts of a service, {target: source}."""
    pairs = (entry.split(":") for entry in SERVICES[service].get("volumes", []))
    return {parts[1]: parts[0] for parts in pairs}


def test_only_the_worker_mounts_the_hidden_solutions() -> None:
    holders = {name for name in SERVICES for source in mounts(name).values() if source == "vault"}
    assert holders == {"worker"}
    assert SERVICES["worker"]["environment"]["HELDOUT_VAULT_DIR"] == "/vault"
    openers = {n for n in OURS if any(v.startswith("HELDOUT_VAULT_") for v in SERVICES[n]["environment"])}
    assert openers == {"worker"}, "no other service has the keys of a vault in a bucket"
    challenges = {name for name in SERVICES for source in mounts(name).values() if "challenges" in source}
    assert challenges == {"worker"}, "challenges/ holds private/ as well"


def test_the_web_mounts_only_the_uploads() -> None:
    assert mounts("web") == {"/storage": "storage", "/data/cache": "cache"}
    assert mounts("worker")["/storage"] == "storage"


def test_only_the_web_publishes_a_port() -> None:
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {"web"}
    [port] = SERVICES["web"]["ports"]
    assert port == "${PUBLISH:-127.0.0.1:7777}:7777", "this machine only by default"
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"web", "bucket"}, "and the proxy to the bucket, which reaches one host only"
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert not any("network_mode" in service or service.get("privileged") for service in SERVICES.values())


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] == 1024
    # Our services get their user from the image, the others from this file; none is root.
    assert name in OURS or service["user"] not in ("root", "0")


def test_no_secret_has_a_value_or_default_in_the_compose_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.fullmatch("HELDOUT_(S3|VAULT)_(KEY|SECRET)", variable):
                assert value == f"${{{variable}:-}}", "needed only with a bucket, so empty without one"
            elif re.search("PASSWORD|SECRET|DATABASE_URL|REDIS_URL", variable):
                found = SECRET_VALUE.findall(str(value))
                assert len(found) == 1, f"{name}: {variable} must come from ${{NAME:?message}}"
                literal = SECRET_VALUE.sub("", str(value))
                allowed = ("", "postgresql://heldout:@postgres/heldout", "redis://:@redis:6379/0")
                assert literal in allowed, f"{name}: {variable}"
    # Every user of the host could read it in a command line.
    for service in SERVICES.values():
        assert not SECRET_VALUE.search(f"{service.get('command')} {service.get('healthcheck')}")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_or_ends(name: str) -> None:
    if name == "migrate":
        assert SERVICES[name]["restart"] == "no"
        assert "healthcheck" not in SERVICES[name]
    else:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_no_service_of_heldout_starts_before_the_schema_exists() -> None:
    assert SERVICES["migrate"]["command"] == ["heldout", "db", "upgrade"]
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("web", "worker", "sweeper"):
        waits = SERVICES[name]["depends_on"]
        assert waits["migrate"] == {"condition": "service_completed_successfully"}
        assert waits["postgres"] == waits["redis"] == {"condition": "service_healthy"}


def test_every_setting_in_the_compose_file_exists() -> None:
    from app.base.config import load

    for name in OURS:
        given = {k: str(v) for k, v in SERVICES[name]["environment"].items()}
        defaults = {k: re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", v) for k, v in given.items()}
        settings = load(defaults, ROOT / "no-such-file.toml")
        assert settings.storage == Path("/storage")
        assert settings.vault == Path("/vault" if name == "worker" else "data/vault")


def test_a_worker_is_healthy_while_its_heartbeat_is_recent(tmp_path: Path, sqlite_template: Path) -> None:
    from worker.jobs import this_host

    shutil.copy(sqlite_template, tmp_path / "heldout.db")
    database = Database(f"sqlite:///{tmp_path / 'heldout.db'}", pooled=False)
    check, words, program = SERVICES["worker"]["healthcheck"]["test"][1:]
    assert (check, words) == ("python", "-c")

    def verdict() -> int:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environment(tmp_path), cwd=tmp_path, check=False).returncode

    assert verdict() == 1, "no heartbeat yet"
    with database.begin() as session:
        beat(session, f"{this_host()}/7", "worker", now=now(session))
    database.dispose()
    assert verdict() == 0


def test_the_image_is_installed_from_the_lock_and_runs_unprivileged() -> None:
    lines = text("Dockerfile").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert set(bases) == {"python:3.12-slim"}
    assert "RUN pip install --require-hashes -r requirements.lock" in lines
    last_stage = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    [user] = [line.split()[1] for line in last_stage if line.startswith("USER ")]
    assert all(int(part) >= 1000 for part in user.split(":"))
    assert not re.search("(?i)password|secret_key|token", text("Dockerfile").partition("FROM")[2])


def test_only_listed_files_reach_the_image() -> None:
    wanted = [line for line in text(".dockerignore").splitlines() if line and line[0] not in "#"]
    assert wanted[0] == "*", "all files are excluded first"
    taken = {line[1:] for line in wanted if line.startswith("!")}
    rooms = {"app", "scorer", "worker", "client"}
    assert taken == {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", *rooms}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text("Dockerfile"), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == taken


def test_the_wheel_holds_all_files_that_the_program_reads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    litter = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
    for room in ("app", "scorer", "worker", "client"):
        shutil.copytree(ROOT / room, source / room, ignore=litter)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    wanted = {
        path.relative_to(source).as_posix().removeprefix("client/")
        for room in ("app", "scorer", "worker", "client/heldout_client")
        for path in (source / room).rglob("*")
        if path.is_file()
    }
    build = "from setuptools import build_meta; import sys; print(build_meta.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, tmp_path],
        cwd=source,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    [wheel] = tmp_path.glob("heldout-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        missing = wanted - set(archive.namelist())
    assert not missing, f"[tool.setuptools.package-data] leaves out {sorted(missing)}"


def locked(name: str) -> list[str]:
    """Return the entries of a lock, one line each."""
    return re.split(r"\n(?=\S)", text(name).replace("\\\n", " ").strip())


def test_every_locked_package_has_an_exact_version_and_hashes() -> None:
    run, (first, *dev) = locked("requirements.lock"), locked("requirements-dev.lock")
    assert first == "-r requirements.lock", "no version is locked twice"
    assert len(run) > 40
    assert len(dev) > 40
    for entry in run + dev:
        assert re.match(r"[a-z0-9.-]+(\[[a-z,]+\])?==[^ ]+ ", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_each_lock_covers_the_projects_dependencies() -> None:
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    run = [*project["dependencies"], *project["optional-dependencies"]["server"], *groups["build"]]
    dev = [line for line in groups["dev"] if line != {"include-group": "build"}]

    def names(lines: Iterable[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9_.-]", line)[0].lower().replace("_", "-") for line in lines}

    held, added = names(locked("requirements.lock")), names(locked("requirements-dev.lock")[1:])
    assert names(run) <= held
    assert names(dev) <= held | added  # serving may need what tests name too
    assert not held & added, (
        "the image would install what only tests need, or a version would be locked twice"
    )


def test_make_demo_installs_only_what_serving_needs() -> None:
    rules = dict(re.findall(r"^([a-z-]+|\$\(RUN\)|\$\(DEV\)):(.*)", text("Makefile"), re.MULTILINE))
    needs = {name: rule.partition("##")[0].split() for name, rule in rules.items()}
    assert needs.pop("demo") == needs.pop("install") == ["$(RUN)"]
    assert needs.pop("$(RUN)") == ["requirements.lock", "pyproject.toml"]
    assert needs.pop("$(DEV)") == ["$(RUN)", "requirements-dev.lock"]
    assert needs.pop("check") == ["lint"]
    assert not needs.pop("help")
    assert not needs.pop("clean")
    assert needs.pop("test-clients") == ["$(DEV)", "$(CLIENTS)"]
    newest = [".venv-clients/kaggle-2.2.5", ".venv-clients/kagglehub-1.0.3"]
    assert needs.pop("install-newest-clients") == newest
    assert needs.pop("test-newest-clients") == ["$(DEV)", "install-newest-clients"]
    assert set(map(tuple, needs.values())) == {("$(DEV)",)}


@pytest.mark.parametrize("name", BUILD_FILES)
def test_build_files_contain_no_address(name: str) -> None:
    assert not re.search(
        r"(?i)\b(?:https?|git|ssh)://(?!127\.0\.0\.1\b)|--(?:extra-)?index-url|--find-links", text(name)
    )


def test_the_licence_is_the_one_the_package_declares() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in text("LICENSE")


def test_the_changelog_has_a_section_for_this_version() -> None:
    assert re.search(rf"^## \[?{re.escape(PROJECT['project']['version'])}\]?", text("CHANGELOG.md"), re.M)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run", "docs/index.md"])
def test_every_mentioned_make_target_exists(name: str) -> None:
    prose = "\n".join(re.findall(r"`[^`\n]+`|^ {4}.*|^step .*|^\$ .*", text(name), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", prose)) <= targets()


def test_the_ci_script_is_valid_and_uses_make_targets() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", script], check=True)
    steps = re.findall(r'^step "([^"]+)" (.+)$', script.read_text(encoding="utf-8"), re.MULTILINE)
    assert [command for _, command in steps[1:]] == [
        "make .venv/.installed-dev",
        'make test ARGS="--durations=20"',
        'make test-storm ARGS="--durations=20"',
        "await_step make install-newest-clients",
        'make test-newest-clients ARGS="--durations=10"',
        "await_step make lint",
        "await_step make bench ARGS=--smoke",
        "await_step make audit",
    ]
    # A failed step beside the tests prints its output and fails the script.
    parts = re.search(r"^step\(\).*?^trap at_the_end EXIT$", script.read_text(encoding="utf-8"), re.M | re.S)
    assert parts
    wrong = 'bash -c "echo wrong; exit 3"'
    lint = f"start_beside {wrong}\nstep lint await_step {wrong}\necho later"
    code = f"set -euo pipefail\ntook=()\n{parts[0]}\n{lint}"
    ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 3
    assert ran.stdout.splitlines()[:2] == ["== lint", "wrong"]
    assert "later" not in ran.stdout


def test_the_workflow_runs_the_ci_script_on_every_supported_python() -> None:
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    job = workflow["jobs"]["everything"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    versions = job["strategy"]["matrix"]["python"]
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert versions[0] == lowest
    assert all(isinstance(version, str) for version in versions), "3.10 as a number is 3.1"
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.xdist_group("one of a group")
def test_tests_of_one_group_run_in_one_process(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("There is only one process, or they take tests one by one.")
    assert request.node.nodeid.endswith("@one of a group"), "the scheduler reads this"
