"""Where records go: spans through the application's tracer provider, if it has one, and always to mcptap."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import parent_process
from multiprocessing.util import Finalize, register_after_fork
from typing import Any
from urllib.parse import unquote
from weakref import WeakSet

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext, SpanKind

from . import exporters, semconv, spool
from .courier import Courier

SCOPE = "mcptap"
# Far shorter than OpenTelemetry's 5 s, so that a feed of calls feels live and a process that is killed loses little.
_LINGER = 0.1

try:
    VERSION = version("mcptap")
except PackageNotFoundError:
    VERSION = "0"


def service_name_of_environment() -> str | None:
    """The name that somebody gave the service."""
    name = exporters.variable("OTEL_SERVICE_NAME")
    if name:
        return name
    for pair in (exporters.variable("OTEL_RESOURCE_ATTRIBUTES") or "").split(","):
        key, _, value = pair.partition("=")
        if unquote(key.strip()) == semconv.SERVICE_NAME and value.strip():
            return unquote(value.strip())
    return None


_telemetries: WeakSet[Telemetry] = WeakSet()


def _forked() -> None:
    for telemetry in list(_telemetries):
        telemetry.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Telemetry:
    """The providers of one instrumented server. Nothing is started before the first request."""

    def __init__(self, name: str, endpoint: str | None = None, api_key: str | None = None) -> None:
        self._name, self._endpoint, self._api_key = name, endpoint, api_key
        self.process = 0
        """Which of a line of processes this is, each forked from the one before it."""
        self._begin()
        _telemetries.add(self)
        # Its children end without the functions of `atexit`; so do those that it is started as.
        register_after_fork(self, Telemetry._finish_with_process)
        if parent_process() is not None:
            self._finish_with_process()

    def _begin(self) -> None:
        linger = exporters.variable("OTEL_BSP_SCHEDULE_DELAY")
        self.courier = Courier(
            exporters.of_environment(self._endpoint, self._api_key),  # type: ignore[arg-type]
            float(linger) / 1000 if linger and linger.isdigit() else _LINGER,
            spool.of_environment(exporters.address(self._endpoint)),
        )
        attributes: dict[str, Any] = {semconv.PROCESS_PID: os.getpid(), semconv.SERVICE_NAME: self._name}
        resource = Resource.create()
        if not resource.attributes.get(semconv.SERVICE_INSTANCE_ID):
            attributes[semconv.SERVICE_INSTANCE_ID] = str(uuid.uuid4())
        self.resource = resource.merge(Resource(attributes))
        # The specification's default asks the parent, so that a client which does not sample would hide its calls.
        sampler = None if exporters.variable("OTEL_TRACES_SAMPLER") else ALWAYS_ON
        self._own = TracerProvider(sampler=sampler, resource=self.resource, shutdown_on_exit=False)
        self._sends_logs = self.courier.sends("logs")
        self._loggers = LoggerProvider(resource=self.resource, shutdown_on_exit=False)
        self._loggers.add_log_record_processor(_Logs(self.courier))
        self._logger = self._loggers.get_logger(SCOPE, VERSION)

    def forked(self) -> None:
        """Begins anew in the child of a fork, which is a process of its own: connections, threads and names are its parent's."""
        self.courier.abandon()
        self.process += 1
        self._begin()

    def _finish_with_process(self) -> None:
        Finalize(self, self.courier.close, exitpriority=0)

    @property
    def sends(self) -> bool:
        """Whether spans are sent at all."""
        return self.courier.sends("spans")

    def start(
        self, name: str, kind: SpanKind, attributes: Mapping[str, Any], links: list[Link], parent: Any, at: int
    ) -> trace.Span:
        """Starts a span: one of the application's provider, where there is one, so that its exporters have it as well."""
        joined = trace.get_tracer_provider()
        provider = joined if isinstance(joined, TracerProvider) else self._own
        tracer = provider.get_tracer(SCOPE, VERSION)
        return tracer.start_span(
            name, context=parent, kind=kind, attributes=attributes, links=links, start_time=at,
            record_exception=False, set_status_on_exception=False,
        )

    def end(self, span: trace.Span, at: int, size: int) -> None:
        """Ends a span, and sends it. For the courier's thread."""
        span.end(end_time=at)
        if isinstance(span, ReadableSpan) and span.context is not None and span.context.trace_flags.sampled:
            self.courier.send("spans", span, size)

    def emit(
        self,
        span: SpanContext | None,
        at: int,
        severity: SeverityNumber,
        body: str,
        attributes: Mapping[str, Any],
        event: str | None = None,
    ) -> None:
        """Writes a log record. For the courier's thread."""
        if not self._sends_logs:
            return
        record = LogRecord(
            timestamp=at,
            observed_timestamp=at,
            context=trace.set_span_in_context(trace.NonRecordingSpan(span), otel_context.Context())
            if span is not None
            else otel_context.Context(),
            severity_number=severity,
            severity_text=severity.name,
            body=body or None,
            attributes=dict(attributes),
            event_name=event,
        )
        self._logger.emit(record)


class _Logs(LogRecordProcessor):
    """Gives log records to the courier."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def on_emit(self, log_record: Any) -> None:
        body = log_record.log_record.body
        self._courier.send("logs", log_record, len(body) if isinstance(body, str) else 0)

    def emit(self, log_data: Any) -> None:
        # Its name before OpenTelemetry 1.39.
        self.on_emit(log_data)

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

