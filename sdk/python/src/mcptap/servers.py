"""The servers of the official SDK 1.x and 2.x and of FastMCP: where their messages come in, and where they are handled."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry import context as otel_context

from .call import Call
from .http import EXCHANGE, Middleware, current_exchange, watch
from .observer import Observer, current_call
from .pipe import Pipe, conversation_of_pipe
from .raised import told

# The names of the factories of ASGI applications, and of the attributes that hold the low-level server.
_FACTORIES = ("http_app", "streamable_http_app", "sse_app")
_INNER = ("_mcp_server", "_lowlevel_server")
# Those of a server that run its tools, resources and prompts, and raise what these raise.
_RUNNERS = ("call_tool", "read_resource", "get_prompt")

_UNKNOWN = "the call that is handled could not be told"

_observers: WeakKeyDictionary[Any, Observer] = WeakKeyDictionary()


def low_level(server: Any) -> Any:
    """The low-level server of any of them."""
    for name in _INNER:
        inner = getattr(server, name, None)
        if inner is not None:
            return inner
    if callable(getattr(server, "run", None)) and hasattr(server, "create_initialization_options"):
        return server
    raise TypeError(
        f"{type(server).__module__}.{type(server).__qualname__} is no MCP server that is known here; give a Server, MCPServer or "
        "FastMCP of the packages mcp or fastmcp"
    )


def observer_of(server: Any) -> Observer | None:
    """What watches a server already."""
    return _observers.get(low_level(server))


def attach(server: Any, observer: Observer) -> None:
    """Has a server watched."""
    inner = low_level(server)
    _observers[inner] = observer
    _watch_streams(inner, observer)
    _watch_handling(inner, observer)
    _watch_errors(server, inner)
    for owner in {id(each): each for each in (server, inner)}.values():
        for name in _FACTORIES:
            if callable(getattr(owner, name, None)):
                _watch_factory(owner, name, observer)
    _watch_managers()


def _watch_streams(inner: Any, observer: Observer) -> None:
    run = inner.run

    @functools.wraps(run)
    async def watched(read_stream: Any, write_stream: Any, *arguments: Any, **options: Any) -> Any:
        pipe = observer.safely("a connection could not be recorded", lambda: Pipe(observer, read_stream, write_stream))
        if pipe is None:
            return await run(read_stream, write_stream, *arguments, **options)
        token = conversation_of_pipe.set(pipe.conversation)
        try:
            return await run(pipe.read, pipe.write, *arguments, **options)
        finally:
            conversation_of_pipe.reset(token)
            pipe.over()

    inner.run = watched


def _watch_handling(inner: Any, observer: Observer) -> None:
    middleware = getattr(inner, "middleware", None)
    if isinstance(middleware, list):
        # SDK 2.x. Outermost, so that the spans of others are within the call's.
        middleware.insert(0, functools.partial(_handled, observer))
        return
    handle = inner._handle_request

    @functools.wraps(handle)
    async def watched(message: Any, *arguments: Any, **options: Any) -> Any:
        request = getattr(getattr(message, "message_metadata", None), "request_context", None)
        id = getattr(message, "request_id", None)
        with _Handling(observer.safely(_UNKNOWN, lambda: _call_of(request, id))):
            if arguments:
                observer.safely(_UNKNOWN, lambda: _watch_handler(inner, type(arguments[0])))
            return await handle(message, *arguments, **options)

    inner._handle_request = watched


def _watch_handler(inner: Any, kind: type) -> None:
    """SDK 1.x makes an answer of what a handler raises before anybody sees it."""
    handler = inner.request_handlers.get(kind)
    if handler is not None and not getattr(handler, "mcptap", False):
        inner.request_handlers[kind] = _telling(handler)


def _watch_errors(server: Any, inner: Any) -> None:
    if server is not inner:
        for name in _RUNNERS:
            if callable(getattr(server, name, None)):
                setattr(server, name, _telling(getattr(server, name)))
    make = getattr(inner, "_make_error_result", None)
    if callable(make):

        @functools.wraps(make)
        def made(*arguments: Any, **options: Any) -> Any:
            # SDK 1.x calls it where it handles what a tool raised.
            _tell(sys.exc_info()[1])
            return make(*arguments, **options)

        inner._make_error_result = made


def _telling(run: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose exceptions the record of the call tells."""

    @functools.wraps(run)
    async def telling(*arguments: Any, **options: Any) -> Any:
        try:
            return await run(*arguments, **options)
        except Exception as error:
            _tell(error)
            raise

    telling.mcptap = True  # type: ignore[attr-defined]
    return telling


def _tell(error: BaseException | None) -> None:
    call = current_call.get()
    if call is None or error is None:
        return
    try:
        own = told(error)
        if own is not None:
            call.raised(own)
    except Exception:
        call.observer.failed("an exception could not be recorded")


async def _handled(observer: Observer, context: Any, call_next: Callable[[Any], Any]) -> Any:
    if context.request_id is None:
        return await call_next(context)
    with _Handling(observer.safely(_UNKNOWN, lambda: _call_of(context.request, context.request_id))):
        try:
            return await call_next(context)
        except Exception as error:
            _tell(error)
            raise


class _Handling:
    """While a call is handled, its span is the current one."""

    def __init__(self, call: Call | None) -> None:
        self._call = call

    def __enter__(self) -> None:
        if self._call is not None:
            self._context = otel_context.attach(self._call.context)
            self._current = current_call.set(self._call)

    def __exit__(self, *error: Any) -> None:
        if self._call is not None:
            current_call.reset(self._current)
            otel_context.detach(self._context)


def _call_of(request: Any, id: Any) -> Call | None:
    if id is None:
        return None
    scope = getattr(request, "scope", None)
    exchange = scope.get(EXCHANGE) if scope is not None else current_exchange.get()
    if exchange is not None:
        return exchange.call_of(id)
    conversation = conversation_of_pipe.get()
    if conversation is not None:
        return conversation.open.newest("client", id)
    call = current_call.get()
    return call if call is not None and not call.is_over else None


def _watch_factory(owner: Any, name: str, observer: Observer) -> None:
    make = getattr(owner, name)

    @functools.wraps(make)
    def watched(*arguments: Any, **options: Any) -> Any:
        app = make(*arguments, **options)
        add = getattr(app, "add_middleware", None)
        if add is not None and not getattr(app, "_mcptap", False):
            app._mcptap = True
            try:
                add(Middleware, observer=observer)
            except RuntimeError:
                # It runs already.
                observer.failed("HTTP requests to an application that runs already are not recorded")
        return app

    setattr(owner, name, watched)


def _watch_managers() -> None:
    """Applications that are put together by hand give their requests to a session manager."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    handle = StreamableHTTPSessionManager.handle_request
    if getattr(handle, "mcptap", False):
        return

    @functools.wraps(handle)
    async def watched(self: Any, scope: Any, receive: Any, send: Any) -> None:
        observer = _observers.get(self.app)
        if observer is None:
            await handle(self, scope, receive, send)
        else:
            await watch(functools.partial(handle, self), observer, scope, receive, send)

    watched.mcptap = True  # type: ignore[attr-defined]
    StreamableHTTPSessionManager.handle_request = watched  # type: ignore[method-assign]
