"""How the active energy of a window is weighed among the requests in flight in it.

The ledger asks once a window and scales the answer to what the meter says, so weights
have no unit of their own: only their ratios count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inferprint.learning.own import Own

if TYPE_CHECKING:
    from inferprint.learning.work import Work
    from inferprint.stakes import Stake
    from inferprint.timeline import Mark
    from inferprint.windows import Window

TIME_IN_FLIGHT = "time_in_flight"
LEARNED_WORK = "learned_work"


class WindowWork(NamedTuple):
    """What was done in a window, as far as it is known when it closes.

    Args:
        window: the window.
        active_j: the active energy that requests caused in it; None: not known.
        idle_j: the idle energy in it.
        pool_busy_s: seconds in which a request without a thread of its own was in flight.
        cpu_s: CPU seconds in it of the threads that requests own.
        marks: the starts and ends in it.
    """

    window: Window
    active_j: float | None
    idle_j: float
    pool_busy_s: float
    cpu_s: Mapping[Stake, float]
    marks: Sequence[Mark]


class Shares(NamedTuple):
    """The weights of a window.

    Args:
        shared: weight per second, shared alike by those in flight (those with a thread of
            their own left out).
        own: weights of requests' own work.
        charged_j: how much is charged for it, where that is not just what was used in it:
            what is held back is charged later. All charges never sum to more than all that
            was used, and to just that when no request is in flight.
        learned: whether the weights were learned.
        shared_error: relative standard deviation of ``shared``.
        deviation_j: standard deviation of the window's energy about what is expected of it;
            None: nothing is expected.
        hold_s: seconds in which what is held back falls to 1/e.
    """

    shared: float
    own: Sequence[Own[Stake]] = ()
    charged_j: float | None = None
    learned: bool = False
    shared_error: float = 0.0
    deviation_j: float | None = None
    hold_s: float = 0.0


class Prices(NamedTuple):
    """What work costs, as far as it was learned.

    Args:
        shared_w: watts that those in flight share alike, whatever they do.
        own_j: by model, joules of each token of a request's own work, at the load of now.
    """

    shared_w: float
    own_j: Mapping[str, Work]


class Weights(Protocol):
    """The seam for rules of attribution.

    Args:
        method: its name on receipts, for windows that were not weighed by what was learned.
        owns_threads: whether requests that own their thread are weighed by its CPU time,
            and left out of what is shared alike.
    """

    method: str
    owns_threads: bool

    def weigh(self, work: WindowWork) -> Shares:
        """The weights of this window. Called once a window, in the order of time."""
        ...

    def follow(self, marks: Sequence[Mark]) -> None:
        """Starts and ends before the first window."""
        ...

    def prices(self) -> Prices | None:
        """What work costs; None: not learned, or not by this rule."""
        ...


LEAST_CPU_S = 1e-9
"""Less than a nanosecond is no CPU time: no clock tells it, and what it would be divided by is
not exact any more."""


class TimeInFlight:
    """Equal shares of each instant between the requests in flight."""

    method = TIME_IN_FLIGHT
    owns_threads = False

    def weigh(self, work: WindowWork) -> Shares:
        """One weight a second, shared alike."""
        return Shares(1.0)

    def follow(self, marks: Sequence[Mark]) -> None:
        """Nothing: each window's time line tells all."""

    def prices(self) -> Prices | None:
        """None: nothing is learned."""
        return None


class ThreadCpuTime:
    """CPU seconds: of a request's own thread, and of the rest of the process shared alike.

    The process's CPU time that no request's thread used (a pool of workers, asyncio's one
    thread) goes to the requests without a thread of their own. Where there are none, it
    was used on behalf of the others, in proportion to their own.
    """

    method = "cpu_time"
    owns_threads = True

    def weigh(self, work: WindowWork) -> Shares:
        """Weights in CPU seconds; equal ones where no CPU time was seen."""
        owned_s = sum(work.cpu_s.values())
        own = Own(list(work.cpu_s), list(work.cpu_s.values()))
        rest_s = max(0.0, (work.window.own_s or 0.0) - owned_s)
        if work.pool_busy_s and rest_s >= LEAST_CPU_S:
            return Shares(rest_s / work.pool_busy_s, [own])
        if owned_s >= LEAST_CPU_S:
            return Shares(0.0, [own])
        alike = [work.window.duration_s] * len(own.keys)
        return Shares(1.0, [Own(own.keys, alike)])

    def follow(self, marks: Sequence[Mark]) -> None:
        """Nothing: the ledger follows the threads."""

    def prices(self) -> Prices | None:
        """None: nothing is learned."""
        return None
