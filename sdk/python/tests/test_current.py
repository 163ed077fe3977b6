"""The call that a tool runs in, for the tool itself; and the exceptions of its handler."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from mcp import ClientSession
from mcp.shared.memory import create_client_server_memory_streams
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider

import mcptap
from conftest import Collector, attributes
from mcptap import Call, Capture
from mcptap.conversation import Conversation
from mcptap.given import MOST_BYTES, MOST_NAMES
from mcptap.observer import Carrier, current_call
from mcptap.servers import low_level
from test_records import SECRET, TRACEPARENT, answer, call

try:
    from mcp.server.mcpserver import MCPServer as Official
except ImportError:
    from mcp.server.fastmcp import FastMCP as Official


async def asked(server: Any, tool: str) -> Any:
    """The answer of a tool, by a client in the same process."""
    if isinstance(server, FastMCP):
        async with Client(server) as client:
            return await client.call_tool(tool, raise_on_error=False)
    inner = low_level(server)
    async with create_client_server_memory_streams() as (ours, its):
        running = asyncio.create_task(inner.run(*its, inner.create_initialization_options()))
        async with ClientSession(*ours) as session:
            await session.initialize()
            result = await session.call_tool(tool)
        running.cancel()
        return result


def served(kind: Any, collector: Collector, **options: Any) -> Any:
    return mcptap.instrument(kind("shop"), endpoint=collector.url, **options)


def spans_of(server: Any, collector: Collector, tool: str) -> list[Any]:
    assert mcptap.flush(server, 10)
    return [span for span in collector.spans if span.name == f"tools/call {tool}"]


def exceptions(span: Any) -> list[dict[str, Any]]:
    return [attributes(event) for event in span.events if event.name == "exception"]


@pytest.mark.parametrize("kind", [FastMCP, Official])
def test_a_call_is_there_in_tasks_threads_and_where_it_is_taken(collector: Collector, kind: Any) -> None:
    server = served(kind, collector)
    seen: dict[str, Any] = {}

    @server.tool()
    async def order() -> str:
        own = Call.current()
        assert own is not None
        own.caller("u-17")

        async def in_task() -> None:
            Call.current().set("task", 1)

        def in_thread() -> None:
            Call.current().set("thread", 2)

        def elsewhere(value: int) -> int:
            Call.current().set("pool", value)
            return value + 1

        await asyncio.create_task(in_task())
        await asyncio.to_thread(in_thread)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(Call.current).result() is None
            assert pool.submit(own.run, elsewhere, 3).result() == 4
        asyncio.get_running_loop().call_soon(lambda: Call.current().set("callback", 4))
        await asyncio.sleep(0)
        headers: dict[str, str] = {}
        own.inject(headers)
        seen.update(headers)
        return "done"

    assert Call.current() is None
    asyncio.run(asked(server, "order"))
    (span,) = spans_of(server, collector, "order")
    said = attributes(span)
    assert [said.get(name) for name in ("enduser.id", "task", "thread", "pool", "callback")] == ["u-17", 1, 2, 3, 4]
    assert seen["traceparent"][:52] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}"


@pytest.mark.parametrize("kind", [FastMCP, Official])
def test_what_a_tool_raises_is_told_with_its_stack_and_without_secrets(collector: Collector, kind: Any) -> None:
    server = served(kind, collector)

    def look_up() -> None:
        raise KeyError(f"no {SECRET}")

    @server.tool()
    async def fail() -> str:
        try:
            look_up()
        except KeyError as error:
            raise ValueError("the printer is on fire") from error
        return ""

    @server.tool()
    async def recover() -> str:
        try:
            look_up()
        except KeyError as error:
            Call.current().exception(error)
        return "all the same"

    asyncio.run(asked(server, "fail"))
    asyncio.run(asked(server, "recover"))
    (failed,), (recovered,) = (spans_of(server, collector, tool) for tool in ("fail", "recover"))
    (told,) = exceptions(failed)
    assert (told["exception.type"], told["exception.message"]) == ("ValueError", "the printer is on fire")
    assert "in fail\n" in told["exception.stacktrace"] and "in look_up" in told["exception.stacktrace"]
    assert "direct cause" in told["exception.stacktrace"]
    assert attributes(failed)["error.type"] == "tool_error"
    (handled,) = exceptions(recovered)
    assert handled["exception.type"] == "KeyError" and "[redacted]" in handled["exception.message"]
    assert recovered.status.code == 0 and "error.type" not in attributes(recovered)
    assert SECRET not in collector.text()


def test_where_no_bodies_are_kept_an_exception_has_a_type_alone(collector: Collector) -> None:
    server = served(FastMCP, collector, capture=Capture(mode="metadata"))

    @server.tool()
    async def fail() -> str:
        raise ValueError("the printer is on fire")

    asyncio.run(asked(server, "fail"))
    (span,) = spans_of(server, collector, "fail")
    assert exceptions(span) == [{"exception.type": "ValueError"}]
    assert "printer" not in collector.text()


def test_an_exception_is_cut_told_once_and_bounded_in_number(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    made = conversation.take("client", call(), Carrier())
    own = Call(made)
    held = observer.open_bytes.held
    same = ValueError("w " * 1_000_000)
    errors = [ValueError(str(number)) for number in range(40)]
    for error in (same, same, *errors):
        own.exception(error)
    assert observer.open_bytes.held - held < 400_000
    own.exception(object())  # type: ignore[arg-type]
    conversation.take("server", answer(), Carrier())
    own.exception(ValueError("too late"))
    assert observer.telemetry.courier.flush(10)
    told = exceptions(collector.spans[0])
    assert len(told) == 32 and all(len(said["exception.message"]) <= 64 * 1024 for said in told)
    assert 60_000 < len(told[0]["exception.message"])
    assert observer.open_bytes.held == 0


def test_what_a_tool_sets_is_bounded_and_leaves_the_record_as_it_is(observe: Any, collector: Collector) -> None:
    observer = observe(caller=lambda _: "hook")
    conversation = Conversation(observer)
    made = conversation.take("client", call(), Carrier())
    own = Call(made)
    own.caller("u-17")
    own.set("mcp.method.name", "nothing")
    own.set("error.type", "mine")
    own.set("password", "hunter2")
    for _ in range(100):
        own.set("again", "w" * 10_000)
    own.set("large", "w" * (MOST_BYTES + 1))
    held = observer.open_bytes.held
    for _ in range(100):
        own.set("again", "short")
        own.set("again", "w" * 10_000)
    assert observer.open_bytes.held == held
    for number in range(MOST_NAMES):
        own.set(f"n{number}", number)
    conversation.take("server", answer(isError=True), Carrier())
    assert observer.telemetry.courier.flush(10)
    said = attributes(collector.spans[0])
    assert (said["enduser.id"], said["mcp.method.name"], said["error.type"]) == ("u-17", "tools/call", "tool_error")
    assert said["password"] == "[redacted]" and len(said["again"]) == 10_000
    assert "large" not in said and said["n0"] == 0 and f"n{MOST_NAMES - 1}" not in said
    # Five names are taken already.
    assert said["mcptap.dropped_attributes"] == 6
    assert observer.open_bytes.held == 0


def test_what_is_asked_of_others_is_below_the_call_or_the_span_in_it(observe: Any, collector: Collector) -> None:
    observer = observe(Capture(sample_methods={"tools/call": 2}))
    conversation = Conversation(observer)
    meta = {"traceparent": TRACEPARENT, "baggage": "tenant=shop"}
    made = conversation.take("client", call(_meta=meta), Carrier())
    headers: dict[str, str] = {"accept": "*/*"}
    Call(made).inject(headers)
    assert headers["traceparent"] == f"{TRACEPARENT[:36]}{made.span_id}-01"
    assert (headers["baggage"], headers["accept"]) == ("tenant=shop", "*/*")
    assert baggage.get_baggage("tenant", made.context) == "shop"

    def below() -> None:
        with TracerProvider().get_tracer("mine").start_as_current_span("query") as span:
            Call.current().inject(headers)
            assert headers["traceparent"][36:52] == format(span.get_span_context().span_id, "016x")

    Call(made).run(below)
    with TracerProvider().get_tracer("other").start_as_current_span("of another trace"):
        Call(made).inject(headers)
    assert headers["traceparent"][36:52] == made.span_id
    # One that is not recorded leaves what it asks to the trace of its client.
    skipped = conversation.take("client", call(id=2, _meta=meta), Carrier())
    Call(skipped).inject(headers)
    assert headers["traceparent"] == TRACEPARENT
    sent = Carrier(headers={"baggage": "team=a"})
    assert baggage.get_baggage("team", conversation.take("client", call(id=3), sent).context) == "a"
    # What takes nothing breaks nothing.
    Call(made).inject(json)  # type: ignore[arg-type]


def test_a_thread_that_a_call_is_taken_to_is_in_it_for_so_long(observe: Any) -> None:
    made = Conversation(observe()).take("client", call(), Carrier())
    found: list[Any] = []

    def work() -> None:
        found.append((current_call.get(), trace.get_current_span()))
        Call(made).run(lambda: found.append((current_call.get(), trace.get_current_span())))
        found.append((current_call.get(), trace.get_current_span()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    outside = (None, trace.INVALID_SPAN)
    assert found == [outside, (made, made.span), outside]


def test_a_low_level_server_tells_what_its_handlers_raise(collector: Collector) -> None:
    """Whatever method they are of."""
    server = served(FastMCP, collector)

    @server.resource("shop://hours")
    def hours() -> str:
        raise RuntimeError("nobody knows")

    async def read() -> None:
        async with Client(server) as client:
            with pytest.raises(Exception):  # noqa: B017
                await client.read_resource("shop://hours")

    asyncio.run(read())
    assert mcptap.flush(server, 10)
    (span,) = (span for span in collector.spans if span.name == "resources/read")
    assert [said["exception.type"] for said in exceptions(span)] == ["RuntimeError"]
