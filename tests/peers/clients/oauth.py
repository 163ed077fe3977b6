"""The official Python client, meeting a server that wants OAuth.

    python oauth.py URL

It prints as JSON to which page it would send the user, or why to none.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

URL = sys.argv[1]
seen = {}


class Storage:
    client = None

    async def get_tokens(self):
        return None

    async def set_tokens(self, tokens):
        pass

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def redirected(page):
    seen["page"] = page


async def answered():
    raise RuntimeError("nobody answers here")


def reasons(error):
    if isinstance(error, BaseExceptionGroup):
        return [reason for one in error.exceptions for reason in reasons(one)]
    return [f"{type(error).__name__}: {error}"]


async def main():
    metadata = OAuthClientMetadata(
        redirect_uris=["http://127.0.0.1:9/callback"],
        client_name="python-client",
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(URL, metadata, Storage(), redirected, answered)
    try:
        async with httpx2.AsyncClient(auth=provider, follow_redirects=True) as http:
            async with Client(streamable_http_client(URL, http_client=http)):
                pass
    except BaseException as error:
        seen["error"] = "; ".join(reasons(error))


asyncio.run(asyncio.wait_for(main(), 30))
print(json.dumps(seen))
