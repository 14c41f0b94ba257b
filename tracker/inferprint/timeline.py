"""One window's time, run through event by event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from inferprint.stakes import STEP_IN_FLIGHT, Event, Stake
from inferprint.units import seconds


class Mark(NamedTuple):
    """An event and where it lies in its window.

    ``share_ns`` and ``pool_ns`` are the integrals of dt/n from the window's start, over all
    the requests in flight and over those without a thread of their own; ``quiet_ns`` is
    the time in which none was in flight, and ``running`` how many were just before.
    """

    event: Event
    share_ns: float
    pool_ns: float
    quiet_ns: int
    running: int


class Timeline:
    """Runs through a window.

    Args:
        start_ns: where it starts.
        running: requests in flight then.
        owners: those of them that own their thread; kept up to date in place.
    """

    def __init__(self, start_ns: int, running: int, owners: set[Stake]) -> None:
        self._start_ns = self._at_ns = start_ns
        self.running = running
        self._owners = owners
        self._pool = running - len(owners)
        self.share_ns = self.pool_ns = 0.0
        self.quiet_ns = self.pool_busy_ns = 0
        self.cpu_s: dict[Stake, float] = dict.fromkeys(owners, 0.0)
        self.visits = running

    def run(self, events: Iterable[Event], end_ns: int) -> list[Mark]:
        """Runs through the events, which are in order, and on to the window's end."""
        marks = []
        for event in events:
            self._advance(event.at_ns)
            marks.append(Mark(event, self.share_ns, self.pool_ns, self.quiet_ns, self.running))
            self._apply(event)
        self._advance(end_ns)
        return marks

    @property
    def busy_ns(self) -> int:
        """Time in which a request was in flight."""
        return self._at_ns - self._start_ns - self.quiet_ns

    def read_cpu(self, stake: Stake, cpu_ns: int) -> None:
        """The thread that ``stake`` owns has used this much CPU by now."""
        if stake.cpu_from_ns is not None:
            self.cpu_s[stake] += seconds(max(0, cpu_ns - stake.cpu_from_ns))
            stake.cpu_from_ns = cpu_ns

    def _advance(self, at_ns: int) -> None:
        passed_ns = at_ns - self._at_ns
        if passed_ns <= 0:  # an event that was told late counts from where we are
            return
        self._at_ns = at_ns
        if not self.running:
            self.quiet_ns += passed_ns
            return
        self.share_ns += passed_ns / self.running
        if self._pool:
            self.pool_ns += passed_ns / self._pool
            self.pool_busy_ns += passed_ns

    def _apply(self, event: Event) -> None:
        step = STEP_IN_FLIGHT[event.kind]
        if not step:
            return
        owns_thread = self._take_thread(event) if step > 0 else self._leave_thread(event)
        self.running += step
        if not owns_thread:
            self._pool += step

    def _take_thread(self, event: Event) -> bool:
        self.visits += 1
        if event.cpu_ns is None:
            return False
        event.stake.cpu_from_ns = event.cpu_ns
        self.cpu_s.setdefault(event.stake, 0.0)
        self._owners.add(event.stake)
        return True

    def _leave_thread(self, event: Event) -> bool:
        if event.stake not in self._owners:
            return False
        if event.cpu_ns is not None:
            self.read_cpu(event.stake, event.cpu_ns)
        event.stake.cpu_from_ns = None
        self._owners.discard(event.stake)
        return True
