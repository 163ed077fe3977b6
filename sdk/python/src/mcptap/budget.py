"""Memory that is bounded in bytes over all that share it."""

from __future__ import annotations

import threading


class Budget:
    """A number of bytes that several share."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._lock = threading.Lock()

    def take(self, size: int, is_forced: bool = False) -> bool:
        """Takes so many bytes, if there is room for them. Whether there was. ``is_forced`` is for what is bounded otherwise as
        well: it leaves less to the others."""
        with self._lock:
            if self.held + size > self.most and not is_forced:
                return False
            self.held += size
            return True

    def give(self, size: int) -> None:
        """Gives bytes back."""
        with self._lock:
            self.held -= size
