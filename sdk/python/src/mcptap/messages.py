"""What messages of JSON-RPC say, by the OpenTelemetry conventions for MCP: pure functions from messages to attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import semconv

Attributes = dict[str, Any]

LONGEST_NAME = 1024
"""The longest name of a client or a server that is kept, in bytes; and its version."""
STATELESS = "2026-07-28"
"""Versions from this on have no sessions and no handshake."""
# The JSON-RPC errors that are the caller's fault: on a server's span they are no errors, as the conventions say.
_CALLER_FAULTS = frozenset((-32700, -32600, -32601, -32602, -32002))
# How much is taken away before a cut at most: longer than any token.
_RAGGED = 8 * 1024
_RAGGED_END = re.compile(r"[A-Za-z0-9_\-+/=.:~%]*\Z")
# A group of digits before the last one, as the numbers of cards have up to four.
_GROUP = re.compile(r"(?<![0-9])[0-9]{4,6} \Z")
_GROUPS = 4


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def member(value: Any, *path: str) -> Any:
    """What stands at a path in JSON; ``None`` where there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def cut(value: str, most: int = LONGEST_NAME) -> str:
    """At most so many bytes of a text, and not half of what may be a secret."""
    data = value.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    kept = data[:most].decode("utf-8", "ignore")
    ragged = _RAGGED_END.search(kept, max(0, len(kept) - _RAGGED))
    end = ragged.start() if ragged else len(kept)
    if all(character in "0123456789" for character in kept[end:]):
        for _ in range(_GROUPS):
            group = _GROUP.search(kept, max(0, end - 8), end)
            if not group:
                break
            end = group.start()
    return kept[:end]


@dataclass(frozen=True)
class Target:
    """What a request is about."""

    kind: str | None = None
    name: str = ""

    @classmethod
    def of(cls, method: str, params: Any) -> Target:
        kind, key = {"tools/call": ("tool", "name"), "prompts/get": ("prompt", "name")}.get(method, ("resource", "uri"))
        name = text(member(params, key))
        return cls(kind, name) if name else cls()

    @property
    def tool(self) -> str | None:
        return self.name if self.kind == "tool" else None

    def span_name(self, method: str) -> str:
        """``{method} {tool or prompt}``, else the method alone. A URI never: there would be as many names as resources."""
        return f"{method} {self.name}" if self.kind in ("tool", "prompt") else method

    def attributes(self, method: str) -> Attributes:
        attributes: Attributes = {semconv.MCP_METHOD_NAME: method}
        if self.kind == "tool":
            attributes[semconv.GEN_AI_TOOL_NAME] = self.name
            attributes[semconv.GEN_AI_OPERATION_NAME] = semconv.EXECUTE_TOOL
        elif self.kind == "prompt":
            attributes[semconv.GEN_AI_PROMPT_NAME] = self.name
        elif self.kind == "resource":
            attributes[semconv.MCP_RESOURCE_URI] = self.name
        return attributes


def request_body(message: Mapping[str, Any]) -> Any:
    return {key: message[key] for key in ("method", "params") if message.get(key) is not None}


def answer_body(message: Mapping[str, Any]) -> Any:
    error = failure(message)
    return message.get("result") if error is None else {"error": error}


def failure(message: Mapping[str, Any]) -> Any:
    """The error of an answer; ``None`` where it has none. Some libraries write absent members as null."""
    return message.get("error")


@dataclass
class Ending:
    """How a request ended."""

    attributes: Attributes = field(default_factory=dict)
    is_error: bool = False
    said: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether nothing says that it ended otherwise than it was meant to."""
        otherwise = (semconv.ERROR_TYPE, semconv.OUTCOME, semconv.RPC_STATUS_CODE)
        return not self.is_error and not any(name in self.attributes for name in otherwise)

    @classmethod
    def broken(cls, reason: str) -> Ending:
        """It ended without an answer, for a reason of the transport."""
        return cls({semconv.ERROR_TYPE: semconv.CLOSED}, True, reason)

    @classmethod
    def cancelled(cls, reason: str | None = None) -> Ending:
        return cls({semconv.OUTCOME: semconv.CANCELLED}, reason is not None, reason)

    @classmethod
    def refused(cls, status: int) -> Ending:
        """It was refused over HTTP, without an answer of JSON-RPC."""
        return cls({semconv.ERROR_TYPE: str(status)}, True, f"HTTP {status}")

    @classmethod
    def redirected(cls) -> Ending:
        return cls({semconv.OUTCOME: semconv.REDIRECTED})

    @classmethod
    def of(cls, method: str, answer: Mapping[str, Any]) -> Ending:
        """Reads it from the answer."""
        if (error := failure(answer)) is not None:
            return _error(error)
        result = answer.get("result")
        if method in ("tasks/get", "tasks/result"):
            return _task(result)
        ending = cls()
        kind = text(member(result, "resultType"))
        if kind is None and member(result, "task") is not None:
            kind = semconv.TASK
        if kind is not None and kind != "complete":
            ending.attributes[semconv.RESULT_TYPE] = kind
        version = text(member(result, "protocolVersion"))
        if method == "initialize" and version is not None:
            ending.attributes[semconv.MCP_PROTOCOL_VERSION] = cut(version)
        if method == "tools/call" and member(result, "isError") is True:
            ending.attributes[semconv.ERROR_TYPE] = semconv.TOOL_ERROR
            ending.is_error = True
        return ending


def _error(error: Any) -> Ending:
    said = text(member(error, "message")) or ""
    try:
        code = int(member(error, "code"))
    except (TypeError, ValueError):
        return Ending({semconv.ERROR_TYPE: "_OTHER"}, True, said)
    attributes: Attributes = {semconv.RPC_RESPONSE_STATUS_CODE: str(code), semconv.RPC_STATUS_CODE: str(code)}
    if code in _CALLER_FAULTS:
        return Ending(attributes)
    attributes[semconv.ERROR_TYPE] = str(code)
    return Ending(attributes, True, said)


def _task(result: Any) -> Ending:
    """The end of a task is the outcome of the request that brought it."""
    if member(result, "error", "code") is not None:
        return _error(member(result, "error"))
    if member(result, "isError") is True or member(result, "result", "isError") is True:
        return Ending({semconv.ERROR_TYPE: semconv.TOOL_ERROR}, True)
    said = text(member(result, "statusMessage"))
    status = member(result, "status")
    if status == "cancelled":
        return Ending.cancelled(said)
    if status == "failed":
        return Ending({semconv.ERROR_TYPE: "task_failed"}, True, said or "")
    if status == semconv.INPUT_REQUIRED:
        return Ending({semconv.RESULT_TYPE: semconv.INPUT_REQUIRED})
    return Ending()


def implementation(info: Any) -> tuple[str, str | None] | None:
    """A client's or server's name and version."""
    name, version = text(member(info, "name")), text(member(info, "version"))
    if name is None:
        return None
    return cut(name), None if version is None else cut(version)
