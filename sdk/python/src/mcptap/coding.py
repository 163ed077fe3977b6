"""Content codings, undone beside the bytes: what passes is passed on as it came, and what is read here is a copy."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from .budget import Budget
from .events import MOST_READ

_MOST_STAGES = 4
# How many bytes come out of a decoder at once.
_SLICE = 64 * 1024
# The memory of a decoder besides its window, in bytes.
_STATE = 128 * 1024
# The largest window of zstd that is decoded, as a power of two: what RFC 9659 allows over HTTP.
_LARGEST_ZSTD_WINDOW = 23


class Unreadable(Exception):
    """Why a body cannot be read."""


class _TooLarge(Exception):
    pass


class _Zlib:
    """gzip, and deflate: RFC 9110 means zlib; some send it raw."""

    def __init__(self, name: str, first: bytes) -> None:
        is_zlib = first[0] & 15 == 8 and (len(first) < 2 or int.from_bytes(first[:2], "big") % 31 == 0)
        self._wbits = 31 if name == "gzip" else 15 if is_zlib else -15
        self._engine = zlib.decompressobj(self._wbits)

    @staticmethod
    def memory(_first: bytes) -> int:
        return 32 * 1024

    @property
    def is_whole(self) -> bool:
        return self._engine.eof

    def push(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._engine.eof:
                # Members of gzip may follow one another, and zeros may fill what is left.
                data = data.lstrip(b"\0") if self._wbits == 31 else b""
                if not data:
                    return
                self._engine = zlib.decompressobj(self._wbits)
            yield self._engine.decompress(data, _SLICE)
            data = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail


class _Brotli:
    def __init__(self, _name: str, _first: bytes) -> None:
        self._engine = _brotli().Decompressor()

    @staticmethod
    def memory(first: bytes) -> int:
        """The window of the data (RFC 7932, 9.1), in bytes."""
        low, middle, high = first[0] & 1, first[0] >> 1 & 7, first[0] >> 4 & 7
        if not low:
            return 1 << 16
        return 1 << (17 + middle if middle else 17 if high == 0 else 10 if high == 1 else 8 + high)

    @property
    def is_whole(self) -> bool:
        return bool(self._engine.is_finished())

    def push(self, data: bytes) -> Iterator[bytes]:
        if self.is_whole:
            return
        yield self._engine.process(data, output_buffer_limit=_SLICE)
        while not self._engine.can_accept_more_data():
            yield self._engine.process(b"", output_buffer_limit=_SLICE)


class _Zstd:
    """By Python 3.14 or ``backports.zstd``."""

    def __init__(self, _name: str, _first: bytes) -> None:
        self._library = _zstd()
        self._begin()

    def _begin(self) -> None:
        largest = {self._library.DecompressionParameter.window_log_max: _LARGEST_ZSTD_WINDOW}
        self._engine = self._library.ZstdDecompressor(options=largest)

    @staticmethod
    def memory(first: bytes) -> int:
        """The window that the head of a frame names (RFC 8878, 3.1.1.1), in bytes: the largest where it names none here."""
        largest = 1 << _LARGEST_ZSTD_WINDOW
        # Where the content is in one segment, it is its own window.
        if len(first) < 6 or first[4] & 0x20:
            return largest
        base = 1 << (10 + (first[5] >> 3))
        return int(min(largest, base + base // 8 * (first[5] & 7)))

    @property
    def is_whole(self) -> bool:
        return bool(self._engine.eof)

    def push(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._engine.eof:
                self._begin()
            yield self._engine.decompress(data, _SLICE)
            while not self._engine.eof and not self._engine.needs_input:
                yield self._engine.decompress(b"", _SLICE)
            data = self._engine.unused_data if self._engine.eof else b""


class _Zstandard:
    """zstd by the package ``zstandard``."""

    memory = staticmethod(_Zstd.memory)
    # It does not tell.
    is_whole = True

    def __init__(self, _name: str, _first: bytes) -> None:
        self._pieces: list[bytes] = []
        self._room = 0
        engine = _zstandard().ZstdDecompressor(max_window_size=1 << _LARGEST_ZSTD_WINDOW)
        self._writer = engine.stream_writer(self, write_size=_SLICE, closefd=False)

    def write(self, data: Any) -> int:
        """Takes what the engine made."""
        self._room -= len(data)
        if self._room < 0:
            raise _TooLarge
        self._pieces.append(bytes(data))
        return len(data)

    def push(self, data: bytes) -> Iterator[bytes]:
        self._room = MOST_READ
        try:
            self._writer.write(data)
        finally:
            pieces, self._pieces = self._pieces, []
        yield from pieces


def _brotli() -> Any:
    import brotli

    # Before 1.2 nothing bounds what a few bytes become.
    if not hasattr(brotli.Decompressor, "can_accept_more_data"):
        raise ImportError("brotli 1.2 or newer")
    return brotli


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from backports import zstd  # type: ignore[import-not-found,no-redef,unused-ignore]
    return zstd


def _zstandard() -> Any:
    import zstandard

    return zstandard


_CODINGS: dict[str, tuple[tuple[Callable[[], Any], Any], ...]] = {
    "gzip": ((lambda: zlib, _Zlib),),
    "deflate": ((lambda: zlib, _Zlib),),
    "br": ((_brotli, _Brotli),),
    "zstd": ((_zstd, _Zstd), (_zstandard, _Zstandard)),
}
_EXTRAS = {"br": "brotli", "zstd": "zstd"}


def _stage_of(name: str) -> Any:
    for load, stage in _CODINGS[name]:
        try:
            load()
        except ImportError:
            continue
        return stage
    raise Unreadable(f"its content coding {name} is not read here; that needs: pip install 'mcptap[{_EXTRAS[name]}]'")


class Decoder:
    """Undoes the content codings of one body."""

    def __init__(self, header: str, budget: Budget) -> None:
        """``header`` is the ``Content-Encoding``; the memory of decoders is taken from ``budget``."""
        self._budget = budget
        self._taken = 0
        self.unknown: str | None = None
        """Why the body may not be readable: nobody here knows its coding. It is read as it is, since some write an encoding of
        characters there."""
        self._stages: list[tuple[str, Any]] = []
        self._kinds: list[tuple[str, Any]] = []
        self._fault: str | None = None
        names = [name.strip().lower().removeprefix("x-") for name in header.split(",")]
        names = [name for name in names if name not in ("", "identity")]
        strange = next((name for name in names if name not in _CODINGS), None)
        if strange is not None:
            self.unknown = f"its content coding {strange[:40]!r} is not known"
            return
        try:
            if len(names) > _MOST_STAGES:
                raise Unreadable(f"it has more than {_MOST_STAGES} content codings")
            # In the order in which they are undone: the last one first.
            self._kinds = [(name, _stage_of(name)) for name in reversed(names)]
        except Unreadable as error:
            self._fault = str(error)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What a piece becomes. Fails with :class:`Unreadable`; nothing is to be fed after that."""
        if self._fault is not None:
            raise Unreadable(self._fault)
        yield from self._decoded(data, 0)

    def _decoded(self, data: bytes, at: int) -> Iterator[bytes]:
        if at == len(self._kinds) or not data:
            yield data
            return
        name, stage = self._stage(at, data)
        size = 0
        decoded = stage.push(data)
        while True:
            try:
                piece = next(decoded, None)
            except _TooLarge:
                size = MOST_READ + 1
                piece = b""
            except (Unreadable, MemoryError):
                raise
            except Exception:
                # Each library has an error of its own.
                raise Unreadable(f"its {name} data is damaged") from None
            if piece is None:
                return
            size += len(piece)
            if size > MOST_READ:
                raise Unreadable("it grows too large when it is decoded")
            if piece:
                yield from self._decoded(piece, at + 1)

    def _stage(self, at: int, first: bytes) -> tuple[str, Any]:
        """The decoder of a coding; it is made when the first bytes say how large it has to be."""
        if at == len(self._stages):
            name, kind = self._kinds[at]
            memory = _STATE + kind.memory(first)
            if not self._budget.take(memory):
                raise Unreadable("too many compressed bodies are open at once")
            self._taken += memory
            self._stages.append((name, kind(name, first)))
        return self._stages[at]

    def finish(self) -> None:
        """The end of the body. Fails with :class:`Unreadable` where it ends too early."""
        for name, stage in self._stages:
            if not stage.is_whole:
                raise Unreadable(f"its {name} data ends too early")

    def close(self) -> None:
        """Gives the memory back."""
        self._budget.give(self._taken)
        self._taken = 0
        self._stages = []
