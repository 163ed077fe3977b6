"""The newest calls, then each new one, with gql, through restarts of the server and lost connections.

    pip install 'gql[websockets]==4.4.0'
    python3 gql_client.py [http://127.0.0.1:6278/graphql]
"""

import asyncio
import os
import sys

from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

CALL = "fragment Row on Call { id startedAt outcome method target }"
PAGE = "query Page { calls(first: 20) { nodes { ...Row } liveCursor } }" + CALL
LIVE = (
    """subscription Live($after: String!) {
      calls(after: $after) {
        __typename
        ... on CallsAdded { cursor edges { node { ...Row } } }
        ... on CallsUpdated { cursor edges { node { ...Row } } }
        ... on CaughtUp { cursor }
      }
    }"""
    + CALL
)


def show(call):
    print(*(call[name] for name in ("startedAt", "outcome", "method", "target") if call[name]), flush=True)


def refusal(error):
    """The server's words where a key is missing, wrong or not for this: connecting again does not help."""
    while error is not None:
        closed = getattr(error, "rcvd", None)
        if closed is not None and closed.code in (4401, 4403):
            return closed.reason
        error = error.__cause__
    return None


async def follow(url, key):
    """Each connection goes on after the last event that was taken."""
    cursor = None
    opening = {"authorization": f"Bearer {key}"} if key else {}
    while True:
        try:
            # Nobody is told of a path that drops everything: the server is asked for a sign of life, in seconds.
            transport = WebsocketsTransport(url=url, init_payload=opening, ping_interval=10, pong_timeout=5)
            async with Client(transport=transport) as session:
                if cursor is None:
                    page = (await session.execute(gql(PAGE)))["calls"]
                    for call in reversed(page["nodes"]):
                        show(call)
                    cursor = page["liveCursor"]
                live = gql(LIVE)
                live.variable_values = {"after": cursor}
                async for event in session.subscribe(live):
                    calls = event["calls"]
                    # CallsUpdated has calls that are known already, by their id.
                    if calls["__typename"] == "CallsAdded":
                        for edge in calls["edges"]:
                            show(edge["node"])
                    cursor = calls["cursor"]
        except (TransportError, OSError) as error:
            if refusal(error):
                sys.exit(f"gql_client.py: {refusal(error)}")
            print(f"{error!r}: connecting again", file=sys.stderr)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6278/graphql"
    # Needed where API keys exist: one with scope read, from `mcptap keys create`.
    api_key = os.environ.get("API_KEY")
    try:
        asyncio.run(follow("ws" + address.removeprefix("http"), api_key))
    except KeyboardInterrupt:
        pass
