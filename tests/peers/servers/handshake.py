"""The tools of modern.py on libraries of the era of handshakes, recorded by the SDK of mcptap.

python handshake.py fastmcp|mcp [PORT]    over stdio, or over HTTP on 127.0.0.1:PORT
"""

import asyncio
import logging
import sys
from pathlib import Path

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[3] / "sdk/python/src"))
import mcptap  # noqa: E402

LIBRARY, PORT = sys.argv[1], (sys.argv[2:] or [None])[0]
if LIBRARY == "fastmcp":
    from fastmcp import Context, FastMCP

    server = FastMCP("handshake")
else:
    from mcp.server.fastmcp import Context, FastMCP

    server = FastMCP("handshake", host="127.0.0.1", port=int(PORT or 0))
logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)


class Name(BaseModel):
    name: str


@server.tool()
async def shout(text: str, ctx: Context) -> str:
    logging.getLogger("shop").warning("shouting %s", text)
    print("about to whisper", file=sys.stderr)
    await ctx.info("about to shout")
    return text.upper()


@server.tool()
async def fail() -> str:
    raise ValueError("the printer is on fire")


@server.tool()
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Your name?", Name)
    return f"hello {answer.data.name}"


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


mcptap.instrument(server)
if PORT is None:
    server.run()
elif LIBRARY == "fastmcp":
    server.run(transport="http", host="127.0.0.1", port=int(PORT))
else:
    server.run(transport="streamable-http")
