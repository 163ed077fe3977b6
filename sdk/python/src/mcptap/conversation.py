"""What one client and one server say to each other: requests and answers are paired, whatever order they come in."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import SpanKind

from . import ids, semconv
from .call import Call, Late
from .messages import STATELESS, Attributes, Ending, Target, cut, failure, implementation, member, text
from .open import ONLY, OpenRequests, Scope, Side, running

if TYPE_CHECKING:
    from .observer import Carrier, Observer

# How many requests may be open, and how many that ended without an answer are remembered.
_MOST_OPEN = 10_000
_MOST_PAST = 32
# How many open requests a line of console output is written to that belongs to none.
_MOST_LISTENERS = 16
_META = "io.modelcontextprotocol/"
_AMBIGUOUS = "requests with the same id were open at once, and which of their answers is its own cannot be told"

_SEVERITIES = {
    "debug": SeverityNumber.DEBUG, "info": SeverityNumber.INFO, "notice": SeverityNumber.INFO2,
    "warning": SeverityNumber.WARN, "error": SeverityNumber.ERROR, "critical": SeverityNumber.ERROR2,
    "alert": SeverityNumber.ERROR3, "emergency": SeverityNumber.FATAL,
}


class Conversation:
    """One conversation. Not for several threads at once."""

    def __init__(self, observer: Observer, session: str | None = None) -> None:
        self.observer = observer
        self.session = session
        self.client: tuple[str, str | None] | None = None
        self.version: str | None = None
        self.open = OpenRequests()
        self._past: deque[tuple[Side, str, Late]] = deque(maxlen=_MOST_PAST)
        # Cancellations that may be of any of several requests: of the one that ends without an answer.
        self._cancellations: list[tuple[Side, str, str | None]] = []
        self._reuses_ids = False

    def take(self, side: Side, message: Any, carrier: Carrier, scope: Scope = ONLY) -> Call | None:
        """Takes a message that this side sent on this stream. Returns the call that it began, if it began one."""
        if not isinstance(message, Mapping):
            return None
        method, id = text(message.get("method")), message.get("id")
        if method is None:
            if id is not None and ("result" in message or failure(message) is not None):
                self._answer("server" if side == "client" else "client", id, message, scope)
            return None
        if method.startswith("notifications/") or id is None:
            self._notification(side, method, message.get("params"), scope)
            return None
        return self._request(side, method, id, message, carrier)

    def _request(
        self, side: Side, method: str, id: Any, message: Mapping[str, Any], carrier: Carrier
    ) -> Call | None:
        params = message.get("params")
        if method == "initialize":
            self.client = implementation(member(params, "clientInfo")) or self.client
        if side == "client" and carrier.is_http and self.open.has(side, id):
            self._reuses_ids = True
        if len(self.open) >= _MOST_OPEN or self.observer.capture.excludes(method):
            return None
        from .observer import Incoming

        target = Target.of(method, params)
        meta = member(params, "_meta")
        attributes: Attributes = {
            **target.attributes(method),
            semconv.JSONRPC_REQUEST_ID: ids.written(id),
            semconv.MCP_SERVER_NAME: self.observer.name,
            **carrier.attributes,
            **self.known(method, meta, carrier),
        }
        who = Incoming(method, target.name or None, params if isinstance(params, Mapping) else {}, carrier.headers, carrier.request)
        said = self.observer.tags(who)
        if side == "client":
            said.update(self.observer.who(who))
        call = Call(
            self.observer,
            SpanKind.SERVER if side == "client" else SpanKind.CLIENT,
            method,
            target,
            attributes,
            said=said,
            id=id,
            meta=meta,
            header_parent=carrier.header_parent if side == "client" else None,
            headers=carrier.headers,
            bodies=self.observer.capture.bodies_of(target.tool),
            sampling=self.observer.capture.sampling(method),
        )
        call.is_awaited = side == "client" and carrier.is_http
        token = member(meta, "progressToken")
        call.token = None if token is None else ids.exact(token)
        self.open.add(call)
        call.hold_request(message)
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

    def _answer(self, side: Side, id: Any, message: Mapping[str, Any], scope: Scope) -> None:
        # Where ids are used again, one that is answered in an HTTP answer of its own is not meant by what comes elsewhere.
        found = self.open.find(side, id, scope, may_be_awaited=not self._reuses_ids)
        if not found:
            self._late(side, id)
            return
        call = found[0]
        for each in found[1:]:
            each.is_ambiguous = True
        if side == "client" and call.method == "initialize":
            version = text(member(message, "result", "protocolVersion"))
            self.version = self.version if version is None else cut(version)
        self._forget(call)
        if len(found) > 1 or ((call.is_ambiguous or self._is_doubted(call, scope)) and call not in scope.own):
            call.set({semconv.RESPONSE_UNREADABLE: _AMBIGUOUS})
            # Where there is a status of HTTP, that is the outcome.
            has_status = semconv.HTTP_RESPONSE_STATUS_CODE in call.attributes
            call.end(Ending({} if has_status else {semconv.OUTCOME: semconv.UNKNOWN}))
        else:
            call.answered(message)

    def _is_doubted(self, call: Call, scope: Scope) -> bool:
        """Whether an answer may be that of a request with the same id which was cancelled before."""
        before = [past for past in self._past if past[:2] == (call.side, ids.exact(call.id))] if scope.kind == "only" else []
        for past in before:
            self._past.remove(past)
        return bool(before)

    def _late(self, side: Side, id: Any) -> None:
        if self._reuses_ids:
            # Which one it answers cannot be told.
            return
        for past in list(self._past):
            if past[:2] == (side, ids.exact(id)):
                self._past.remove(past)
                past[2].tell()
                return

    def _notification(self, side: Side, method: str, params: Any, scope: Scope) -> None:
        if method == "notifications/cancelled":
            self._cancel(side, member(params, "requestId"), text(member(params, "reason")), scope)
        elif side == "server" and method == "notifications/progress":
            call = self.open.with_token(member(params, "progressToken"), scope)
            if call is not None:
                call.progressed(params)
        elif side == "server" and method == "notifications/message":
            data = member(params, "data")
            body = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
            name = text(member(params, "logger"))
            severity = _SEVERITIES.get(text(member(params, "level")) or "", SeverityNumber.INFO)
            for call in running(scope.own if scope.kind == "answer" and scope.own else self.open)[-_MOST_LISTENERS:]:
                call.log(severity, body, {"logger": name} if name else None)

    def _cancel(self, side: Side, id: Any, reason: str | None, scope: Scope) -> None:
        found = self.open.find(side, id, scope, may_be_awaited=True)
        # It may also be of an earlier request with the same id, which was answered meanwhile.
        is_certain = len(found) == 1 and (not self._reuses_ids or not found[0].is_awaited or found[0] in scope.own)
        if is_certain:
            self._end(found[0], Ending.cancelled(reason))
            self._past.append((side, ids.exact(id), found[0].late()))
        elif found and len(self._cancellations) < len(self.open):
            self._cancellations.append((side, ids.exact(id), reason))

    def end(self, call: Call, ending: Ending) -> None:
        """Ends a call without an answer."""
        self._end(call, ending)

    def give_up(self, call: Call, reason: str) -> None:
        """Ends a call that was not answered and that nobody refused. If one with its id was cancelled, it was this."""
        for cancelled in self._cancellations:
            if cancelled[:2] == (call.side, ids.exact(call.id)):
                self._cancellations.remove(cancelled)
                self._end(call, Ending.cancelled(cancelled[2]))
                return
        self._end(call, Ending.broken(reason))

    def end_with(self, call: Call, answer: Mapping[str, Any]) -> None:
        """Ends a call with an answer that does not name it."""
        if self._forget(call):
            call.answered(answer)

    def close(self, reason: str) -> None:
        """The transport is over: nothing that is open will be answered."""
        for call in self.open:
            self._end(call, Ending() if call.long_lived else Ending.broken(reason))

    def _end(self, call: Call, ending: Ending) -> None:
        if self._forget(call):
            call.end(ending)

    def _forget(self, call: Call) -> bool:
        if not self.open.remove(call):
            return False
        if self._cancellations and not self.open.has(call.side, call.id):
            name = (call.side, ids.exact(call.id))
            self._cancellations = [cancelled for cancelled in self._cancellations if cancelled[:2] != name]
        return True
