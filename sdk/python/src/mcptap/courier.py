"""One thread that redacts, ends spans and sends them, so that no handler ever waits for it."""

from __future__ import annotations

import atexit
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from opentelemetry import context as otel_context

logger = logging.getLogger("mcptap")

QUEUE_BYTES = 32 << 20
"""How much may wait, in bytes; what comes when it is full is dropped, and counted."""
QUEUE_RECORDS = 65_536
BATCH_BYTES = 4 << 20
BATCH_RECORDS = 512
SPILL_BYTES = 8 << 20
"""How much may wait in memory before it goes to disk, where it is kept there, while the collector is away, in bytes."""
PIECE_BYTES = 512 << 10
"""How much goes into one file at most, in bytes, unless a record is larger: what is before a collector may take little more."""
PATIENCE = 3.0
"""How long the end of the process waits for what is left to be sent, in seconds."""
_LONGEST_PAUSE = 30.0
# What a record takes besides its bodies.
_RECORD_BYTES = 2048

Signal = Literal["spans", "logs"]


def _suppress_instrumentation() -> None:
    otel_context.attach(otel_context.set_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY, True))


class Courier:
    """Runs tasks in order, and sends the spans and log records that they give it."""

    def __init__(self, exporters: dict[Signal, Any], linger: float, spool: Any = None) -> None:
        """``spool`` is what keeps records on disk while the collector is away, if something does."""
        self._exporters = exporters
        self._spool = spool
        self._is_away = False
        # When to send what may wait on disk.
        self._backlog_at: float | None = None
        # What is being sent.
        self._under_way: tuple[Signal, list[tuple[int, Any]]] | None = None
        self._linger = linger
        self._tasks: deque[tuple[int, Callable[[], None]]] = deque()
        self._ready: dict[Signal, deque[tuple[int, Any]]] = {"spans": deque(), "logs": deque()}
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._working = False
        self._flushing = 0
        self._sent_at = time.monotonic() - linger
        self._not_before = 0.0
        # Since when something is ready.
        self._since: float | None = None
        self._dropped = 0
        self._told = False
        self._failing: set[str] = set()
        atexit.register(self.close)

    def sends(self, signal: Signal) -> bool:
        """Whether records of this signal are sent."""
        return signal in self._exporters

    def room(self, size: int) -> bool:
        """Whether so many bytes more may be held."""
        return self._bytes + size <= QUEUE_BYTES

    def drop(self) -> None:
        """Notes that there was no room for something."""
        with self._changed:
            self._dropped += 1
            self._changed.notify()

    def later(self, task: Callable[[], None], size: int = 0) -> bool:
        """Has the thread do it, after all before. ``size`` is what it holds, in bytes. Whether there was room for it."""
        size += _RECORD_BYTES
        with self._changed:
            if self._closing or len(self._tasks) >= QUEUE_RECORDS or self._bytes + size > QUEUE_BYTES:
                self._dropped += 1
                self._changed.notify()
                return False
            self._tasks.append((size, task))
            self._bytes += size
            if self._thread is None:
                # Not in the context of a call, whichever is handled now; and what it asks of the collector is nobody's span.
                context = contextvars.Context()
                context.run(_suppress_instrumentation)
                self._thread = threading.Thread(target=context.run, args=(self._run,), name="mcptap", daemon=True)
                self._thread.start()
            self._changed.notify()
        return True

    def send(self, signal: Signal, record: Any, size: int = 0) -> None:
        """Sends it, with others. For tasks."""
        if signal not in self._exporters:
            return
        size += _RECORD_BYTES
        with self._changed:
            self._ready[signal].append((size, record))
            self._bytes += size
            # What is old makes room for what is new.
            while self._bytes > QUEUE_BYTES and (self._ready["logs"] or self._ready["spans"]):
                oldest = self._ready["logs"] or self._ready["spans"]
                self._bytes -= oldest.popleft()[0]
                self._dropped += 1

    def flush(self, timeout: float) -> bool:
        """Sends all that is recorded so far. Whether that was done in time."""
        return self._wait(timeout, lambda: self._is_busy or self._backlog_at is not None)

    @property
    def _is_busy(self) -> bool:
        """Whether something is in memory that is not sent."""
        return bool(self._tasks or self._working or any(self._ready.values()))

    def _wait(self, timeout: float, is_needed: Callable[[], bool]) -> bool:
        end = time.monotonic() + timeout
        with self._changed:
            self._flushing += 1
            self._changed.notify()
            try:
                while is_needed():
                    left = end - time.monotonic()
                    if left <= 0 or self._thread is None:
                        return False
                    self._changed.wait(min(left, 0.05))
                return True
            finally:
                self._flushing -= 1

    def close(self, timeout: float = PATIENCE) -> None:
        """Sends what is left, for so many seconds at most."""
        if self._closing:
            return
        if self._thread is not None and not self._wait(timeout, lambda: self._is_busy):
            self._leave()
        atexit.unregister(self.close)
        with self._changed:
            self._closing = True
            self._changed.notify()
        for exporter in self._exporters.values():
            # A daemon, since an exporter that waits to try again may not listen.
            thread = threading.Thread(target=exporter.shutdown, daemon=True)
            thread.start()
            thread.join(0.5)

    def _tell(self) -> None:
        """Says once that records were dropped. The courier's thread says so, and holds no lock: whoever records may be inside of a
        handler of the log."""
        if self._dropped and not self._told:
            self._told = True
            logger.warning("the collector is away or slow, and there is no more room for records: some are dropped")

    def abandon(self) -> None:
        """For the child of a fork: what is to be sent, and who sends it, are its parent's."""
        atexit.unregister(self.close)
        self._changed = threading.Condition()
        self._tasks.clear()
        for ready in self._ready.values():
            ready.clear()
        self._bytes, self._thread, self._working, self._closing, self._under_way = 0, None, False, True, None

    def _due(self, now: float) -> float | None:
        """When to send what is ready. The end of a call that comes alone goes at once, with its lines, so that a process that is
        killed loses little; what comes in a row is put together."""
        if not any(self._ready.values()):
            self._since = None
            return None
        self._since = now if self._since is None else self._since
        quiet = self._sent_at if self._ready["spans"] else self._since
        return max(quiet + (0.0 if self._flushing else self._linger), self._not_before)

    def _run(self) -> None:
        pause = 0.0
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                while not self._tasks and not self._closing and (self._told or not self._dropped):
                    due = self._due(time.monotonic())
                    if self._backlog_at is not None:
                        due = self._backlog_at if due is None else min(due, self._backlog_at)
                    left = None if due is None else due - time.monotonic()
                    if left is not None and left <= 0:
                        break
                    self._changed.wait(left)
                if self._closing and not self._tasks and not any(self._ready.values()):
                    return
                tasks = [self._tasks.popleft() for _ in range(min(len(self._tasks), 256))]
                self._bytes -= sum(size for size, _ in tasks)
                self._working = True
            self._tell()
            for _, task in tasks:
                try:
                    task()
                except Exception:
                    logger.exception("a record could not be made")
            with self._changed:
                due = self._due(time.monotonic())
                has_spans = bool(self._ready["spans"])
            if self._is_away and self._bytes > SPILL_BYTES:
                self._spill()
            if due is None or (not self._closing and due > time.monotonic()):
                if self._backlog_at is None or self._closing or self._backlog_at > time.monotonic():
                    continue
                has_spans, sent, has_more = False, *self._deliver()
            else:
                sent, has_more = all([self._export(signal) for signal in self._exporters]), True
            now = time.monotonic()
            pause = 0.0 if sent else min(max(pause * 2, 1.0), _LONGEST_PAUSE)
            self._since, self._not_before = None, now + pause
            self._is_away, self._backlog_at = not sent, now + pause if has_more and self._spool is not None else None
            if has_spans:
                self._sent_at = now
            if self._closing and not sent:
                return

    def _export(self, signal: Signal) -> bool:
        """Sends what is ready. Whether somebody answered."""
        exporter = self._exporters[signal]
        while True:
            batch: list[tuple[int, Any]] = []
            size = 0
            with self._changed:
                ready = self._ready[signal]
                while ready and len(batch) < BATCH_RECORDS and (not batch or size + ready[0][0] <= BATCH_BYTES):
                    batch.append(ready.popleft())
                    size += batch[-1][0]
                self._under_way = (signal, batch)
            if not batch:
                return True
            try:
                outcome = exporter.export([record for _, record in batch])
            except Exception:
                logger.exception("records could not be sent")
                outcome = "refused"
            with self._changed:
                if self._under_way is None:
                    # Who closes has put it on disk meanwhile.
                    return False
                self._under_way = None
                if outcome == "away":
                    self._ready[signal].extendleft(reversed(batch))
                else:
                    self._bytes -= size
                if outcome == "refused":
                    self._dropped += len(batch)
            if outcome == "away":
                self._spill()
                return False

    def _spill(self) -> None:
        """Puts on disk what is ready, as far as it takes that. Not for two at once."""
        if self._spool is None:
            return
        for signal, exporter in self._exporters.items():
            while exporter.can_wait_on_disk:
                piece: list[tuple[int, Any]] = []
                size = 0
                with self._changed:
                    ready = self._ready[signal]
                    while ready and (not piece or size + ready[0][0] <= PIECE_BYTES):
                        piece.append(ready.popleft())
                        size += piece[-1][0]
                if not piece:
                    break
                data = exporter.written([record for _, record in piece])
                is_kept = data is not None and self._spool.put(signal, data)
                with self._changed:
                    if data is not None and not is_kept:
                        self._ready[signal].extendleft(reversed(piece))
                        return
                    self._bytes -= size

    def _leave(self) -> None:
        """The process ends, and the collector does not answer: what is left goes to disk."""
        if self._spool is None:
            return
        with self._changed:
            self._closing = True
            tasks, under_way = list(self._tasks), self._under_way
            self._tasks.clear()
            self._under_way = None
            if under_way is not None:
                self._ready[under_way[0]].extendleft(reversed(under_way[1]))
        end = time.monotonic() + PATIENCE
        for _, task in tasks:
            if time.monotonic() > end:
                break
            try:
                task()
            except Exception:
                logger.exception("a record could not be made")
        self._spill()

    def _deliver(self) -> tuple[bool, bool]:
        """Sends a piece that waits on disk. Whether somebody answered, and whether there may be more."""
        for signal, exporter in self._exporters.items():
            piece = self._spool.take(signal) if exporter.can_wait_on_disk and exporter.can_resend else None
            if piece is None:
                continue
            outcome = exporter.resend(piece.data)
            if outcome == "away":
                self._spool.back(piece)
                return False, True
            self._spool.done(piece)
            return True, True
        return not self._is_away, False
