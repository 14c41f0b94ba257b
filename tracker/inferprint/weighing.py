"""What a window's active energy comes to for the requests in it, on one device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from inferprint.owners import Owners
from inferprint.splitting import Split
from inferprint.stakes import Stake
from inferprint.timeline import Mark, Span
from inferprint.units import NS_PER_S, seconds
from inferprint.weights import Shares, Weights, WindowWork
from inferprint.windows import Window

if TYPE_CHECKING:
    from inferprint.books import Account


class Charge(NamedTuple):
    """What is charged for a window.

    Args:
        share_j_per_ns: joules per nanosecond of an equal share.
        joules: that a weight of one comes to.
        unattributed_j: joules that nobody is there to pay.
        charged_j: all of it.
        shares: the weights.
    """

    share_j_per_ns: float
    joules: float
    unattributed_j: float
    charged_j: float
    shares: Shares

    @property
    def learned(self) -> bool:
        """Whether what was learned weighed it."""
        return self.shares.learned


class Weighing:
    """Scales the weights of each window to what the meter says.

    Args:
        weights: asked once a window how its active energy is to be weighed.
        place: where an account's stakes have the one in this device.

    Attributes:
        held_j: active energy that requests have used and have not been charged yet.
    """

    def __init__(self, weights: Weights, place: int) -> None:
        self.held_j = 0.0
        self._weights = weights
        self._owners = Owners(place)

    @property
    def owners(self) -> Sequence[Account]:
        """The requests in flight that own their thread, at the last window's end."""
        return self._owners.accounts

    def open(self, marks: Sequence[Mark]) -> None:
        """The device is read for the first time, after these starts and ends."""
        if self._weights.owns_threads:
            self._owners.cpu_times(marks, {})
        self._weights.follow(marks)

    def charge(
        self, window: Window, split: Split, span: Span, cpu_ns: Mapping[Account, int]
    ) -> Charge:
        """What is charged for a window.

        Args:
            window: the window.
            split: its energy.
            span: the requests in it.
            cpu_ns: CPU clocks, at its end, of the threads that requests in flight own.
        """
        work = self._work(window, split, span, cpu_ns)
        shares = self._weights.weigh(work)
        charged_j = self._hold_back(split.requests_j, shares)
        weight = shares.shared * work.pool_busy_s + sum(sum(own.weights) for own in shares.own)
        if weight <= 0:
            return Charge(0.0, 0.0, charged_j, charged_j, shares)
        share_j_per_ns = charged_j * shares.shared / weight / NS_PER_S
        return Charge(share_j_per_ns, charged_j / weight, 0.0, charged_j, shares)

    def _work(
        self, window: Window, split: Split, span: Span, cpu_ns: Mapping[Account, int]
    ) -> WindowWork:
        pool_busy_ns, cpu_s = span.busy_ns, dict[Stake, float]()
        if self._weights.owns_threads:
            poolless_ns = span.end.poolless_ns - span.start.poolless_ns
            pool_busy_ns = span.length_ns - poolless_ns
            cpu_s = self._owners.cpu_times(span.marks, cpu_ns)
        known = window.energy_j is not None and not window.gap
        active_j = split.requests_j if known else None
        pool_busy_s = seconds(pool_busy_ns)
        return WindowWork(window, active_j, split.idle_j, pool_busy_s, cpu_s, span.marks)

    def _hold_back(self, requests_j: float, shares: Shares) -> float:
        """How much of what was used is charged now; the rest is held for later."""
        if shares.charged_j is None:
            return requests_j
        self.held_j += requests_j - shares.charged_j
        return shares.charged_j
