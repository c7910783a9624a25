"""Read the OpenAPI document for the page that shows it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def type_of(schema: Json) -> tuple[str, str]:
    """Return a schema's type in words, and the name of the model in it, or ""."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name, name
    if "anyOf" in schema:
        found = [type_of(one) for one in schema["anyOf"]]
        return " or ".join(words for words, _ in found), next((name for _, name in found if name), "")
    if "enum" in schema or "const" in schema:
        return " or ".join(map(str, schema.get("enum", [schema.get("const")]))), ""
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        words, name = type_of(schema.get("items", {}))
        return f"list of {words}", name
    if kind == "object" and isinstance(values := schema.get("additionalProperties"), dict):
        words, name = type_of(values)
        return f"object of {words}", name
    limits = [f"{words} {schema[key]}" for key, words in _LIMITS.items() if key in schema]
    return ", ".join([schema.get("format", kind), *limits]), ""


_LIMITS = {"minimum": "from", "maximum": "to", "maxLength": "at most characters:", "default": "default"}


def content_of(part: Json) -> list[tuple[str, tuple[str, str]]]:
    """Return the media types of a body or an answer, each with its type."""
    return [(kind, type_of(content.get("schema", {}))) for kind, content in part.get("content", {}).items()]


def scope_of(operation: Json) -> str:
    """Return the scope that an operation needs; "" if it needs no token."""
    if "security" not in operation:
        return "read"
    return next((scopes[0] for one in operation["security"] for scopes in one.values()), "")
