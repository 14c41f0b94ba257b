"""What breaks between workers and the agent: requests go on, books close, all of it is counted."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from agents import (
    agent_at,
    command,
    intake_of,
    program,
    receipt_of,
    request,
    until,
    worker_of,
    worker_program,
)
from inferprint import Config, Tracker
from inferprint.agent import intake, peer
from inferprint.agent.frames import FrameReader, frame
from inferprint.agent.messages import BATCH, END, HELLO, REFUSED, START, TOKENS, VERSION
from rig import Kept
from support import run_python

ENV = {"INFERPRINT_SOURCES": "cpu_model"}


class Raw:
    """A connection by hand."""

    def __init__(self, path: str, prefix: str = "0123456789ab") -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.reader = FrameReader()
        self.prefix = prefix
        self.upto_ns = 0

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def greet(self, version: int = VERSION, ahead_ns: int = 0) -> None:
        now_ns = time.monotonic_ns() + ahead_ns
        self.sock.sendall(frame([HELLO, version, self.prefix, now_ns]))

    def tell(self, *events: list[object]) -> None:
        self.upto_ns = max(self.upto_ns + 1, time.monotonic_ns())
        self.sock.sendall(frame([BATCH, self.upto_ns, self.upto_ns, list(events), []]))

    def start(self, number: int, ago_s: float = 0.0, model: str = "m") -> list[object]:
        at_ns = time.monotonic_ns() - round(1e9 * ago_s)
        return [START, at_ns, number, model, None, None, None, None, None, False]

    def end(self, number: int, ago_s: float = 0.0) -> list[object]:
        at_ns = time.monotonic_ns() - round(1e9 * ago_s)
        return [END, at_ns, number, None, None, 3, None, None, 0, None, 0, None]

    def refusal(self) -> str:
        """Why it was refused; the connection is closed after it."""
        while data := self.sock.recv(1 << 16):
            for message in self.reader.feed(data):
                if message[0] == REFUSED:
                    assert self.sock.recv(1) == b""
                    return str(message[1])
        return "closed"


def errors(tracker: Tracker) -> dict[str, int]:
    """What was counted of the agent's socket."""
    return {
        kind: n for (where, kind), n in tracker.status().source_errors.items() if where == "agent"
    }


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "expected at most"),
        (b"\x00\x00\x00\x02\xc1\xc1", "not a value"),
        (frame([HELLO, 99, "0123456789ab", 1]), "version 99"),
        (frame([HELLO, VERSION, "0123456789ab", 1]), "clock"),
    ],
)
def test_who_does_not_speak_the_protocol_is_told_so(tmp_path: Path, sent: bytes, said: str) -> None:
    """Refused, closed and counted; the others are served on."""
    with agent_at(tmp_path) as agent, worker_of(agent) as tracker:
        with Raw(agent.socket) as raw:
            raw.sock.sendall(sent)
            assert said in raw.refusal()
        assert errors(agent.tracker) == {"refused worker": 1}
        assert request(tracker).receipt(timeout=20).provenance == "prorated"


def test_bad_frames_after_the_greeting_end_the_connection(tmp_path: Path) -> None:
    """What was in flight is cancelled; the books close."""
    with agent_at(tmp_path) as agent:
        with Raw(agent.socket) as raw:
            raw.greet()
            raw.tell(raw.start(1))
            until(lambda: agent.tracker.status().in_flight == {"m": 1})
            raw.sock.sendall(frame([BATCH, "now", 1, [], []]))
            assert "batch that is none" in raw.refusal()
        until(lambda: agent.tracker.status().in_flight == {})
        assert errors(agent.tracker) == {"bad frame": 1}
        assert agent.tracker.balance().closure_error <= 1e-9


def test_what_is_told_twice_counts_once(tmp_path: Path) -> None:
    """A batch that came before, a start of a number that is or was open, an end of one that is
    not: ignored and counted.
    """
    kept = Kept()
    with agent_at(tmp_path, exporters=[kept]) as agent, Raw(agent.socket) as raw:
        raw.greet()
        start = raw.start(1)
        raw.tell(start)
        raw.sock.sendall(frame([BATCH, raw.upto_ns, raw.upto_ns, [raw.start(2)], []]))
        raw.tell(start)
        raw.tell(raw.end(1), raw.end(1))
        raw.tell(raw.start(1), [TOKENS, 1, 77, 1, None, None, None, None])
        until(lambda: sum(errors(agent.tracker).values()) == 5)
        assert errors(agent.tracker) == {
            "replayed batch": 1,
            "replayed start": 2,
            "unknown request": 2,
        }
        until(lambda: kept.receipts)
        assert [one.request_id for one in kept.receipts] == [f"{raw.prefix}-1"]


def test_two_workers_cannot_touch_each_others_requests(tmp_path: Path) -> None:
    """Requests go by the connection that told of them, and no other can take its ids."""
    with agent_at(tmp_path) as agent, Raw(agent.socket) as one, Raw(agent.socket, "f" * 12) as two:
        one.greet()
        two.greet()
        one.tell(one.start(1))
        until(lambda: agent.tracker.status().in_flight == {"m": 1})
        two.tell(two.end(1))
        until(lambda: errors(agent.tracker) == {"unknown request": 1})
        assert agent.tracker.status().in_flight == {"m": 1}
        with Raw(agent.socket, one.prefix) as thief:
            thief.greet()
            assert "same prefix" in thief.refusal()


def test_who_it_is_is_taken_from_the_socket(tmp_path: Path) -> None:
    """Process and user are what the kernel says."""
    with agent_at(tmp_path) as agent, worker_of(agent):
        (found,) = intake_of(agent).peers.values()
        assert (found.pid, found.uid) == (os.getpid(), os.getuid())


def test_what_comes_late_counts_in_its_own_window(tmp_path: Path) -> None:
    """A start and an end that come two windows late are where they belong; ten windows late they
    are in the present window, and flagged.
    """
    kept = Kept()
    with (
        agent_at(tmp_path, exporters=[kept], gpu_idle_w=40.0, sample_interval_s=0.5) as agent,
        Raw(agent.socket) as busy,
        Raw(agent.socket, "f" * 12) as late,
    ):
        busy.greet()
        late.greet()
        until(lambda: agent.workers == 2)
        late.tell(late.start(9))  # what is in flight is waited for
        busy.tell(busy.start(1))
        time.sleep(0.2)
        began_s = time.monotonic()
        start = late.start(2)
        time.sleep(0.2)
        end = late.end(2)
        busy.tell(busy.end(1))
        time.sleep(0.5)
        late.tell(start, end)
        until(lambda: len(kept.receipts) == 2)
        if time.monotonic() - began_s < 1.5:  # else this machine was late itself
            assert [one.flags & {"told_late"} for one in kept.receipts] == [frozenset()] * 2
        time.sleep(0.1)
        late.tell(late.start(3, ago_s=5.0), late.end(3, ago_s=4.9))
        until(lambda: len(kept.receipts) == 3)
        assert "told_late" in kept.receipts[2].flags
        assert float(kept.receipts[2].energy.total_j or 0) > 0
        assert errors(agent.tracker)["late event"] >= 2
        assert agent.tracker.balance().closure_error <= 1e-9


def test_a_clock_that_is_set_back_or_ahead_changes_no_sum(tmp_path: Path) -> None:
    """Instants before the agent's start and after now count as late and as now."""
    with agent_at(tmp_path) as agent, Raw(agent.socket) as raw:
        raw.greet()
        raw.tell(raw.start(1, ago_s=-3600.0), raw.start(2, ago_s=60.0), raw.end(2, ago_s=90.0))
        raw.tell(raw.end(1, ago_s=120.0))
        until(lambda: agent.tracker.status().in_flight == {})
        assert agent.tracker.flush(20)
        assert agent.tracker.balance().closure_error <= 1e-9


def test_requests_that_never_end_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a worker's bound they are in the books, which close; more are refused and counted."""
    monkeypatch.setattr(intake, "MOST_OPEN", 10_000)
    with agent_at(tmp_path) as agent, Raw(agent.socket) as raw:
        raw.greet()
        for first in range(0, 10_500, 500):
            raw.tell(*(raw.start(first + number) for number in range(500)))
        until(lambda: errors(agent.tracker) == {"too many requests": 500})
        assert agent.tracker.status().in_flight == {"m": 10_000}
        raw.sock.close()
        until(lambda: agent.tracker.status().in_flight == {})
        assert agent.tracker.flush(20)
        assert agent.tracker.balance().closure_error <= 1e-9


def test_long_names_are_cut(tmp_path: Path) -> None:
    """A model's name and labels cannot fill the agent's memory, whoever sends them."""
    kept = Kept()
    with agent_at(tmp_path, exporters=[kept]) as agent, worker_of(agent) as tracker:
        with tracker.request("m" * 10_000, labels={"a" * 999: "b" * 9999}):
            pass
        with Raw(agent.socket) as raw:
            raw.greet()
            raw.tell(raw.start(1, model="x" * 10_000), raw.end(1))
            until(lambda: len(kept.receipts) == 2)
    assert sorted(one.model for one in kept.receipts) == ["m" * 256, "x" * 256]
    (labels,) = [one.labels for one in kept.receipts if one.labels]
    assert labels == {"a" * 256: "b" * 256}


def test_a_worker_that_does_not_read_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is bounded, dropped and counted; others have their receipts in time."""
    monkeypatch.setattr(intake, "MOST_SETTLED", 100)
    monkeypatch.setattr(peer, "MOST_UNSENT", 1 << 10)
    with agent_at(tmp_path) as agent, Raw(agent.socket) as deaf, worker_of(agent) as tracker:
        deaf.greet()
        for first in range(0, 20_000, 500):
            numbers = range(first, first + 500)
            deaf.tell(*(deaf.start(n) for n in numbers), *(deaf.end(n) for n in numbers))
        until(lambda: errors(agent.tracker).get("dropped settlement", 0) > 0)
        assert request(tracker).receipt(timeout=20).provenance == "prorated"
        (waiting,) = [one for one in intake_of(agent).peers.values() if one.prefix == deaf.prefix]
        assert len(waiting.settled) <= 100
        assert agent.tracker.balance().closure_error <= 1e-9


def test_a_killed_workers_requests_are_cancelled(tmp_path: Path) -> None:
    """At its last sign of life; what it had used by then is wasted, and the books close."""
    kept = Kept()
    with agent_at(tmp_path, exporters=[kept], gpu_idle_w=40.0) as agent:
        with worker_program(agent.socket) as worker:
            request_id = worker.ask("begin a")
            time.sleep(0.5)
            worker.kill()
            killed_s = time.monotonic()
            until(lambda: kept.receipts)
        assert agent.workers == 0
        assert agent.tracker.balance().closure_error <= 1e-9
        (receipt,) = kept.receipts
    assert (receipt.request_id, receipt.outcome) == (request_id, "cancelled")
    assert 0.3 < (receipt.duration_s or 0) <= 0.5 + time.monotonic() - killed_s
    assert float(receipt.energy.total_j or 0) > 0


def test_requests_go_on_while_the_agent_is_killed_and_restarted(tmp_path: Path) -> None:
    """One that ends without an agent is unknown, and says why; one that the next agent sees is
    charged from then, and flagged; those after it are as ever.
    """
    path = str(tmp_path / "agent.sock")
    with program(*command(path), env=ENV) as first, Tracker(Config(agent=path)) as tracker:
        assert request(tracker).receipt(timeout=20).provenance == "modelled"
        with tracker.request("across") as across:
            first.kill()
            with tracker.request("without") as without:
                time.sleep(0.1)
            lost = without.receipt(timeout=20)
            with program(*command(path), env=ENV):
                until(lambda: tracker._engine._greeted)  # type: ignore[attr-defined]
                time.sleep(0.3)
                across.add_tokens(output=1)
                across._end("ok")
                seen = across.receipt(timeout=20)
                after = request(tracker).receipt(timeout=20)
    assert (lost.provenance, lost.energy.total_j) == ("unknown", None)
    assert lost.flags >= {"agent_lost"}
    assert path in lost.reason
    assert seen.provenance == "modelled"
    assert "agent_lost" in seen.flags
    assert "agent_lost" not in after.flags
    assert after.provenance == "modelled"


def test_receipts_that_an_agent_never_gives_are_unknown(tmp_path: Path) -> None:
    """Also to exporters, in time for a caller of ``receipt()``, and counted."""
    kept = Kept()
    with Tracker(Config(agent=str(tmp_path / "none")), exporters=[kept]) as tracker:
        receipts = [request(tracker, 0.0).receipt(timeout=20) for _ in range(3)]
        assert tracker.flush(20)
        assert kept.receipts == receipts
        assert errors(tracker) == {"AgentLost": 1, "unknown receipt": 3}
        assert tracker.balance().devices == {}
    assert all(one.provenance == "unknown" and one.reason for one in receipts)


def test_a_stopped_worker_holds_up_nobody(tmp_path: Path) -> None:
    """One that is frozen in the middle of a request delays receipts for a moment, and no more."""
    with (
        agent_at(tmp_path) as agent,
        worker_of(agent) as tracker,
        worker_program(agent.socket) as worker,
    ):
        worker.ask("begin a")
        until(lambda: agent.tracker.status().in_flight == {"m": 1})
        worker.process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            assert request(tracker).receipt(timeout=20).provenance == "prorated"
        worker.process.send_signal(signal.SIGCONT)
        assert worker.ask("end a") == "ended"
        assert receipt_of(worker, "a")["outcome"] == "ok"


def test_a_forked_worker_is_a_worker_of_its_own(tmp_path: Path) -> None:
    """The child has its own connection and ids; the parent's goes on."""
    with agent_at(tmp_path) as agent:
        result = run_python(
            "-c",
            f"""
import os, time
from inferprint import Config, Tracker
tracker = Tracker(Config(agent={agent.socket!r})).start()
with tracker.request("parent") as parent:
    child = os.fork()
    if not child:
        with tracker.request("child") as one:
            time.sleep(0.2)
        assert one.receipt(timeout=20).provenance == "prorated", one.receipt()
        print(one.request_id.split("-")[0])
        tracker.stop()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
receipt = parent.receipt(timeout=20)
assert receipt.provenance == "prorated" and "agent_lost" not in receipt.flags, receipt
print(receipt.request_id.split("-")[0])
tracker.stop()
""",
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert len(set(result.stdout.split())) == 2
        until(lambda: agent.workers == 0)


def test_many_workers_in_threads_tell_at_once(tmp_path: Path) -> None:
    """Eight workers under load: each request has one receipt, and their sum is the books'."""
    kept = Kept()
    with agent_at(tmp_path, exporters=[kept], idle_policy="in_flight", gpu_idle_w=40.0) as agent:

        def work() -> None:
            with worker_of(agent) as tracker:
                for _ in range(40):
                    request(tracker, 0.005)
                assert tracker.flush(20)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: len(kept.receipts) == 320)
        (books,) = agent.tracker.balance().devices.values()
        found = sum(float(one.energy.total_j or 0) for one in kept.receipts)
    assert len({one.request_id for one in kept.receipts}) == 320
    assert found == pytest.approx(books.requests_active_j + books.requests_idle_j, rel=1e-6)
