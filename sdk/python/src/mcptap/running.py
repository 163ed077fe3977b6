"""Requests that run: each is announced once it has run for a second, and its process says that it lives for as long as there
are such.

A span is sent when it ends, so a request that hangs, or whose process is killed, would never be seen.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from .call import Call

ANNOUNCED_AFTER = 1.0
HEARTBEAT = 10.0
# How long after its end an announced request is named in heartbeats, and how many at once.
_NAMED_AFTER = 60.0
_NAMED_AT_ONCE = 512
# How many requests may be watched, and how many of those that ended are remembered.
_MOST = 8192


class Running:
    """The requests of one server that have begun."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun: deque[tuple[float, Call]] = deque()
        self._announced: WeakSet[Call] = WeakSet()
        self._ended: deque[tuple[float, str]] = deque()
        self._beaten = 0.0
        self._thread: threading.Thread | None = None

    def add(self, call: Call) -> None:
        with self._changed:
            if len(self._begun) >= _MOST:
                return
            self._begun.append((time.monotonic() + ANNOUNCED_AFTER, call))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="mcptap-running", daemon=True)
                self._thread.start()
            elif len(self._begun) == 1:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = self._due(now)
                alive = [call for call in self._announced if not call.is_over]
                beats = bool(alive) and now - self._beaten >= HEARTBEAT
                if not due and not beats:
                    self._changed.wait(self._next(now, bool(alive)))
                    continue
                ended = self._named(now) if beats else []
                if beats:
                    self._beaten = now
            for call in due:
                call.announce()
            if beats and alive:
                alive[0].beat(ended)

    def _due(self, now: float) -> list[Call]:
        due = []
        while self._begun and (self._begun[0][0] <= now or self._begun[0][1].is_over):
            call = self._begun.popleft()[1]
            if not call.is_over:
                due.append(call)
                self._announced.add(call)
        if due and not self._beaten:
            self._beaten = now
        return due

    def _next(self, now: float, has_alive: bool) -> float | None:
        times = [self._begun[0][0]] if self._begun else []
        if has_alive:
            times.append(self._beaten + HEARTBEAT)
        # Half a second more at most: many short requests wake nobody.
        return max(0.05, min(times) - now) if times else None

    def ended(self, call: Call) -> None:
        """Notes that an announced request has ended."""
        if call in self._announced:
            with self._changed:
                self._announced.discard(call)
                self._ended.append((time.monotonic(), call.span_id))
                if len(self._ended) > _MOST:
                    self._ended.popleft()

    def _named(self, now: float) -> list[str]:
        """Those that the next heartbeat names, in turn: the end of each may have been lost on its way."""
        named = [span for at, span in self._ended if at + _NAMED_AFTER <= now][:_NAMED_AT_ONCE]
        for _ in named:
            self._ended.append(self._ended.popleft())
        return named
