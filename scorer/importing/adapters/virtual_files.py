"""Files of memory for a program that wants to read and write files.

The sandbox has no file to give. What a program opens below one of the roots is found here; every other path
goes to the system, which the sandbox limits. This is a convenience and no barrier.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import io
import os
import stat
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

ROOTS = ("/app",)
_PROGRESS = ("tqdm", "tqdm.auto", "tqdm.notebook")
_NOT_NEEDED = ("matplotlib", "matplotlib.pyplot", "seaborn", "psutil", "requests", "wandb", "plotly")
"""Modules that draw or report; they can be imported where they are missing, and using them fails."""


class Files:
    """Files by absolute path, and the folders that they lie in."""

    def __init__(self, contents: Mapping[str, bytes], *, home: str) -> None:
        self.contents = dict(contents)
        self.folders = set(ROOTS)
        self.home = home
        for path in [*contents, f"{home}/."]:
            self.add_folders(os.path.dirname(path))

    def add_folders(self, folder: str) -> None:
        while folder not in self.folders and self.owns(folder):
            self.folders.add(folder)
            folder = os.path.dirname(folder)

    def place(self, path: Any) -> str | None:
        """Return the normal form of a path that lies here, or None."""
        if isinstance(path, int):
            return None
        text = os.fsdecode(path)
        whole = os.path.normpath(text if os.path.isabs(text) else os.path.join(self.home, text))
        return whole if self.owns(whole) else None

    def owns(self, path: str) -> bool:
        return any(path == root or path.startswith(root + "/") for root in ROOTS)

    def names(self, folder: str) -> list[str]:
        inside = folder.rstrip("/") + "/"
        below = [path for path in (*self.contents, *self.folders) if path.startswith(inside)]
        return sorted({path[len(inside) :].split("/")[0] for path in below})

    def status(self, path: str) -> os.stat_result:
        if path in self.contents:
            kind, size = stat.S_IFREG | 0o644, len(self.contents[path])
        elif path in self.folders:
            kind, size = stat.S_IFDIR | 0o755, 0
        else:
            raise FileNotFoundError(2, "No such file or directory", path)
        return os.stat_result((kind, 0, 0, 1, 0, 0, size, 0, 0, 0))

    def open(
        self, path: str, mode: str, encoding: str | None, errors: str | None, newline: str | None
    ) -> Any:
        if path in self.folders:
            raise IsADirectoryError(21, "Is a directory", path)
        if path not in self.contents and "r" in mode:
            raise FileNotFoundError(2, "No such file or directory", path)
        if "x" in mode and path in self.contents:
            raise FileExistsError(17, "File exists", path)
        if os.path.dirname(path) not in self.folders:
            raise FileNotFoundError(2, "No such file or directory", path)
        start = b"" if "w" in mode or "x" in mode else self.contents.get(path, b"")
        raw = _Memory(self, path, start, writes="r" not in mode or "+" in mode)
        raw.seek(0, io.SEEK_END if "a" in mode else io.SEEK_SET)
        if "b" in mode:
            return raw
        return io.TextIOWrapper(raw, encoding or "utf-8", errors, newline, write_through=True)


class _Memory(io.BytesIO):
    """An open file; what was written is kept at every flush."""

    def __init__(self, files: Files, path: str, start: bytes, *, writes: bool) -> None:
        super().__init__(start)
        self._files, self._path, self._writes = files, path, writes
        self.name = path
        self.keep()

    def keep(self) -> None:
        if self._writes:
            self._files.contents[self._path] = self.getvalue()

    def write(self, data: Any) -> int:
        if not self._writes:
            raise io.UnsupportedOperation("not writable")
        count = super().write(data)
        self.keep()
        return count

    def close(self) -> None:
        if not self.closed:
            self.keep()
        super().close()


class _Entry:
    """What os.scandir yields."""

    def __init__(self, files: Files, folder: str, name: str) -> None:
        self._files, self.name, self.path = files, name, os.path.join(folder, name)
        place = files.place(self.path)
        self._folder = place in files.folders

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._folder

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return not self._folder

    def is_symlink(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path)

    def __fspath__(self) -> str:
        return self.path


class _Scan:
    """An iterator that is closed, as os.scandir gives it."""

    def __init__(self, entries: list[_Entry]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[_Entry]:
        return self._entries

    def __next__(self) -> _Entry:
        return next(self._entries)

    def __enter__(self) -> _Scan:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def close(self) -> None:
        return None


def install(files: Files) -> None:
    """Let this process find the files in the functions of Python that open and list them."""
    real = {name: getattr(os, name) for name in ("stat", "lstat", "listdir", "scandir", "mkdir", "getcwd")}
    real_open = io.open

    def open_(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        place = files.place(file)
        if place is None:
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        return files.open(place, mode, encoding, errors, newline)

    def stat_(path: Any, **others: Any) -> Any:
        place = files.place(path)
        return real["stat"](path, **others) if place is None else files.status(place)

    def listdir(path: Any = ".") -> Any:
        place = files.place(path)
        if place is None:
            return real["listdir"](path)
        files.status(place)
        return files.names(place)

    def scandir(path: Any = ".") -> Any:
        place = files.place(path)
        if place is None:
            return real["scandir"](path)
        files.status(place)
        return _Scan([_Entry(files, os.fsdecode(path), name) for name in files.names(place)])

    def mkdir(path: Any, *more: Any, **others: Any) -> None:
        place = files.place(path)
        if place is None:
            real["mkdir"](path, *more, **others)
        elif place in files.contents or place in files.folders:
            raise FileExistsError(17, "File exists", place)
        else:
            files.add_folders(place)

    def remove(path: Any, **_: Any) -> None:
        place = files.place(path)
        if place is None or files.contents.pop(place, None) is None:
            raise FileNotFoundError(2, "No such file or directory", path)

    def chdir(path: Any) -> None:
        files.home = files.place(path) or files.home

    changed = {"stat": stat_, "lstat": stat_, "listdir": listdir, "scandir": scandir, "mkdir": mkdir}
    changed |= {"remove": remove, "unlink": remove, "chdir": chdir, "getcwd": lambda: files.home}
    changed["access"] = lambda path, *_, **__: files.place(path) is not None and os.path.exists(path)
    for name, function in changed.items():
        setattr(os, name, function)
    builtins.open = io.open = open_
    with contextlib.suppress(ImportError, AttributeError):
        # numpy keeps the function that opens plain files.
        source = importlib.import_module("numpy.lib._datasource")
        source._file_openers._load()
        source._file_openers._file_openers[None] = open_
    sys.meta_path.insert(0, _Modules(files))
    for name in files.names(files.home):
        sys.modules.pop(name.removesuffix(".py"), None)  # the program's own, such as metric, comes first


class _Modules:
    """Import what lies beside the program, and let its drawing and reporting libraries be missing."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        home = self._files.home
        base = f"{home}/{name.replace('.', '/')}"
        for file, is_package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if file in self._files.contents:
                loader: Any = _Loader(file, self._files.contents[file], name)
                return importlib.util.spec_from_loader(name, loader, origin=file, is_package=is_package)
        if base in self._files.folders or name in (*_PROGRESS, *_NOT_NEEDED):
            return importlib.util.spec_from_loader(name, _Loader("", b"", name), is_package=True)  # type: ignore[arg-type]
        return None


class _Loader:
    def __init__(self, file: str, source: bytes, name: str) -> None:
        self._file, self._source, self._name = file, source, name

    def create_module(self, spec: Any) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        if self._name in _PROGRESS:
            module.tqdm = module.trange = lambda items=(), *_, **__: items  # type: ignore[attr-defined]
        elif self._name in _NOT_NEEDED:
            module.__getattr__ = lambda name: _missing(f"{spec.name}.{name}")  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        if self._file:
            module.__file__ = self._file
            exec(compile(self._source, self._file, "exec"), module.__dict__)  # noqa: S102 - in the sandbox


def _missing(name: str) -> Any:
    if name.rsplit(".", 1)[-1].startswith("__"):
        raise AttributeError(name)

    def fail(*_: Any, **__: Any) -> Any:
        raise ImportError(f"{name} is not installed here")

    return fail


def start(contents: Mapping[str, bytes], home: str) -> Files:
    """Put files and program in place; return the files."""
    files = Files(contents, home=home)
    install(files)
    return files


def run_program(file: str, source: bytes, arguments: list[str]) -> None:
    """Run a script as Python would."""
    sys.argv[:] = [file, *arguments]
    module = types.ModuleType("__main__")
    module.__file__ = file
    sys.modules["__main__"] = module
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 - in the sandbox
    except SystemExit as left:
        if left.code not in (None, 0):
            raise RuntimeError(f"the program ended with {left.code}") from None
