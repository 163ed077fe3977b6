"""Streams of events (SSE), read as they pass."""

from __future__ import annotations

from collections.abc import Iterator

MOST_READ = 16 << 20
"""How much of a body is kept to be read, in bytes; what is longer is not read."""


class Events:
    """A stream of events, in any pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._name = b""
        self.has_ids = False
        self.is_answering_elsewhere = False
        """Whether it is the stream of HTTP+SSE, where requests come by others."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of each message that ends in this piece."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MOST_READ:
            self._rest = b""
        for line in lines:
            line = line.rstrip(b"\r")
            if line:
                self._field(line)
                continue
            if self._data and self._name in (b"", b"message") and self._size <= MOST_READ:
                yield b"\n".join(self._data)
            self._data, self._size, self._name = [], 0, b""

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._name = value
            self.is_answering_elsewhere |= value == b"endpoint"
        elif name == b"id":
            self.has_ids = True
        elif name == b"data":
            self._size += len(value)
            if self._size <= MOST_READ:
                self._data.append(value)
