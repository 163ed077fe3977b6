"""One open request: a span that is started, and ended whatever happens to the request."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import semconv
from .messages import Attributes, Body, Ending, Target, answer_body, member, request_body

if TYPE_CHECKING:
    from .observer import Observer

# How many lines of progress one call has at most, and how many lines of any kind.
_PROGRESS_LINES = 100
_LINES = 10_000
_LINE_BYTES = 64 * 1024
# The most bytes of a text among the attributes with which a late answer is told.
_SHORT = 256
_KINDS = {SpanKind.SERVER: 2, SpanKind.CLIENT: 3}
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def remote(carrier: Mapping[str, Any] | None) -> SpanContext | None:
    """The span that a ``traceparent`` names."""
    if not isinstance(carrier, Mapping):
        return None
    parent = carrier.get("traceparent")
    if not isinstance(parent, str) or not _TRACEPARENT.match(parent.strip()):
        return None
    texts = {key: value for key in ("traceparent", "tracestate") if isinstance(value := carrier.get(key), str)}
    found = TraceContextTextMapPropagator().extract(texts, otel_context.Context())
    span = trace.get_current_span(found).get_span_context()
    return span if span.is_valid else None


class Call:
    """A request that runs."""

    def __init__(
        self,
        observer: Observer,
        kind: SpanKind,
        method: str,
        target: Target,
        attributes: Attributes,
        *,
        meta: Any = None,
        header_parent: SpanContext | None = None,
        bodies: bool,
    ) -> None:
        self.observer = observer
        self.method = method
        self.target = target
        self.bodies = bodies
        self.is_over = False
        self.long_lived = method == "subscriptions/listen"
        self.progress = 0
        self.lines = 0
        self.token: str | None = None
        self.attributes = attributes
        self._size = 0
        self._at = time.time_ns()
        self._name = target.span_name(method)
        self._kind = kind
        ambient = otel_context.get_current()
        around = trace.get_current_span(ambient).get_span_context()
        if kind is SpanKind.CLIENT:
            # The server's own request. It is linked to the call that it was made in, and not below it: what is below a request
            # of the same service counts as a step of that.
            sent, above, parent = None, None, otel_context.Context()
            links = [Link(around)] if around.is_valid else []
        else:
            # A context in `_meta` is the parent, and what is current becomes a link, as the conventions for MCP say.
            sent, parent = remote(meta), ambient
            links = [Link(around)] if sent is not None and around.is_valid else []
            above = sent or (around if around.is_valid else header_parent)
        self._parent = above
        if above is not None and above is not around:
            parent = trace.set_span_in_context(NonRecordingSpan(above), ambient)
        redact = observer.capture.redactor
        self.attributes = redact.value(attributes)
        self.span = observer.telemetry.start(redact.text(self._name), kind, self.attributes, links, parent, self._at)
        self.span_context = self.span.get_span_context()
        self.context = trace.set_span_in_context(self.span, ambient)
        self._is_recording = self.span.is_recording()
        if self._is_recording:
            observer.running.add(self)

    @property
    def span_id(self) -> str:
        return format(self.span_context.span_id, "016x")

    def set(self, attributes: Attributes) -> None:
        """Adds what became known meanwhile."""
        if self._is_recording and attributes:
            attributes = self.observer.capture.redactor.value(attributes)
            self.attributes = {**self.attributes, **attributes}
            self.span.set_attributes(attributes)

    def hold_request(self, message: Mapping[str, Any]) -> None:
        if self.bodies and self._is_recording:
            self._hold(Body.of(request_body(message), self.observer.capture.body_cap), "REQUEST")

    def hold_text(self, text: str, size: int, part: str) -> None:
        """A body that is no message."""
        if self.bodies and self._is_recording and size > 0:
            body = Body.of_text(text, self.observer.capture.body_cap)
            self._hold(Body(body.text, max(size, body.size)), part)

    def _hold(self, body: Body, part: str) -> None:
        held = len(body.text)
        text, size, truncated = (getattr(semconv, f"{part}_{what}") for what in ("BODY", "SIZE", "TRUNCATED"))
        courier = self.observer.telemetry.courier

        def set_body() -> None:
            attributes: Attributes = {
                text: self.observer.capture.redactor.json(body.text), size: body.size, truncated: body.is_cut,
            }
            self.attributes = {**self.attributes, **attributes}
            self.span.set_attributes(attributes)

        if courier.room(held) and courier.later(set_body, held):
            self._size += held
        else:
            self.span.set_attributes({size: body.size, truncated: True})

    def log(
        self, severity: SeverityNumber, body: str, attributes: Attributes | None = None, at: int | None = None
    ) -> None:
        """Writes a line of its console output."""
        if not self.bodies or not self._is_recording or self.lines >= _LINES:
            return
        self.lines += 1
        at = time.time_ns() if at is None else at
        body = body if len(body) <= _LINE_BYTES else body[:_LINE_BYTES]
        observer, span = self.observer, self.span_context

        def emit() -> None:
            redact = observer.capture.redactor
            observer.telemetry.emit(span, at, severity, redact.text(body), redact.value(attributes or {}))

        observer.telemetry.courier.later(emit, len(body))

    def progressed(self, params: Any) -> None:
        """The server tells how far it is."""
        self.progress += 1
        if self.progress > _PROGRESS_LINES:
            return
        body = f"progress {member(params, 'progress')}"
        if member(params, "total") is not None:
            body += f" of {member(params, 'total')}"
        if isinstance(message := member(params, "message"), str):
            body += f": {message}"
        self.log(SeverityNumber.DEBUG, body)

    def answered(self, answer: Mapping[str, Any], at: int | None = None) -> None:
        """Ends it with its answer."""
        if self.bodies and self._is_recording and not self.is_over:
            self._hold(Body.of(answer_body(answer), self.observer.capture.body_cap), "RESPONSE")
        self.end(Ending.of(self.method, answer), at)

    def end(self, ending: Ending, at: int | None = None) -> None:
        """Ends it, once."""
        if self.is_over:
            return
        self.is_over = True
        self.observer.running.ended(self)
        if not self._is_recording:
            return
        at = time.time_ns() if at is None else at
        self.set(ending.attributes)
        if self.progress:
            self.set({semconv.PROGRESS_COUNT: self.progress})
        span, telemetry = self.span, self.observer.telemetry

        def finish() -> None:
            if ending.is_error:
                said = self.observer.capture.redactor.text(ending.said or "")
                span.set_status(Status(StatusCode.ERROR, said or None))
            telemetry.end(span, at, self._size)

        if not telemetry.courier.later(finish):
            # There is no room to redact what was said; the rest of the record is as it should be.
            if ending.is_error:
                span.set_status(Status(StatusCode.ERROR))
            span.end(end_time=at)

    def _told(self, attributes: Attributes) -> None:
        told: Attributes = {**attributes, semconv.SPAN_KIND: _KINDS[self._kind]}
        if self._parent is not None:
            told[semconv.SPAN_PARENT] = format(self._parent.span_id, "016x")
        telemetry = self.observer.telemetry
        name = self.observer.capture.redactor.text(self._name)
        telemetry.emit(self.span_context, self._at, SeverityNumber.DEBUG, name, told, semconv.CALL_RUNNING)

    def announce(self) -> None:
        """Tells that it runs, by a log record with the ids and attributes of its span."""
        courier = self.observer.telemetry.courier
        courier.later(lambda: None if self.is_over else self._told(self.attributes), self._size)

    def tell_late(self) -> None:
        """Tells that an answer came after it had been given up."""
        short = {
            key: value
            for key, value in self.attributes.items()
            if not isinstance(value, Sequence) or (isinstance(value, str) and len(value) <= _SHORT)
        }
        self.observer.telemetry.courier.later(lambda: self._told({**short, semconv.LATE: True}))

    def beat(self, ended: list[str]) -> None:
        """Says that its process lives, and which announced requests ended a while ago."""
        telemetry = self.observer.telemetry
        attributes: Attributes = {semconv.ENDED: ended} if ended else {}
        at = time.time_ns()
        telemetry.courier.later(
            lambda: telemetry.emit(None, at, SeverityNumber.DEBUG, "", attributes, semconv.HEARTBEAT)
        )
