"""An untrusted bundle of files: a folder, or a zip that is unpacked aside within limits.

Links are never followed. Names, numbers and sizes are bounded before a file is read, and sizes are believed
only once the bytes are there.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from scorer.challenges.document import Document
from scorer.importing.account import CannotImport
from scorer.reading.packing import UNPACKING_ERRORS
from scorer.reading.source import UnreadableTable
from scorer.reading.unpacking import opened_zip, unzipped_member
from scorer.wording import megabytes, show

MAX_FILES = 50_000
MAX_BYTES = 4_000_000_000
"""Of all that is unpacked; a folder may be larger, as its files are read one by one."""
MAX_TEXT_BYTES = 2_000_000
MAX_DEPTH = 20
MAX_EVENTS = 200_000
"""Of a YAML document, with its aliases replaced."""
MAX_NAME = 300
MAX_INNER = 50
"""Archives in the archive that are opened."""
DIRECTORY_BYTES = 1 << 23
_LITTER = ("__MACOSX", ".git", "__pycache__", ".ipynb_checkpoints")


@dataclass
class Bundle:
    root: Path
    aside: Path
    """Where archives in the bundle are unpacked; removed at the end."""
    names: list[str]
    """Of the files, relative to the root with / between folders, sorted."""
    left: list[str] = field(default_factory=list)
    """What was passed over, one sentence each."""
    opened_inner: dict[str, Bundle] = field(default_factory=dict)
    """Archives in it that are unpacked already, by name."""
    bytes_left: int = MAX_BYTES

    def path(self, name: str) -> Path:
        return self.root / name

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def find(self, pattern: str, *, under: str = "") -> list[str]:
        """Return the files whose path below `under` matches, the least deep first."""
        inside = f"{under}/" if under else ""
        found = [
            name
            for name in self.names
            if name.startswith(inside) and re.fullmatch(pattern, name[len(inside) :], re.IGNORECASE)
        ]
        return sorted(found, key=lambda name: (name.count("/"), name))

    def below(self, folder: str) -> list[str]:
        """Return the files below a folder."""
        inside = f"{folder.rstrip('/')}/" if folder.strip("./") else ""
        return [name for name in self.names if name.startswith(inside)]

    def read(self, name: str, most: int = MAX_TEXT_BYTES) -> bytes:
        """Return a file's bytes; raises CannotImport if there are more."""
        with self.path(name).open("rb") as stream:
            content = stream.read(most + 1)
        if len(content) > most:
            raise CannotImport(f"{show(name)} is larger than {megabytes(most)}.")
        return content

    def text(self, name: str, most: int = MAX_TEXT_BYTES) -> str:
        content = self.read(name, most).removeprefix(b"\xef\xbb\xbf")
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content.decode("cp1252", "replace")

    def yaml(self, name: str) -> Any:
        """Return a YAML file as plain values; raises CannotImport."""
        try:
            text = _without_aliases(_plain_yaml(self.text(name)))
        except yaml.YAMLError as error:
            words = " ".join(str(error).split())[:200]
            raise CannotImport(f"{show(name)} is not YAML: {words}.") from None
        document = Document(text)
        if document.problems:
            raise CannotImport(f"{show(name)}: {document.problems[0].message}")
        return document.value

    def json(self, name: str, most: int = MAX_TEXT_BYTES) -> Any:
        """Return a JSON file as plain values; raises CannotImport."""
        try:
            return json.loads(self.text(name, most))
        except (ValueError, RecursionError) as error:
            raise CannotImport(f"{show(name)} is not JSON: {str(error)[:160]}.") from None

    def inner(self, name: str) -> Bundle:
        """Return an archive of the bundle as a bundle of its own."""
        if name in self.opened_inner:
            return self.opened_inner[name]
        if len(self.opened_inner) >= MAX_INNER:
            raise CannotImport(f"The bundle has more than {MAX_INNER} archives in it.")
        folder = Path(tempfile.mkdtemp(dir=self.aside))
        self.bytes_left -= _unpack(self.path(name), folder, name, self.bytes_left)
        names, left = _walk(folder)
        self.opened_inner[name] = inner = Bundle(folder, self.aside, names, left)
        return inner


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open a folder or a zip; raises CannotImport."""
    with tempfile.TemporaryDirectory(prefix="heldout-import-") as folder:
        aside = Path(folder)
        if path.is_dir():
            root, used = path.resolve(), 0
        elif path.is_file():
            root = aside / "bundle"
            root.mkdir()
            used = _unpack(path, root, path.name, MAX_BYTES)
        else:
            raise CannotImport(f"There is no file or folder {path}.")
        names, left = _walk(root)
        # A zip often holds the folder itself.
        while names and len(tops := {name.partition("/")[0] for name in names}) == 1 and "/" in names[0]:
            top = tops.pop()
            root, names = root / top, [name.removeprefix(f"{top}/") for name in names]
        yield Bundle(root, aside, names, left, bytes_left=MAX_BYTES - used)


def _plain_yaml(text: str) -> str:
    """Return the text without tabs at the ends of lines and marks between documents."""
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join(line for line in lines if line not in ("---", "..."))


def _without_aliases(text: str) -> str:
    """Return the document without tags, with a copy in the place of each alias; raises YAMLError.

    Programs that write bundles name what appears twice, and such names may grow a page to any size. Their
    tags name types of a programming language.
    """
    tagged = False
    events: list[Any] = []
    starts: dict[str, int] = {}
    spans: dict[str, list[Any]] = {}
    open_names: list[str | None] = []
    parsed: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
    for event in parsed:
        anchor: str | None = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in spans:
                raise yaml.YAMLError(f"the alias {show(str(anchor))} names nothing before it")
            events += spans[anchor]
        else:
            if anchor:
                starts[anchor] = len(events)
                event.anchor = None
            if getattr(event, "tag", None):
                tagged, event.tag = True, None
                event.implicit = (True, True) if isinstance(event, yaml.ScalarEvent) else True
            events.append(event)
            if isinstance(event, yaml.CollectionStartEvent):
                open_names.append(anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor = open_names.pop()
            if anchor and not isinstance(event, yaml.CollectionStartEvent):
                spans[anchor] = events[starts[anchor] :]
        if len(events) > MAX_EVENTS or len(open_names) > MAX_DEPTH:
            raise yaml.YAMLError("it is too large or nested too deeply")
    return text if not starts and not tagged else str(yaml.emit(events, width=10_000))


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """Return the files of a folder, and what is passed over in words."""
    names: list[str] = []
    links = 0
    waiting = [root]
    n_seen = 0
    while waiting:
        folder = waiting.pop()
        for path in folder.iterdir():
            n_seen += 1
            if n_seen > MAX_FILES:
                raise CannotImport(f"The bundle has more than {MAX_FILES:,} files.")
            relative = path.relative_to(root)
            if path.name in _LITTER or path.name.startswith("._"):
                continue
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                links += 1
            elif stat.S_ISDIR(mode):
                if len(relative.parts) < MAX_DEPTH:
                    waiting.append(path)
            elif stat.S_ISREG(mode):
                names.append(relative.as_posix())
    left = [f"{links} links were not followed."] if links else []
    return sorted(names), left


def _unpack(path: Path, folder: Path, name: str, most: int) -> int:
    """Unpack a zip into a folder; return the number of bytes."""
    n_bytes = 0
    try:
        with path.open("rb") as stream, opened_zip(stream, directory_bytes=DIRECTORY_BYTES) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MAX_FILES:
                raise CannotImport(f"{show(name)} has more than {MAX_FILES:,} files.")
            declared = sum(member.file_size for member in members)
            if declared > most:
                raise CannotImport(f"{show(name)} unpacks to more than {megabytes(most)}.")
            for member in members:
                target = _target(folder, member, name)
                if target is None:
                    continue
                with unzipped_member(archive, member) as content, target.open("xb") as file:
                    while chunk := content.read(1 << 20):
                        n_bytes += len(chunk)
                        if n_bytes > most:
                            raise CannotImport(f"{show(name)} unpacks to more than {megabytes(most)}.")
                        file.write(chunk)
    except UnreadableTable as error:
        raise CannotImport(f"{show(name)} is packed as no usual program packs: refused.") from error
    except FileExistsError:
        raise CannotImport(f"{show(name)} has two files of one name.") from None
    except (*UNPACKING_ERRORS, zipfile.LargeZipFile, NotImplementedError) as error:
        words = " ".join(str(error).split())[:120]
        raise CannotImport(f"{show(name)} is no zip that can be unpacked: {words}.") from None
    return n_bytes


def _target(folder: Path, member: zipfile.ZipInfo, archive: str) -> Path | None:
    """Return where a member is unpacked, None for litter; refuse what would lead elsewhere."""
    relative = PurePosixPath(member.filename.replace("\\", "/"))
    if any(part in _LITTER for part in relative.parts) or relative.name.startswith("._"):
        return None
    kind = member.external_attr >> 16
    if stat.S_ISLNK(kind) or (stat.S_IFMT(kind) and not stat.S_ISREG(kind)):
        raise CannotImport(f"{show(archive)} holds a link or a device, {show(member.filename)}: refused.")
    if relative.is_absolute() or ".." in relative.parts or ":" in (relative.parts or ("",))[0]:
        raise CannotImport(f"{show(archive)} names a file outside itself, {show(member.filename)}: refused.")
    if len(relative.parts) > MAX_DEPTH or len(member.filename) > MAX_NAME or not relative.parts:
        raise CannotImport(f"{show(archive)} has a name that is too long: {show(member.filename)}.")
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CannotImport(f"{show(archive)} is encrypted or uses an unusual compression; pack it again.")
    target = folder.joinpath(*relative.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def copy(bundle: Bundle, names: Sequence[str], folder: Path, *, under: str = "") -> None:
    """Copy files into a folder, by their paths below `under`."""
    for name in names:
        target = folder / name.removeprefix(f"{under}/" if under else "")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path(name), target, follow_symlinks=False)
