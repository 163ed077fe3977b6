"""Streams of events (SSE), read as they pass."""

from __future__ import annotations

from collections.abc import Iterator

MOST_READ = 16 << 20
"""How much of a body is kept to be read, in bytes; what is longer is not read."""


class Events:
    """A stream of events, in any pieces."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._is_long = False
        self._data: list[bytes] = []
        self._size = 0
        self._name = b""
        self.has_ids = False
        self.has_skipped = False
        """Whether a message was too long to be read."""
        self.is_answering_elsewhere = False
        """Whether it is the stream of HTTP+SSE, where requests come by others."""

    @property
    def held(self) -> int:
        """How many bytes are held of what is not over yet."""
        return self._rest_size + min(self._size, MOST_READ)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of each message that ends in this piece."""
        *lines, rest = data.split(b"\n")
        if lines:
            # What went before of a line is put together once, however many pieces it came in.
            self._rest.append(lines[0])
            lines[0] = b"" if self._is_long else b"".join(self._rest)
            is_skipped, self._is_long = self._is_long, False
            self._rest, self._rest_size = [], 0
            if is_skipped:
                # A field that is too long: the message that it is of is not read.
                self._size = MOST_READ + 1
                lines = lines[1:]
        if not self._is_long:
            self._rest.append(rest)
            self._rest_size += len(rest)
            if self._rest_size > MOST_READ:
                self._rest, self._rest_size, self._is_long = [], 0, True
        for line in lines:
            line = line.rstrip(b"\r")
            if line:
                self._field(line)
                continue
            if self._data and self._name in (b"", b"message") and self._size <= MOST_READ:
                yield b"\n".join(self._data)
            self.has_skipped |= self._size > MOST_READ
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
            else:
                self._data = []
