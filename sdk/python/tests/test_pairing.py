"""Which answer is whose: of requests that are open at once, of HTTP requests in one session, of ids written otherwise."""

import asyncio
import json
from typing import Any

import pytest

from conftest import Collector, attributes
from mcptap import Capture, ids
from mcptap.conversation import Conversation
from mcptap.http import Middleware
from mcptap.observer import Carrier
from test_records import answer, call, head


def bodies(collector: Collector) -> dict[str, Any]:
    """The answer of each call by the name of its span."""
    return {span.name: json.loads(attributes(span).get("mcptap.response.body", "null")) for span in collector.spans}


class Server:
    """An application whose requests are answered when the test says so."""

    def __init__(self, observer: Any) -> None:
        self.answers: dict[str, asyncio.Future[tuple[bytes, str]]] = {}
        self.app = Middleware(self._handle, observer)

    async def _handle(self, scope: Any, receive: Any, send: Any) -> None:
        body = json.loads((await receive())["body"])
        name = body.get("params", {}).get("name", "")
        future = self.answers[name] = asyncio.get_running_loop().create_future()
        said, kind = await future
        status = 200 if said else 202
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": said})

    async def ask(self, message: Any) -> "asyncio.Task[None]":
        pieces = [{"type": "http.request", "body": json.dumps(message).encode()}]

        async def receive() -> Any:
            return pieces.pop(0) if pieces else await asyncio.Event().wait()

        async def send(_: Any) -> None:
            pass

        task = asyncio.create_task(self.app(head(mcp_session_id="pooled"), receive, send))
        for _ in range(5):
            await asyncio.sleep(0)
        return task

    def say(self, name: str, message: Any, kind: str = "application/json") -> None:
        text = json.dumps(message)
        self.answers[name].set_result(((f"data: {text}\n\n" if "event" in kind else text).encode(), kind))


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_each_post_of_a_pooled_session_has_its_own_answer(observe: Any, collector: Collector, kind: str) -> None:
    observer = observe()

    async def talk() -> None:
        server = Server(observer)
        tasks = [await server.ask(call(name, 1, _meta={"progressToken": 1})) for name in ("a", "b", "c")]
        for name in ("b", "a", "c"):
            server.say(name, answer(1, of=name), kind)
            for _ in range(5):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(talk())
    assert observer.telemetry.courier.flush(10)
    assert bodies(collector) == {f"tools/call {name}": {"of": name} for name in "abc"}
    assert {span.status.code for span in collector.spans} == {0}


def test_a_cancellation_in_a_pooled_session_is_of_the_one_that_ends_without_an_answer(observe: Any, collector: Collector) -> None:
    observer = observe()

    async def talk() -> None:
        server = Server(observer)
        tasks = [await server.ask(call(name, 1)) for name in ("a", "b")]
        gone = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"}}
        told = await server.ask(gone)
        server.answers[""].set_result((b"", ""))
        await told
        server.say("a", answer(1, of="a"))
        server.answers["b"].set_result((b"{}", "application/json"))
        await asyncio.gather(*tasks)

    asyncio.run(talk())
    assert observer.telemetry.courier.flush(10)
    spans = {span.name: attributes(span) for span in collector.spans}
    assert "mcptap.outcome" not in spans["tools/call a"]
    assert spans["tools/call b"]["mcptap.outcome"] == "cancelled"


def test_the_same_id_twice_on_one_stream_shows_no_answer_that_may_be_anothers(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    for name in ("a", "b"):
        conversation.take("client", call(name, 1), Carrier())
    for name in ("b", "a"):
        conversation.take("server", answer(1, of=name), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert len(collector.spans) == 2
    for span in collector.spans:
        assert "same id" in attributes(span)["mcptap.response.unreadable"] and span.status.code == 0
        assert attributes(span)["mcptap.outcome"] == "unknown"
        assert "mcptap.response.body" not in attributes(span)


@pytest.mark.parametrize("written", ["1", "1.0", "1e0", "10E-1", '"1"'])
def test_ids_pair_by_value(observe: Any, collector: Collector, written: str) -> None:
    observer = observe()
    conversation = Conversation(observer)
    conversation.take("client", call(), Carrier())
    conversation.take("client", call("other", "2"), Carrier())
    conversation.take("server", json.loads(f'{{"jsonrpc":"2.0","id":{written},"result":{{"of":1}}}}'), Carrier())
    conversation.take("server", answer(2, of=2), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert bodies(collector) == {"tools/call get": {"of": 1}, "tools/call other": {"of": 2}}
    assert [attributes(span)["jsonrpc.request.id"] for span in collector.spans] == ["1", "2"]


def test_a_number_and_a_text_are_two_ids(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    conversation.take("client", call("number", 1), Carrier())
    conversation.take("client", call("text", "1"), Carrier())
    conversation.take("server", answer("1", of="text"), Carrier())
    conversation.take("server", answer(1, of="number"), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert bodies(collector) == {"tools/call number": {"of": "number"}, "tools/call text": {"of": "text"}}


def test_numbers_are_written_in_one_form() -> None:
    for one, other in (("1", "1.0"), ("0", "-0"), ("120", "1.2e+2"), ("-7", "-7.00"), ("0.5", "5e-1"), ("1e400", "10e399")):
        assert ids.canonical(one) == ids.canonical(other) is not None
    assert ids.canonical("9007199254740993") != ids.canonical("9007199254740992")
    assert (ids.canonical("1.5"), ids.canonical("01"), ids.canonical("one")) == ("15e-1", None, None)


def test_null_is_nothing(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    for id, members in enumerate((
        {"result": {"ok": True}, "error": None}, {"result": None, "error": {"code": -32603, "message": "no"}},
        {"method": None, "result": {"ok": True}}, {"result": None},
    )):
        conversation.take("client", call(str(id), id), Carrier())
        conversation.take("server", {"jsonrpc": "2.0", "id": id, **members}, Carrier())
    assert observer.telemetry.courier.flush(10)
    assert bodies(collector) == {
        "tools/call 0": {"ok": True}, "tools/call 1": {"error": {"code": -32603, "message": "no"}}, "tools/call 2": {"ok": True},
        "tools/call 3": None,
    }
    assert [span.status.code for span in sorted(collector.spans, key=lambda span: span.name)] == [0, 2, 0, 0]


def test_methods_that_are_excluded_are_not_recorded(observe: Any, collector: Collector) -> None:
    observer = observe(Capture(exclude_methods=("ping", "resources/*")))
    conversation = Conversation(observer)
    for id, method in enumerate(("ping", "resources/read", "tools/list")):
        conversation.take("client", {"jsonrpc": "2.0", "id": id, "method": method}, Carrier())
        conversation.take("server", answer(id), Carrier())
    assert observer.telemetry.courier.flush(10)
    assert [span.name for span in collector.spans] == ["tools/list"]


def test_of_a_sampled_method_failures_are_all_there_and_weights_make_up_the_rest(observe: Any, collector: Collector) -> None:
    observer = observe(Capture(sample_methods={"tools/call": 4, "resources/read": 2}))
    conversation = Conversation(observer)
    failure = {"error": {"code": -32603, "message": "no"}}
    for id in range(13):
        conversation.take("client", call(str(id), id), Carrier())
        conversation.take("server", {"jsonrpc": "2.0", "id": id, **(failure if id in (5, 8) else {"result": {}})}, Carrier())
    conversation.take("client", {"jsonrpc": "2.0", "id": 20, "method": "ping"}, Carrier())
    conversation.take("server", answer(20), Carrier())
    assert observer.telemetry.courier.flush(10)
    weights = {span.name: attributes(span).get("mcptap.weight") for span in collector.spans}
    assert weights == {
        "tools/call 0": 1, "tools/call 4": 4, "tools/call 5": None, "tools/call 8": None, "tools/call 12": 6, "ping": None,
    }
    late = next(span for span in collector.spans if span.name == "tools/call 5")
    said = attributes(late)
    assert late.status.code == 2 and "mcptap.response.body" in said and "mcptap.request.body" not in said
    assert observer.open_bytes.held == 0


def test_tags_of_an_application(observe: Any, collector: Collector) -> None:
    def tag_with(incoming: Any) -> Any:
        if incoming.target == "bad":
            raise ValueError("the hook is broken")
        return {"tenant": incoming.params["_meta"]["tenant"], "password": "hunter2"}

    observer = observe(Capture(tag_with=tag_with))
    conversation = Conversation(observer)
    for id, name in enumerate(("good", "bad")):
        conversation.take("client", call(name, id, _meta={"tenant": "a"}), Carrier())
        conversation.take("server", answer(id), Carrier())
    assert observer.telemetry.courier.flush(10)
    good, bad = (attributes(span) for span in collector.spans)
    assert (good["tenant"], good["password"]) == ("a", "[redacted]")
    assert "tenant" not in bad


def test_the_first_answer_after_a_cancelled_request_of_the_same_id_is_in_doubt(observe: Any, collector: Collector) -> None:
    observer = observe()
    conversation = Conversation(observer)
    conversation.take("client", call("first", 1), Carrier())
    conversation.take("client", {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}, Carrier())
    for name in ("second", "third"):
        conversation.take("client", call(name, 1), Carrier())
        conversation.take("server", answer(1, of=name), Carrier())
    assert observer.telemetry.courier.flush(10)
    said = {span.name.split()[1]: attributes(span) for span in collector.spans}
    assert [said[name].get("mcptap.outcome") for name in ("first", "second", "third")] == ["cancelled", "unknown", None]
    assert bodies(collector)["tools/call third"] == {"of": "third"} and "mcptap.response.body" not in said["second"]
