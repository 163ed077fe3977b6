"""Exceptions: which of them a record tells, and as what."""

from __future__ import annotations

import traceback

from . import semconv
from .body import MARGIN
from .messages import Attributes

LONGEST = 64 * 1024
"""The most bytes that are shown of a message, and of a stack."""
# What libraries raise in the place of a handler's own exception, which is the cause of theirs.
_WRAPPERS = frozenset(f"{how}{what}Error" for how in ("", "Unexpected") for what in ("Prompt", "Resource", "Tool"))
# What a handler raises to say what the answer is to be.
_ANSWERS = frozenset(("MCPError", "McpError", "UrlElicitationRequiredError"))


# How often one may be wrapped.
_DEEPEST = 8


def told(error: BaseException) -> BaseException | None:
    """The exception of the handler's own code, if there was one."""
    for _ in range(_DEEPEST):
        if type(error).__name__ not in _WRAPPERS or error.__cause__ is None:
            break
        error = error.__cause__
    return None if type(error).__name__ in _ANSWERS else error


def described(error: BaseException, has_texts: bool) -> Attributes:
    """Its type, and where texts are recorded, its message and its stack with its causes. Not redacted yet, and cut a little behind
    what is shown."""
    kind = type(error)
    said: Attributes = {
        semconv.EXCEPTION_TYPE: kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    }
    if has_texts:
        stack = "".join(traceback.format_exception(kind, error, error.__traceback__))
        said[semconv.EXCEPTION_MESSAGE] = str(error)[: LONGEST + MARGIN]
        said[semconv.EXCEPTION_STACKTRACE] = stack[: LONGEST + MARGIN]
    return said
