"""The files of a challenge's folder and their digest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scorer.challenges.definition import DEFINITION_FILE
from scorer.report import Problem

FOLDERS = ("public", "private", "examples", "baselines")


def folder_digest(folder: Path) -> str:
    return hashlib.sha256(folder_listing(folder)).hexdigest()


def folder_listing(folder: Path) -> bytes:
    """Return path and sha256 of every file of the version.

    The sha256 of this listing is the digest that names the version.
    """
    return "".join(f"{path}\0{file_sha256(folder / path)}\n" for path in challenge_files(folder)).encode()


def challenge_files(folder: Path) -> list[str]:
    """Return the sorted relative paths of the version's files.

    Temporary files of editors do not belong to it.
    """
    files = [name for name in (DEFINITION_FILE, "description.md") if (folder / name).is_file()]
    for part in FOLDERS:
        files.extend(f"{part}/{path}" for path in belonging_files(folder / part))
    return sorted(files)


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def belonging_files(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        litter = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if (
            path.is_file()
            and not litter
            and relative.suffix not in (".pyc", ".swp")
            and relative.name[-1] != "~"
        ):
            found.append(relative.as_posix())
    return sorted(found)


def outside_links(folder: Path) -> list[Problem]:
    """Return a problem for each link out of the folder.

    It would publish, or depend on, a file that is not part of the challenge.
    """
    problems = []
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder):
                relative = path.relative_to(folder).as_posix()
                message = f"{relative} is a link out of the challenge's folder; put the file itself there."
                problems.append(Problem("OUTSIDE_FOLDER", message, file=relative))
    return problems


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")
