"""Console output: records of Python's logging and lines on standard output and error, while a call is handled."""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
import threading
import traceback
from typing import Any

from opentelemetry._logs import SeverityNumber

from . import semconv
from .call import Call
from .observer import current_call

_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
)
# The longest beginning of a line that is kept until the line ends, in characters: somewhat longer than what is shown of it.
_LONGEST_LINE = 96 * 1024

_begun: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar("mcptap_begun", default=None)
_logging = threading.local()


def install() -> None:
    """Watches both, once in a process. No handler of logging is added and no stream replaced: what the application sets up,
    before or after, is as it would be without."""
    _watch_logging()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:
            _watch_stream(stream, name)


def _watch_logging() -> None:
    call_handlers = logging.Logger.callHandlers
    if getattr(call_handlers, "mcptap", False):
        return

    @functools.wraps(call_handlers)
    def watched(self: logging.Logger, record: logging.LogRecord) -> None:
        call = current_call.get()
        if call is None or not call.observer.hears_console:
            call_handlers(self, record)
            return
        _write(call, record)
        # What handlers show is recorded already.
        depth = getattr(_logging, "depth", 0)
        _logging.depth = depth + 1
        try:
            call_handlers(self, record)
        finally:
            _logging.depth = depth

    watched.mcptap = True  # type: ignore[attr-defined]
    logging.Logger.callHandlers = watched  # type: ignore[method-assign]


def _write(call: Call, record: logging.LogRecord) -> None:
    if record.name.split(".", 1)[0] in ("mcptap", "opentelemetry"):
        return
    try:
        attributes: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, _ = record.exc_info
            attributes[semconv.EXCEPTION_TYPE] = kind.__qualname__
            attributes[semconv.EXCEPTION_MESSAGE] = str(error)
            attributes[semconv.EXCEPTION_STACKTRACE] = "".join(traceback.format_exception(*record.exc_info))
        severity = next((number for level, number in _SEVERITIES if record.levelno >= level), SeverityNumber.DEBUG)
        call.log(severity, record.getMessage(), attributes, int(record.created * 1_000_000_000))
    except Exception:
        # One that cannot be formatted is the application's to hear of, and its own handlers tell it.
        call.observer.failed("a log record could not be recorded")


def _watch_stream(stream: Any, name: str) -> None:
    write = stream.write
    if getattr(write, "mcptap", False):
        return

    @functools.wraps(write)
    def watched(text: Any) -> Any:
        written = write(text)
        call = current_call.get()
        if call is None or call.is_over or not call.observer.hears_console or not isinstance(text, str):
            return written
        if not getattr(_logging, "depth", 0):
            try:
                _lines(call, name, text)
            except Exception:
                call.observer.failed("a line of output could not be recorded")
        return written

    watched.mcptap = True  # type: ignore[attr-defined]
    try:
        # On the stream that is there: who holds it keeps it, and what it is.
        stream.write = watched
    except AttributeError:
        return


def _lines(call: Call, name: str, text: str) -> None:
    begun = _begun.get()
    if begun is None:
        begun = {}
        _begun.set(begun)
    *lines, rest = text.split("\n")
    before = begun.get(name, "")
    if lines:
        lines[0], before = _joined(before, lines[0]), ""
    begun[name] = _joined(before, rest)
    for line in lines:
        if line.strip():
            call.log(SeverityNumber.INFO, line.rstrip("\r"), {"log.iostream": name})


def _joined(before: str, text: str) -> str:
    """A line as it goes on, as far as it is kept."""
    return before + text[: max(0, _LONGEST_LINE - len(before))]
