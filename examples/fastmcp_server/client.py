"""Calls the server beside it: python client.py [URL]"""

import asyncio
import sys

from fastmcp import Client


async def main():
    url = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8000/mcp"
    async with Client(url) as client:
        for order in ["A-1", "B-2"]:
            result = await client.call_tool("order_status", {"order": order}, raise_on_error=False)
            print(order, result.content[0].text)


asyncio.run(main())
