"""Trackers to test with: one driven by hand on a fake clock, one live on the real clock."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from inferprint import Config, Device, Exporter, PowerSource, Reading, Receipt, Request, Tracker
from inferprint.testing import FakeClock, FakeSource


def awaited(awaitable: Awaitable[Any]) -> Any:
    """Runs to its end, without an event loop, what waits for nothing outside."""
    waiting = awaitable.__await__()
    while True:
        try:
            next(waiting)
        except StopIteration as end:
            return end.value


class Kept:
    """An exporter that keeps the receipts that it is given."""

    name = "kept"

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.started = self.closed = False

    def start(self, tracker: Tracker) -> None:
        self.started = True

    def export(self, receipts: Sequence[Receipt]) -> None:
        self.receipts += receipts

    def close(self) -> None:
        self.closed = True


class SteadySource:
    """Draws the same power at all times on the real clock."""

    def __init__(self, watts: float = 100.0, device: str = "gpu:0") -> None:
        self.watts = watts
        self.closed = False
        self._device = Device(device, "gpu", "steady gpu")

    def devices(self) -> Sequence[Device]:
        return [self._device]

    def read(self) -> Sequence[Reading]:
        now_ns = time.monotonic_ns()
        return [Reading(self._device.id, now_ns, self.watts * now_ns / 1e9)]

    def close(self) -> None:
        self.closed = True


class Rig(NamedTuple):
    """A tracker driven by hand, and all that it is made of."""

    clock: FakeClock
    source: FakeSource
    tracker: Tracker
    kept: Kept

    def receipts(self) -> list[Receipt]:
        """Closes a window, a nanosecond on; the receipts of all that was settled so far."""
        self.clock.advance(1e-9)
        self.tracker.sample()
        return self.kept.receipts

    def one_receipt(self) -> Receipt:
        """Closes a window; the receipt of the only request that there was."""
        (receipt,) = self.receipts()
        return receipt

    def ran(self, model: str = "m", seconds: float = 1.0) -> Request:
        """A request that took so long."""
        with self.tracker.request(model) as request:
            self.clock.advance(seconds)
        return request


@contextmanager
def by_hand(
    watts: float = 100.0,
    *,
    clock: FakeClock | None = None,
    idle_w: float | None = None,
    sources: Sequence[PowerSource] = (),
    exporters: Sequence[Exporter] = (),
    **settings: Any,
) -> Iterator[Rig]:
    """A tracker whose clock and power are moved by hand; no thread runs and no time passes."""
    clock, kept = clock or FakeClock(), Kept()
    source = FakeSource(clock, watts=watts, idle_w=idle_w)
    tracker = Tracker(
        Config(**settings),
        sources=[source, *sources],
        exporters=[*exporters, kept],
        clock=clock,
    )
    with tracker:
        yield Rig(clock, source, tracker, kept)


@contextmanager
def live(
    *sources: PowerSource, exporters: Sequence[Exporter] = (), **settings: Any
) -> Iterator[Tracker]:
    """A tracker on the real clock, with its thread; on a source of 100 W if none is given."""
    with Tracker(
        Config(**settings), sources=sources or [SteadySource()], exporters=exporters
    ) as tracker:
        yield tracker
