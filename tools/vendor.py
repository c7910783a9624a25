"""Fetch and check the vendored files that pages load.

    python tools/vendor.py            fetch every package of vendor.toml, check it, copy its files
    python tools/vendor.py --check    offline: every file is there, unchanged, without others beside them

To take a new version: change `version`, `folder` and `integrity` (from `npm view NAME dist.integrity`)
in vendor.toml, empty the `sha512` of its files, and run this; it writes the files' hashes back. A font is cut
to the characters and weights that its entry names, for which fonttools and brotli must be installed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parents[1] / "app" / "web" / "static" / "vendor"
LIST = VENDOR / "vendor.toml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only re-hash what lies here")
    arguments = parser.parse_args()
    if not arguments.check:
        refresh()
    wrong = check()
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"{len(packages())} packages, every file as recorded")
    return 1 if wrong else 0


def packages() -> list[dict[str, Any]]:
    return list(tomllib.loads(LIST.read_text(encoding="utf-8"))["package"])


def check() -> list[str]:
    """What differs from vendor.toml, one line each."""
    wrong = []
    expected = {LIST}
    for package in packages():
        for name, file in package["files"].items():
            path = VENDOR / package["folder"] / name
            expected.add(path)
            if not path.is_file():
                wrong.append(f"{path.relative_to(VENDOR)}: missing")
            elif integrity(path.read_bytes()) != file["sha512"]:
                wrong.append(f"{path.relative_to(VENDOR)}: not the recorded bytes")
    extra = {path for path in VENDOR.rglob("*") if path.is_file()} - expected
    return wrong + [f"{path.relative_to(VENDOR)}: not in vendor.toml" for path in sorted(extra)]


def refresh() -> None:
    text = LIST.read_text(encoding="utf-8")
    for package in packages():
        archive = pack(f"{package['npm']}@{package['version']}")
        if integrity(archive) != package["integrity"]:
            sys.exit(
                f"{package['npm']}: the registry's archive is {integrity(archive)}, not the recorded one"
            )
        folder = VENDOR / package["folder"]
        folder.mkdir(exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for name, file in package["files"].items():
                member = tar.extractfile(f"package/{file['from']}")
                assert member is not None, f"{package['npm']} has no file {file['from']}"
                content = member.read()
                if "characters" in file:
                    content = cut(content, file["characters"], file["weights"], name=file["name"])
                (folder / name).write_bytes(content)
                entry = f'"{name}" = {{ from = "{file["from"]}", sha512 = "'
                text = text.replace(f'{entry}{file["sha512"]}"', f'{entry}{integrity(content)}"')
    LIST.write_text(text, encoding="utf-8")


def cut(font: bytes, characters: str, weights: list[int], *, name: str) -> bytes:
    """Return a font with fewer characters and weights, under another name as its licence demands."""
    # Needed here alone, so nothing else of the project asks for them.
    from fontTools import subset
    from fontTools.ttLib import TTFont
    from fontTools.varLib import instancer

    lighter = io.BytesIO()
    varied = TTFont(io.BytesIO(font), recalcTimestamp=False)
    instancer.instantiateVariableFont(varied, {"wght": tuple(weights)}).save(lighter)
    made = TTFont(lighter, recalcTimestamp=False)
    options = subset.Options(layout_features=["kern", "liga", "ccmp", "locl"], flavor="woff2")
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=subset.parse_unicodes(characters))
    cutter.subset(made)
    for number, words in ((1, name), (4, name), (6, name.replace(" ", ""))):
        made["name"].setName(words, number, 3, 1, 0x409)
    made.flavor = "woff2"
    written = io.BytesIO()
    made.save(written)
    return written.getvalue()


def pack(package: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True)
        (archive,) = Path(folder).glob("*.tgz")
        return archive.read_bytes()


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


if __name__ == "__main__":
    sys.exit(main())
