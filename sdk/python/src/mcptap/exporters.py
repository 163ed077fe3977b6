"""OpenTelemetry's exporters, and what became of a batch that one was given."""

from __future__ import annotations

import gzip
import logging
import os
import threading
import zlib
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from .courier import Signal, logger

HTTP_ENDPOINT = "http://127.0.0.1:4318"
GRPC_ENDPOINT = "http://127.0.0.1:4317"

# No status of HTTP that exporters try again after: older ones do after all from 500 on.
_AWAY = 499

Outcome = Literal["sent", "away", "refused"]

_ADVICE = {
    401: "an API key is missing or wrong: OTEL_EXPORTER_OTLP_HEADERS=x-api-key=…",
    403: "the API key may not be used for this server, or has not the scope ingest",
    404: "the endpoint's path is wrong: OTEL_EXPORTER_OTLP_ENDPOINT has none, exporters add /v1/traces",
}


def variable(name: str) -> str | None:
    """A variable's value; an empty one counts as not set, as the specification says."""
    return os.environ.get(name, "").strip() or None


def is_off(signal: Signal) -> bool:
    exporter = {"spans": "OTEL_TRACES_EXPORTER", "logs": "OTEL_LOGS_EXPORTER"}[signal]
    disabled = (variable("OTEL_SDK_DISABLED") or "").lower() == "true"
    return disabled or (variable(exporter) or "").lower() == "none"


def of_environment(endpoint: str | None, api_key: str | None) -> dict[Signal, Exporter]:
    """The exporters that the variables ask for; ``endpoint``, a base URL of OTLP over HTTP, wins over them."""
    signals: tuple[Signal, ...] = ("spans", "logs")
    said: set[object] = set()
    return {signal: Exporter(signal, endpoint, api_key, said) for signal in signals if endpoint or not is_off(signal)}


def address(endpoint: str | None) -> str:
    """Where records go, in one text."""
    given = [variable(f"OTEL_EXPORTER_OTLP_{own}ENDPOINT") or "" for own in ("", "TRACES_", "LOGS_")]
    return endpoint.rstrip("/") if endpoint else "\n".join(given).rstrip("/\n") or HTTP_ENDPOINT


def _check(endpoint: str) -> None:
    """An address that is none would be tried for ever."""
    try:
        parts = urlsplit(endpoint)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(f"the endpoint is {endpoint!r}; give a URL such as {HTTP_ENDPOINT}")


class Exporter:
    """Sends one signal. What is said once is not said again until something was sent."""

    def __init__(self, signal: Signal, endpoint: str | None, api_key: str | None, said: set[object]) -> None:
        self._signal: Signal = signal
        # A request as it is sent, for what is sent again.
        self._sample: tuple[Any, dict[str, Any]] | None = None
        # By the exporters of both signals.
        self._said = said
        self._is_shut = False
        self._silenced = threading.local()
        own = {"spans": "TRACES", "logs": "LOGS"}[signal]

        def either(what: str) -> str | None:
            return variable(f"OTEL_EXPORTER_OTLP_{own}_{what}") or variable(f"OTEL_EXPORTER_OTLP_{what}")

        protocol = None if endpoint else either("PROTOCOL")
        if protocol not in (None, "http/protobuf", "grpc"):
            raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; give http/protobuf or grpc")
        self._status: int | None = None
        self._is_asked = False
        # Where the transport is ours.
        self._knows_asking = protocol != "grpc"
        headers = {"x-api-key": api_key} if api_key else {}
        self._where = endpoint or either("ENDPOINT") or (GRPC_ENDPOINT if protocol == "grpc" else HTTP_ENDPOINT)
        if protocol != "grpc":
            _check(self._where)
        self._exporter = (
            _grpc(signal, self._where, headers) if protocol == "grpc" else self._http(signal, endpoint, either, headers)
        )
        # They tell of every try; here each kind of trouble is told once.
        for name in ("opentelemetry.exporter.otlp", type(self._exporter).__module__):
            logging.getLogger(name).addFilter(self._is_told)
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("opentelemetry.exporter."):
                logging.getLogger(name).addFilter(self._is_told)

    def _http(self, signal: Signal, endpoint: str | None, either: Any, headers: dict[str, str]) -> Any:
        import requests
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = self

        class Session(requests.Session):
            """Notes the status of the last answer, which exporters keep to themselves; and has them not try again where nobody
            takes records, since that holds up what else is to be done: the courier tries again."""

            def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
                exporter._status, exporter._is_asked = None, True
                exporter._sample = (request.copy(), options)
                try:
                    response = super().send(request, **options)
                    exporter._status = response.status_code
                except requests.RequestException:
                    response = requests.Response()
                    response.status_code, response.request, response.url = _AWAY, request, request.url or ""
                if response.status_code in (408, 429, 502, 503, 504):
                    response.status_code = _AWAY
                return response

        made = {"spans": OTLPSpanExporter, "logs": OTLPLogExporter}[signal]
        path = {"spans": "/v1/traces", "logs": "/v1/logs"}[signal]
        self._session = Session()
        options: dict[str, Any] = {"session": self._session}
        if headers:
            options["headers"] = headers
        if endpoint or not either("ENDPOINT"):
            options["endpoint"] = (endpoint or HTTP_ENDPOINT).rstrip("/") + path
        if not either("COMPRESSION"):
            # Bodies are texts, which compress well.
            options["compression"] = Compression.Gzip
        return made(**options)

    def export(self, batch: list[Any]) -> Outcome:
        self._silenced.on = True
        self._status, self._is_asked = None, False
        try:
            result = self._exporter.export(batch)
        except Exception as error:
            # An exporter that fails so has a batch that it cannot write: it would fail again. Older ones fail by one record.
            if len(batch) > 1 and self._knows_asking and not self._is_asked:
                return self._halves(batch)
            self._say(type(error), f"records could not be sent: {error!r}")
            return "refused"
        finally:
            self._silenced.on = False
        if result.name == "SUCCESS":
            self._said.clear()
            return "sent"
        if self._is_shut:
            return "away"
        if self._knows_asking and not self._is_asked:
            # Nobody was asked: something in it cannot be written. The others can.
            if len(batch) == 1:
                self._say("unwritable", "a record could not be written, and is dropped")
                return "refused"
            return self._halves(batch)
        if self._status == 413 and len(batch) > 1:
            # It is too large for what is in front of the collector.
            return self._halves(batch)
        return self._failed(self._status)

    def _failed(self, status: int | None) -> Outcome:
        """What becomes of what was answered with this status, which is no success."""
        if status is not None and 400 <= status < 500 and status not in (408, 429):
            advice = _ADVICE.get(status, "such records would be refused again, and are dropped")
            self._say(status, f"{self._where} refuses records with HTTP {status}; {advice}")
            return "refused"
        self._say("away", f"{self._where} does not take records; they wait. Is mcptap running there?")
        return "away"

    @property
    def can_wait_on_disk(self) -> bool:
        """Whether what it sends can be written as bytes, and sent again. Not over gRPC."""
        return self._knows_asking and _encoder(self._signal) is not None

    def written(self, batch: list[Any]) -> bytes | None:
        """Records as they are sent, or ``None`` where something in them cannot be written."""
        encode = _encoder(self._signal)
        try:
            return bytes(encode(batch).SerializeToString()) if encode is not None else None
        except Exception as error:
            self._say("unwritable", f"records could not be written, and are dropped: {error!r}")
            return None

    @property
    def can_resend(self) -> bool:
        """Whether something was sent already, so that it is known how."""
        return self._sample is not None

    def resend(self, data: bytes) -> Outcome:
        """Sends what was written."""
        if self._sample is None or self._is_shut:
            return "away"
        sample, options = self._sample
        request = sample.copy()
        coding = request.headers.get("Content-Encoding")
        request.body = gzip.compress(data) if coding == "gzip" else zlib.compress(data) if coding == "deflate" else data
        request.headers["Content-Length"] = str(len(request.body))
        try:
            response = self._session.send(request, **options)
        except Exception as error:
            self._say(type(error), f"records could not be sent: {error!r}")
            return "away"
        return "sent" if response.ok else self._failed(self._status)

    def _halves(self, batch: list[Any]) -> Outcome:
        middle = len(batch) // 2
        halves: list[Outcome] = [self.export(batch[:middle]), self.export(batch[middle:])]
        # What was sent already is known by its ids when it comes again.
        return "away" if "away" in halves else "sent"

    def shutdown(self) -> None:
        self._is_shut = True
        self._exporter.shutdown()

    def _say(self, what: object, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning(text)

    def _is_told(self, _record: logging.LogRecord) -> bool:
        return not getattr(self._silenced, "on", False)


def _encoder(signal: Signal) -> Callable[[list[Any]], Any] | None:
    """What makes messages of records. Where this version of OpenTelemetry keeps it elsewhere, nothing is kept on disk."""
    try:
        if signal == "spans":
            from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

            return encode_spans
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs

        return encode_logs
    except ImportError:
        return None


def _grpc(signal: Signal, endpoint: str, headers: dict[str, str]) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise ValueError("OTEL_EXPORTER_OTLP_PROTOCOL is grpc; that needs: pip install 'mcptap[grpc]'") from None
    made = {"spans": OTLPSpanExporter, "logs": OTLPLogExporter}[signal]
    options: dict[str, Any] = {"endpoint": endpoint}
    if headers:
        options["headers"] = tuple(headers.items())
    return made(**options)
