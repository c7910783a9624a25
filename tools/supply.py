"""List what is installed and look for known vulnerabilities.

    python tools/supply.py sbom     build/sbom.json: a CycloneDX list of the locks and of vendored files
    python tools/supply.py audit    look every locked version up among published advisories

The audit fails on an advisory that IGNORED does not name. Without a connection to the advisories it reports
that in one line and passes: an offline machine must be able to run everything else.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools import vendor  # noqa: E402

LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")
SBOM = ROOT / "build" / "sbom.json"

IGNORED: Mapping[str, str] = {}
"""Advisories that do not apply: id -> reason."""


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["sbom"]:
        SBOM.parent.mkdir(exist_ok=True)
        listed = sbom()
        SBOM.write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{SBOM.relative_to(ROOT)}: {len(listed['components'])} components")
        return 0
    if list(arguments) == ["audit"]:
        code, lines = judge(*look_up())
        print("\n".join(lines), file=sys.stderr if code else sys.stdout)
        return code
    print(__doc__, file=sys.stderr)
    return 2


def sbom() -> dict[str, Any]:
    """Return every locked and vendored package, the same for the same lock.

    Locked packages with their hashes, vendored ones with their licence.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "python.json")
        command = [
            _tool("cyclonedx-py"),
            "requirements",
            str(LOCKS[1]),  # with the other, which it refers to
            "--pyproject",
            str(ROOT / "pyproject.toml"),
        ]
        command += ["--output-reproducible", "--of", "JSON", "-o", str(written)]
        subprocess.run(command, check=True, capture_output=True)
        listed: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    for component in listed["components"]:
        component.pop("description", None)  # the line of the lock once more
    for package in vendor.packages():
        listed["components"].append(
            {
                "type": "library",
                "bom-ref": f"vendored-{package['folder']}",
                "name": package["npm"],
                "version": package["version"],
                "description": package["purpose"],
                "licenses": [{"license": {"id": package["licence"]}}],
                "purl": f"pkg:npm/{package['npm'].replace('@', '%40')}@{package['version']}",
                "hashes": [{"alg": "SHA-512", "content": _hex(package["integrity"])}],
            }
        )
    return listed


def look_up() -> tuple[dict[str, Any] | None, str]:
    """Return pip-audit's answer about the lock, and its errors.

    No answer if it did not come that far.
    """
    command = [_tool("pip-audit"), "--require-hashes", "--disable-pip"]
    command += [word for lock in LOCKS for word in ("--requirement", str(lock))]  # it follows no reference
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    except subprocess.TimeoutExpired:
        return None, "no answer within 240 seconds"
    try:
        return json.loads(done.stdout), done.stderr
    except json.JSONDecodeError:
        return None, done.stderr


def judge(answer: dict[str, Any] | None, complaint: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines to print."""
    if answer is None:
        last = complaint.strip().splitlines()[-1:] or ["no reason given"]
        if any(word in complaint for word in _AWAY):
            return 0, [f"NOT AUDITED: the advisories could not be reached ({last[0][:200]})"]
        return 1, [f"pip-audit did not work: {last[0][:500]}"]
    packages = answer["dependencies"]
    asked = [package for package in packages if "vulns" in package]
    if packages and not asked:
        return 0, [f"NOT AUDITED: the advisories could not be reached for any of {len(packages)} packages"]
    lines = [
        f"{package['name']} {package['version']}: {found['id']} (fixed in "
        f"{', '.join(found['fix_versions']) or 'nothing yet'})"
        for package in asked
        for found in package["vulns"]
        if not {found["id"], *found.get("aliases", ())} & IGNORED.keys()
    ]
    if lines:
        return 1, lines
    unknown = [package["name"] for package in packages if "vulns" not in package]
    more = f"; not known to the advisories: {', '.join(unknown)}" if unknown else ""
    return 0, [f"{len(asked)} packages audited, nothing known against them{more}"]


_AWAY = (
    "ConnectionError",
    "Connection error",
    "ConnectTimeout",
    "timed out",
    "no answer within",
    "Name or service",
    "ServiceError",
    "Could not connect",
    "Max retries",
)


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _hex(integrity: str) -> str:
    return base64.b64decode(integrity.partition("-")[2]).hex()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
