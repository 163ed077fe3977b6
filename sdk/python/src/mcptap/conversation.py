"""What one client and one server say to each other: requests and answers are paired, whatever order they come in."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import SpanKind

from . import semconv
from .call import Call
from .messages import STATELESS, Attributes, Ending, Target, cut, implementation, member, text

if TYPE_CHECKING:
    from .observer import Carrier, Observer

Side = Literal["client", "server"]

# How many requests may be open, and how many that ended without an answer are remembered.
_MOST_OPEN = 10_000
_MOST_PAST = 32
# How many open requests a line of console output is written to that belongs to none.
_MOST_LISTENERS = 16
_META = "io.modelcontextprotocol/"

_SEVERITIES = {
    "debug": SeverityNumber.DEBUG, "info": SeverityNumber.INFO, "notice": SeverityNumber.INFO2,
    "warning": SeverityNumber.WARN, "error": SeverityNumber.ERROR, "critical": SeverityNumber.ERROR2,
    "alert": SeverityNumber.ERROR3, "emergency": SeverityNumber.FATAL,
}


def id_key(id: Any) -> str:
    """An id as it is compared: 1 is not "1"."""
    return json.dumps(id)


class Conversation:
    """One conversation. Not for several threads at once."""

    def __init__(self, observer: Observer, session: str | None = None) -> None:
        self.observer = observer
        self.session = session
        self.client: tuple[str, str | None] | None = None
        self.version: str | None = None
        self.open: dict[tuple[Side, str], Call] = {}
        self._tokens: dict[str, Call] = {}
        self._past: deque[tuple[Side, str, Call]] = deque(maxlen=_MOST_PAST)

    def take(self, side: Side, message: Any, carrier: Carrier, only: list[Call] | None = None) -> Call | None:
        """Takes a message that this side sent. Returns the call that it began, if it began one. ``only`` are the calls of the
        HTTP request in whose answer it came."""
        if not isinstance(message, Mapping):
            return None
        method, id = text(message.get("method")), message.get("id")
        if method is None:
            if id is not None and ("result" in message or "error" in message):
                self._answer("server" if side == "client" else "client", id, message)
            return None
        if method.startswith("notifications/") or id is None:
            self._notification(side, method, message.get("params"), only)
            return None
        return self._request(side, method, id, message, carrier)

    def _request(
        self, side: Side, method: str, id: Any, message: Mapping[str, Any], carrier: Carrier
    ) -> Call | None:
        params = message.get("params")
        if method == "initialize":
            self.client = implementation(member(params, "clientInfo")) or self.client
        key = (side, id_key(id))
        if (earlier := self.open.get(key)) is not None:
            self._end(key, earlier, Ending.broken("its id was used again before it was answered"))
        if len(self.open) >= _MOST_OPEN:
            return None
        from .observer import Incoming

        target = Target.of(method, params)
        meta = member(params, "_meta")
        headers = {
            name.removeprefix(semconv.HTTP_REQUEST_HEADER_PREFIX): value[0]
            for name, value in carrier.attributes.items()
            if name.startswith(semconv.HTTP_REQUEST_HEADER_PREFIX)
        }
        attributes: Attributes = {
            **target.attributes(method),
            semconv.JSONRPC_REQUEST_ID: str(id),
            semconv.MCP_SERVER_NAME: self.observer.name,
            **carrier.attributes,
            **self.known(method, meta, carrier),
        }
        if side == "client":
            who = Incoming(method, target.name or None, params if isinstance(params, Mapping) else {}, headers, carrier.request)
            attributes.update(self.observer.who(who))
        call = Call(
            self.observer,
            SpanKind.SERVER if side == "client" else SpanKind.CLIENT,
            method,
            target,
            attributes,
            meta=meta,
            header_parent=carrier.header_parent if side == "client" else None,
            bodies=self.observer.capture.bodies_of(target.tool),
        )
        self.open[key] = call
        call.hold_request(message)
        token = member(meta, "progressToken")
        if token is not None:
            call.token = id_key(token)
            self._tokens[call.token] = call
        return call

    def known(self, method: str, meta: Any, carrier: Carrier) -> Attributes:
        """What is known of a request besides what it says and how it came."""
        known: Attributes = {}
        own = text(member(meta, f"{_META}protocolVersion"))
        # The version that a handshake asks for is not the one in force; the server's answer says that.
        version = None if method == "initialize" else own or self.version or carrier.version
        if version is not None:
            known[semconv.MCP_PROTOCOL_VERSION] = cut(version)
        session = self.session or carrier.session
        # Since 2026-07-28 there are no sessions, whatever a client still sends.
        if session is not None and (version is None or version < STATELESS):
            known[semconv.MCP_SESSION_ID] = session
        client = implementation(member(meta, f"{_META}clientInfo")) or self.client
        if client is not None:
            known[semconv.MCP_CLIENT_NAME] = client[0]
            if client[1] is not None:
                known[semconv.MCP_CLIENT_VERSION] = client[1]
        return known

    def is_stateless(self, carrier: Carrier) -> bool:
        """Whether the version in force has no sessions, so that a closed stream is a cancellation."""
        version = self.version or carrier.version
        return version is not None and version >= STATELESS

    def _answer(self, side: Side, id: Any, message: Mapping[str, Any]) -> None:
        key = (side, id_key(id))
        call = self.open.get(key)
        if call is None:
            self._late(key)
            return
        if side == "client" and call.method == "initialize":
            self.version = text(member(message, "result", "protocolVersion")) or self.version
        self._forget(key, call)
        call.answered(message)

    def _late(self, key: tuple[Side, str]) -> None:
        for side, id, call in list(self._past):
            if (side, id) == key:
                self._past.remove((side, id, call))
                call.log(SeverityNumber.WARN, "the answer came after the request was cancelled")
                call.tell_late()
                return

    def _notification(self, side: Side, method: str, params: Any, only: list[Call] | None) -> None:
        if method == "notifications/cancelled":
            id = member(params, "requestId")
            key = (side, id_key(id))
            if (call := self.open.get(key)) is not None:
                self._past.append((*key, call))
                self._end(key, call, Ending.cancelled(text(member(params, "reason"))))
        elif side == "server" and method == "notifications/progress":
            call = self._tokens.get(id_key(member(params, "progressToken")))
            if call is not None:
                call.progressed(params)
        elif side == "server" and method == "notifications/message":
            data = member(params, "data")
            body = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
            name = text(member(params, "logger"))
            severity = _SEVERITIES.get(member(params, "level"), SeverityNumber.INFO)
            running = only or [
                call for (who, _), call in self.open.items() if who == "client" and not call.long_lived
            ]
            for call in running[-_MOST_LISTENERS:]:
                call.log(severity, body, {"logger": name} if name else None)

    def end(self, call: Call, ending: Ending) -> None:
        """Ends a call without an answer."""
        for key, other in list(self.open.items()):
            if other is call:
                self._end(key, call, ending)
                return

    def end_with(self, call: Call, answer: Mapping[str, Any]) -> None:
        """Ends a call with an answer that does not name it."""
        for key, other in list(self.open.items()):
            if other is call:
                self._forget(key, call)
                call.answered(answer)
                return

    def close(self, reason: str) -> None:
        """The transport is over: nothing that is open will be answered."""
        for key, call in list(self.open.items()):
            self._end(key, call, Ending() if call.long_lived else Ending.broken(reason))

    def _end(self, key: tuple[Side, str], call: Call, ending: Ending) -> None:
        self._forget(key, call)
        call.end(ending)

    def _forget(self, key: tuple[Side, str], call: Call) -> None:
        self.open.pop(key, None)
        if call.token is not None:
            self._tokens.pop(call.token, None)
