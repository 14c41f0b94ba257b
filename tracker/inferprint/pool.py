"""Standing energy of one device: what it draws while no request runs, until requests pay for it.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence

from inferprint.splitting import Split
from inferprint.stakes import ARRIVE, Stake
from inferprint.standing import IdlePolicy
from inferprint.timeline import Span


class StandingPool:
    """What was measured while quiet and is not charged yet.

    Args:
        policy: who pays for it, with its own memory of this device's traffic.
        place: where an account's stakes have the one in this device.

    Attributes:
        held_j: joules that are not charged yet.
        charged_j: joules that requests were charged.
        total_j: all that was measured while no request ran.
    """

    def __init__(self, policy: IdlePolicy, place: int) -> None:
        self.held_j = self.charged_j = self.total_j = 0.0
        self._policy = policy
        self._place = place

    @property
    def shares_idle(self) -> bool:
        """Whether the requests in flight pay for the idle energy meanwhile."""
        return self._policy.shares_idle

    def due_j(self, at_ns: int, after_quiet: bool) -> float:
        """What a request that came at this instant would draw."""
        return self._policy.due(self.held_j, at_ns, after_quiet)

    def take(self, split: Split, span: Span) -> None:
        """A window closes: takes the idle energy of quiet time, and lets arrivals draw on it."""
        joules_per_ns = split.idle_j / span.length_ns if span.length_ns else 0.0
        pooled_ns = span.start.quiet_ns
        if span.marks and self._policy.draws:
            pooled_ns = self._let_draw(span, joules_per_ns)
        self._pool(joules_per_ns * (span.end.quiet_ns - pooled_ns))
        if not self.shares_idle:
            self.held_j += joules_per_ns * span.busy_ns

    def give_back(self, joules: float) -> None:
        """Takes back what a request was charged and does not pay."""
        self.charged_j -= joules
        self.held_j += joules

    def _let_draw(self, span: Span, joules_per_ns: float) -> int:
        """Lets arrivals draw on the pool as it fills; returns up to which quiet time it did."""
        pooled_ns, place, marks = span.start.quiet_ns, self._place, span.marks
        first, arrivals = marks[0], list[Stake]()
        for mark in marks:
            if mark[0] != first[0]:
                if arrivals:
                    self._draw(first[0], arrivals, after_quiet=not first[8])
                    arrivals = []
                first = mark
            if mark[1] == ARRIVE:
                # As it was just before all that happens at this instant: a child that takes over
                # from its parent ends no quiet, one that starts together with it does.
                if first[6] != pooled_ns:
                    self._pool(joules_per_ns * (first[6] - pooled_ns))
                    pooled_ns = first[6]
                arrivals.append(mark[2].stakes[place])
        if arrivals:
            self._draw(first[0], arrivals, after_quiet=not first[8])
        return pooled_ns

    def _draw(self, at_ns: int, arrivals: Sequence[Stake], after_quiet: bool) -> None:
        count = len(arrivals)
        drawn_j = self._policy.draw(self.held_j, at_ns, count, after_quiet)
        self.held_j -= drawn_j
        self.charged_j += drawn_j
        for stake in arrivals:
            stake.standing_j += drawn_j / count

    def _pool(self, joules: float) -> None:
        self.held_j += joules
        self.total_j += joules
