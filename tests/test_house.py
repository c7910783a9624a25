"""Which room may import which, and the names that are only strings."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("numpy", "pandas", "pyarrow", "scipy", "sklearn")

# From the ground up: a room of app imports only rooms of the floors below its own.
FLOORS = (
    {"base", "migrations"},
    {"people"},
    {"messages"},
    {"competing"},
    {"integrity", "authoring", "operating", "classes", "sharing", "delivery"},
    {"web"},
    {"demo"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
SAME_FLOOR = {("base", "migrations")}
"""The schema is part of the ground."""

# room -> what nothing in it may import; the longest matching room decides.
NEVER = {
    "scorer": ("app", "worker", "heldout_client", "flask", "sqlalchemy", "rq", "redis"),
    "client": ("app", "scorer", "worker"),  # and only Python itself: tests/client/test_distribution.py
    "app": ("flask", "werkzeug", "worker", "app.web", "heldout_client", *HEAVY),
    "app/base/queue.py": ("flask", "werkzeug", "worker", "app.web", *HEAVY),
    "app/cli": ("flask", "werkzeug", "worker", "app.web", *HEAVY),
    "app/web": (
        "worker",
        "app.cli",
        "app.demo",
        "app.authoring.publishing",
        "app.base.vault",
        "scorer.challenges",
        "scorer.scoring",
        *HEAVY,
    ),
    "worker": ("app.web", "app.cli", "heldout_client", "flask"),
}
MAY_NAME_RQ = ("app/base/queue.py",)


def modules(room: str) -> list[Path]:
    return sorted(
        p for p in (ROOT / room).rglob("*.py") if "migrations" not in p.parts and "scaffold" not in p.parts
    )


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parsed(path)))


@functools.cache
def imports(path: Path) -> tuple[tuple[int, str], ...]:
    """Every imported name outside `if TYPE_CHECKING:` blocks, as `line, dotted.name`."""
    skipped = {
        id(inner)
        for node in nodes(path)
        if isinstance(node, ast.If)
        and "TYPE_CHECKING" in (getattr(node.test, "id", ""), getattr(node.test, "attr", ""))
        for inner in ast.walk(node)
    }
    found: list[tuple[int, str]] = []
    for node in nodes(path):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.lineno, node.module))
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return tuple(found)


PROGRAM = [path for room in ("scorer", "app", "worker", "client") for path in modules(room)]


def room_of(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return max((room for room in NEVER if name == room or name.startswith(room + "/")), key=len)


def app_room(dotted: str) -> str | None:
    """Return the room of a dotted name in app; None for other packages and for app itself."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "app" and len(parts) > 1 and parts[1] in FLOOR_OF else None


def test_every_module_of_app_is_in_a_room() -> None:
    lost = [p.name for p in (ROOT / "app").glob("*.py") if p.stem not in FLOOR_OF and p.stem != "__init__"]
    assert lost == []


def test_a_room_of_app_imports_only_rooms_below_it() -> None:
    upward = []
    for path in modules("app"):
        room = path.relative_to(ROOT / "app").with_suffix("").parts[0]
        for line, name in imports(path):
            other = app_room(name)
            if other is None or other == room or (room, other) in SAME_FLOOR:
                continue
            if FLOOR_OF[other] >= FLOOR_OF[room]:
                upward.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert upward == []


@pytest.mark.parametrize("room", ["app", "scorer", "worker"])
def test_no_module_names_private_names_of_another(room: str) -> None:
    private = [
        f"{path.relative_to(ROOT)}:{line} names {name}"
        for path in modules(room)
        for line, name in used_names(path)
        if name.split(".")[0] in ("scorer", "app", "worker")
        and (last := name.rsplit(".", 1)[-1]).startswith("_")
        and not last.startswith("__")
        and not (ROOT / name.replace(".", "/")).with_suffix(".py").exists()
    ]
    assert private == []


def test_scorer_has_no_import_circle() -> None:
    """Holds for readers that count `from scorer.x import y` as an import of scorer.x and of scorer.x.y."""
    named = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in modules("scorer")}
    files = {name.removesuffix(".__init__"): path for name, path in named.items()}
    arrows = {m: {name for _, name in imports(path) if name in files} - {m} for m, path in files.items()}
    while free := {m for m, below in arrows.items() if not below}:
        arrows = {m: below - free for m, below in arrows.items() if m not in free}
    assert arrows == {}


def used_names(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported name, and every attribute of an imported name, as `line, dotted.name`."""
    bound: dict[str, str] = {}
    for node in nodes(path):
        if isinstance(node, ast.Import):
            bound |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    yield from ((1, name) for name in bound.values())
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in bound:
            yield node.lineno, f"{bound[node.value.id]}.{node.attr}"


def test_a_room_imports_none_of_the_packages_closed_to_it() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in PROGRAM
        for line, name in imports(path)
        if any(name == closed or name.startswith(closed + ".") for closed in NEVER[room_of(path)])
    ]
    assert wrong == []


def test_only_the_queue_names_rq() -> None:
    named = {
        path.relative_to(ROOT).as_posix()
        for path in PROGRAM
        for _, name in imports(path)
        if name.split(".")[0] == "rq"
    }
    assert named == set(MAY_NAME_RQ)


@pytest.mark.parametrize(
    "start",
    [
        "import app.web.application",
        "import app.cli.main",
        "import worker.sweeper",
        "import scorer.report, scorer",
    ],
)
def test_what_must_stay_light_loads_no_numeric_library(start: str) -> None:
    code = f"{start}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_worker_starts_without_what_only_upgrades_and_inspections_need() -> None:
    """They were half of the CPU time of its start."""
    late = ("alembic", "scipy.stats", "sklearn", "worker.inspections", "scorer.overfitting.close_report")
    code = f"import worker.__main__, sys\nprint([m for m in {late!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def programs_in_strings(path: Path) -> Iterator[tuple[str, str]]:
    """Every string that is not a docstring as `place, text`."""
    docstrings = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_programs_inside_strings_import_modules_that_exist() -> None:
    """Programs for `python -c` and health checks of containers escape the type checker."""
    rooms = ("app", "scorer", "worker", "tests", "benchmarks", "tools")
    python = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    deployed = [ROOT / "docker-compose.yml", *(ROOT / "deploy").rglob("*.yaml")]
    texts = [text for path in python for text in programs_in_strings(path)]
    texts += [(path.name, path.read_text(encoding="utf-8")) for path in deployed]
    lost = [
        f"{place}: {module}.{name}"
        for place, text in texts
        for module, names in re.findall(r"\bfrom ((?:app|scorer|worker)[\w.]*) import (\w[\w, ]*)", text)
        for name in re.split(r", *", names.partition(" as ")[0])
        if find_spec(module) is None
        or (not hasattr(importlib.import_module(module), name) and find_spec(f"{module}.{name}") is None)
    ]
    assert lost == []


def test_the_core_never_commits() -> None:
    """Transactions begin and end at edges, visible as one `with`."""
    committing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("app") + modules("worker")
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in ("commit", "rollback")
    ]
    assert committing == []


def test_only_one_module_moves_an_evaluations_state() -> None:
    movers = {
        path.relative_to(ROOT).as_posix()
        for path in modules("app") + modules("worker")
        if "update(Evaluation)" in path.read_text(encoding="utf-8")
    }
    assert movers == {"app/competing/evaluations.py"}
    leased = {
        path.relative_to(ROOT).as_posix()
        for path in modules("app") + modules("worker")
        if re.search(r"\bLeases\(\w", path.read_text(encoding="utf-8"))
    }
    assert leased == {
        "app/authoring/draft_steps.py",
        "app/competing/evaluations.py",
        "app/integrity/inspections.py",
    }


def test_every_template_is_named_after_its_view() -> None:
    """`competing/leaderboard/show.html` belongs to `app/web/competing/leaderboard.py`."""
    web = ROOT / "app/web"
    templates = web / "templates"
    lost = [
        str(t.relative_to(templates))
        for t in templates.rglob("*.html")
        if t.parent != templates and not (web / t.relative_to(templates).parent).with_suffix(".py").exists()
    ]
    assert lost == []
