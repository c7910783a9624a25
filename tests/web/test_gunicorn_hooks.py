"""What `app.web` overrides and reads of gunicorn exists in the installed version and is still called.

gunicorn promises none of it. A hook that a new version renames would never be called again: no error, and
slow clients would hold threads as before.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import SocketUnreader, Unreader
from gunicorn.http.wsgi import Response
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn, ThreadWorker

from app.web import __main__, slow_clients

OURS = (
    slow_clients.PacedReader,
    slow_clients.Connection,
    slow_clients.Worker,
    __main__.GunicornLog,
    __main__.Server,
)

# gunicorn's method: its parameters, the method that calls it, and how.
HOOKS = {
    (TConn, "__init__"): ("self, cfg, sock, client, server", None, ""),
    (TConn, "init"): ("self", (ThreadWorker, "handle"), "conn.init()"),
    (SocketUnreader, "__init__"): ("self, sock, max_chunk=8192", None, ""),
    (SocketUnreader, "chunk"): ("self, size_hint=None", (Unreader, "read"), "self.chunk("),
    (ThreadWorker, "__init__"): ("self, *args, **kwargs", None, ""),
    (ThreadWorker, "load_wsgi"): ("self", (Worker, "init_process"), "self.load_wsgi()"),
    (ThreadWorker, "accept"): ("self, listener", (ThreadWorker, "set_accept_enabled"), "self.accept"),
    (ThreadWorker, "finish_request"): (
        "self, conn, fs",
        (ThreadWorker, "enqueue_req"),
        "self.finish_request, conn, fut",
    ),
    (ThreadWorker, "on_client_socket_readable"): (
        "self, conn, client",
        (ThreadWorker, "finish_request"),
        "self.on_client_socket_readable, conn",
    ),
    (ThreadWorker, "_keepalive_after"): (
        "self, conn, keepalive",
        (ThreadWorker, "handle"),
        "self._keepalive_after(conn,",
    ),
    (ThreadWorker, "murder_pending"): ("self", (ThreadWorker, "run"), "self.murder_pending()"),
    (Logger, "setup"): ("self, cfg", (Logger, "__init__"), "self.setup("),
    (BaseApplication, "__init__"): ("self, usage=None, prog=None", None, ""),
    (BaseApplication, "load_config"): ("self", (BaseApplication, "do_load_config"), "self.load_config()"),
    (BaseApplication, "load"): ("self", (BaseApplication, "wsgi"), "self.load()"),
}

# Called without being overridden.
CALLED = {
    (ThreadWorker, "enqueue_req"): "self, conn",
    (ThreadWorker, "handle_error"): "self, req, client, addr, exc",
    (Unreader, "take_buffered"): "self",
    (Unreader, "unread"): "self, data",
    (Response, "force_close"): "self",
    (Response, "start_response"): "self, status, headers, exc_info=None",
}

# Read by way of another object; what our own classes read of themselves is computed below.
READ = {
    Body: {"reader"},
    LengthReader: {"length"},
    ChunkedReader: {"parser"},
    Request: {"unreader", "body"},
    Response: {"req"},
    Unreader: {"buf"},
}


def base_of(ours: type) -> type:
    """Return the class of gunicorn that one of ours extends."""
    return next(base for base in ours.__mro__ if base.__module__.startswith("gunicorn."))


def names(kind: type) -> set[str]:
    """Return every attribute of a class and those that its methods set on `self`."""
    found = set(dir(kind))
    for base in kind.__mro__[:-1]:
        if base.__module__ != "builtins":
            found |= {name for name, is_set in of_self(base, {"self"}) if is_set}
    return found


def of_self(kind: type, variables: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield each attribute of these variables in the source of a class, and whether it is set there."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind)))):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in variables
        ):
            yield node.attr, isinstance(node.ctx, ast.Store)


def spelt(function: Any) -> str:
    return str(inspect.signature(function))[1:-1]


def test_every_override_is_listed() -> None:
    overridden = {
        (base_of(ours), name)
        for ours in OURS
        for name, value in vars(ours).items()
        if inspect.isfunction(value) and hasattr(base_of(ours), name)
    }
    assert overridden == set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: f"{hook[0].__name__}.{hook[1]}")
def test_a_hook_has_the_expected_parameters_and_is_called(hook: tuple[type, str]) -> None:
    parameters, caller, call = HOOKS[hook]
    assert spelt(getattr(*hook)) == parameters
    if caller is not None:
        assert call in inspect.getsource(getattr(*caller)), f"{caller[1]} no longer calls it"


@pytest.mark.parametrize("method", CALLED, ids=lambda method: f"{method[0].__name__}.{method[1]}")
def test_a_method_we_call_has_the_expected_parameters(method: tuple[type, str]) -> None:
    assert spelt(getattr(*method)) == CALLED[method]


@pytest.mark.parametrize("kind", READ, ids=lambda kind: kind.__name__)
def test_an_attribute_we_read_exists(kind: type) -> None:
    assert READ[kind] <= names(kind)


@pytest.mark.parametrize("ours", OURS, ids=lambda kind: kind.__name__)
def test_what_our_classes_read_of_themselves_and_their_connections_exists(ours: type) -> None:
    assert {name for name, is_set in of_self(ours, {"self"}) if not is_set} <= names(ours)
    connections = {name for name, _ in of_self(ours, {"conn", "idle", "oldest"})}
    assert connections <= names(slow_clients.Connection)


def test_every_option_we_set_exists() -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(__main__.Server.load_config)))
    [options] = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    named = {key.value for key in options.keys if isinstance(key, ast.Constant)}
    assert len(named) == len(options.keys)
    assert named | {"worker_connections"} <= set(Config().settings)
