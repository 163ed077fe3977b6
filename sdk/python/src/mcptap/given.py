"""The attributes that the application's code sets on its call.

They wait until the call ends: what the record itself says has its place before them.
"""

from __future__ import annotations

import threading
from typing import Any

from . import semconv

MOST_BYTES = 64 * 1024
"""The most bytes that those of one call take, names and values."""
MOST_NAMES = 64


class Given:
    """The attributes of one call."""

    def __init__(self) -> None:
        self._attributes: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._dropped = 0
        self._most = 0
        self._lock = threading.Lock()

    def more(self, size: int) -> int:
        """How many bytes more than ever before they take with one of this size, at most."""
        with self._lock:
            before = self._most
            self._most = max(before, min(MOST_BYTES, sum(self._sizes.values()) + size))
            return self._most - before

    def put(self, name: str, value: Any, size: int) -> None:
        """Sets one, in place of one of that name."""
        with self._lock:
            # An old value is not left where a new one does not fit.
            self._attributes.pop(name, None)
            self._sizes.pop(name, None)
            if sum(self._sizes.values()) + size > MOST_BYTES or len(self._attributes) >= MOST_NAMES:
                self._dropped += 1
                return
            self._attributes[name], self._sizes[name] = value, size

    def drop(self, name: str) -> None:
        """Notes that there was no room for a value; an old one of that name goes, too."""
        with self._lock:
            self._attributes.pop(name, None)
            self._sizes.pop(name, None)
            self._dropped += 1

    def all(self, own: set[str]) -> dict[str, Any]:
        """What was set so far, besides what the record itself says."""
        with self._lock:
            given = {name: value for name, value in self._attributes.items() if name not in own}
            return {**given, semconv.MCPTAP_DROPPED_ATTRIBUTES: self._dropped} if self._dropped else given
