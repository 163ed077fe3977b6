"""A collector that keeps what it is sent."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mcptap import Capture
from mcptap.observer import Caller, Observer
from mcptap.telemetry import Telemetry


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes(record: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in record.attributes}


class Collector:
    def __init__(self) -> None:
        self.status = 200
        self.limit = 1 << 30
        self.spans: list[Any] = []
        self.logs: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.asked = 0
        self.headers: dict[str, str] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.asked += 1
                collector.headers = {name.lower(): value for name, value in self.headers.items()}
                status = collector.status if len(body) <= collector.limit else 413
                if status == 200:
                    collector.take(self.path, body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes(resource.resource))
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        else:
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.logs += [record for scope in resource.scope_logs for record in scope.log_records]

    def text(self) -> str:
        return f"{self.spans}{self.logs}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "MCPTAP_CAPTURE"):
        monkeypatch.delenv(name, raising=False)
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def observe(collector: Collector) -> Iterator[Any]:
    made: list[Observer] = []

    def observe(capture: Capture | None = None, caller: Caller | None = None, **options: Any) -> Observer:
        telemetry = Telemetry("shop", collector.url, **options)
        made.append(Observer(telemetry, capture or Capture(), "shop", caller))
        return made[-1]

    yield observe
    for observer in made:
        observer.telemetry.courier.close(0.1)
