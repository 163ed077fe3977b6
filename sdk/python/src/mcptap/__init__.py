"""Makes an MCP server written in Python speak OTLP: one line, one span for each request, with bodies.

    import mcptap

    server = mcptap.instrument(FastMCP("weather"))
"""

from __future__ import annotations

from typing import Any, TypeVar

from . import console as _console
from .capture import Capture, CaptureError
from .courier import logger as _logger
from .current import Call
from .http import Middleware
from .observer import Caller, Incoming, Observer
from .redaction import REDACTED, BadRule, Redactor
from .servers import attach, low_level, observer_of
from .telemetry import VERSION as __version__
from .telemetry import Telemetry, service_name_of_environment

__all__ = [
    "REDACTED", "BadRule", "Call", "Caller", "Capture", "CaptureError", "Incoming", "Middleware", "Redactor", "__version__",
    "flush", "instrument", "middleware", "set",
]

S = TypeVar("S")


def instrument(
    server: S,
    *,
    name: str | None = None,
    endpoint: str | None = None,
    api_key: str | None = None,
    capture: Capture | None = None,
    caller: Caller | None = None,
    console: bool = True,
) -> S:
    """Has every request to a server recorded, and gives the server back.

    ``server`` is a ``Server``, ``MCPServer`` or ``FastMCP`` of the official SDK (``mcp`` 1.x or 2.x) or of ``fastmcp`` (2 to 4).
    ``name`` is its name in the log, where ``OTEL_SERVICE_NAME`` gives none; without both it is the server's own.
    ``endpoint`` is a base URL of OTLP over HTTP that wins over the variables ``OTEL_EXPORTER_OTLP_…``, and ``api_key`` a key
    of mcptap with scope ``ingest``. ``capture`` says what is recorded, in place of the variables ``MCPTAP_…``. ``caller`` is
    asked who sent a request: it gives an id, or attributes. ``console`` has log records and lines on standard output and
    error recorded with the call that they were written in.

    Nothing here can make the server fail: where a setting is wrong, it runs, nothing is recorded, and the log says why. A
    server that is none is a ``TypeError``.
    """
    inner = low_level(server)
    if observer_of(server) is not None:
        return server
    try:
        observer = _observer(inner, name, endpoint, api_key, capture, caller)
        if observer is not None:
            observer.hears_console = console
            attach(server, observer)
            if console:
                _console.install()
    except (CaptureError, ValueError) as error:
        _logger.error("nothing is recorded until this is mended: %s", error)
    except Exception:
        _logger.exception("nothing is recorded of this server")
    return server


def _observer(
    inner: Any, name: str | None, endpoint: str | None, api_key: str | None, capture: Capture | None, caller: Caller | None
) -> Observer | None:
    capture = Capture.from_env() if capture is None else capture
    if not capture.records:
        return None
    called = service_name_of_environment() or name or getattr(inner, "name", None) or "mcp-server"
    telemetry = Telemetry(called, endpoint, api_key)
    if not telemetry.sends:
        return None
    return Observer(telemetry, capture, called, caller)


def middleware(server: Any) -> Any:
    """A class of ASGI middleware that watches HTTP requests to an instrumented server where they come in: for
    applications that are put together by hand and refuse requests before the server sees them. Add it outermost:
    ``app.add_middleware(mcptap.middleware(server))``."""
    observer = observer_of(server)

    def make(app: Any) -> Any:
        return app if observer is None else Middleware(app, observer)

    return make


def set(**attributes: Any) -> None:
    """Sets attributes of the call that is being handled, as :meth:`Call.set` does; outside one nothing happens."""
    call = Call.current()
    if call is not None:
        for name, value in attributes.items():
            call.set(name, value)


def flush(server: Any, timeout: float = 3.0) -> bool:
    """Sends what is recorded of a server so far. Whether that was done within so many seconds."""
    observer = observer_of(server)
    return observer is None or observer.telemetry.courier.flush(timeout)
