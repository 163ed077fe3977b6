"""What an instrumented server is watched by: its settings, where records go, and its conversations."""

from __future__ import annotations

import contextvars
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import SpanContext

from .call import Call
from .capture import Capture
from .conversation import Conversation
from .courier import logger
from .messages import Attributes
from .running import Running
from .telemetry import Telemetry

# How many sessions are remembered; the least used are forgotten. One that a client ends stays: a cancellation may follow.
_MOST_SESSIONS = 10_000

current_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar("mcptap_call", default=None)
"""The call that is being handled."""


@dataclass(frozen=True)
class Carrier:
    """What the transport knows of a message besides its text."""

    attributes: Attributes = field(default_factory=dict)
    session: str | None = None
    version: str | None = None
    header_parent: SpanContext | None = None
    request: Any = None
    """The HTTP request as the server's library has it, or an ASGI scope; for the caller hook."""


@dataclass(frozen=True)
class Incoming:
    """A request as the caller hook sees it."""

    method: str
    target: str | None
    """The tool, prompt or resource."""
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    """Of the HTTP request, by names in lower case; none over stdio."""
    request: Any
    """The HTTP request as the server's library has it, or its ASGI scope."""


Caller = Callable[[Incoming], "Mapping[str, Any] | str | None"]


class Observer:
    """Watches one server."""

    def __init__(self, telemetry: Telemetry, capture: Capture, name: str, caller: Caller | None) -> None:
        self.telemetry = telemetry
        self.capture = capture
        self.name = name
        self.caller = caller
        self.running = Running()
        self._sessions: OrderedDict[str, Conversation] = OrderedDict()
        self._lock = threading.Lock()
        self._has_failed = False

    def session(self, id: str) -> Conversation:
        """The conversation of a session that has this id on the wire."""
        with self._lock:
            found = self._sessions.get(id)
            if found is None:
                found = self._sessions[id] = Conversation(self, session=id)
                if len(self._sessions) > _MOST_SESSIONS:
                    self._sessions.popitem(last=False)
            self._sessions.move_to_end(id)
            return found

    def begin_session(self, id: str, conversation: Conversation) -> None:
        """The server gave a conversation an id."""
        with self._lock:
            conversation.session = id
            self._sessions[id] = conversation

    def who(self, incoming: Incoming) -> Attributes:
        """What the application says of the caller."""
        if self.caller is None:
            return {}
        try:
            said = self.caller(incoming)
        except Exception:
            self.failed("the hook that names callers failed")
            return {}
        if said is None:
            return {}
        return {"enduser.id": said} if isinstance(said, str) else dict(said)

    def failed(self, what: str) -> None:
        """Says once that something here went wrong; the server goes on."""
        if not self._has_failed:
            self._has_failed = True
            logger.exception("%s; the server is not concerned", what)
