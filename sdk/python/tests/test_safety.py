"""Nothing that goes wrong in the recorder reaches the server, and nothing is recorded twice."""

import asyncio
import json
import logging
import sys
from typing import Any

import pytest
from fastmcp import FastMCP

import mcptap
from conftest import Collector
from mcptap import call as calls
from mcptap import conversation, courier, http, observer, pipe, raised, servers
from mcptap.conversation import Conversation
from mcptap.exporters import Exporter
from mcptap.observer import Carrier, current_call
from mcptap.servers import low_level
from test_current import Official, asked, exceptions, served, spans_of
from test_records import answer, app_of, call, exchange, head


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the recorder is broken")


INTERNALS = {
    "the head of a request": (http, "carrier_of"),
    "an exchange": (http, "Exchange"),
    "the session of an address": (http, "query_session"),
    "a decoder": (http, "Decoder"),
    "a session": (observer.Observer, "session"),
    "a conversation": (pipe, "Conversation"),
    "messages": (conversation.Conversation, "take"),
    "the end of a conversation": (conversation.Conversation, "close"),
    "a call": (calls.Call, "__init__"),
    "the end of a call": (calls.Call, "_end"),
    "which call is handled": (servers, "_call_of"),
    "exceptions": (raised, "described"),
    "a pipe": (pipe.Pipe, "__init__"),
    "tasks": (courier.Courier, "later"),
}


@pytest.mark.parametrize("name", INTERNALS)
def test_what_is_broken_in_the_recorder_does_not_reach_the_server(
    observe: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    owner, attribute = INTERNALS[name]
    watching, official = observe(), served(Official, collector)

    @official.tool()
    async def greet() -> str:
        return "hello"

    monkeypatch.setattr(owner, attribute, broken)
    said = json.dumps(answer()).encode()
    request = head(mcp_session_id="s-1")
    sent = exchange(app_of(200, said, content_type="application/json"), watching, request, json.dumps(call()).encode())
    assert b"".join(message.get("body", b"") for message in sent) == said
    assert "hello" in str(asyncio.run(asked(official, "greet")).content)


def test_a_server_that_is_instrumented_twice_is_recorded_once(collector: Collector) -> None:
    server = served(Official, collector)
    assert mcptap.instrument(server) is server
    assert mcptap.instrument(low_level(server)) is low_level(server)

    @server.tool()
    async def fail() -> str:
        print("once")
        raise ValueError("the printer is on fire")

    asyncio.run(asked(server, "fail"))
    (span,) = spans_of(server, collector, "fail")
    assert len(exceptions(span)) == 1
    assert [record.body.string_value for record in collector.logs].count("once") == 1


def test_console_output_is_recorded_of_the_servers_that_want_it(collector: Collector) -> None:
    loud, silent = served(FastMCP, collector), served(FastMCP, collector, console=False)
    for server, word in ((loud, "loud"), (silent, "silent")):

        def speak(word: str = word) -> str:
            print(word, file=sys.stdout)
            logging.getLogger("shop").error(word)
            return word

        server.tool(name="speak")(speak)
        asyncio.run(asked(server, "speak"))
        assert mcptap.flush(server, 10)
    assert len(collector.spans) > 2
    said = [record.body.string_value for record in collector.logs]
    assert "loud" in said and "silent" not in said


def test_an_application_that_runs_already_is_not_disturbed(observe: Any) -> None:
    class Started:
        def streamable_http_app(self) -> Any:
            return self

        def add_middleware(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("Cannot add middleware after an application has started")

    owner = Started()
    servers._watch_factory(owner, "streamable_http_app", observe())
    assert owner.streamable_http_app() is owner


def test_an_exporter_that_breaks_ends_no_courier(observe: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = observe()
    talk = Conversation(watching)
    with monkeypatch.context() as patched:
        patched.setattr(Exporter, "export", broken)
        talk.take("client", call(), Carrier())
        talk.take("server", answer(), Carrier())
        assert watching.telemetry.courier.flush(10)
    talk.take("client", call(id=2), Carrier())
    talk.take("server", answer(2), Carrier())
    assert watching.telemetry.courier.flush(10)
    assert len(collector.spans) == 1
    assert current_call.get() is None
