"""Processes that are forked or started from an instrumented one, and the thread that sends."""

import contextvars
import multiprocessing
import os
import threading
from typing import Any

import pytest
from opentelemetry import context as otel_context

from conftest import Collector, attributes
from mcptap.conversation import Conversation
from mcptap.observer import Carrier, Observer, current_call
from mcptap.telemetry import Telemetry
from mcptap.capture import Capture
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
    made.end(__import__("mcptap.messages").messages.Ending())


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
