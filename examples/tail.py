"""The newest calls, then each new one as it is stored, through restarts of the server and lost connections.

    python3 examples/tail.py [http://127.0.0.1:6278/graphql]

Needs Python 3.9 and nothing else. The stream is GraphQL over Server-Sent Events.
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request

FIELDS = "startedAt outcome method target"
PAGE = "query ($first: Int!) { calls(first: $first) { nodes { %s } liveCursor } }" % FIELDS
FEED = """subscription ($after: String!) { calls(after: $after) {
  ... on CallsAdded { cursor edges { node { %s } } }
  ... on CallsUpdated { cursor edges { node { %s } } }
  ... on CaughtUp { cursor }
} }""" % (FIELDS, FIELDS)


class Refused(Exception):
    """What was sent is wrong: trying again does not help."""


def ask(url, accept, query, variables):
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"content-type": "application/json", "accept": accept}
    # needed where API keys exist: one with scope read, from `mcptap keys create`
    key = os.environ.get("API_KEY")
    if key:
        headers["authorization"] = "Bearer " + key
    request = urllib.request.Request(url, body, headers)
    try:
        # comments keep a silent stream alive: when even they stay away, the connection is lost
        return urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        # an answer without data: its body says why
        return error


def data_of(answer):
    if any(error["extensions"]["code"] == "UNAVAILABLE" for error in answer.get("errors", [])):
        # the server's database does not answer now: like a connection that is lost
        raise OSError(answer["errors"][0]["message"])
    if answer.get("errors"):
        raise Refused("; ".join(error["message"] for error in answer["errors"]))
    return answer["data"]


def events(response):
    """The data of each event of a stream."""
    data = []
    for line in response:
        line = line.decode().rstrip("\r\n")
        if line.startswith("data:"):
            data.append(line[5:].lstrip())
        elif not line:
            if any(data):
                yield "\n".join(data)
            data = []


def page(url, first):
    with ask(url, "application/graphql-response+json", PAGE, {"first": first}) as response:
        try:
            answer = json.load(response)
        except ValueError:
            raise Refused("%s answers HTTP %d, and no GraphQL; give the URL of the API, such as "
                          "http://127.0.0.1:6278/graphql" % (url, response.status)) from None
    return data_of(answer)["calls"]


def first_page(url, first):
    """The newest calls, as soon as the server is there."""
    said = False
    while True:
        try:
            return page(url, first)
        except (OSError, http.client.HTTPException) as error:
            if not said:
                print("%s: %s; waiting for it" % (url, error), file=sys.stderr)
            said = True
            time.sleep(1)


def tail(url, first):
    """Every call after the newest `first`, and before it those. Never ends by itself."""
    calls = first_page(url, first)
    # a page has the newest first
    yield from reversed(calls["nodes"])
    # all that there is to remember: with it, nothing is missed and nothing comes twice
    cursor = calls["liveCursor"]
    while True:
        try:
            with ask(url, "text/event-stream", FEED, {"after": cursor}) as response:
                for data in events(response):
                    event = data_of(json.loads(data))["calls"]
                    for edge in event.get("edges", []):
                        yield edge["node"]
                    cursor = event["cursor"]
        except (OSError, http.client.HTTPException):
            pass  # refused, broken off, or silent
        time.sleep(1)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6278/graphql"
    if not address.startswith(("http://", "https://")):
        sys.exit("tail.py: %r is no URL; give one such as http://127.0.0.1:6278/graphql" % address)
    try:
        for call in tail(address, 10):
            print(call["startedAt"], call["outcome"], call["method"], call["target"] or "", flush=True)
    except Refused as error:
        sys.exit("tail.py: %s" % error)
    except KeyboardInterrupt:
        pass
