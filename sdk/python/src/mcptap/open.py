"""The open requests of one conversation, and which of them a message is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import ids
from .call import Call

Side = Literal["client", "server"]


@dataclass(frozen=True)
class Scope:
    """The stream that a message came on, and so which open requests it can be about."""

    own: tuple[Call, ...] = ()
    """Those that it is about first: of the HTTP request in whose answer, or with which, it came."""
    kind: Literal["only", "answer", "session"] = "only"
    """``only``: there is no other stream. ``answer``: the body of an HTTP answer, which is about its own requests alone.
    ``session``: another stream of a session."""


ONLY = Scope()


class OpenRequests:
    """Requests that are open. A client that pools a session may have several open with one id."""

    def __init__(self) -> None:
        # In the order in which they began.
        self._calls: dict[Call, None] = {}
        self._named: dict[tuple[Side, str], list[Call]] = {}
        self._tokens: dict[str, list[Call]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(tuple(self._calls))

    def __contains__(self, call: object) -> bool:
        return call in self._calls

    def add(self, call: Call) -> None:
        self._calls[call] = None
        self._named.setdefault((call.side, ids.digits(call.id)), []).append(call)
        if call.token is not None:
            self._tokens.setdefault(call.token, []).append(call)

    def remove(self, call: Call) -> bool:
        """Whether it was open."""
        if call not in self._calls:
            return False
        del self._calls[call]
        _drop(self._named, (call.side, ids.digits(call.id)), call)
        if call.token is not None:
            _drop(self._tokens, call.token, call)
        return True

    def has(self, side: Side, id: Any) -> bool:
        """Whether one is open with this id, at least by its digits."""
        return (side, ids.digits(id)) in self._named

    def find(self, side: Side, id: Any, scope: Scope, may_be_awaited: bool) -> list[Call]:
        """What a message on this stream is about that names a request: none, one, or several of which nothing on the wire tells
        which is meant. What ``may_be_awaited`` allows are requests whose answers come in HTTP answers of their own."""
        named = self._named.get((side, ids.digits(id)), [])
        own = _narrowed([call for call in named if call in scope.own], id)
        if own or scope.kind == "answer":
            return own[:1]
        found = _narrowed([call for call in named if may_be_awaited or not call.is_awaited], id)
        # What a body is still awaited for will be answered there, unless nothing else can be meant.
        free = [call for call in found if not call.is_awaited]
        return free or found

    def with_token(self, token: Any, scope: Scope) -> Call | None:
        """The request that a token of progress was given with, where only one can be meant."""
        found = self._tokens.get(ids.exact(token), [])
        own = [call for call in found if call in scope.own]
        if own or scope.kind == "answer":
            return own[0] if own else None
        free = [call for call in found if not call.is_awaited] or found
        return free[0] if len(free) == 1 else None

    def newest(self, side: Side, id: Any) -> Call | None:
        """The request with exactly this id that began last."""
        named = self._named.get((side, ids.digits(id)), ())
        return next((call for call in reversed(named) if ids.exact(call.id) == ids.exact(id)), None)


def _narrowed(calls: list[Call], id: Any) -> list[Call]:
    exact = ids.exact(id)
    return [call for call in calls if ids.exact(call.id) == exact] or calls


def _drop(named: dict[Any, list[Call]], name: Any, call: Call) -> None:
    calls = named[name]
    calls.remove(call)
    if not calls:
        del named[name]


def running(calls: Iterable[Call]) -> list[Call]:
    """The client's requests among them that a line may belong to."""
    return [call for call in calls if call.side == "client" and not call.long_lived]
