"""The order of time of what several workers tell, each late by its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferprint import Config, Tracker
from inferprint.agent.intake import FLOOR_NS, Intake
from inferprint.agent.messages import END, START, Batch
from inferprint.agent.peer import Peer, PeerRequest
from inferprint.engine import Engine
from inferprint.sources import kin
from inferprint.testing import FakeClock, FakeSource
from inferprint.units import NS_PER_S

MS = NS_PER_S // 1000
ALLOWED_MS = 200


class Desk:
    """An intake with workers that are moved by hand."""

    def __init__(self, workers: int) -> None:
        clock = FakeClock(10.0)
        self.tracker = Tracker(Config(), sources=[FakeSource(clock)], clock=clock)
        self.engine = cast("Engine", self.tracker._engine)
        self.intake = Intake(self.tracker, self.engine, lambda: None)
        self.pairs = [socket.socketpair() for _ in range(workers)]
        self.peers = [Peer(one, 0) for one, _ in self.pairs]
        for number, peer in enumerate(self.peers):
            peer.prefix = f"{number:012x}"
        self.intake.peers = dict(enumerate(self.peers))

    def tell(self, worker: int, now_ms: int, *events: list[Any]) -> None:
        """A batch of a worker, told at an instant."""
        batch = Batch(now_ms * MS, now_ms, [*events], [])
        self.intake.take(self.peers[worker], batch, now_ms * MS)
        self.peers[worker].cpu_ns = 0  # it has told before

    def released(self, now_ms: int) -> list[tuple[int, bool]]:
        """What the engine gets then: instants, and whether each was too late."""
        self.intake.release(now_ms * MS)
        found = []
        for request in self.engine.events:
            assert isinstance(request, PeerRequest)
            at_ns = request._started_ns if request._ended_ns < 0 else request._ended_ns
            found.append((at_ns // MS, bool(request._said)))
        self.engine.events.clear()
        return found


@contextmanager
def desk(workers: int = 2) -> Iterator[Desk]:
    one = Desk(workers)
    try:
        yield one
    finally:
        for pair in one.pairs:
            for sock in pair:
                sock.close()


def start(at_ms: int, number: int, *, resumed: bool = False) -> list[Any]:
    return [START, at_ms * MS, number, "m", None, None, None, None, None, resumed]


def end(at_ms: int, number: int) -> list[Any]:
    return [END, at_ms * MS, number, None, None, None, None, None, 0, None, 0, None]


instants = st.lists(st.tuples(st.integers(0, 1), st.integers(1000, 1500)), max_size=30)
pauses = st.lists(st.integers(10, ALLOWED_MS - 60), min_size=1, max_size=9)
LAST_MS = 1700


def tells(gaps: list[int]) -> set[int]:
    """When a worker tells, with these pauses in turn."""
    found, at_ms = {LAST_MS}, 1000
    for gap in cycle(gaps):
        at_ms += gap
        if at_ms >= LAST_MS:
            return found
        found.add(at_ms)
    return found


@settings(max_examples=40)
@given(instants, st.tuples(pauses, pauses))
def test_what_is_told_within_two_windows_is_released_in_order(
    starts: list[tuple[int, int]], gaps: tuple[list[int], list[int]]
) -> None:
    """However workers' batches fall, the engine gets events in the order of time, none late."""
    times = [tells(one) for one in gaps]
    waiting = [sorted(at for worker, at in starts if worker == one) for one in (0, 1)]
    with desk() as one:
        for worker in (0, 1):  # each has a request in flight, so that it is waited for
            one.tell(worker, 999, start(990, 10_000))
        found: list[tuple[int, bool]] = []
        for now_ms in range(1000, 2000):
            for worker in (0, 1):
                if now_ms in times[worker]:
                    due = [at for at in waiting[worker] if at <= now_ms]
                    waiting[worker] = waiting[worker][len(due) :]
                    one.tell(
                        worker, now_ms, *(start(at, 100 * now_ms + n) for n, at in enumerate(due))
                    )
            if not now_ms % 10:
                found += one.released(now_ms)
    assert [at for at, _ in found] == [990, 990, *sorted(at for _, at in starts)]
    assert not any(late for _, late in found)


def test_nobody_is_waited_for_who_has_nothing_in_flight() -> None:
    """A worker that rests holds up no window, nor does one that was silent for a second."""
    with desk() as one:
        one.tell(0, 1000, start(1000, 1))
        assert one.intake.release(1100 * MS) == 1000 * MS
        one.tell(0, 1105, end(1101, 1))
        one.tell(1, 1105)
        assert one.intake.release(1170 * MS) == 1105 * MS
        assert one.intake.release(1171 * MS) == 1111 * MS
        assert one.intake.release(1300 * MS) == 1300 * MS - FLOOR_NS


def test_a_worker_that_is_held_up_holds_up_others_for_two_windows() -> None:
    """Then what it tells is late: it is counted, flagged, and lasts as long as it did."""
    with desk() as one:
        one.tell(0, 1000, start(1000, 1))
        assert one.intake.release(1500 * MS) == (1500 - ALLOWED_MS) * MS
        one.engine.events.clear()
        one.tell(0, 1510, start(1050, 2), end(1080, 2))
        one.intake.release(1600 * MS)
        request, same = one.engine.events
        assert request is same
        assert request._said == {"told_late"}
        assert request._started_ns == 1300 * MS
        assert request._ended_ns == 1330 * MS
        assert one.tracker.status().source_errors["agent", "late event"] == 2


def test_the_watermark_never_goes_back() -> None:
    """Whoever connects later."""
    with desk() as one:
        marks = [one.intake.release(now * MS) for now in (1000, 1500, 1400, 1600)]
        assert marks == sorted(marks)


def test_what_a_lost_worker_had_in_flight_ends_at_its_last_sign_of_life() -> None:
    """When it comes back, it goes on from there, and is not charged twice."""
    with desk() as one:
        one.tell(0, 1000, start(900, 1))
        one.tell(0, 1050)
        one.intake.lost(one.peers[0])
        one.intake.release(2000 * MS)
        request = one.engine.events[-1]
        assert (request._outcome, request._ended_ns) == ("cancelled", 1050 * MS)
        one.engine.events.clear()
        again = Peer(one.pairs[0][0], 2000 * MS)
        again.prefix = one.peers[0].prefix
        one.intake.peers = {0: again}
        one.intake.take(again, Batch(2010 * MS, 0, [start(900, 1, resumed=True)], []), 2010 * MS)
        one.intake.release(2300 * MS)
        assert one.engine.events[-1]._started_ns == 1050 * MS


@pytest.mark.parametrize("pid", [1, 4_000_000])
def test_processes_that_join_are_kin(pid: int) -> None:
    """A GPU's work of theirs is the agent's own, until they leave."""
    before = kin.changes()
    assert not kin.are_own([pid])
    kin.join(pid)
    assert kin.are_own([5, pid])
    kin.leave(pid)
    assert not kin.are_own([pid])
    assert kin.changes() == before + 2
