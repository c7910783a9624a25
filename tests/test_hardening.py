"""Forbidden calls and imports, checked in the source.

Each list of exceptions has its reasons.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_house import ROOT, imports

PROGRAM = sorted(path for room in ("app", "scorer", "worker") for path in (ROOT / room).rglob("*.py"))

NETWORK = (
    "aiohttp", "asyncio", "boto3", "botocore", "ftplib", "http.client", "httpx", "imaplib", "poplib",
    "psycopg", "redis", "requests", "s3fs", "smtplib", "socket", "socketserver", "ssl", "telnetlib",
    "urllib.request", "urllib3", "xmlrpc",
)  # fmt: skip
MAY_CONNECT = {
    "app/demo.py": "the demo asks the server it has just started",
    "app/base/processes.py": "the name of this machine",
    "app/base/queue.py": "hints go to Redis",
    "app/delivery/smtp.py": "letters go to the operator's mail server",
    "worker/postman.py": "passes the certificates that a test gives to the mail server's connection",
    "app/operating/serve.py": "takes the port, and watches its own Valkey",
    "app/base/storage.py": "uploads in a bucket, where the operator's setting names one",
    "app/web/mcp/server.py": "runs the SDK of MCP in a loop of its own, which opens nothing",
    "app/web/slow_clients.py": "listens to slow clients in the server's loop",
    "scorer/sandbox/_attacks.py": "attacks, to see that they are stopped",
    "scorer/sandbox/_zygote.py": "a socket pair to the process that started it",
    "scorer/sandbox/sandbox.py": "the other end, and targets for the attacks",
}

MAY_RUN_TEXT = {
    "scorer/sandbox/_zygote.py": "runs an organiser's metric, inside the sandbox",
    "scorer/importing/adapters/virtual_files.py": "part of imported metrics, which run in the sandbox alone",
}

# (file, beginning of the text): parts that no parameter can replace.
PUT_TOGETHER = {
    (
        "app/operating/backup.py",
        "SELECT setval",
    ): "a table's name is no parameter; the names of our own tables"
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def connects(path: Path) -> bool:
    return any(name == n or name.startswith(n + ".") for _, name in imports(path) for n in NETWORK)


def called(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yield every call with the dotted name of its function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def dangers(path: Path, source: str) -> list[str]:
    """Return calls that run, unpickle or unpack their input."""
    found = []
    tree = ast.parse(source)
    for node, name in called(tree):
        last = name.rpartition(".")[2]
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if (
            (name in ("eval", "exec", "compile", "__import__") and name_of(path) not in MAY_RUN_TEXT)
            or last in ("extractall", "unpack_archive", "read_pickle", "read_excel", "read_hdf")
            or (last == "extract" and {"path", "filter", "members"} & given.keys())
            or name in ("os.system", "os.popen", "subprocess.getoutput")
            or given.get("shell") == "True"
            or given.get("allow_pickle") == "True"
            or name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load")
            or last == "mktemp"
        ):
            found.append(f"line {node.lineno}: {name}")
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [
            f"line {node.lineno}: {n}"
            for n in names
            for bad in ("pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle")
            if n.split(".")[0] == bad
        ]  # type: ignore[attr-defined]
    return found


def pieced_statements(path: Path, source: str) -> list[str]:
    """Return SQL texts of more than one literal."""
    found = []
    for node, name in called(ast.parse(source)):
        if name.rpartition(".")[2] not in ("text", "exec_driver_sql", "literal_column") or not node.args:
            continue
        is_sql = name in ("text", "sa.text", "sqlalchemy.text") or not name.endswith("text")
        given = node.args[0]
        whole = [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]
        if is_sql and not all(isinstance(part, ast.Constant) for part in whole):
            begin = ast.unparse(given).lstrip("f'\"")
            if not any(name_of(path) == file and begin.startswith(start) for file, start in PUT_TOGETHER):
                found.append(f"line {node.lineno}: {ast.unparse(given)[:80]}")
    return found


def test_only_these_modules_open_connections() -> None:
    assert {name_of(path) for path in PROGRAM if connects(path)} == set(MAY_CONNECT)


def test_no_module_makes_a_dangerous_call() -> None:
    assert {name_of(p): found for p in PROGRAM if (found := dangers(p, p.read_text(encoding="utf-8")))} == {}


def test_no_sql_statement_is_assembled_from_parts() -> None:
    # Migrations insert names of their own tables, no input; the scorer has no SQL.
    exempt = (ROOT / "app/migrations", ROOT / "scorer")
    sources = {
        p: p.read_text(encoding="utf-8") for p in PROGRAM if not any(p.is_relative_to(e) for e in exempt)
    }
    assert {name_of(p): found for p, s in sources.items() if (found := pieced_statements(p, s))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)",
        "tar.extractall()",
        "import pickle",
        "from pickle import loads",
        "yaml.load(x)",
        "np.load(f, allow_pickle=True)",
        "subprocess.run(x, shell=True)",
        "zf.extract(name, path=folder)",
        "pd.read_pickle(f)",
        "tempfile.mktemp()",
    ],
)
def test_a_dangerous_line_is_detected(line: str) -> None:
    assert dangers(ROOT / "app/new.py", line)


@pytest.mark.parametrize(
    "line",
    [
        'text(f"SELECT {x}")',
        'text("SELECT " + x)',
        'text("SELECT {}".format(x))',
        "sa.text(x)",
        'c.exec_driver_sql(f"{x}")',
    ],
)
def test_an_assembled_statement_is_detected(line: str) -> None:
    assert pieced_statements(ROOT / "app/new.py", line)
    assert not pieced_statements(ROOT / "app/new.py", 'text("SELECT 1")')
