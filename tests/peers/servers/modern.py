"""A server for both eras, by either Python library.

python modern.py fastmcp|mcp [PORT [sse]]    over stdio, or over HTTP on 127.0.0.1:PORT

With INSTRUMENTED=1 the SDK of mcptap records it.
"""

import asyncio
import logging
import os
import sys
import warnings
from pathlib import Path

import fastmcp
import mcp.server.mcpserver
import mcp_types as types
from pydantic import BaseModel

warnings.simplefilter("ignore")
LIBRARY, PORT = sys.argv[1], (sys.argv[2:] or [None])[0]
Context = {"fastmcp": fastmcp.Context, "mcp": mcp.server.mcpserver.Context}[LIBRARY]
server = {"fastmcp": fastmcp.FastMCP, "mcp": mcp.server.mcpserver.MCPServer}[LIBRARY]("modern")
logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)


class Name(BaseModel):
    name: str


QUESTION = types.ElicitRequest(
    params=types.ElicitRequestFormParams(message="Your name?", requested_schema=Name.model_json_schema())
)


@server.tool()
async def shout(text: str, ctx: Context) -> str:
    logging.getLogger("shop").warning("shouting %s", text)
    await ctx.info("about to shout")
    return text.upper()


@server.tool()
async def fail() -> str:
    raise ValueError("the printer is on fire")


@server.tool()
async def ask(ctx: Context) -> str | types.InputRequiredResult:
    if ctx.request_context.protocol_version < "2026-07-28":
        answer = await ctx.elicit("Your name?", Name)
        return f"hello {answer.data.name}"
    if not ctx.input_responses:
        return types.InputRequiredResult(input_requests={"name": QUESTION}, request_state="asked once")
    return f"hello {ctx.input_responses['name'].content['name']}"


@server.tool()
async def slow(steps: int, ctx: Context) -> str:
    for number in range(1, steps + 1):
        await asyncio.sleep(0.1)
        await ctx.report_progress(number, steps)
    return "done"


@server.resource("shop://hours")
def hours() -> str:
    return "nine to five"


@server.prompt()
def greet(name: str) -> str:
    return f"Say hello to {name}"


if os.environ.get("INSTRUMENTED"):
    sys.path.insert(0, str(Path(__file__).parents[3] / "sdk/python/src"))
    import mcptap

    mcptap.instrument(server)

if PORT is None:
    server.run()
elif sys.argv[3:] == ["sse"]:
    server.run(transport="sse", host="127.0.0.1", port=int(PORT))
elif LIBRARY == "fastmcp":
    server.run(transport="http", host="127.0.0.1", port=int(PORT))
else:
    server.run(transport="streamable-http", host="127.0.0.1", port=int(PORT))
