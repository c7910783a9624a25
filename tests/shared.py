"""Work that every test would repeat, done once in a process: garbage, routes, SQL texts, assertions.

Each test makes databases and an application of its own, as an installation does once. That is what it
should test; but compiling the same hundred routes and statements again was a third of the suite's CPU.
"""

from __future__ import annotations

import gc
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from _pytest.assertion import rewrite
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule


def leave_out_of_collections() -> None:
    """Take all objects made so far out of garbage collections, and make these rarer.

    A full collection walked the modules of the whole suite, for a second, every ten tests. A fork copied
    them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def leave_out_parsers_of_iris() -> None:
    """Let jsonschema do without a package that builds 38 parsers when it is imported, for five seconds."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def share_rewritten_assertions(config: pytest.Config) -> None:
    """Rewrite the assertions of a share of the test modules, and leave the others to the other processes.

    All begin with the same modules, so in a fresh clone each process would rewrite every one.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None or sys.dont_write_bytecode:
        return
    paths = sorted(Path(__file__).parent.rglob("test_*.py"))
    for path in paths[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
        pyc = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
        if rewrite._read_pyc(path, pyc) is None:
            with suppress(SyntaxError):  # reported by the collection
                pyc.parent.mkdir(exist_ok=True)
                digest, code = rewrite._rewrite_test(path, config)
                rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, digest, pyc)


def share_compiled_routes() -> None:
    """Let equal rules of several applications share the functions that build their addresses."""
    compile_ = Rule._compile_builder
    known: dict[Any, Callable[..., tuple[str, str]]] = {}

    def shared(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        # The function takes the rule as an argument, so nothing of one application is in it.
        kinds = [(name, type(converter)) for name, converter in rule._converters.items()]
        key = (tuple(rule._trace), tuple(kinds), repr(rule.defaults), append_unknown)
        if key not in known:
            known[key] = compile_(rule, append_unknown)
        return known[key]

    Rule._compile_builder = shared  # type: ignore[method-assign]


def share_compiled_statements() -> None:
    """Let the engines of a process share the SQL text of each statement.

    SQLAlchemy keeps it by engine and dialect. All databases of a kind are equal here: one SQLite, one server.
    """
    caches: defaultdict[type, LRUCache[Any, Any]] = defaultdict(partial(LRUCache, 5000))
    Engine._compiled_cache = property(  # type: ignore[assignment]
        lambda engine: caches[type(engine.dialect)], lambda _engine, _own: None
    )
    for kind in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        kind.__eq__ = lambda one, other: type(one) is type(other)
        kind.__hash__ = lambda one: hash(type(one))
