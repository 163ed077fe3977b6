"""What the head of an HTTP request says of the messages in its body."""

from __future__ import annotations

import base64
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs

from . import semconv
from .call import remote
from .messages import Attributes
from .observer import Carrier

Scope = MutableMapping[str, Any]

# The request headers worth keeping. A list of what may pass rather than of what may not: any other can be a credential.
_KEPT_HEADERS = (
    "accept", "cf-ipcountry", "cloudfront-viewer-country", "content-type", "forwarded", "host", "mcp-protocol-version",
    "origin", "x-forwarded-for", "x-real-ip", "x-vercel-ip-country",
)


def mask_authorization(value: str) -> str:
    """Its scheme and the first characters: ten at most, and no more than a third of a credential."""
    value = value.strip()
    if value.endswith("…") and len(value) <= 11:
        return value
    scheme, space, rest = value.partition(" ")
    if not space and value.lower() in semconv.TABLES["redaction"]["schemes"]:
        return value
    length = min(10, len(scheme) + 1 + len(rest) // 3 if space else len(value) // 3)
    return value[:length] + ("…" if length < len(value) else "")


def carrier_of(scope: Scope, request: Any = None) -> Carrier:
    """What a request's head says."""
    headers: dict[str, list[str]] = {}
    for name, value in scope.get("headers") or ():
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def first(name: str) -> str | None:
        return headers[name][0] if name in headers else None

    attributes: Attributes = {
        semconv.NETWORK_TRANSPORT: "tcp",
        semconv.NETWORK_PROTOCOL_NAME: "http",
        semconv.NETWORK_PROTOCOL_VERSION: str(scope.get("http_version", "1.1")),
        semconv.HTTP_REQUEST_METHOD: str(scope.get("method", "POST")),
    }
    if (agent := first("user-agent")) is not None:
        attributes[semconv.USER_AGENT_ORIGINAL] = agent
    if (authorization := first("authorization")) is not None:
        attributes[semconv.AUTHORIZATION] = mask_authorization(authorization)
    if client := scope.get("client"):
        attributes[semconv.CLIENT_ADDRESS], attributes[semconv.CLIENT_PORT] = client[0], client[1]
    for name in _KEPT_HEADERS:
        if name in headers:
            attributes[semconv.HTTP_REQUEST_HEADER_PREFIX + name] = tuple(headers[name])
    session = first("mcp-session-id")
    if session is None and (asked := query_session(scope)):
        session = asked
        attributes[semconv.MCP_TRANSPORT] = "sse"
    texts = {name: value[0] for name, value in headers.items() if name in ("traceparent", "tracestate")}
    given = {name: value[0] for name, value in headers.items()}
    return Carrier(attributes, session, first("mcp-protocol-version"), remote(texts), request or scope, True, given)


def query_session(scope: Scope) -> str | None:
    """The session of HTTP+SSE, which stands in the address."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return next((query[name][0] for name in ("session_id", "sessionId") if name in query), None)


def decoded(value: str) -> str:
    """A header that may be written as ``=?base64?…?=`` (MCP 2026-07-28)."""
    if value.startswith("=?base64?") and value.endswith("?="):
        try:
            return base64.b64decode(value[9:-2]).decode()
        except ValueError:
            return value
    return value
