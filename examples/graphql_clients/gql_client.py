"""The newest calls, then each new one, with gql, through restarts of the server and lost connections.

    pip install 'gql[websockets]==4.4.0'
    python3 gql_client.py [http://127.0.0.1:6278/graphql]
"""

import asyncio
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


async def follow(url):
    """Each connection goes on after the last event that was taken."""
    cursor = None
    while True:
        try:
            async with Client(transport=WebsocketsTransport(url=url)) as session:
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
            print(f"{error!r}: connecting again", file=sys.stderr)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6278/graphql"
    try:
        asyncio.run(follow("ws" + address.removeprefix("http")))
    except KeyboardInterrupt:
        pass
