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

    It would publish, or depend on, a file that is not part of the challenge. What participants or baselines
    read must not be a link to what they may not read, such as private/.
    """
    problems = []
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink() and (where := _leads(path, folder)):
                relative = path.relative_to(folder).as_posix()
                message = f"{relative} is a link {where}; put the file itself there."
                problems.append(Problem("OUTSIDE_FOLDER", message, file=relative))
    return problems


def _leads(link: Path, folder: Path) -> str | None:
    """Return where a link leads that it must not, in words."""
    target = Path(os.path.realpath(link))  # Path.resolve raises for a loop of links
    part, *below = link.relative_to(folder).parts
    if not target.is_relative_to(folder):
        return "out of the challenge's folder"
    if part in ("public", "baselines") and not target.is_relative_to(folder / part):
        return f"out of {part}/"
    if not below and target.is_relative_to(folder / "private"):
        return "into private/"
    return None


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")
