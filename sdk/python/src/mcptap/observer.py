"""What an instrumented server is watched by: its settings, where records go, and its conversations."""

from __future__ import annotations

import contextvars
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

from opentelemetry.trace import SpanContext

from .budget import Budget
from .call import Call
from .capture import Capture
from .conversation import Conversation
from .courier import logger
from .messages import Attributes
from .running import Running
from .telemetry import Telemetry

R = TypeVar("R")

# How many sessions are remembered; the least used are forgotten. One that a client ends stays: a cancellation may follow.
_MOST_SESSIONS = 10_000
OPEN_BYTES = 64 << 20
"""How many bytes open calls hold together, with what of HTTP bodies is being read."""

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
    is_http: bool = False
    """Whether it is the body of an HTTP request, whose answer has the answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """All of them, for the functions of the application; only some are recorded."""


@dataclass(frozen=True)
class Incoming:
    """A request as the functions of the application see it."""

    method: str
    target: str | None
    """The tool, prompt or resource."""
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    """Of the HTTP request, by names in lower case; none over stdio."""
    request: Any
    """The HTTP request as the server's library has it, or its ASGI scope."""


Caller = Callable[[Incoming], "Mapping[str, Any] | str | None"]


_observers: WeakSet[Observer] = WeakSet()


def _forked() -> None:
    for observer in list(_observers):
        observer.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Observer:
    """Watches one server."""

    def __init__(self, telemetry: Telemetry, capture: Capture, name: str, caller: Caller | None) -> None:
        self.telemetry = telemetry
        self.capture = capture
        self.name = name
        self.caller = caller
        self.forked()
        _observers.add(self)
        self._sessions: OrderedDict[str, Conversation] = OrderedDict()
        self.hears_console = True
        """Whether console output belongs to its calls."""
        self._has_failed = False
        self._is_full = False
        self._was_late = False

    def forked(self) -> None:
        """Begins anew: what is open is another process's."""
        self.running = Running()
        self.open_bytes = Budget(OPEN_BYTES)
        self._lock = threading.Lock()

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
            self._sessions.move_to_end(id)
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)

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

    def tags(self, incoming: Incoming) -> Attributes:
        """What the application adds to the attributes of a request."""
        if self.capture.tag_with is None:
            return {}
        try:
            return dict(self.capture.tag_with(incoming) or {})
        except Exception:
            self.failed("tag_with failed")
            return {}

    def safely(self, what: str, act: Callable[[], R]) -> R | None:
        """Does something that may not disturb the server."""
        try:
            return act()
        except Exception:
            self.failed(what)
            return None

    def failed(self, what: str) -> None:
        """Says once that something here went wrong; the server goes on."""
        if not self._has_failed:
            self._has_failed = True
            logger.exception("%s; the server is not concerned", what)

    def full(self) -> None:
        """Says once that open calls hold as much as they may."""
        if not self._is_full:
            self._is_full = True
            logger.warning("the calls that are open hold as much as they may together; of some not everything is recorded")

    def too_late(self) -> None:
        """Says once that attributes came after the end of their call."""
        if not self._was_late:
            self._was_late = True
            logger.warning("attributes were set after their call had been answered; they are not recorded")
