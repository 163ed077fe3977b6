"""A FastMCP 4 server over HTTP that tells mcptap of its requests by its own telemetry.

    mcptap serve                                       # in one terminal; then open http://127.0.0.1:6278

    cd examples/fastmcp_server                         # in another
    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
    export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
    export OTEL_SERVICE_NAME=shop
    export OTEL_TRACES_SAMPLER=always_on
    export OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED=true
    .venv/bin/opentelemetry-instrument .venv/bin/python server.py

    .venv/bin/python client.py                         # in a third

What FastMCP itself records has no bodies and no HTTP status. For those, run the server without opentelemetry-instrument
and put `mcptap proxy` in front of it:

    .venv/bin/python server.py
    mcptap proxy --upstream http://127.0.0.1:8000/mcp --listen 127.0.0.1:6280
    .venv/bin/python client.py http://127.0.0.1:6280/mcp

Another port can be given: python server.py 9000
"""

import logging
import sys

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError

ORDERS = {"A-1": "shipped"}

log = logging.getLogger("shop")
log.setLevel(logging.INFO)
server = FastMCP("shop")


@server.tool
def order_status(order: str) -> str:
    """Where an order is."""
    log.info("looking up %s", order)
    if order not in ORDERS:
        raise ToolError(f"there is no order {order}")
    return ORDERS[order]


if __name__ == "__main__":
    server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]) if sys.argv[1:] else 8000, show_banner=False)
