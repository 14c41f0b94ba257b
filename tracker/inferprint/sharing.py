"""What the requests in flight on one device earn alike, each from its coming to its going.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inferprint.doubts import Doubts
from inferprint.levels import Level
from inferprint.stakes import ARRIVE, END, RESUME, Since, Stake
from inferprint.timeline import PARTS, Mark, Span


class EqualShares:
    """Lets requests in and out of the shares, and keeps what one share has earned.

    Args:
        place: where an account's stakes have the one in this device.
        owns_threads: whether those that own their thread have no equal share of active energy.
        doubts: how far off each share may be.
    """

    def __init__(self, place: int, owns_threads: bool, doubts: Doubts) -> None:
        self._place = place
        self._owns_threads = owns_threads
        self._doubts = doubts
        self._active, self._idle = Level(), Level()
        # What those that left have earned.
        self._taken_active_j = self._taken_idle_j = 0.0

    @property
    def active_j(self) -> float:
        """Active energy that requests have earned by it, those in flight too."""
        return self._taken_active_j + self._active.outstanding

    @property
    def idle_j(self) -> float:
        """Likewise idle energy."""
        return self._taken_idle_j + self._idle.outstanding

    def earned_j(self, stake: Stake) -> tuple[float, float]:
        """Active and idle energy that a request has earned since it came."""
        if not stake.running:
            return 0.0, 0.0
        active_j = self._active.value - stake.active_entry if stake.pooled else 0.0
        return active_j, self._idle.value - stake.idle_entry

    def move(
        self, span: Span, active_per_ns: float, idle_per_ns: float, since: Sequence[Since]
    ) -> Iterator[Mark]:
        """Goes through a window; yields the marks of those that ended.

        Each is let in and out at its instant. This is run for every start and every end on
        every device, so it asks others for as little as possible.

        Args:
            span: the window.
            active_per_ns: joules of one share of active energy.
            idle_per_ns: of one share of idle energy.
            since: of those that come in the window, and of those that come as it ends.
        """
        share_from, pool_from, end_ns = span.start.share, span.start.pool, span.end.at_ns
        owns_threads, place = self._owns_threads, self._place
        doubts = self._doubts
        level, rates = doubts.here
        active_j, idle_j = self._active.value, self._idle.value
        inside, at_end = since
        # What the levels are to be told in the end, and what those that leave have earned.
        members = pooled = 0
        active_entries = idle_entries = taken_active_j = taken_idle_j = 0.0
        for mark in span.marks:
            at_ns, kind, account, cpu_ns, share, pool, _, _, _, _ = mark
            stake = account.stakes[place]
            share_ns = (share - share_from) / PARTS
            pool_ns = (pool - pool_from) / PARTS if owns_threads else share_ns
            if kind <= RESUME:
                if kind == ARRIVE:
                    stake.since = inside if at_ns < end_ns else at_end
                else:
                    doubts.resume(stake)
                stake.running = True
                members += 1
                stake.idle_entry = entry_j = idle_j + idle_per_ns * share_ns
                idle_entries += entry_j
                stake.pooled = cpu_ns is None or not owns_threads
                if stake.pooled:
                    pooled += 1
                    stake.active_entry = entry_j = active_j + active_per_ns * pool_ns
                    active_entries += entry_j
                stake.came = level, rates, share_ns
            elif stake.running:
                stake.running = False
                members -= 1
                entry_j = stake.idle_entry
                idle_entries -= entry_j
                earned_j = idle_j + idle_per_ns * share_ns - entry_j
                stake.idle_j += earned_j
                taken_idle_j += earned_j
                if stake.pooled:
                    pooled -= 1
                    entry_j = stake.active_entry
                    active_entries -= entry_j
                    earned_j = active_j + active_per_ns * pool_ns - entry_j
                    stake.active_j += earned_j
                    taken_active_j += earned_j
                stake.left = level, rates, share_ns
            if kind >= END:
                yield mark
        self._active.change(pooled, active_entries)
        self._idle.change(members, idle_entries)
        self._taken_active_j += taken_active_j
        self._taken_idle_j += taken_idle_j
        share_ns = (span.end.share - share_from) / PARTS
        pool_ns = (span.end.pool - pool_from) / PARTS if owns_threads else share_ns
        self._active.rise(active_per_ns * pool_ns)
        self._idle.rise(idle_per_ns * share_ns)
