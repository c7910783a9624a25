"""Put foreign code and its adapter into one file of an own metric.

The foreign files are text in it, and are executed in the sandbox alone.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scorer.custom import MAX_FILE_BYTES
from scorer.importing.account import CannotImport
from scorer.importing.bundle import Bundle
from scorer.wording import show

ADAPTERS = Path(__file__).with_name("adapters")
_GIVEN = ("SETTINGS", "PROGRAM")


def program_files(bundle: Bundle, folder: str, *, suffixes: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the files below a folder that are text, by their paths below it."""
    found = {}
    for name in bundle.below(folder):
        relative = name.removeprefix(f"{folder.rstrip('/')}/" if folder.strip("./") else "")
        if suffixes and not name.lower().endswith(suffixes):
            continue
        if bundle.path(name).stat().st_size > MAX_FILE_BYTES:
            continue
        try:
            found[relative] = bundle.read(name).removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError:
            continue
    return found


def composed_metric(
    adapter: str, program: Mapping[str, str], settings: Mapping[str, Any], *, title: str
) -> str:
    """Return the text of metric.py; raises CannotImport if the program is too large for one file."""
    one_line = " ".join(title.replace('"', "'").replace("\\", "/").split())
    parts = [
        f'"""{one_line}\n\nThe files of PROGRAM are the original\'s, unchanged; the rest calls them.\n"""',
        "from __future__ import annotations",
        "import json",
        # JSON in a string, so that nothing of the bundle is Python but what stands in PROGRAM.
        f"SETTINGS = json.loads({json.dumps(settings, sort_keys=True)!r})",
        "PROGRAM = {\n" + "".join(map(_literal, sorted(program.items()))) + "}",
    ]
    needed = _needed(adapter)
    parts += [_body(ADAPTERS / f"{name}.py") for name in (*needed, adapter)]
    text = "\n\n".join(parts) + "\n"
    size = len(text.encode())
    if size > MAX_FILE_BYTES:
        raise CannotImport(
            f"The scoring program has {size // 1024:,} KiB with its files, and an own metric may have "
            f"{MAX_FILE_BYTES // 1024}: {show(title)} cannot be taken."
        )
    return text


def _literal(file: tuple[str, str]) -> str:
    """Return an entry of PROGRAM, a line of the file on each line."""
    name, text = file
    lines = text.encode().splitlines(keepends=True) or [b""]
    return f"    {name!r}: (\n" + "".join(f"        {line!r}\n" for line in lines) + "    ),\n"


def _needed(adapter: str) -> list[str]:
    tree = ast.parse((ADAPTERS / f"{adapter}.py").read_text(encoding="utf-8"))
    start = "scorer.importing.adapters."
    modules = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [module.removeprefix(start) for module in modules if module.startswith(start)]


def _body(path: Path) -> str:
    """Return a module's text without its docstring, its own imports and what the file gives."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.parse(text).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        own = isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "__future__",
            "scorer",
        )
        given = isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in _GIVEN
        if is_docstring or own or given:
            for line in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[line] = ""
    return "\n".join(lines).strip()
