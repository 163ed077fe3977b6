"""HTTP requests to a server, watched where they come in: messages in their bodies, status, session, client, refusals."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from opentelemetry.trace import SpanKind

from . import ids, semconv
from .call import Call
from .carrier import Scope, carrier_of, decoded, query_session
from .coding import Decoder, Unreadable
from .conversation import Conversation
from .courier import PATIENCE
from .events import MOST_READ, Events
from .messages import Ending, Target, failure
from .observer import Observer, current_call
from .open import Scope as Stream

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EXCHANGE = "mcptap.exchange"
"""Where the scope of a request has its exchange."""

# How long an answer is waited for that may come on another stream, and a cancellation, in seconds.
_MOST_AWAITED = 300.0
_GRACE = 5.0
_TOO_LONG = "it is longer than 16 MiB"
_CROWDED = "too much is being read at once"
# How much of a body that is no message is shown.
_MOST_SHOWN = 64 * 1024

current_exchange: contextvars.ContextVar[Exchange | None] = contextvars.ContextVar("mcptap_exchange", default=None)


class Middleware:
    """Watches what passes through an ASGI application. Nothing changes for it or its clients."""

    def __init__(self, app: App, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await watch(self._app, self._observer, scope, receive, send)


async def watch(app: App, observer: Observer, scope: Scope, receive: Receive, send: Send) -> None:
    """Runs an application for one request, and records it."""
    if scope["type"] == "lifespan":
        await app(scope, receive, _ending(observer, send))
        return
    exchange = observer.safely("an HTTP request could not be recorded", lambda: _exchange(observer, scope))
    if exchange is None:
        await app(scope, receive, send)
        return
    scope[EXCHANGE] = exchange
    token = current_exchange.set(exchange)
    failed = True
    try:
        await app(scope, exchange.receiving(receive), exchange.sending(send))
        failed = False
    finally:
        current_exchange.reset(token)
        exchange.over("failed" if failed else "complete")


def _exchange(observer: Observer, scope: Scope) -> Exchange | None:
    """What watches a request, unless it is none that is to be watched."""
    is_watched = scope["type"] == "http" and EXCHANGE not in scope and scope["method"] in ("POST", "GET", "DELETE", "PUT")
    # HTTP+SSE answers on another stream, where its messages are watched.
    return Exchange(observer, scope) if is_watched and not query_session(scope) else None


def _ending(observer: Observer, send: Send) -> Send:
    """Servers that end by a signal give it back to the process when they are done, and nothing else of it runs then: what is
    recorded is sent before."""

    async def sent(message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            import anyio.to_thread

            try:
                await anyio.to_thread.run_sync(observer.telemetry.courier.flush, PATIENCE)
            except Exception:
                observer.failed("what is recorded could not be sent at the end")
        await send(message)

    return sent


class Exchange:
    """One HTTP request and its answer."""

    def __init__(self, observer: Observer, scope: Scope) -> None:
        self._observer = observer
        self._carrier = carrier_of(scope)
        self._method: str = scope["method"]
        self._path: str = scope.get("path", "")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self._headers = headers
        session = headers.get("mcp-session-id")
        self.conversation = observer.session(session) if session else Conversation(observer)
        self._asked: bytearray | None = bytearray()
        self._asked_size = 0
        self._read_bytes = 0
        self._unasked: str | None = None
        # Why messages on the stream were passed over; those after them were read.
        self._skipped: str | None = None
        self._answered = bytearray()
        self._reader: Events | None = None
        self._events_bytes = 0
        self._decoder = Decoder("", observer.open_bytes)
        self._unreadable: str | None = None
        self._status: int | None = None
        self._calls: list[Call] = []
        self._is_request = False
        self._is_json = False
        self._shown = b""
        self._stream: Call | None = None
        self._is_gone = False
        self._is_over = False

    def call_of(self, id: Any) -> Call | None:
        """The open request with this id, for who handles it."""
        return next((call for call in self._calls if not call.is_over and ids.exact(call.id) == ids.exact(id)), None)

    def _may_read(self, size: int) -> bool:
        """Takes so many bytes of what may be held, until the end. Whether there was room."""
        if not self._observer.open_bytes.take(size):
            self._observer.full()
            return False
        self._read_bytes += size
        return True

    def receiving(self, receive: Receive) -> Receive:
        async def received() -> Message:
            message = await receive()
            try:
                self._receive(message)
            except Exception:
                self._observer.failed("an HTTP request could not be recorded")
            return message

        return received

    def sending(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            try:
                self._send(message)
            except Exception:
                self._observer.failed("an HTTP answer could not be recorded")
            await send(message)

        return sent

    def _receive(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._is_gone = True
        if message["type"] != "http.request" or self._asked is None or self._is_over:
            return
        piece = message.get("body", b"")
        self._asked_size += len(piece)
        if self._unasked is None and self._asked_size > MOST_READ:
            self._unasked = _TOO_LONG
        if self._unasked is None and not self._may_read(len(piece)):
            self._unasked = _CROWDED
        if self._unasked is None:
            self._asked += piece
        else:
            self._asked.clear()
        if message.get("more_body", False):
            return
        self._shown, self._asked = bytes(self._asked), None
        if self._unasked is None:
            self._ask(self._shown)

    def _ask(self, body: bytes) -> None:
        try:
            said = json.loads(body) if body else None
        except (ValueError, RecursionError):
            return
        self._is_json = said is not None
        for one in said if isinstance(said, list) else [said]:
            if not isinstance(one, dict) or one.get("jsonrpc") != "2.0":
                continue
            self._is_request = True
            # A cancellation in a batch may be of what stands before it.
            call = self.conversation.take("client", one, self._carrier, Stream(tuple(self._calls), "session"))
            if call is not None:
                self._calls.append(call)
                current_call.set(call)
                self._tell_status([call])
        if self._is_request:
            # What is kept of it the calls have.
            self._shown = b""
            self._give_back()

    def _give_back(self) -> None:
        self._observer.open_bytes.give(self._read_bytes)
        self._read_bytes = 0

    def _tell_status(self, calls: list[Call]) -> None:
        if self._status is not None:
            for call in calls:
                call.set({semconv.HTTP_RESPONSE_STATUS_CODE: self._status})

    def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.body":
            self._read(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self._answer_over()

    def _start(self, message: Message) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message.get("headers", ())}
        self._status = message["status"]
        is_success = 200 <= self._status < 300
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind == "text/event-stream":
            self._reader = Events()
        codings = [value for name, value in message.get("headers", ()) if name.lower() == b"content-encoding"]
        self._decoder = Decoder(b",".join(codings).decode("latin-1"), self._observer.open_bytes)
        given = headers.get("mcp-session-id")
        if given and is_success and given != self.conversation.session:
            for call in self._calls:
                call.set({semconv.MCP_SESSION_ID: given})
            self._observer.begin_session(given, self.conversation)
        self._tell_status(self._calls)
        if self._method == "GET" and is_success and kind == "text/event-stream":
            self._stream = self._http_call()
            self._stream.set({semconv.STREAM: True, semconv.HTTP_RESPONSE_STATUS_CODE: self._status})

    def _read(self, data: bytes) -> None:
        if self._unreadable is not None or not data or self._is_over:
            return
        try:
            for piece in self._decoder.feed(data):
                self._read_decoded(piece)
                if self._unreadable is not None:
                    return
        except Unreadable as error:
            self._unreadable = str(error)
            self._answered.clear()

    def _read_decoded(self, data: bytes) -> None:
        if self._reader is None:
            if len(self._answered) + len(data) > MOST_READ:
                self._unreadable = _TOO_LONG
            elif not self._may_read(len(data)):
                self._unreadable = _CROWDED
            if self._unreadable is not None:
                self._answered.clear()
                return
            self._answered += data
            return
        for text in self._reader.feed(data):
            if not self._reader.is_answering_elsewhere:
                self._take(text)
        if self._reader.held > self._events_bytes:
            if not self._may_read(self._reader.held - self._events_bytes):
                self._unreadable, self._reader = _CROWDED, Events()
                return
            self._events_bytes = self._reader.held
        if self._reader.has_skipped:
            self._skipped = _TOO_LONG
        if self._reader.is_answering_elsewhere and self._stream is not None:
            self._stream.set({semconv.MCP_TRANSPORT: "sse"})

    def _take(self, text: str | bytes) -> bool:
        """Takes the messages in a text. Whether it was JSON."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return False
        is_stream = self._method == "GET"
        stream = Stream(kind="session") if is_stream else Stream(tuple(self._calls), "answer")
        for message in said if isinstance(said, list) else [said]:
            if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
                continue
            if failure(message) is not None and message.get("id") is None and self._calls:
                # An error without an id answers every request of the same POST.
                for call in self._calls:
                    self.conversation.end_with(call, message)
                continue
            self.conversation.take("server", message, self._carrier, stream)
        return True

    def _answer_over(self) -> None:
        try:
            if self._unreadable is None:
                self._decoder.finish()
        except Unreadable as error:
            self._unreadable = str(error)
            self._answered.clear()
        if self._reader is None and self._answered and self._unreadable is None:
            is_json = self._take(bytes(self._answered))
            if not is_json and self._status is not None and self._status < 300:
                self._unreadable = self._decoder.unknown or "it is no JSON"
        self.over("complete")

    def over(self, how: Literal["complete", "failed"]) -> None:
        """The request is over: what is open of it will not be answered, unless elsewhere."""
        if self._is_over:
            return
        self._is_over = True
        try:
            self._settle(how)
        except Exception:
            self._observer.failed("the end of an HTTP request could not be recorded")
        finally:
            self._give_back()
            self._decoder.close()
            self._shown, self._asked, self._reader = b"", None, None
            self._answered.clear()

    def _settle(self, how: Literal["complete", "failed"]) -> None:
        if self._stream is not None:
            self._stream.end(Ending())
        status = self._status
        if not self._calls:
            self._refused(status)
            return
        for call in self._calls:
            if call.is_over:
                continue
            self._end(call, status, how)

    def _end(self, call: Call, status: int | None, how: str) -> None:
        conversation = self.conversation
        unread = self._unreadable or self._skipped or self._decoder.unknown
        if status is not None and status >= 300:
            self._hold_answer(call)
            conversation.end(call, Ending.redirected() if status < 400 else Ending.refused(status))
        elif call.long_lived:
            conversation.end(call, Ending())
        elif unread is not None and how == "complete" and not self._is_gone:
            # It was answered, as far as anybody can tell.
            call.set({semconv.RESPONSE_UNREADABLE: unread})
            conversation.end(call, Ending())
        elif conversation.is_stateless(self._carrier) and (self._is_gone or how == "failed" or self._reader is not None):
            conversation.end(call, Ending.cancelled("the client closed the stream"))
        elif status == 202 or (self._reader is not None and conversation.session is not None):
            # Its answer may come on another stream, and a client that went away may say yet that it cancelled.
            is_resumable = status == 202 or (self._reader is not None and self._reader.has_ids)
            reason = "the client went away" if self._is_gone else "the answer ended without a result"
            call.is_awaited = False
            _later(_MOST_AWAITED if is_resumable else _GRACE, lambda: self._give_up(call, reason))
        else:
            self._hold_answer(call)
            conversation.give_up(call, "the client went away" if self._is_gone else "the answer ended without a result")

    def _give_up(self, call: Call, reason: str) -> None:
        self._observer.safely("a request could not be given up", lambda: self.conversation.give_up(call, reason))

    def _hold_answer(self, call: Call) -> None:
        if self._answered and self._unreadable is None:
            call.hold_text(self._answered.decode("utf-8", "replace"), len(self._answered), "RESPONSE", _MOST_SHOWN)

    def _refused(self, status: int | None) -> None:
        """A request that never became one of JSON-RPC: refused before anybody read it, or not to be read."""
        if status is None or self._is_request or not self._is_mcp():
            return
        if self._unasked is not None:
            self._unread(status)
            return
        if status < 400 or self._is_routine(status):
            return
        if self._is_json and "mcp-method" not in self._headers and "mcp-session-id" not in self._headers:
            return
        call = self._http_call()
        call.set({semconv.HTTP_RESPONSE_STATUS_CODE: status})
        if self._asked:
            # It was refused before all of it had come.
            call.hold_text(self._asked.decode("utf-8", "replace"), self._asked_size + 1, "REQUEST", _MOST_SHOWN)
        elif self._shown:
            call.hold_text(self._shown.decode("utf-8", "replace"), len(self._shown), "REQUEST", _MOST_SHOWN)
        try:
            said = json.loads(bytes(self._answered)) if self._answered else None
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict) and said.get("jsonrpc") == "2.0" and (failure(said) is not None or "result" in said):
            if said.get("id") is not None:
                call.set({semconv.JSONRPC_REQUEST_ID: ids.written(said["id"])})
            call.answered(said)
            return
        self._hold_answer(call)
        call.end(Ending.refused(status))

    def _unread(self, status: int) -> None:
        """A request whose body was too much to be read: its head tells what there is to tell."""
        call = self._http_call()
        call.set({
            semconv.HTTP_RESPONSE_STATUS_CODE: status, semconv.REQUEST_UNREADABLE: self._unasked,
            semconv.REQUEST_SIZE: self._asked_size,
        })
        if self._unreadable is None and self._answered:
            self._hold_answer(call)
        call.end(Ending.refused(status) if status >= 400 else Ending())

    def _is_mcp(self) -> bool:
        headers = self._headers
        is_meant = "text/event-stream" in headers.get("accept", "").lower() or bool(
            {"mcp-method", "mcp-session-id"} & headers.keys()
        )
        return is_meant and not self._path.startswith("/.well-known/")

    def _is_routine(self, status: int) -> bool:
        """Whether a refusal is part of an ordinary visit: what the specification lets a server not offer."""
        if self._method == "DELETE":
            return status in (404, 405, 501)
        if self._method == "GET":
            return status in (405, 501) or (status in (400, 404, 406) and "mcp-session-id" not in self._headers)
        return False

    def _http_call(self) -> Call:
        """The call of an HTTP request that is no request of JSON-RPC."""
        method = self._headers.get("mcp-method", self._method)
        name = decoded(self._headers.get("mcp-name", ""))
        kind = {"tools/call": "tool", "prompts/get": "prompt"}.get(method, "resource" if "resources/" in method else None)
        target = Target(kind, name) if name and kind else Target()
        attributes = {
            **target.attributes(method),
            semconv.MCP_SERVER_NAME: self._observer.name,
            **self._carrier.attributes,
            **self.conversation.known("", None, self._carrier),
        }
        bodies = self._observer.capture.bodies_of(target.tool)
        parent = self._carrier.header_parent
        return Call(
            self._observer, SpanKind.SERVER, method, target, attributes, header_parent=parent, bodies=bodies
        )


def _later(seconds: float, task: Callable[[], None]) -> None:
    try:
        asyncio.get_running_loop().call_later(seconds, task)
    except RuntimeError:
        # Of another event loop than that of asyncio.
        task()
