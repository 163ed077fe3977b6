"""What waits on disk while the collector is away: a file for each piece, that any process of the same address delivers.

Nothing is locked: who delivers a file takes it by renaming it, and who ends meanwhile leaves it to the others after a while. A file
that is there is whole, since it is written under another name. What was cut out of records is not in it, and no credentials are.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import logging
import os
import time
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

from .capture import bytes_of
from .exporters import variable

logger = logging.getLogger("mcptap")

SPOOL_BYTES = 64 << 20
"""How much is kept on disk when nothing is said, in bytes."""
# The room that a file takes at least.
_BLOCK = 4096
# The largest piece that is read, in bytes.
_MOST_READ = 64 << 20
# How long one that is being delivered is its deliverer's, in seconds; and how long the disk is left alone after trouble.
_TAKEN_FOR = 300.0
_REST = 30.0
_TAKEN = ".taken"
_numbers = itertools.count()


@dataclass(frozen=True)
class Piece:
    """A piece that is taken to be delivered."""

    file: Path
    name: str
    data: bytes


def of_environment(address: str) -> Spool | None:
    """As ``MCPTAP_SPOOL_DIR`` and ``MCPTAP_SPOOL_BYTES`` say: none unless a directory is named. Fails on a size that is none."""
    said = variable("MCPTAP_SPOOL_BYTES")
    if said is not None and said.lower() == "off":
        most = 0
    else:
        expected = "a number of bytes, or one with a unit such as 64MiB, or off"
        most = bytes_of("MCPTAP_SPOOL_BYTES", said, expected) if said is not None else SPOOL_BYTES
    directory = variable("MCPTAP_SPOOL_DIR")
    return Spool(Path(directory), address, most) if directory is not None and most > 0 else None


class Spool:
    """The pieces for one address. For the courier's thread, and for who closes it."""

    def __init__(self, root: Path, address: str, most: int) -> None:
        self._root, self._most = root, most
        self._directory = root / f"sdk-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
        self._rests_until = 0.0
        self._said: set[str] = set()

    def put(self, signal: str, data: bytes) -> bool:
        """Keeps a piece. ``False`` where it cannot be kept: memory is the place for it then."""
        if time.monotonic() < self._rests_until:
            return False
        packed = gzip.compress(data, 1)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._make_room(max(len(packed), _BLOCK)):
                return False
            name = f"{time.time_ns() // 1_000_000:013}-{next(_numbers):08}-{uuid.uuid4().hex[:8]}.{signal}"
            unfinished = self._directory / f".{name}"
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(packed)
            unfinished.rename(self._directory / name)
            return True
        except OSError as error:
            self._rests_until = time.monotonic() + _REST
            self._say("trouble", f"records cannot be kept in {self._directory}; they are kept in memory: {error}")
            return False

    def take(self, signal: str) -> Piece | None:
        """Takes the oldest piece."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._directory) if not entry.name.startswith("."))
        except OSError:
            return None
        for name in names:
            own, _, _ = name.partition(f".{signal}")
            if own == name:
                continue
            file, taken = self._directory / name, self._directory / f"{own}.{signal}{_TAKEN}-{uuid.uuid4().hex[:8]}"
            try:
                if _TAKEN in name and time.time() - file.stat().st_mtime < _TAKEN_FOR:
                    continue
                os.utime(file)
                file.rename(taken)
            except OSError:
                # Another was faster.
                continue
            try:
                with gzip.open(taken) as packed:
                    return Piece(taken, f"{own}.{signal}", packed.read(_MOST_READ))
            except (OSError, EOFError, zlib.error):
                # It is torn: the machine stopped while it was written.
                taken.unlink(missing_ok=True)
        return None

    def done(self, piece: Piece) -> None:
        """It is delivered, or would be refused again."""
        try:
            piece.file.unlink(missing_ok=True)
        except OSError as error:
            self._say("trouble", f"{piece.file} cannot be removed: {error}")

    def back(self, piece: Piece) -> None:
        """It could not be delivered."""
        try:
            piece.file.rename(self._directory / piece.name)
        except OSError as error:
            self._say("trouble", f"{piece.file} cannot be renamed: {error}")

    def _make_room(self, size: int) -> bool:
        """Removes the oldest until so many bytes more may be kept, by all processes of this directory together."""
        if size > self._most:
            # What fits nowhere drops nothing.
            return False
        kept = []
        for directory in self._root.glob("sdk-*"):
            for entry in os.scandir(directory):
                try:
                    kept.append((entry.name.lstrip("."), entry.path, max(entry.stat().st_size, _BLOCK)))
                except OSError:
                    # It is delivered meanwhile.
                    continue
        total = sum(size for _, _, size in kept)
        for _, path, freed in sorted(kept):
            if total + size <= self._most:
                break
            Path(path).unlink(missing_ok=True)
            total -= freed
            self._say("full", f"what is kept in {self._root} takes all the room it may; the oldest is dropped")
        return total + size <= self._most

    def _say(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning(text)
