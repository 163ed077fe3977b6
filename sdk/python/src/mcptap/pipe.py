"""Messages on the two streams between a transport and a server, as they pass."""

from __future__ import annotations

import contextvars
from dataclasses import replace
from typing import Any

from . import semconv
from .conversation import Conversation
from .messages import Attributes
from .observer import Carrier, Observer, current_call

conversation_of_pipe: contextvars.ContextVar[Conversation | None] = contextvars.ContextVar(
    "mcptap_conversation", default=None
)
"""The conversation on the streams that the current task serves."""

_PIPE: Attributes = {semconv.NETWORK_TRANSPORT: "pipe"}


def plain(item: Any, is_sent: bool) -> Any:
    """A message of any version of the library as JSON has it."""
    message = getattr(item, "message", item)
    # SDK 1.x wraps it once more, and leaves members out that are null where it writes it.
    inner = getattr(message, "root", message)
    dump = getattr(inner, "model_dump", None)
    if dump is None:
        return None
    if is_sent and inner is not message:
        return dump(by_alias=True, mode="json", exclude_none=True)
    return dump(by_alias=True, mode="json", exclude_unset=True)


class Pipe:
    """The two streams, watched."""

    def __init__(self, observer: Observer, read: Any, write: Any) -> None:
        self.observer = observer
        self.conversation = Conversation(observer)
        # Whether its messages are seen in HTTP requests as well, and recorded there.
        self._is_seen_elsewhere = False
        self._carrier = Carrier(_PIPE)
        self.read = _Reading(self, read)
        self.write = _Writing(self, write)

    def came(self, item: Any) -> contextvars.Context | None:
        """A message from the client. Returns the context in which it is to be handled, if it is a request."""
        try:
            carrier = _carrier(item)
            if carrier is None:
                self._is_seen_elsewhere = True
                return None
            # Its answer comes on a stream of its own.
            carrier = replace(carrier, is_http=False)
            self._carrier = Carrier(carrier.attributes, carrier.session)
            call = self.conversation.take("client", plain(item, False), carrier)
            if call is None:
                return None
            context = contextvars.copy_context()
            context.run(current_call.set, call)
            return context
        except Exception:
            self.observer.failed("a message could not be recorded")
            return None

    def went(self, item: Any) -> None:
        if self._is_seen_elsewhere:
            return
        try:
            self.conversation.take("server", plain(item, True), self._carrier)
        except Exception:
            self.observer.failed("a message could not be recorded")

    def over(self) -> None:
        reason = "the transport ended before the answer"
        self.observer.safely("the end of a connection could not be recorded", lambda: self.conversation.close(reason))


def _carrier(item: Any) -> Carrier | None:
    """How a message came; ``None`` where its HTTP request is watched already."""
    request = getattr(getattr(item, "metadata", None), "request_context", None)
    scope = getattr(request, "scope", None)
    if scope is None:
        return Carrier(_PIPE)
    from .carrier import carrier_of
    from .http import EXCHANGE

    if EXCHANGE in scope:
        return None
    return carrier_of(scope, request)


class _Watched:
    """Stands in the place of a stream, and is it in all but what is watched."""

    def __init__(self, pipe: Pipe, stream: Any) -> None:
        self._pipe = pipe
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> Any:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)


class _Reading(_Watched):
    last_context: contextvars.Context | None = None

    async def receive(self) -> Any:
        item = await self._stream.receive()
        # Streams of SDK 2.x tell in whose context a message is to be handled.
        sender = getattr(self._stream, "last_context", None)
        # A copy, since one that is entered already cannot be entered again.
        context = sender.copy().run(self._pipe.came, item) if sender is not None else self._pipe.came(item)
        self.last_context = context or sender
        return item

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        import anyio

        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class _Writing(_Watched):
    async def send(self, item: Any) -> None:
        self._pipe.went(item)
        await self._stream.send(item)

    def send_nowait(self, item: Any) -> None:
        self._stream.send_nowait(item)
        self._pipe.went(item)
