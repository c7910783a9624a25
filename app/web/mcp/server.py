"""The server of the official SDK with our tools, for one request at a time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

from app.base.errors import Refused
from app.web.api.operations import validated
from app.web.mcp.calls import Json, RefusedByApi
from app.web.mcp.tools import TOOLS

logging.getLogger("mcp").setLevel(logging.WARNING)  # it announces the begin and end of each request

INSTRUCTIONS = """\
Heldout runs machine-learning competitions with hidden labels. Take part under the rules of the competition: \
list_competitions, describe_competition, join_competition, list_files and read_file for the data, \
submission_format, check_file (free), submit (limited in a day), submission for the score, leaderboard, \
pick_submission. A refused file lists every problem with line, column and id; it is not charged."""


async def _list_tools(_context: Any, _params: Any) -> ListToolsResult:
    return ListToolsResult(
        tools=[
            Tool(
                name=tool.name,
                description=tool.says,
                input_schema=tool.arguments.model_json_schema(),
                annotations=ToolAnnotations(
                    read_only_hint=tool.is_reading, destructive_hint=False, open_world_hint=False
                ),
            )
            for tool in TOOLS.values()
        ]
    )


async def _call_tool(_context: Any, params: CallToolRequestParams) -> CallToolResult:
    tool = TOOLS.get(params.name)
    if tool is None:
        raise MCPError(code=INVALID_PARAMS, message=f"There is no tool {params.name[:60]!r}.")
    try:
        # In this thread: the loop serves this request alone, so nothing else waits meanwhile.
        found = tool.run(validated(tool.arguments, params.arguments or {}))
    except Refused as refusal:
        problems = [problem.as_dict() for problem in refusal.problems]
        return _error({"status": refusal.status, "detail": refusal.message, "errors": problems})
    except RefusedByApi as refusal:
        return _error(refusal.document)
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(content=[TextContent(text=text)], structured_content=found)


def _error(document: Json) -> CallToolResult:
    """Return a refusal as a result that the agent can read, with each problem on a line of its own."""
    document.pop("problems", None)  # the same as `errors`
    words = str(document["detail"])
    lines = [words, *(_line(each) for each in document.get("errors", ()) if each["message"] not in words)]
    return CallToolResult(
        content=[TextContent(text="\n".join(lines))], structured_content=document, is_error=True
    )


def _line(problem: Json) -> str:
    where = ", ".join(f"{name} {problem[name]}" for name in ("line", "id", "column") if name in problem)
    return f"- {problem['message']} [{problem['code']}{', ' + where if where else ''}]"


_SERVER: Server[Any] = Server(
    "heldout",
    version=metadata.version("heldout"),
    title="Heldout",
    instructions=INSTRUCTIONS,
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
)


def answer(
    method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of the answer to one HTTP request.

    Without sessions and streams: each request is complete, so any web process can answer it.
    """
    return asyncio.run(_exchange(method, path, headers, body))


async def _exchange(
    method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if not waiting:
            await (
                asyncio.Event().wait()
            )  # the client does not hang up: its answer is sent when it is complete
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }
    manager = StreamableHTTPSessionManager(_SERVER, json_response=True, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)
    return (
        sent[0]["status"],
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0].get("headers", ())],
        b"".join(message.get("body", b"") for message in sent[1:]),
    )
