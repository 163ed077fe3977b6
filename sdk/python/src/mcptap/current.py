"""The call that code runs in, for the code itself."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import call
from .observer import current_call

R = TypeVar("R")

_CALLER = "enduser.id"


class Call:
    """The call that the current code runs in.

    It goes along to tasks of ``asyncio`` and ``anyio``, to ``asyncio.to_thread`` and ``anyio.to_thread``. To other threads it is
    taken with :meth:`run`. Nothing here fails, whatever it is given: the log says what could not be recorded.
    """

    def __init__(self, own: call.Call) -> None:
        self._own = own

    @staticmethod
    def current() -> Call | None:
        """The call that is handled here. ``None`` outside of calls, where nothing is instrumented, and where nobody takes
        records."""
        own = current_call.get()
        return None if own is None else Call(own)

    def set(self, key: str, value: Any) -> None:
        """Sets an attribute of the call, in place of one that was set with that name. What is no value of attributes, such as a
        dictionary, is written as JSON. Secrets are cut out of it; after the end of the call nothing happens, and the log says so
        once.

        Of each call 64 names and 64 KiB are kept; ``mcptap.dropped_attributes`` counts the values that there was no room for.
        What the record says by itself, such as ``error.type``, stays as it is."""
        self._safely("an attribute could not be set", lambda: self._own.give(key, value))

    def caller(self, id: str) -> None:
        """Says who calls: the id of a user or an account, as the attribute ``enduser.id``."""
        self.set(_CALLER, id)

    def exception(self, error: BaseException) -> None:
        """Records an error, as the event ``exception``: its type, its message and its stack, with its causes. Those that leave a
        handler are recorded by themselves; this is for what a tool handles itself. Message and stack are cut at 64 KiB each,
        secrets are cut out of both, and where bodies of the call are not kept, the type alone is recorded. How the call ends is
        said by its answer all the same."""
        self._safely("an exception could not be recorded", lambda: self._own.raised(error))

    def inject(self, into: MutableMapping[str, Any]) -> None:
        """Writes the trace and the baggage into what goes out to another server: the headers of an HTTP request, or the ``_meta``
        of a request of MCP. What is asked there is then below the call, or below the span that is current in it."""
        self._safely("a trace could not be injected", lambda: self._inject(into))

    def _inject(self, into: MutableMapping[str, Any]) -> None:
        def trace_of(context: otel_context.Context) -> int:
            return trace.get_current_span(context).get_span_context().trace_id

        current, own = otel_context.get_current(), self._own.context
        context = current if trace_of(current) == trace_of(own) else own
        for propagator in (TraceContextTextMapPropagator(), W3CBaggagePropagator(), propagate.get_global_textmap()):
            propagator.inject(into, context)

    def run(self, function: Callable[..., R], *arguments: Any, **options: Any) -> R:
        """Runs a function within the call, on whatever thread: ``executor.submit(call.run, work, 1)``."""
        attached = otel_context.attach(self._own.context)
        token = current_call.set(self._own)
        try:
            return function(*arguments, **options)
        finally:
            current_call.reset(token)
            otel_context.detach(attached)

    def _safely(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            self._own.observer.failed(what)
