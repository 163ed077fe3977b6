"""Secrets where a text is cut, and how much is held."""

import asyncio
import json
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber

import mcptap
from conftest import Collector, attributes
from mcptap import Capture, Redactor
from mcptap.body import Body, beginning
from mcptap.conversation import Conversation
from mcptap.http import Middleware
from mcptap.observer import Carrier, current_call
from test_records import answer, call, exchange, head

SECRETS = {
    "a token": {"said": "is ghp_aB3dE5gH7aB3dE5gH7aB3dE5gH7aB3dE5gH7 it"},
    "words under a name": {"password": "correct horse battery staple"},
    "a value in an environment": {"name": "API_KEY", "value": "kV9zQ2mLw7xB4nR8tY3pS6"},
    "a number": {"password": 8_234_567_812_345_678},
    "below a name": {"password": {"of": {"it": ["kV9zQ2mLw7xB4", "nR8tY3pS6kV9z"]}}},
    "behind a flag": ["--password", "kV9zQ2mLw7xB4nR8tY3pS6"],
    "an operator's": {"note": "the open sesame of the cave"},
    "a key": {"pem": "-----BEGIN PRIVATE KEY-----\nkV9zQ2mLw7xB4 nR8tY3pS6\n-----END PRIVATE KEY-----"},
}
PIECES = ("ghp_", "correct", "horse", "kV9z", "nR8t", "8234", "open ses", "sesame of")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_cut_out_wherever_the_text_is_cut(secret: str) -> None:
    redactor = Redactor(values={"CAVE": "open sesame of the cave"})
    value = {"before": "some words " * 5, "it": SECRETS[secret], "after": "and more words " * 600}
    text = json.dumps(value)
    for cap in (*range(75, 150, 4), 200):
        kept = [
            Body.of(value, cap).redacted(redactor),
            Body.of_text(text, len(text), cap).redacted(redactor),
            beginning(text, cap, redactor),
        ]
        for shown in kept:
            assert len(shown.encode()) <= cap
            assert not any(piece in shown for piece in PIECES), (cap, shown)


@pytest.mark.parametrize("text", [
    '{"a":1,"password":"correct horse bat', 'x password: "corr3ct horse', "{'password': 'correct horse",
    'run --password "correct horse',
    '{"a":"{\\"password\\":\\"correct horse',
])
def test_a_text_that_ends_within_a_value_is_known_as_such(text: str) -> None:
    assert "horse" not in Redactor().text(text)


def test_a_line_of_output_is_cut_after_its_secrets(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    made = conversation.take("client", call(), Carrier())
    assert made is not None
    for before in range(64 * 1024 - 30, 64 * 1024, 5):
        made.log(SeverityNumber.INFO, "w " * (before // 2) + "ghp_aB3dE5gH7aB3dE5gH7aB3dE5gH7aB3dE5gH7")
    conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(20)
    assert len(collector.logs) == 6
    for record in collector.logs:
        assert "ghp_" not in record.body.string_value and len(record.body.string_value) <= 64 * 1024


def test_a_long_line_of_output_loses_its_end_and_nothing_else(observe: Any, collector: Collector) -> None:
    from mcptap import console

    observer = observe()
    conversation = Conversation(observer)
    made = conversation.take("client", call(), Carrier())
    assert made is not None
    for piece in ("first ", "w " * 80_000, "ghp_", "aB3dE5gH7 end\nnext\n"):
        console._lines(made, "stdout", piece)
    conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(20)
    first, second = (record.body.string_value for record in collector.logs)
    assert first.startswith("first w w") and "end" not in first and "ghp_" not in first
    assert second == "next"


def test_what_open_calls_hold_is_bounded_and_given_back(observe: Any, collector: Collector) -> None:
    observer = observe()
    observer.open_bytes.most = 500_000
    conversation = Conversation(observer)
    for id in range(40):
        conversation.take("client", call(id=id, arguments={"text": "word " * 10_000}), Carrier())
        # So that the queue is empty, and only the calls hold it.
        assert observer.telemetry.courier.flush(10)
        assert observer.open_bytes.held <= 500_000 + 40 * 1000
    for id in range(40):
        conversation.take("server", answer(id), Carrier())
    assert observer.telemetry.courier.flush(20)
    assert observer.open_bytes.held == 0
    assert len(collector.spans) == 40
    kept = [attributes(span) for span in collector.spans]
    assert 5 <= sum("mcptap.request.body" in said for said in kept) < 20
    assert all(said["mcptap.request.size"] > 50_000 for said in kept)
    assert all(said["mcptap.request.truncated"] for said in kept if "mcptap.request.body" not in said)


def test_a_body_that_is_too_long_to_be_read_is_told_of(observe: Any, collector: Collector) -> None:
    observer = observe()
    observer.open_bytes.most = 1000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(answer(text="w" * 5000)).encode()})

    exchange(app, observer, head(mcp_method="tools/call", mcp_name="get"), json.dumps(call(text="w " * 5000)).encode())
    assert observer.telemetry.courier.flush(10)
    (span,) = collector.spans
    said = attributes(span)
    assert span.name == "tools/call get" and "at once" in said["mcptap.request.unreadable"]
    assert said["http.response.status_code"] == 200 and span.status.code == 0
    assert observer.open_bytes.held == 0


def test_of_a_request_that_is_refused_while_it_comes_its_beginning_is_kept(observe: Any, collector: Collector) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"too large"})

    observer = observe()
    exchange(app, observer, head(), json.dumps(call(text="w " * 50)).encode())
    assert observer.telemetry.courier.flush(10)
    said = attributes(collector.spans[0])
    assert (said["http.response.status_code"], said["mcptap.response.body"]) == (413, "too large")
    assert said["mcptap.request.truncated"] and said["mcptap.request.size"] == 8
    assert observer.open_bytes.held == 0


def test_an_event_may_come_in_any_number_of_pieces() -> None:
    from mcptap.events import Events

    said = b'event: message\r\nid: 1\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata: 2\n\n'
    for size in (1, 2, 3, 7, 100):
        events = Events()
        assert [data for at in range(0, len(said), size) for data in events.feed(said[at : at + size])] == [b'{"a":\n1}', b"2"]
        assert events.held == 0 and events.has_ids


def test_a_function_of_ones_own_redacts_last_and_keeps_nothing_where_it_fails(observe: Any, collector: Collector) -> None:
    seen: list[str] = []

    def redact_with(text: str) -> str | None:
        seen.append(text)
        if "boom" in text:
            raise ValueError(text)
        return text.replace("ACME", "***") if "ACME" in text else None

    observer = observe(Capture(redact_with=redact_with))
    conversation = Conversation(observer)
    for id, said in enumerate(("ACME", "boom")):
        made = conversation.take("client", call(said, id=id, arguments={"at": said, "password": "hunter2"}), Carrier({"x": said}))
        made.log(SeverityNumber.INFO, f"is {said}")
        error = {"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": f"no {said}"}}
        conversation.take("server", error, Carrier())
    assert observer.telemetry.courier.flush(10)
    assert "ACME" not in collector.text() and "boom" not in collector.text()
    first, second = (attributes(span) for span in collector.spans)
    assert json.loads(first["mcptap.request.body"])["params"]["arguments"] == {"at": "***", "password": "[redacted]"}
    assert (second["mcptap.request.body"], second["x"], collector.spans[1].name) == ("[redacted]",) * 3
    assert not any("hunter2" in text for text in seen)


def test_attributes_of_any_kind_are_set_and_late_ones_said(observe: Any, collector: Collector, caplog: Any) -> None:
    observer = observe()
    conversation = Conversation(observer)
    token = current_call.set(conversation.take("client", call(), Carrier()))
    try:
        mcptap.set(plain=1, listed=["a", "b"], mixed=[1, "a"], nothing=None, deep={"password": "hunter2"}, password="hunter2")
        conversation.take("server", answer(), Carrier())
        mcptap.set(late=1)
        mcptap.set(later=2)
    finally:
        current_call.reset(token)
    mcptap.set(outside=1)
    assert observer.telemetry.courier.flush(10)
    said = attributes(collector.spans[0])
    assert (said["plain"], said["listed"], said["mixed"], said["nothing"]) == (1, ["a", "b"], '[1,"a"]', "null")
    assert (said["deep"], said["password"]) == ('{"password":"[redacted]"}', "[redacted]")
    assert not {"late", "later", "outside"} & said.keys()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("mcptap")]
    assert len(said) == 1 and "after their call" in said[0]


def test_a_client_that_does_not_sample_is_recorded(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    conversation.take("client", call(_meta={"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}), Carrier())
    conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert [span.trace_id.hex() for span in collector.spans] == ["a" * 32]


def test_what_is_read_of_requests_is_given_back(observe: Any, collector: Collector) -> None:
    observer = observe()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"data: " + b"w" * 1000, "more_body": True})
        await send({"type": "http.response.body", "body": b"\n\ndata: " + json.dumps(answer()).encode() + b"\n\n"})

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(call()).encode()}

    async def send(_: Any) -> None:
        pass

    asyncio.run(Middleware(app, observer)(head(), receive, send))
    assert observer.telemetry.courier.flush(10)
    assert len(collector.spans) == 1 and observer.open_bytes.held == 0


def test_an_answer_whose_event_is_too_long_to_be_read_is_no_failure(observe: Any, collector: Collector) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for piece in (b"data: ", *[b"w" * (1 << 20)] * 17):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"\n\n"})

    observer = observe()
    exchange(app, observer, head(mcp_session_id="s-1"), json.dumps(call()).encode())
    assert observer.telemetry.courier.flush(10)
    (span,) = collector.spans
    assert span.status.code == 0 and "16 MiB" in attributes(span)["mcptap.response.unreadable"]
    assert observer.open_bytes.held == 0
