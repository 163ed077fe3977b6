"""Processes that are forked or started from an instrumented one, and the thread that sends."""

import contextvars
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from opentelemetry import context as otel_context

from conftest import Collector, attributes
from mcptap.capture import Capture
from mcptap.conversation import Conversation
from mcptap.messages import Ending
from mcptap.observer import Carrier, Observer, current_call
from mcptap.telemetry import Telemetry
from test_records import answer, call


def converse(observer: Observer, name: str) -> None:
    conversation = Conversation(observer)
    conversation.take("client", call(name), Carrier())
    conversation.take("server", answer(), Carrier())


def begin(url: str) -> None:
    """What a process that is started anew does."""
    converse(Observer(Telemetry("shop", url), Capture(), "shop", None), "spawned")


def in_fork(observer: Observer, made: Any) -> None:
    converse(observer, "forked")
    # The parent's own call is the parent's to end.
    made.set({"from": "child"})
    made.end(Ending())


@pytest.mark.parametrize("way", ["fork", "spawn", "os.fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_an_identity_of_its_own_and_sends(observe: Any, collector: Collector, way: str) -> None:
    observer = observe()
    converse(observer, "before")
    assert observer.telemetry.courier.flush(10)
    conversation = Conversation(observer)
    made = conversation.take("client", call("around"), Carrier())
    # What the parent has yet to send is the parent's.
    converse(observer, "parent")
    if way == "os.fork":
        child = os.fork()
        if child == 0:
            in_fork(observer, made)
            os._exit(0 if observer.telemetry.courier.flush(10) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    else:
        target, given = (in_fork, (observer, made)) if way == "fork" else (begin, (collector.url,))
        process = multiprocessing.get_context(way).Process(target=target, args=given)
        process.start()
        process.join(60)
        assert process.exitcode == 0
    conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(10)
    names = sorted(span.name.split()[1] for span in collector.spans)
    assert names == sorted(["before", "parent", "around", "spawned" if way == "spawn" else "forked"])
    assert len({each["process.pid"] for each in collector.resources}) == 2
    assert len({each["service.instance.id"] for each in collector.resources}) == 2
    around = next(span for span in collector.spans if span.name.endswith("around"))
    assert "from" not in attributes(around)


def test_what_sends_is_in_no_call_and_in_no_span(observe: Any, collector: Collector) -> None:
    observer = observe()
    courier = observer.telemetry.courier
    found: list[Any] = []
    token = current_call.set(Conversation(observer).take("client", call(), Carrier()))
    try:
        done = threading.Event()

        def look() -> None:
            found.append((current_call.get(), otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY)))
            done.set()

        courier.later(look)
        assert done.wait(10)
    finally:
        current_call.reset(token)
    assert found == [(None, True)]
    assert otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY) is None
    assert contextvars.copy_context().get(current_call) is None


def test_a_call_that_comes_alone_is_sent_at_once_and_those_after_it_together(
    observe: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So far apart are two exports, unless somebody flushes.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    observer = observe()
    converse(observer, "alone")
    end = time.monotonic() + 30
    while not collector.spans and time.monotonic() < end:
        time.sleep(0.01)
    assert [span.name for span in collector.spans] == ["tools/call alone"]
    for number in range(3):
        converse(observer, str(number))
    before = collector.asked
    assert observer.telemetry.courier.flush(10)
    assert (len(collector.spans), collector.asked - before) == (4, 1)


SERVER = """
import asyncio, sys, threading
import mcptap, uvicorn
from mcptap.conversation import Conversation
from mcptap.observer import Carrier, Observer
from mcptap.telemetry import Telemetry

observer = Observer(Telemetry("shop", sys.argv[1]), mcptap.Capture(), "shop", None)
conversation = Conversation(observer)

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    for id in range(2):
        conversation.take("client", {"jsonrpc": "2.0", "id": id, "method": "ping"}, Carrier())
    await send({"type": "lifespan.startup.complete"})
    print("up", flush=True)
    await receive()
    conversation.close("the server stops")
    await send({"type": "lifespan.shutdown.complete"})

uvicorn.run(mcptap.Middleware(app, observer), port=0, log_level="critical")
"""


def test_a_server_that_ends_by_a_signal_sends_what_is_left(collector: Collector) -> None:
    # With that the second of the two would wait.
    env = {**os.environ, "OTEL_BSP_SCHEDULE_DELAY": "3600000", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", SERVER, collector.url], stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
    process.stdout.close()
    assert [span.status.message for span in collector.spans] == ["the server stops"] * 2


def test_what_is_too_large_for_a_collector_is_cut_until_it_passes(
    observe: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    observer = observe()
    converse(observer, "alone")
    assert observer.telemetry.courier.flush(10)
    collector.limit = 20_000
    for number in range(9):
        conversation = Conversation(observer)
        conversation.take("client", call(str(number), text="w " * (50_000 if number == 4 else 2000)), Carrier())
        conversation.take("server", answer(), Carrier())
    assert observer.telemetry.courier.flush(20)
    assert sorted({span.name[-1] for span in collector.spans[1:]}) == list("01235678")


@pytest.mark.parametrize("endpoint", ["nonsense", "http://127.0.0.1:99999", "ftp://h", "127.0.0.1:4318"])
def test_an_endpoint_that_is_none_is_told(endpoint: str) -> None:
    with pytest.raises(ValueError, match="give a URL such as http://127.0.0.1:4318"):
        Telemetry("shop", endpoint)


def test_what_is_not_sent_at_the_end_is_not_said_to_be_damaged(observe: Any, collector: Collector, caplog: Any) -> None:
    collector.status = 503
    observer = observe()
    converse(observer, "lost")
    observer.telemetry.courier.close(0.5)
    thread = observer.telemetry.courier._thread
    assert thread is not None
    thread.join(30)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("mcptap")]
    assert len(said) == 1 and "does not take records" in said[0]
