"""A bundle is untrusted: what leads outside, or unpacks without end, is refused."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scorer.importing import bundle as bundles
from scorer.importing.account import CannotImport
from scorer.importing.bundle import opened
from scorer.importing.forms import read_rows
from scorer.importing.importing import import_challenge


def zipped(path: Path, files: dict[str, bytes], *, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("../outside.csv", 0, "outside itself"),
        ("/etc/outside.csv", 0, "outside itself"),
        ("C:/outside.csv", 0, "outside itself"),
        ("..\\outside.csv", 0, "outside itself"),
        ("a/" * 25 + "deep.csv", 0, "too long"),
        ("n" * 400, 0, "too long"),
        ("link.csv", stat.S_IFLNK | 0o777, "a link"),
        ("pipe", stat.S_IFIFO | 0o600, "a device"),
    ],
)
def test_zip_that_leads_outside_is_refused(tmp_path: Path, name: str, mode: int, words: str) -> None:
    path = zipped(tmp_path / "bundle.zip", {name: b"id\n1\n"}, mode=mode)
    with pytest.raises(CannotImport, match=words), opened(path):
        pass
    assert not (tmp_path / "outside.csv").exists()


def test_bomb_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_BYTES", 1_000_000)
    path = zipped(tmp_path / "bundle.zip", {f"{i}.csv": bytes(300_000) for i in range(5)})
    with pytest.raises(CannotImport, match="unpacks to more than"), opened(path):
        pass


def test_size_that_lies_is_found_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "bundle.zip", {"a.csv": bytes(300_000)})
    monkeypatch.setattr(bundles, "MAX_BYTES", 100_000)
    monkeypatch.setattr(zipfile.ZipFile, "infolist", _small(zipfile.ZipFile.infolist))
    with pytest.raises(CannotImport), opened(path):
        pass


def _small(real: Callable[..., list[zipfile.ZipInfo]]) -> Callable[..., list[zipfile.ZipInfo]]:
    def infolist(self: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        members = real(self)
        for member in members:
            member.file_size = 10
        return members

    return infolist


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_FILES", 3)
    path = zipped(tmp_path / "bundle.zip", {f"{i}.csv": b"" for i in range(4)})
    with pytest.raises(CannotImport, match="more than 3 files"), opened(path):
        pass
    for i in range(4):
        (tmp_path / f"{i}.csv").touch()
    with pytest.raises(CannotImport, match="more than 3 files"), opened(tmp_path):
        pass


def test_links_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("id,Usage\n1,Public\n")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "solution.csv").symlink_to(outside / "secret.csv")
    (folder / "data").symlink_to(outside)
    with opened(folder) as bundle:
        assert bundle.names == []
        assert bundle.left == ["2 links were not followed."]


def test_yaml_that_grows_by_aliases_and_deep_json_are_refused(tmp_path: Path) -> None:
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "a.yaml").write_text("\n".join(["a0: &a0 [x, x]", *lines]))
    (tmp_path / "d.yaml").write_text("a: &a [yes, 01:30]\nb: {c: *a, d: *a}\n")
    (tmp_path / "b.json").write_text("[" * 100_000)
    (tmp_path / "c.yaml").write_text("!!python/object/apply:os.system [true]\n")
    with opened(tmp_path) as bundle:
        for name, read in (("a.yaml", bundle.yaml), ("b.json", bundle.json)):
            with pytest.raises(CannotImport):
                read(name)
        assert bundle.yaml("d.yaml")["b"] == {"c": ["yes", "01:30"], "d": ["yes", "01:30"]}
        assert bundle.yaml("c.yaml") == [True]  # a plain value, whatever its tag


def test_what_is_no_table_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x\n1,2\n3\n")
    (tmp_path / "b.json").write_text('[{"id": 1, "boxes": [1, 2]}]')
    np.save(tmp_path / "c.npy", np.array([{}], dtype=object), allow_pickle=True)
    with opened(tmp_path) as bundle:
        for name, words in (
            ("a.csv", "row 3 has 1 cells"),
            ("b.json", "a cell is one value"),
            ("c.npy", "no table"),
        ):
            with pytest.raises(CannotImport, match=words):
                read_rows(bundle, name)


def test_unknown_bundle_names_the_known_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(CannotImport, match=r"No known format was recognised \(.*Kaggle.*notes.txt"):
        import_challenge(tmp_path, tmp_path / "challenge")
    with pytest.raises(CannotImport, match="no zip"):
        import_challenge(tmp_path / "notes.txt", tmp_path / "challenge")
    with pytest.raises(CannotImport, match="no file or folder"):
        import_challenge(tmp_path / "nothing", tmp_path / "challenge")


def test_adapters_are_never_loaded_by_this_program() -> None:
    """They are text that an imported metric is made of, and change how a process opens files."""
    root = Path(bundles.__file__).parents[2]
    names = [path for room in ("scorer", "app", "worker") for path in (root / room).rglob("*.py")]
    loading = [
        path.name
        for path in names
        if path.parent.name != "adapters"
        and re.search(r"^\s*(from|import) scorer\.importing\.adapters", path.read_text(), re.MULTILINE)
    ]
    assert loading == []


def test_archive_in_the_archive_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each phase and each search for a sample unpacked it again, until the limits refused the bundle."""
    zipped(tmp_path / "inner.zip", {"a.csv": b"id\n1\n"})
    monkeypatch.setattr(bundles, "MAX_INNER", 1)
    with opened(tmp_path) as bundle:
        assert bundle.inner("inner.zip").names == bundle.inner("inner.zip").names == ["a.csv"]
