"""The vault: published versions with their hidden solutions, by digest.

The vault is a folder, or a bucket with copies in a folder on this machine, as the setting says. Readers get a
local folder either way. In the bucket every file is stored under its own sha256. The list of a version's
files is stored last; its sha256 is the digest of the version, so that a version without its list does not
exist, and changed files are detected. Workers and publishers have a vault, the web process never.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import scorer
from app.base.config import Settings
from app.base.errors import NotFound, Refused, Unavailable
from app.base.storage import AGAIN, Blob, BucketStorage, fsync_folder

SOLUTION = "private/solution.csv"
LIST = ".files"
"""A copy's list of files; no version has names with a dot."""

COPIED_NS = 315532800 * 10**9
"""Modification time of all files of a copy, changed by any write."""

KEYS = "keys"
"""The folder of private keys for what organisers upload; no version has such a name."""
WORK = ".work"
"""The folder of workers' temporary folders, each locked by its process."""
LOCK = ".lock"

PUT_BACK = "`heldout vault put FOLDER`, with the folder that was published, restores it."

_ENTRY = re.compile(rb"([^\0]+)\0([0-9a-f]{64})\n")


class Vault:
    """A vault in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return f"the vault {self.folder}"

    def load(self, digest: str) -> scorer.Challenge:
        return scorer.load(self.home(digest), digest=digest, prepared=self.folder / "prepared")

    def home(self, digest: str) -> Path:
        """Return a version's folder on this machine."""
        _refuse_no_digest(digest)
        home = self.folder / digest
        if not home.is_dir():
            raise Unavailable(f"Version {digest[:12]} is not in {self}. {PUT_BACK}")
        return home

    def files(self, digest: str) -> list[tuple[str, Path]]:
        """Return a version's files; refuse if any byte was changed."""
        home = self.home(digest)
        listing = scorer.folder_listing(home)
        if _sha256(listing) != digest:
            raise Unavailable(f"Version {digest[:12]} in {self} is not what was published. {PUT_BACK}")
        return [(name, home / name) for name, _ in _entries(listing)]

    def copy_out(self, digest: str, target: Path) -> None:
        """Write a version's files to a new folder, as they were published; only the owner can read it."""
        files = self.files(digest)
        try:
            target.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise Refused(f"{target} exists; name a new folder.") from None
        for name, path in files:
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        if _sha256(scorer.folder_listing(target)) != digest:
            raise Unavailable(
                f"Version {digest[:12]} changed while it was copied to {target}; export it again."
            )

    def check(self, digest: str) -> str | None:
        """Read all of a version; return its fault, or None."""
        try:
            self.files(digest)
        except Refused as wrong:
            return wrong.message
        except OSError as wrong:
            return f"Version {digest[:12]} in {self} cannot be read: {wrong.strerror}. {PUT_BACK}"
        return None

    def put(self, challenge: scorer.Challenge) -> None:
        """Store a version as a whole, unless it is there undamaged."""
        if self.check(challenge.digest) is not None:
            with self._draft(challenge.digest) as draft:
                challenge.copy_to(draft)
                self._keep(draft, challenge.digest)

    def receive(self, digest: str, folder: Path) -> None:
        """Store a version by moving its folder, which is inside the vault's."""
        if _sha256(scorer.folder_listing(folder)) != digest:
            raise Refused(f"The solution {digest[:12]} does not match its digest; nothing was stored.")
        with self._draft(digest) as draft:
            folder.rename(draft)
            self._keep(draft, digest)

    def keep_key(self, key: bytes) -> str:
        """Store a private key; return its name, the sha256."""
        name = _sha256(key)
        keys = self.folder / KEYS
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = keys / f".{name}.{os.getpid()}"
        with open(written, "wb", opener=_for_owner) as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        written.replace(keys / name)
        fsync_folder(keys)
        return name

    def key(self, name: str) -> bytes | None:
        """Return a private key; None if the vault does not have it."""
        _refuse_no_digest(name)
        try:
            found = (self.folder / KEYS / name).read_bytes()
        except FileNotFoundError:
            return None
        return found if _sha256(found) == name else None

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Return a folder for labels in the open, deleted at the end of the block.

        Folders that killed processes left are deleted first.
        """
        place = self.folder / WORK
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / f"{WORK}.lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)  # or another process would take a new folder for a dead one's
            _clear_workspaces(place)
            folder = Path(tempfile.mkdtemp(dir=place))
            lock = (folder / LOCK).open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        with lock:
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, draft: Path, digest: str) -> None:
        self._install(draft, digest)

    def _install(self, draft: Path, digest: str) -> None:
        """Replace a version's missing or damaged folder by a complete one."""
        with suppress(FileNotFoundError):
            (self.folder / digest).rename(draft.with_name("old"))
        draft.rename(self.folder / digest)
        fsync_folder(self.folder)

    @contextmanager
    def _draft(self, digest: str) -> Iterator[Path]:
        """Lock a temporary folder for a new copy of a version.

        One process of this machine has it at a time; what is left in it is deleted.
        """
        _refuse_no_digest(digest)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        workspace = self.folder / f".{digest}"
        with workspace.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel releases it when the process dies
            try:
                shutil.rmtree(workspace, ignore_errors=True)  # left by a killed process
                workspace.mkdir(mode=0o700)
                yield workspace / "new"
            finally:
                shutil.rmtree(workspace, ignore_errors=True)


class BucketVault(Vault):
    """A vault in a bucket, with verified copies in a folder."""

    def __init__(self, url: str, folder: Path, settings: Settings) -> None:
        super().__init__(folder)
        self._url = url
        self._bucket = BucketStorage(url, folder, settings)

    def __str__(self) -> str:
        return f"the vault {self._url}"

    def load(self, digest: str) -> scorer.Challenge:
        challenge = super().load(digest)
        listed = dict(_entries((challenge.folder / LIST).read_bytes()))
        if challenge.solution_digest != listed[SOLUTION]:  # the one file that is read completely each time
            if (wrong := self.check(digest)) is not None:
                raise Unavailable(wrong)  # no score is better than one by other labels than those published
            challenge = super().load(digest)
        return challenge

    def keep_key(self, key: bytes) -> str:
        name = super().keep_key(key)
        path = self.folder / KEYS / name
        with self._bucket_errors(name, KEYS):
            self._bucket.send(path, Blob(name, path.stat().st_size))
        return name

    def key(self, name: str) -> bytes | None:
        if (found := super().key(name)) is not None:
            return found
        (self.folder / KEYS).mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._bucket.copy(name, self.folder / KEYS / name)
        except NotFound:
            return None
        return super().key(name)

    def files(self, digest: str) -> list[tuple[str, Path]]:
        try:
            return super().files(digest)
        except Unavailable:
            self.check(digest)  # replaces a damaged copy by the one in the bucket
            return super().files(digest)

    def home(self, digest: str) -> Path:
        _refuse_no_digest(digest)
        home = self.folder / digest
        if not _is_untouched(home, digest):
            with self._draft(digest) as draft:
                if not _is_untouched(home, digest):  # or another process was faster
                    self._fetch(draft, digest)
                    self._install(draft, digest)
        return home

    def check(self, digest: str) -> str | None:
        """Check a version in the bucket; replace a copy that differs."""
        home = self.folder / digest
        try:
            with self._draft(digest) as draft:
                self._fetch(draft, digest)
                if home.exists() and not _is_whole(home, digest):
                    self._install(draft, digest)
        except Refused as wrong:
            return wrong.message
        return None

    def _keep(self, draft: Path, digest: str) -> None:
        listing = scorer.folder_listing(draft)
        (draft / LIST).write_bytes(listing)
        for name, sha256 in [*_entries(listing), (LIST, digest)]:
            with self._bucket_errors(digest, name):
                self._bucket.send(draft / name, Blob(sha256, (draft / name).stat().st_size))

    def _fetch(self, draft: Path, digest: str) -> None:
        self._bucket.remove_broken_uploads(older_than_seconds=3600)
        draft.mkdir(mode=0o700)
        self._copy(digest, digest, draft, LIST)
        names = [LIST]
        for name, sha256 in _entries((draft / LIST).read_bytes()):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise Unavailable(
                    f"{self._object(digest, LIST)} names {name!r}, which is not a file's name. {PUT_BACK}"
                )
            self._copy(digest, sha256, draft, name)
            names.append(name)
        for name in names:
            (draft / name).chmod(0o400)
            os.utime(draft / name, ns=(COPIED_NS, COPIED_NS))

    def _copy(self, digest: str, sha256: str, draft: Path, name: str) -> None:
        with self._bucket_errors(digest, name):
            is_same = self._bucket.copy(sha256, draft / name)
        if not is_same:
            raise Unavailable(f"{self._object(digest, name)} was changed since it was published. {PUT_BACK}")

    def _object(self, digest: str, name: str) -> str:
        return f"{'The list of files' if name == LIST else name} of version {digest[:12]} in {self}"

    @contextmanager
    def _bucket_errors(self, digest: str, name: str) -> Iterator[None]:
        try:
            yield
        except NotFound as gone:
            raise Unavailable(f"{self._object(digest, name)} is not there. {PUT_BACK}") from gone
        except Unavailable as wrong:
            raise Unavailable(
                f"{self._object(digest, name)}: {wrong.message.removesuffix(AGAIN)}"
                "Check HELDOUT_VAULT_URL, its key and the key's rights."
            ) from wrong


def open_(settings: Settings) -> Vault:
    """Return the vault of an installation."""
    if not settings.vault_url:
        return Vault(settings.vault)
    opened_with = replace(
        settings,
        s3_key=settings.vault_key,
        s3_secret=settings.vault_secret,
        s3_endpoint=settings.vault_endpoint or settings.s3_endpoint,
        s3_region=settings.vault_region or settings.s3_region,
    )
    return BucketVault(settings.vault_url, settings.vault, opened_with)


def _refuse_no_digest(digest: str) -> None:
    """Refuse a name that is no digest, so no row names a path."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise Unavailable(f"{digest[:80]!r} names no version.")


def _clear_workspaces(place: Path) -> None:
    """Delete the folders whose processes are dead."""
    for folder in place.iterdir():
        # One that ends just now is gone.
        with suppress(BlockingIOError, FileNotFoundError), (folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_whole(home: Path, digest: str) -> bool:
    try:
        return _sha256(scorer.folder_listing(home)) == digest
    except OSError:
        return False


def _is_untouched(home: Path, digest: str) -> bool:
    """Whether a copy exists and was not written to since its verification."""
    try:
        listing = (home / LIST).read_bytes()
        names = [name for name, _ in _entries(listing)]
        return _sha256(listing) == digest and all((home / n).stat().st_mtime_ns == COPIED_NS for n in names)
    except OSError:
        return False


def _entries(listing: bytes) -> list[tuple[str, str]]:
    """Return path and sha256 of each file in a verified list."""
    return [(name.decode(), sha256.decode()) for name, sha256 in _ENTRY.findall(listing)]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
