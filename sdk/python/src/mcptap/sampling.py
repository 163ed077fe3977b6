"""Methods of which only some requests are recorded."""

from __future__ import annotations

import threading


class Sampling:
    """How requests of one method are sampled, by all servers that share a :class:`Capture`."""

    def __init__(self, every: int) -> None:
        self._every = max(1, every)
        self._begun = 0
        self._skipped = 0
        self._lock = threading.Lock()

    def takes_next(self) -> bool:
        """Whether the request that begins now is recorded: the first is, and every so many after it."""
        with self._lock:
            self._begun += 1
            return (self._begun - 1) % self._every == 0

    def skip(self) -> None:
        """A success is not recorded."""
        with self._lock:
            self._skipped += 1

    def weight(self) -> int:
        """A success is recorded. For how many requests it stands: itself, and those that were not since the one before."""
        with self._lock:
            weight, self._skipped = self._skipped + 1, 0
            return weight
