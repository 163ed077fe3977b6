"""What is recorded while the collector is away, where a directory is named to keep it in."""

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import mcptap
from conftest import Collector, attributes
from mcptap import courier, spool
from mcptap.conversation import Conversation
from mcptap.observer import Carrier
from mcptap.spool import Spool
from test_records import SECRET, answer, call


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MCPTAP_SPOOL_DIR", str(tmp_path / "spool"))
    return tmp_path / "spool"


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*/*"))


def say(observer: Any, *ids: int, text: str = "") -> None:
    talk = Conversation(observer)
    for id in ids:
        talk.take("client", call(id=id, arguments={"text": text, "password": "hunter2"}), Carrier())
        talk.take("server", answer(id), Carrier())


def ids(collector: Collector) -> list[int]:
    return sorted(int(attributes(span)["jsonrpc.request.id"]) for span in collector.spans)


def until(ask: Any) -> None:
    end = time.monotonic() + 30
    while not ask():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_outage_is_kept_on_disk_and_delivered_when_it_is_over(observe: Any, collector: Collector, root: Path) -> None:
    collector.status = 503
    observer = observe()
    say(observer, *range(20), text=f"is {SECRET}")
    until(lambda: files(root))
    # Nothing of it is in memory any more, and nobody says that it was sent.
    assert not observer.telemetry.courier.flush(0.3)
    until(lambda: observer.telemetry.courier._bytes == 0)
    held = b"".join(gzip.decompress(path.read_bytes()) for path in files(root))
    assert b"tools/call" in held and SECRET.encode() not in held and b"hunter2" not in held
    assert {oct(path.stat().st_mode & 0o777) for path in files(root)} == {"0o600"}
    collector.status = 200
    # No other record brings it about.
    until(lambda: ids(collector) == list(range(20)))
    assert observer.telemetry.courier.flush(10)
    assert files(root) == []


def test_the_next_process_delivers_what_is_left(observe: Any, collector: Collector, root: Path) -> None:
    collector.status = 503
    first = observe()
    say(first, 1, 2)
    first.telemetry.courier.close(10)
    assert files(root) and collector.spans == []
    collector.status = 200
    elsewhere = Spool(root, "http://elsewhere", 1 << 20)
    elsewhere.put("spans", b"of another address")
    second = observe()
    say(second, 3)
    assert second.telemetry.courier.flush(30)
    assert ids(collector) == [1, 2, 3]
    assert len(files(root)) == 1 and elsewhere.take("spans").data == b"of another address"


def test_a_process_that_ends_while_its_collector_does_not_answer_leaves_what_it_has(collector: Collector, root: Path) -> None:
    program = """
import http.server, threading, time
import mcptap
from mcptap import courier
from mcptap.conversation import Conversation
from mcptap.observer import Carrier, Observer
from mcptap.telemetry import Telemetry

class Deaf(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        time.sleep(60)

deaf = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Deaf)
deaf.daemon_threads = True
threading.Thread(target=deaf.serve_forever, daemon=True).start()
telemetry = Telemetry("shop", f"http://127.0.0.1:{deaf.server_address[1]}")
talk = Conversation(Observer(telemetry, mcptap.Capture(), "shop", None))
for id in range(50):
    call = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": f"number-{id}"}}
    talk.take("client", call, Carrier())
    talk.take("server", {"jsonrpc": "2.0", "id": id, "result": {}}, Carrier())
telemetry.courier.close(0.5)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
    held = b"".join(gzip.decompress(path.read_bytes()) for path in files(root))
    assert all(f"number-{id}".encode() in held for id in range(50))


def test_what_overflows_memory_goes_to_disk(observe: Any, collector: Collector, root: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(courier, "SPILL_BYTES", 200_000)
    collector.status = 503
    observer = observe()
    say(observer, 0)
    until(lambda: files(root))
    monkeypatch.setattr(observer.telemetry.courier, "_not_before", time.monotonic() + 3600)
    for id in range(1, 60):
        say(observer, id, text="word " * 5000)
        until(lambda: observer.telemetry.courier._bytes < 300_000)
    assert len(files(root)) > 3
    monkeypatch.setattr(observer.telemetry.courier, "_not_before", 0.0)
    collector.status = 200
    assert observer.telemetry.courier.flush(30)
    assert ids(collector) == list(range(60))


def test_the_disk_is_bounded_and_the_oldest_go(root: Path, caplog: Any) -> None:
    kept, other = Spool(root, "here", 5 * 4096), Spool(root, "there", 5 * 4096)
    assert all(kept.put("spans", str(number).encode()) for number in range(3))
    assert all(other.put("logs", str(number).encode()) for number in range(4))
    assert sum(max(path.stat().st_size, 4096) for path in files(root)) <= 5 * 4096
    assert [record.getMessage() for record in caplog.records if "the oldest is dropped" in record.getMessage()] != []
    assert not kept.put("spans", os.urandom(6 * 4096))
    assert kept.take("spans").data == b"2" and kept.take("spans") is None and other.take("spans") is None


def test_a_piece_is_delivered_by_one_and_not_lost_with_it(root: Path, monkeypatch: Any) -> None:
    one, other = Spool(root, "here", 1 << 20), Spool(root, "here", 1 << 20)
    one.put("spans", b"first")
    one.put("spans", b"second")
    first = one.take("spans")
    assert (first.data, other.take("spans").data, other.take("spans")) == (b"first", b"second", None)
    one.back(first)
    again = other.take("spans")
    assert again.data == b"first"
    # Its deliverer has gone.
    monkeypatch.setattr(spool, "_TAKEN_FOR", -1.0)
    taken = one.take("spans")
    assert taken.data in (b"first", b"second")
    one.done(taken)
    assert len(files(root)) == 1


def test_what_is_torn_is_passed_over(root: Path) -> None:
    kept = Spool(root, "here", 1 << 20)
    kept.put("spans", b"w" * 1000)
    (file,) = files(root)
    file.write_bytes(file.read_bytes()[:-9])
    kept.put("spans", b"whole")
    assert kept.take("spans").data == b"whole"


def test_a_disk_that_takes_nothing_leaves_it_in_memory(observe: Any, collector: Collector, root: Path, caplog: Any) -> None:
    root.write_text("no directory")
    collector.status = 503
    observer = observe()
    say(observer, 1)
    until(lambda: collector.asked > 0)
    collector.status = 200
    assert observer.telemetry.courier.flush(30)
    assert ids(collector) == [1]
    assert len([record for record in caplog.records if "they are kept in memory" in record.getMessage()]) == 1


def test_what_is_refused_later_is_dropped(observe: Any, collector: Collector, root: Path) -> None:
    collector.status = 503
    observer = observe()
    say(observer, 1)
    until(lambda: files(root))
    collector.status = 401
    assert observer.telemetry.courier.flush(30)
    assert files(root) == [] and collector.spans == []


def test_a_size_that_is_none_is_told_and_off_keeps_nothing(root: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MCPTAP_SPOOL_BYTES", "off")
    assert spool.of_environment("here") is None
    monkeypatch.setenv("MCPTAP_SPOOL_BYTES", "a lot")
    with pytest.raises(mcptap.CaptureError, match="MCPTAP_SPOOL_BYTES is 'a lot'; give a number of bytes"):
        spool.of_environment("here")
    monkeypatch.delenv("MCPTAP_SPOOL_DIR")
    monkeypatch.delenv("MCPTAP_SPOOL_BYTES")
    assert spool.of_environment("here") is None


def test_where_opentelemetry_has_no_such_encoder_records_stay_in_memory(
    observe: Any, collector: Collector, root: Path, monkeypatch: Any
) -> None:
    for name in ("trace_encoder", "_log_encoder"):
        monkeypatch.setitem(sys.modules, f"opentelemetry.exporter.otlp.proto.common.{name}", None)
    collector.status = 503
    observer = observe()
    say(observer, 1)
    until(lambda: collector.asked > 0)
    collector.status = 200
    assert observer.telemetry.courier.flush(30)
    assert ids(collector) == [1] and files(root) == []
