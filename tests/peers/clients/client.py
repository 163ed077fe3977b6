"""The official Python client, taking server-everything (or a modern server) through all that it has.

    python client.py MODE TRANSPORT SCENARIO WHERE...    MODE legacy or auto; TRANSPORT stdio, http or sse

It prints what each step brought as JSON. What was said on the wire is not asked here: recorders write that down.
"""

import asyncio
import json
import sys
import warnings

import anyio
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client

warnings.simplefilter("ignore")

MODE, TRANSPORT, SCENARIO, *WHERE = sys.argv[1:]
seen = {"steps": [], "notifications": [], "asked": []}


async def sampling(_context, params):
    seen["asked"].append("sampling/createMessage")
    return types.CreateMessageResult(
        role="assistant", content=types.TextContent(type="text", text="ahoy"), model="parrot"
    )


async def elicitation(_context, params):
    seen["asked"].append("elicitation/create")
    return types.ElicitResult(action="accept", content={"name": "Ada"})


roots_asked = anyio.Event()
logged = anyio.Event()
logged_lines: asyncio.Queue = asyncio.Queue()


async def list_roots(_context):
    seen["asked"].append("roots/list")
    roots_asked.set()
    return types.ListRootsResult(roots=[types.Root(uri="file:///srv/data", name="data")])


async def on_log(params):
    seen["notifications"].append(["notifications/message", params.level, params.data])
    logged_lines.put_nowait(params.data)


async def on_message(message):
    method = getattr(message, "method", None) or getattr(getattr(message, "root", None), "method", None)
    if method:
        seen["notifications"].append(method)


async def step(name, doing):
    """Runs one step and notes how it ended."""
    try:
        result = await doing
        failed = getattr(result, "is_error", None)
        seen["steps"].append([name, "tool error" if failed else "ok"])
        return result
    except Exception as error:  # what the server refuses is a result, too
        seen["steps"].append([name, type(error).__name__])


async def logged_next():
    with anyio.fail_after(30):
        return await logged_lines.get()


async def everything(client):
    """server-everything: a legacy server with sessions, which asks its client back."""
    with anyio.fail_after(30):
        await roots_asked.wait()
        await logged_next()
    await step("ping", client.send_ping())
    await step("set level", client.set_logging_level("debug"))
    await step("tools", client.list_tools())
    await step("echo", client.call_tool("echo", {"message": "naïve ☕ \u2028 \\ \" \u0000 done"}))
    await step("sum", client.call_tool("get-sum", {"a": 2, "b": 40}))
    await step("sum of nothing", client.call_tool("get-sum", {"a": "x"}))
    await step("no such tool", client.call_tool("no-such-tool", {"deep": {"er": [1, 2.5, None, True]}}))
    await step("image", client.call_tool("get-tiny-image", {}))
    await step("annotated", client.call_tool("get-annotated-message", {"messageType": "error", "includeImage": True}))
    await step("structured", client.call_tool("get-structured-content", {"location": "Chicago"}))
    await step("links", client.call_tool("get-resource-links", {"count": 4}))
    await step("reference", client.call_tool("get-resource-reference", {"resourceType": "Text", "resourceId": 2}))

    async def progressed(done, total, _message):
        seen["notifications"].append(["notifications/progress", done, total])

    await step(
        "long",
        client.call_tool(
            "trigger-long-running-operation", {"duration": 0.5, "steps": 5}, progress_callback=progressed
        ),
    )
    await step("sampling", client.call_tool("trigger-sampling-request", {"prompt": "greet", "maxTokens": 10}))
    await step("elicitation", client.call_tool("trigger-elicitation-request", {}))
    await step("roots", client.call_tool("get-roots-list", {}))
    await step("resources", client.list_resources())
    await step("templates", client.list_resource_templates())
    await step("read", client.read_resource("demo://resource/dynamic/text/7"))
    await step("read blob", client.read_resource("demo://resource/dynamic/blob/7"))
    await step("read nothing", client.read_resource("demo://nowhere"))
    await step("subscribe", client.subscribe_resource("demo://resource/dynamic/text/7"))
    await logged_next()
    await step("unsubscribe", client.unsubscribe_resource("demo://resource/dynamic/text/7"))
    await logged_next()
    await step("prompts", client.list_prompts())
    await step("prompt", client.get_prompt("simple-prompt"))
    await step("prompt with arguments", client.get_prompt("args-prompt", {"city": "Oslo", "state": "Viken"}))
    await step("no such prompt", client.get_prompt("no-such-prompt"))
    reference = types.PromptReference(type="ref/prompt", name="completable-prompt")
    await step("complete", client.complete(reference, {"name": "department", "value": "E"}))
    # Given up by the client, which says so.
    with anyio.move_on_after(0.5):
        await client.call_tool("trigger-long-running-operation", {"duration": 30, "steps": 1})
    seen["steps"].append(["cancelled", "cancelled"])
    # Many at once: they are answered in any order.
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(step, "many", client.call_tool("get-sum", {"a": number, "b": 1}))


async def listen(client):
    async with client.listen(tools_list_changed=True):
        await step("while listening", client.call_tool("shout", {"text": "still here"}))


async def modern(client):
    """servers/modern.py: rounds of input, log lines, progress, a listening stream."""
    await step("tools", client.list_tools())
    await step("shout", client.call_tool("shout", {"text": "naïve ☕"}))
    await step("fail", client.call_tool("fail", {}))
    await step("no such tool", client.call_tool("no_such_tool", {}))
    await step("ask", client.call_tool("ask", {}))

    async def progressed(done, total, _message):
        seen["notifications"].append(["notifications/progress", done, total])

    await step("slow", client.call_tool("slow", {"steps": 3}, progress_callback=progressed))
    await step("resources", client.list_resources())
    await step("read", client.read_resource("shop://hours"))
    await step("read nothing", client.read_resource("shop://nowhere"))
    await step("prompts", client.list_prompts())
    await step("prompt", client.get_prompt("greet", {"name": "Ada"}))
    if client.protocol_version >= "2026-07-28":
        await step("listen", listen(client))
    with anyio.move_on_after(0.5):
        await client.call_tool("slow", {"steps": 300})
    seen["steps"].append(["cancelled", "cancelled"])


async def main():
    if TRANSPORT == "stdio":
        server = StdioServerParameters(command=WHERE[0], args=WHERE[1:])
    else:
        server = sse_client(WHERE[0]) if TRANSPORT == "sse" else WHERE[0]
    client = Client(
        server,
        mode=MODE,
        client_info=types.Implementation(name="python-client", version="2.3.0"),
        sampling_callback=sampling,
        elicitation_callback=elicitation,
        list_roots_callback=list_roots,
        logging_callback=on_log,
        message_handler=on_message,
        log_level="debug",
        cache=None,
    )
    async with client:
        seen["protocolVersion"] = client.protocol_version
        await globals()[SCENARIO](client)
    print(json.dumps(seen))


asyncio.run(main())
