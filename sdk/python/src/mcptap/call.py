"""One open request: a span that is started, and ended whatever happens to the request."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import semconv
from .body import Body, beginning
from .given import MOST_BYTES, Given
from .messages import Attributes, Ending, Target, answer_body, member, request_body
from .raised import described

if TYPE_CHECKING:
    from .observer import Observer
    from .sampling import Sampling

# How many lines of progress one call has at most, and how many lines of any kind.
_PROGRESS_LINES = 100
_LINES = 10_000
# The most bytes that are kept of a line, and of a text that is no body.
_LINE_BYTES = 64 * 1024
_TEXT_BYTES = 64 * 1024
# How many exceptions of one call are recorded.
_EXCEPTIONS = 32
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


def with_baggage(context: otel_context.Context, *carriers: Any) -> otel_context.Context:
    """The same context with the baggage of the first of these that carries any (W3C Baggage)."""
    for carrier in carriers:
        sent = carrier.get("baggage") if isinstance(carrier, Mapping) else None
        if isinstance(sent, str):
            return W3CBaggagePropagator().extract({"baggage": sent}, context)
    return context


def _plain(value: Any) -> Any:
    """A value as attributes may be: what is none is written as JSON."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and value and all(type(each) is type(value[0]) for each in value):
        if isinstance(value[0], (str, bool, int, float)):
            return tuple(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def size_of(attributes: Mapping[str, Any]) -> int:
    """About how many bytes attributes take."""
    size = 0
    for name, value in attributes.items():
        texts = value if isinstance(value, (list, tuple)) else (value,)
        size += len(name) + sum(len(each) if isinstance(each, str) else 8 for each in texts)
    return size


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
        said: Attributes | None = None,
        id: Any = None,
        meta: Any = None,
        header_parent: SpanContext | None = None,
        headers: Mapping[str, str] | None = None,
        bodies: bool,
        sampling: Sampling | None = None,
    ) -> None:
        """``said`` are attributes that the application adds when it begins, which its code may change."""
        self.observer = observer
        self.method = method
        self.target = target
        self.id = id
        self.side: Literal["client", "server"] = "client" if kind is SpanKind.SERVER else "server"
        self.bodies = bodies
        self.is_over = False
        self.is_awaited = False
        """Whether the body of an HTTP answer is still to come, in which its own answer will be."""
        self.is_ambiguous = False
        """Whether an answer came that may be its own or that of another with the same id."""
        self.long_lived = method == "subscriptions/listen"
        self.progress = 0
        self.lines = 0
        self.token: str | None = None
        self._size = 0
        self._held = 0
        self._process = observer.telemetry.process
        self._at = time.time_ns()
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
            sent, parent = remote(meta), with_baggage(ambient, meta, headers)
            links = [Link(around)] if sent is not None and around.is_valid else []
            above = sent or (around if around.is_valid else header_parent)
        self._parent = above
        if above is not None and above is not around:
            parent = trace.set_span_in_context(NonRecordingSpan(above), parent)
        self._name = self._shown(target.span_name(method))
        self._own = set(attributes)
        self._given = Given()
        self._exceptions: list[int] = []
        self.attributes = self._redacted({**attributes, **(said or {})})
        self._sampling = sampling
        self._links, self._above = links, parent
        self._is_recording = False
        self.span: trace.Span = trace.INVALID_SPAN
        # One of the server's own is in its call, and what it asks of others is below that.
        self._around = ambient if kind is SpanKind.CLIENT else parent
        self.context = self._around
        # One that is not chosen has a record only if it fails.
        self._is_chosen = sampling is None or sampling.takes_next()
        if self._is_chosen:
            self._begin()
            if self._is_recording:
                observer.running.add(self)

    def _begin(self) -> None:
        """Starts its span."""
        self.span = self.observer.telemetry.start(
            self._name, self._kind, self.attributes, self._links, self._above, self._at
        )
        self.context = trace.set_span_in_context(self.span, self._around)
        self._is_recording = self.span.is_recording()
        if self._is_recording:
            self._hold_bytes(size_of(self.attributes), is_forced=True)

    def _weigh(self, ending: Ending) -> None:
        """Sees to it that a failure is recorded, and that a success says for how many it stands."""
        if self._sampling is None:
            return
        if not ending.is_success:
            if not self._is_chosen:
                self._is_chosen = True
                self._begin()
        elif self._is_chosen:
            self.set({semconv.WEIGHT: self._sampling.weight()})
        else:
            self._sampling.skip()

    @property
    def span_context(self) -> SpanContext:
        return self.span.get_span_context()

    @property
    def span_id(self) -> str:
        return format(self.span_context.span_id, "016x")

    def _shown(self, text: str) -> str:
        return beginning(text, _TEXT_BYTES, self.observer.capture.redactor)

    def _redacted(self, attributes: Mapping[str, Any]) -> Attributes:
        redact = self.observer.capture.redactor
        return {
            redact.text(name): self._shown(value) if isinstance(value, str) and len(value) > _TEXT_BYTES // 4 else value
            for name, value in redact.value({str(name): _plain(value) for name, value in attributes.items()}).items()
        }

    def _hold_bytes(self, size: int, is_forced: bool = False) -> bool:
        """Takes so many bytes of what open calls may hold together, until it ends. Whether there was room."""
        if not self.observer.open_bytes.take(size, is_forced):
            return False
        self._held += size
        return True

    def _release(self) -> None:
        self.observer.open_bytes.give(self._held)
        self._held = 0

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Adds what became known meanwhile."""
        self._own.update(attributes)
        if not attributes or not (self._is_recording or not self._is_chosen):
            return
        redacted = self._redacted(attributes)
        if not self._is_chosen:
            self.attributes = {**self.attributes, **redacted}
            return
        if not self._hold_bytes(size_of(redacted)):
            self.observer.full()
            return
        self.attributes = {**self.attributes, **redacted}
        self.span.set_attributes(redacted)

    def give(self, name: str, value: Any) -> None:
        """Adds what the application's code says."""
        if self.is_over:
            self.observer.too_late()
            return
        if self._is_chosen and not self._is_recording:
            return
        value = _plain(value)
        size = size_of({name: value})
        more = self._given.more(size)
        if size > MOST_BYTES or not self._hold_bytes(more):
            self._given.drop(name)
            return
        for shown, redacted in self._redacted({str(name): value}).items():
            self._given.put(shown, redacted, size)

    def raised(self, error: BaseException) -> None:
        """Records an exception, once however many handlers it passes."""
        if self.is_over or not self._is_recording or id(error) in self._exceptions or len(self._exceptions) >= _EXCEPTIONS:
            return
        self._exceptions.append(id(error))
        at = time.time_ns()
        said = described(error, self.bodies)
        size = size_of(said)

        def add() -> None:
            self.span.add_event("exception", {name: self._shown(text) for name, text in said.items()}, at)

        courier = self.observer.telemetry.courier
        if courier.room(size) and self._hold_bytes(size) and courier.later(add, size):
            self._size += size
        else:
            self.observer.full()

    def hold_request(self, message: Mapping[str, Any]) -> None:
        if self.bodies and self._is_recording:
            self._hold(Body.of(request_body(message), self.observer.capture.body_cap), "REQUEST")

    def hold_text(self, text: str, size: int, part: str, most: int) -> None:
        """A body that is no message, of which so many bytes are shown."""
        if self.bodies and self._is_recording and size > 0:
            self._hold(Body.of_text(text, size, min(most, self.observer.capture.body_cap)), part)

    def _hold(self, body: Body, part: str) -> None:
        held = len(body.text)
        text, size, truncated = (getattr(semconv, f"{part}_{what}") for what in ("BODY", "SIZE", "TRUNCATED"))
        courier = self.observer.telemetry.courier

        def set_body() -> None:
            attributes: Attributes = {
                text: body.redacted(self.observer.capture.redactor), size: body.size, truncated: body.is_cut,
            }
            self.attributes = {**self.attributes, **attributes}
            self.span.set_attributes(attributes)

        if courier.room(held) and self._hold_bytes(held):
            if courier.later(set_body, held):
                self._size += held
                return
        self.observer.full()
        self.span.set_attributes({size: body.size, truncated: True})

    def log(
        self, severity: SeverityNumber, body: str, attributes: Attributes | None = None, at: int | None = None
    ) -> None:
        """Writes a line of its console output."""
        if not self.bodies or not self._is_recording or self.lines >= _LINES:
            return
        self.lines += 1
        at = time.time_ns() if at is None else at
        said = attributes or {}
        observer, span = self.observer, self.span_context
        if not observer.telemetry.courier.room(len(body) + size_of(said)):
            observer.telemetry.courier.drop()
            return

        def emit() -> None:
            shown = beginning(body, _LINE_BYTES, observer.capture.redactor)
            observer.telemetry.emit(span, at, severity, shown, self._redacted(said))

        observer.telemetry.courier.later(emit, len(body) + size_of(said))

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
        ending = Ending.of(self.method, answer)
        if not self.is_over:
            self._weigh(ending)
            if self.bodies and self._is_recording:
                self._hold(Body.of(answer_body(answer), self.observer.capture.body_cap), "RESPONSE")
        self._end(ending, at)

    def end(self, ending: Ending, at: int | None = None) -> None:
        """Ends it, once."""
        if not self.is_over:
            self._weigh(ending)
        self._end(ending, at)

    def _end(self, ending: Ending, at: int | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.observer.running.ended(self)
        # The child of a fork has the calls of its parent, too, which ends them itself.
        if self._process != self.observer.telemetry.process:
            return
        if not self._is_recording:
            self._release()
            return
        at = time.time_ns() if at is None else at
        self.set(ending.attributes)
        if self.progress:
            self.set({semconv.PROGRESS_COUNT: self.progress})
        given = self._given.all(self._own)
        self.attributes = {**self.attributes, **given}
        self.span.set_attributes(given)
        span, telemetry = self.span, self.observer.telemetry

        def finish() -> None:
            if ending.is_error:
                span.set_status(Status(StatusCode.ERROR, self._shown(ending.said or "") or None))
            self._release()
            telemetry.end(span, at, self._size + size_of(self.attributes))

        if not telemetry.courier.later(finish, len(ending.said or "")):
            # There is no room to redact what was said; the rest of the record is as it should be.
            self._release()
            if ending.is_error:
                span.set_status(Status(StatusCode.ERROR))
            span.end(end_time=at)

    def announce(self) -> None:
        """Tells that it runs, by a log record with the ids and attributes of its span."""
        courier = self.observer.telemetry.courier
        def tell() -> None:
            if not self.is_over:
                self._teller().told({**self.attributes, **self._given.all(self._own)})

        courier.later(tell, self._size)

    def late(self) -> Late:
        """What is remembered of it once it is given up, without its long attributes."""
        short = {
            key: value
            for key, value in self.attributes.items()
            if not isinstance(value, (str, list, tuple)) or (isinstance(value, str) and len(value) <= _SHORT)
        }
        return Late(self._teller(), self.bodies and self._is_recording, short)

    def _teller(self) -> _Teller:
        return _Teller(self.observer, self.span_context, self._parent, self._kind, self._name, self._at)

    def beat(self, ended: list[str]) -> None:
        """Says that its process lives, and which announced requests ended a while ago."""
        telemetry = self.observer.telemetry
        attributes: Attributes = {semconv.ENDED: ended} if ended else {}
        at = time.time_ns()
        telemetry.courier.later(
            lambda: telemetry.emit(None, at, SeverityNumber.DEBUG, "", attributes, semconv.HEARTBEAT)
        )


@dataclass(frozen=True)
class _Teller:
    """Tells of a call by log records with the ids of its span."""

    observer: Observer
    span: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    name: str
    at: int

    def told(self, attributes: Attributes) -> None:
        told: Attributes = {**attributes, semconv.SPAN_KIND: _KINDS[self.kind]}
        if self.parent is not None:
            told[semconv.SPAN_PARENT] = format(self.parent.span_id, "016x")
        self.observer.telemetry.emit(self.span, self.at, SeverityNumber.DEBUG, self.name, told, semconv.CALL_RUNNING)


@dataclass(frozen=True)
class Late:
    """A call that was given up, for the answer that may still come."""

    teller: _Teller
    has_lines: bool
    attributes: Attributes

    def tell(self) -> None:
        """Tells that an answer came."""
        telemetry, at = self.teller.observer.telemetry, time.time_ns()
        if self.has_lines:
            said = "the answer came after the request was cancelled"
            telemetry.courier.later(lambda: telemetry.emit(self.teller.span, at, SeverityNumber.WARN, said, {}))
        telemetry.courier.later(lambda: self.teller.told({**self.attributes, semconv.LATE: True}))
