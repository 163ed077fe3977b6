"""What leaves the process, of messages that pass and of HTTP requests."""

import asyncio
import json
import logging
import threading
import time
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from conftest import Collector, attributes
from mcptap import Capture, Incoming, Redactor
from mcptap.carrier import mask_authorization
from mcptap.conversation import Conversation
from mcptap.http import Middleware
from mcptap.messages import Ending, Target, cut
from mcptap.observer import Carrier

SECRET = "sk-live-0123456789abcdefghij"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


def call(name: str = "get", id: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, **params}}


def answer(id: Any = 1, **result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": result}


def test_no_part_of_a_record_keeps_a_secret(observe: Any, collector: Collector) -> None:
    observer = observe(caller=lambda incoming: {"who": SECRET})
    conversation = Conversation(observer)
    asked = call(f"get {SECRET}", arguments={"api_key": "hunter2", "at": SECRET})
    made = conversation.take("client", asked, Carrier({"x": SECRET}))
    made.log(SeverityNumber.INFO, f"is {SECRET}", {"y": SECRET})
    made.set({"z": SECRET})
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": f"no {SECRET}", "data": {"password": "hunter2"}}}
    conversation.take("server", error, Carrier())
    assert observer.telemetry.courier.flush(10)
    text = collector.text()
    assert len(collector.spans) == 1 and len(collector.logs) == 1
    assert SECRET not in text and "hunter2" not in text
    assert text.count("[redacted]") >= 8, text


def test_a_call_has_what_both_said(observe: Any, collector: Collector) -> None:
    observer = observe(caller=lambda incoming: incoming.params["name"])
    conversation = Conversation(observer)
    conversation.take("client", call(_meta={"traceparent": TRACEPARENT}), Carrier())
    conversation.take("server", answer(isError=True, content=[]), Carrier())
    assert observer.telemetry.courier.flush(10)
    (span,) = collector.spans
    said = attributes(span)
    assert (span.name, span.kind, span.status.code) == ("tools/call get", 2, 2)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACEPARENT[3:35], TRACEPARENT[36:52])
    assert said["jsonrpc.request.id"] == "1" and said["error.type"] == "tool_error" and said["enduser.id"] == "get"
    assert json.loads(said["mcptap.request.body"])["params"]["name"] == "get"
    assert json.loads(said["mcptap.response.body"]) == {"isError": True, "content": []}
    assert said["mcptap.request.truncated"] is False
    assert collector.resources[0]["service.name"] == "shop"
    assert {"service.instance.id", "process.pid"} <= collector.resources[0].keys()


def test_bodies_are_cut_and_their_size_is_kept(observe: Any, collector: Collector) -> None:
    observer = observe(Capture(body_cap=60))
    conversation = Conversation(observer)
    conversation.take("client", call(arguments={"text": "word " * 100}), Carrier())
    conversation.take("server", answer(content=[]), Carrier())
    assert observer.telemetry.courier.flush(10)
    said = attributes(collector.spans[0])
    assert said["mcptap.request.truncated"] and said["mcptap.request.size"] > 500
    assert len(said["mcptap.request.body"]) <= 60
    assert said["mcptap.response.truncated"] is False


def test_metadata_has_no_bodies_and_no_lines(observe: Any, collector: Collector) -> None:
    observer = observe(Capture(mode="metadata"))
    conversation = Conversation(observer)
    conversation.take("client", call(), Carrier())
    message = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "hi"}}
    conversation.take("server", message, Carrier())
    conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert not any("body" in key or "size" in key for key in attributes(collector.spans[0]))
    assert collector.logs == []


def test_a_call_that_runs_is_announced_and_a_late_answer_told(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    made = conversation.take("client", call(), Carrier())
    conversation.take("client", call("short", 2), Carrier())
    conversation.take("server", answer(2), Carrier())
    end = time.monotonic() + 30
    while not collector.logs and time.monotonic() < end:
        time.sleep(0.05)
    (told,) = collector.logs
    said = attributes(told)
    assert (told.event_name, told.span_id.hex(), said["mcptap.span.kind"]) == ("mcptap.call.running", made.span_id, 2)
    assert "mcptap.request.body" in said and said["mcp.method.name"] == "tools/call"
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"}}
    conversation.take("client", cancelled, Carrier())
    conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(10)
    ended = {span.name: span for span in collector.spans}["tools/call get"]
    assert attributes(ended)["mcptap.outcome"] == "cancelled" and ended.status.message == "enough"
    late = [record for record in collector.logs if attributes(record).get("mcptap.late")]
    assert [record.event_name for record in late] == ["mcptap.call.running"]
    assert "mcptap.request.body" not in attributes(late[0]) or len(attributes(late[0])["mcptap.request.body"]) <= 256


def test_a_process_that_has_announced_calls_says_that_it_lives(observe: Any, collector: Collector, monkeypatch: Any) -> None:
    import mcptap.running as running

    monkeypatch.setattr(running, "ANNOUNCED_AFTER", 0.05)
    monkeypatch.setattr(running, "HEARTBEAT", 0.1)
    monkeypatch.setattr(running, "_NAMED_AFTER", 0.0)
    observer = observe()
    conversation = Conversation(observer)
    first = conversation.take("client", call(), Carrier())
    conversation.take("client", call("other", 2), Carrier())
    events = lambda: [record for record in collector.logs if record.event_name == "mcptap.heartbeat"]  # noqa: E731
    end = time.monotonic() + 30
    while not events() and time.monotonic() < end:
        time.sleep(0.05)
    assert events()
    conversation.take("server", answer(), Carrier())
    while not any(attributes(record) for record in events()) and time.monotonic() < end:
        time.sleep(0.05)
    assert any(attributes(record).get("mcptap.ended") == [first.span_id] for record in events())


def test_an_applications_provider_has_the_spans_as_well_and_no_secrets(observe: Any, collector: Collector) -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    before = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = provider
    try:
        observer = observe()
        conversation = Conversation(observer)
        with provider.get_tracer("app").start_as_current_span("POST /mcp") as around:
            made = conversation.take("client", call(arguments={"password": "hunter2"}), Carrier())
            with provider.get_tracer("app").start_as_current_span("query", context=made.context) as inner:
                pass
            conversation.take("server", answer(), Carrier())
        assert observer.telemetry.courier.flush(10)
    finally:
        trace._TRACER_PROVIDER = before
    spans = {span.name: span for span in memory.get_finished_spans()}
    joined = spans["tools/call get"]
    assert joined.parent.span_id == around.get_span_context().span_id
    assert inner.parent.span_id == joined.context.span_id
    assert "hunter2" not in str(joined.attributes)
    assert [span.span_id.hex() for span in collector.spans] == [made.span_id]


def test_a_collector_that_is_away_costs_nothing_and_gets_all_when_it_is_back(observe: Any, collector: Collector) -> None:
    collector.status = 503
    observer = observe()
    conversation = Conversation(observer)
    for id in range(20):
        conversation.take("client", call(id=id), Carrier())
        conversation.take("server", answer(id), Carrier())
    end = time.monotonic() + 30
    while collector.asked == 0 and time.monotonic() < end:
        time.sleep(0.05)
    assert collector.spans == []
    collector.status = 200
    assert observer.telemetry.courier.flush(30)
    assert sorted(int(attributes(span)["jsonrpc.request.id"]) for span in collector.spans) == list(range(20))


def test_what_is_refused_is_dropped_and_said_once(observe: Any, collector: Collector, caplog: Any) -> None:
    collector.status = 401
    observer = observe(api_key="mcptap_x")
    conversation = Conversation(observer)
    for id in range(3):
        conversation.take("client", call(id=id), Carrier())
        conversation.take("server", answer(id), Carrier())
        assert observer.telemetry.courier.flush(10)
    assert collector.headers["x-api-key"] == "mcptap_x"
    said = [record.getMessage() for record in caplog.records if "401" in record.getMessage()]
    assert len(said) == 1 and "x-api-key" in said[0]


def test_what_waits_is_bounded_in_bytes(observe: Any, collector: Collector, monkeypatch: Any) -> None:
    import mcptap.courier as courier

    monkeypatch.setattr(courier, "QUEUE_BYTES", 300_000)
    collector.status = 503
    observer = observe()
    conversation = Conversation(observer)
    for id in range(50):
        conversation.take("client", call(id=id, arguments={"text": "word " * 5000}), Carrier())
        conversation.take("server", answer(id), Carrier())
        assert observer.telemetry.courier._bytes <= 300_000
    collector.status = 200
    assert observer.telemetry.courier.flush(30)
    assert 0 < len(collector.spans) <= 50


# === over HTTP ===


def head(method: str = "POST", **headers: str) -> dict[str, Any]:
    given = {"accept": "application/json, text/event-stream", "content-type": "application/json", **headers}
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return {
        "type": "http", "method": method, "path": "/mcp", "query_string": b"", "headers": pairs, "http_version": "1.1",
        "client": ("203.0.113.9", 4711),
    }


def exchange(app: Any, observer: Any, scope: dict[str, Any], body: bytes) -> list[dict[str, Any]]:
    """Sends a request in two pieces through the middleware."""
    sent: list[dict[str, Any]] = []
    pieces = [
        {"type": "http.request", "body": body[:7], "more_body": True}, {"type": "http.request", "body": body[7:]},
    ]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Middleware(app, observer)(scope, receive, send))
    return sent


def app_of(status: int, *bodies: bytes, reads: bool = True, **headers: str) -> Any:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while reads and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        for at, body in enumerate(bodies):
            await send({"type": "http.response.body", "body": body, "more_body": at + 1 < len(bodies)})

    return app


def test_an_exchange_has_session_status_client_and_address(observe: Any, collector: Collector) -> None:
    observer = observe()
    hello = {
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "clientInfo": {"name": "probe", "version": "1"}},
    }
    said = b"event: message\r\ndata: " + json.dumps(answer(0, protocolVersion="2025-06-18")).encode() + b"\r\n\r\n"
    app = app_of(200, said[:20], said[20:], b"", content_type="text/event-stream", mcp_session_id="s-1")
    sent = exchange(app, observer, head(authorization="Bearer " + SECRET, user_agent="probe/1"), json.dumps(hello).encode())
    assert b"".join(message.get("body", b"") for message in sent) == said
    app = app_of(200, json.dumps(answer(1)).encode(), content_type="application/json")
    exchange(app, observer, head(mcp_session_id="s-1"), json.dumps(call()).encode())
    assert observer.telemetry.courier.flush(10)
    first, second = (attributes(span) for span in collector.spans)
    assert first["mcp.session.id"] == second["mcp.session.id"] == "s-1"
    assert first["http.response.status_code"] == 200 and first["mcp.protocol.version"] == "2025-06-18"
    assert first["mcptap.authorization"] == "Bearer sk-…" and first["user_agent.original"] == "probe/1"
    assert second["mcp.client.name"] == "probe" and second["mcp.protocol.version"] == "2025-06-18"
    assert (second["client.address"], second["client.port"]) == ("203.0.113.9", 4711)
    assert SECRET not in collector.text()


@pytest.mark.parametrize("reads", [True, False])
def test_refusals_are_recorded(observe: Any, collector: Collector, reads: bool) -> None:
    observer = observe()
    exchange(app_of(401, b'{"error":"no"}', reads=reads), observer, head(), json.dumps(call()).encode())
    exchange(app_of(405, b"", reads=False), observer, head("GET"), b"")
    exchange(app_of(404, b"", reads=False), observer, head("GET", accept="text/html"), b"")
    assert observer.telemetry.courier.flush(10)
    (span,) = collector.spans
    said = attributes(span)
    assert span.name == ("tools/call get" if reads else "POST")
    assert (said["http.response.status_code"], said["error.type"], span.status.message) == (401, "401", "HTTP 401")
    assert json.loads(said["mcptap.response.body"]) == {"error": "no"}


def test_what_is_not_mcp_is_not_recorded(observe: Any, collector: Collector) -> None:
    observer = observe()
    exchange(app_of(200, b"{}", content_type="application/json"), observer, head(), b'{"id":1,"method":"tools/call"}')
    exchange(app_of(200, b"hi"), observer, head("GET", accept="*/*"), b"")
    assert observer.telemetry.courier.flush(10)
    assert collector.spans == []


def test_an_application_that_fails_is_told_and_its_error_passes(observe: Any, collector: Collector) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        raise RuntimeError("boom")

    observer = observe()
    with pytest.raises(RuntimeError, match="boom"):
        exchange(app, observer, head(), json.dumps(call()).encode())
    assert observer.telemetry.courier.flush(10)
    assert attributes(collector.spans[0])["error.type"] == "closed"


def test_the_hook_sees_the_request_and_cannot_break_it(observe: Any, collector: Collector) -> None:
    seen: list[Incoming] = []

    def caller(incoming: Incoming) -> str:
        seen.append(incoming)
        raise ValueError("the hook is broken")

    observer = observe(caller=caller)
    app = app_of(200, json.dumps(answer(1)).encode(), content_type="application/json")
    asked = head(x_real_ip="198.51.100.7", x_tenant="a", authorization="Bearer t-1")
    sent = exchange(app, observer, asked, json.dumps(call()).encode())
    assert sent[0]["status"] == 200
    assert observer.telemetry.courier.flush(10)
    assert len(collector.spans) == 1
    assert (seen[0].target, seen[0].headers["x-real-ip"]) == ("get", "198.51.100.7")
    assert (seen[0].headers["x-tenant"], seen[0].headers["authorization"]) == ("a", "Bearer t-1")
    assert "http.request.header.x-tenant" not in attributes(collector.spans[0])


# === what messages say ===


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("Bearer sk-very-secret", "Bearer sk-…"), ("Basic dTpw", "Basic d…"), ("letmein12", "let…"), ("Basic", "Basic"),
        ("ß" * 40, "ß" * 10 + "…"), ("", ""), ("X-Very-Long-Scheme abc", "X-Very-Lon…"),
    ],
)
def test_of_an_authorization_ten_characters_are_kept_at_most(value: str, masked: str) -> None:
    assert mask_authorization(value) == masked
    assert mask_authorization(masked) == masked


def test_half_a_token_is_not_kept() -> None:
    assert cut("key: ghp_0123456789", 12) == "key: "
    assert cut('["é"]', 3) == '["'
    assert cut("ghp_0", 5) == "ghp_0"
    assert cut("card 4111 1111 1111 1111", 19) == "card "
    assert cut("card 4111 1111 1111 1111", 15) == "card "
    assert cut("in 2026 there were 3", 15) == "in 2026 there "


def test_the_callers_faults_are_no_errors() -> None:
    for code, is_error in ((-32601, False), (-32602, False), (-32603, True), ("-32000", True)):
        ending = Ending.of("tools/call", {"error": {"code": code, "message": "no"}})
        assert ending.is_error == is_error and ending.attributes["rpc.response.status_code"] == str(code)


def test_targets() -> None:
    assert Target.of("tools/call", {"name": "get"}).span_name("tools/call") == "tools/call get"
    assert Target.of("resources/read", {"uri": "file:///x"}).span_name("resources/read") == "resources/read"
    assert Target.of("tools/call", {"name": ["no"]}).attributes("tools/call") == {"mcp.method.name": "tools/call"}


def test_a_redactor_of_ones_own(observe: Any, collector: Collector) -> None:
    observer = observe(Capture(redactor=Redactor(keys=["ssn"])))
    conversation = Conversation(observer)
    conversation.take("client", call(arguments={"ssn": "1-2"}), Carrier())
    conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert "1-2" not in attributes(collector.spans[0])["mcptap.request.body"]


def test_halves_of_characters_keep_nothing_back(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    made = conversation.take("client", call("\ud800", arguments={"file": "caf\udce9"}), Carrier())
    made.log(SeverityNumber.INFO, "reading caf\udce9", {"path": "\udce9"})
    conversation.take("server", answer(text="\udfff"), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert [span.name for span in collector.spans] == ["tools/call \ufffd"]
    assert [record.body.string_value for record in collector.logs] == ["reading caf\ufffd"]


def test_a_record_that_cannot_be_written_costs_no_other(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    for number in range(9):
        made = conversation.take("client", call(f"tool-{number}", number), Carrier())
        if number == 4:
            # An application may set what it likes.
            made.span.update_name("caf\udce9")
        conversation.take("server", answer(number), Carrier())
    assert observer.telemetry.courier.flush(20)
    assert sorted(span.name[-1] for span in collector.spans) == list("01235678")


def test_a_warning_of_the_courier_holds_no_lock(observe: Any, collector: Collector, monkeypatch: Any) -> None:
    observer = observe()
    courier = observer.telemetry.courier
    monkeypatch.setattr("mcptap.courier.QUEUE_BYTES", 0)
    heard: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            other = threading.Thread(target=courier.later, args=(lambda: None,), daemon=True)
            other.start()
            other.join(10)
            heard.append(not other.is_alive())

    log = logging.getLogger("mcptap")
    handler = Handler()
    log.addHandler(handler)
    try:
        assert courier._thread is None or courier._thread.is_alive()
        monkeypatch.setattr("mcptap.courier.QUEUE_BYTES", 1 << 20)
        courier.later(lambda: None)
        monkeypatch.setattr("mcptap.courier.QUEUE_BYTES", 0)
        assert not courier.later(lambda: None)
        end = time.monotonic() + 10
        while not heard and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        log.removeHandler(handler)
    assert heard and all(heard)
