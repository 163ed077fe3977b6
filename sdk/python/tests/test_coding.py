"""Answers that are compressed: they are read, or it is told why not."""

import builtins
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import pytest
import zstandard
from backports import zstd

from conftest import Collector, attributes
from mcptap.budget import Budget
from mcptap.coding import Decoder, Unreadable
from test_records import answer, app_of, call, exchange, head


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip in members": ("x-gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]) + b"\0\0"),
    "deflate": ("Deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "zstd in frames": ("zstd", lambda data: zstd.compress(data[:9]) + zstd.compress(data[9:])),
    "zstd without a size": ("zstd", lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data)),
    "stacked": ("gzip, identity, br", lambda data: brotli.compress(gzip.compress(data))),
}


@pytest.fixture(params=["compression.zstd", "zstandard"])
def library(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Whichever package reads zstd."""
    if request.param == "zstandard":
        without(monkeypatch, "compression", "backports")
    yield request.param


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    load = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] in packages:
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)


def read(header: str, data: bytes, size: int, budget: Budget | None = None) -> bytes:
    decoder = Decoder(header, budget or Budget(64 << 20))
    try:
        read = b"".join(piece for at in range(0, len(data), size) for piece in decoder.feed(data[at : at + size]))
        decoder.finish()
        return read
    finally:
        decoder.close()


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_body_is_read_in_any_pieces(name: str, size: int, library: str) -> None:
    header, pack = PACKED[name]
    said = json.dumps(answer(text="word, " * 200)).encode()
    budget = Budget(64 << 20)
    assert read(header, pack(said), size, budget) == said
    assert budget.held == 0


@pytest.mark.parametrize("name", ["gzip", "raw deflate", "br", "zstd"])
def test_what_is_damaged_too_short_or_grows_without_bounds_is_not_read(name: str) -> None:
    header, pack = PACKED[name]
    said = bytes(range(256)) * 40
    with pytest.raises(Unreadable, match="data is damaged|ends too early"):
        read(header, b"\x0f\xff" + pack(said)[9:], 100)
    with pytest.raises(Unreadable, match="ends too early"):
        read(header, pack(said)[:-9], 100)
    with pytest.raises(Unreadable, match="grows too large"):
        read(header, pack(b"w" * (40 << 20)), 1 << 20)


def test_zstandard_is_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "compression", "backports")
    with pytest.raises(Unreadable, match="grows too large"):
        read("zstd", zstd.compress(b"w" * (40 << 20)), 1 << 20)
    with pytest.raises(Unreadable, match="damaged"):
        read("zstd", b"nothing of the kind", 100)


def test_a_window_is_bounded_and_taken_of_what_open_calls_may_hold(library: str) -> None:
    large = zstd.CompressionParameter
    packed = zstd.compress(b"w" * (10 << 20), options={large.window_log: 25, large.content_size_flag: 0})
    with pytest.raises(Unreadable, match="damaged"):
        read("zstd", packed, 1 << 20)
    budget = Budget(1 << 20)
    with pytest.raises(Unreadable, match="at once"):
        read("br", brotli.compress(b"word " * 100_000), 1 << 20, budget)
    assert budget.held == 0


def test_brotli_that_bounds_nothing_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brotli, "Decompressor", object)
    with pytest.raises(Unreadable, match=r"pip install 'mcptap\[brotli\]'"):
        read("br", b"x", 1)


def packed_app(header: str, body: bytes, **headers: str) -> Any:
    return app_of(200, body[:5], body[5:], b"", content_encoding=header, **{"content_type": "application/json", **headers})


@pytest.mark.parametrize("name", ["br", "zstd", "stacked"])
def test_a_compressed_answer_is_recorded(observe: Any, collector: Collector, name: str) -> None:
    observer = observe()
    header, pack = PACKED[name]
    said = json.dumps(answer(isError=True, content=[])).encode()
    exchange(packed_app(header, pack(said)), observer, head(), json.dumps(call()).encode())
    event = b"data: " + json.dumps(answer(2, content=["seen"])).encode() + b"\n\n"
    app = packed_app(header, pack(event), content_type="text/event-stream")
    exchange(app, observer, head(), json.dumps(call(id=2)).encode())
    assert observer.telemetry.courier.flush(10)
    first, second = (attributes(span) for span in collector.spans)
    assert (first["error.type"], json.loads(first["mcptap.response.body"])) == ("tool_error", {"isError": True, "content": []})
    assert json.loads(second["mcptap.response.body"]) == {"content": ["seen"]}
    assert observer.open_bytes.held == 0


def test_an_answer_that_nobody_here_reads_is_no_failure(
    observe: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "brotli", "compression", "backports", "zstandard")
    observer = observe()
    for header, body in (("br", b"x"), ("zstd", b"x"), ("pack200", b"\x00\x01"), ("utf-8", json.dumps(answer("utf-8")).encode())):
        exchange(packed_app(header, body), observer, head(), json.dumps(call(id=header)).encode())
    assert observer.telemetry.courier.flush(10)
    found = {attributes(span)["jsonrpc.request.id"]: attributes(span) for span in collector.spans}
    assert [span.status.code for span in collector.spans] == [0] * 4
    why = {id: said.get("mcptap.response.unreadable") for id, said in found.items()}
    assert "pip install 'mcptap[brotli]'" in why["br"] and "pip install 'mcptap[zstd]'" in why["zstd"]
    assert why["pack200"] == "its content coding 'pack200' is not known"
    # Some write an encoding of characters there.
    assert why["utf-8"] is None and json.loads(found["utf-8"]["mcptap.response.body"]) == {}
