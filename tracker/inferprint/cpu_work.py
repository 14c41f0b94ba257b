"""How a CPU's energy is weighed: by the CPU time of requests' threads where it is known, and by
learned work where it is not.

On asyncio or in front of an engine's thread no request owns the thread that computes for it.
Then the process's own part of the CPU's energy is shared as a GPU's is. A window in which any
request owns its thread is shared by CPU time, which is measured.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferprint.learned import Learned
from inferprint.learning.own import Own
from inferprint.stakes import Stake
from inferprint.weights import Prices, Shares, ThreadCpuTime, WindowWork

if TYPE_CHECKING:
    from inferprint.timeline import Mark


class CpuWork:
    """What ships for devices that tell the CPU time of this process.

    Args:
        place: where an account's stakes have the one in this device.
        average_s: seconds over which its sensor averages.
    """

    method = ThreadCpuTime.method
    owns_threads = True

    def __init__(self, place: int = 0, average_s: float = 0.0) -> None:
        self.learned = Learned(place, average_s)
        self._by_time = ThreadCpuTime()
        self._owned = False

    def follow(self, marks: Sequence[Mark]) -> None:
        """Starts and ends before the first window."""
        self.learned.follow(marks)

    def prices(self) -> Prices | None:
        """What work costs; None while requests own their threads."""
        return None if self._owned else self.learned.prices()

    def weigh(self, work: WindowWork) -> Shares:
        """By CPU time if any request in the window owns its thread, else by learned work."""
        self._owned = bool(work.cpu_s)
        if not self._owned:
            return self.learned.weigh(work)
        held_j = self.learned.pass_over(work)
        shares = self._by_time.weigh(work)
        return _together(shares, work, held_j) if held_j else shares


def _together(shares: Shares, work: WindowWork, held_j: Mapping[Stake, float]) -> Shares:
    """The shares, in joules, and beside them what was held for those who used it."""
    active_j = work.active_j or 0.0
    weight = shares.shared * work.pool_busy_s + sum(sum(own.weights) for own in shares.own)
    scale = active_j / weight if weight > 0 else 0.0
    own_j = [own._replace(weights=[scale * one for one in own.weights]) for own in shares.own]
    held = Own(list(held_j), list(held_j.values()))
    return Shares(scale * shares.shared, [*own_j, held], active_j + sum(held_j.values()))
