"""The CPU time of the requests in flight that own their thread, window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferprint.stakes import RESUME, Stake
from inferprint.timeline import Mark
from inferprint.units import seconds

if TYPE_CHECKING:
    from inferprint.books import Account


class Owners:
    """Those of one device.

    Args:
        place: where an account's stakes have the one in this device.
    """

    def __init__(self, place: int) -> None:
        self._place = place
        self._accounts: dict[Stake, Account] = {}

    @property
    def accounts(self) -> Sequence[Account]:
        """The requests, at the last window's end."""
        return list(self._accounts.values())

    def cpu_times(self, marks: Sequence[Mark], cpu_ns: Mapping[Account, int]) -> dict[Stake, float]:
        """CPU seconds in a window of the threads that requests own.

        Args:
            marks: the window's events.
            cpu_ns: CPU clocks of their threads at its end, as far as they were read.
        """
        used = dict.fromkeys(self._accounts, 0.0)
        for _, kind, account, clock_ns, *_ in marks:
            stake = account.stakes[self._place]
            if kind <= RESUME and clock_ns is not None:
                self._accounts[stake] = account
                stake.cpu_from_ns = clock_ns
                used.setdefault(stake, 0.0)
            elif kind > RESUME and self._accounts.pop(stake, None) is not None:
                _count(stake, clock_ns, used)
        for account, clock_ns in cpu_ns.items():
            stake = account.stakes[self._place]
            if stake in self._accounts:
                _count(stake, clock_ns, used)
        return used


def _count(stake: Stake, clock_ns: int | None, used: dict[Stake, float]) -> None:
    if clock_ns is not None and stake.cpu_from_ns is not None:
        used[stake] += seconds(max(0, clock_ns - stake.cpu_from_ns))
        stake.cpu_from_ns = clock_ns
