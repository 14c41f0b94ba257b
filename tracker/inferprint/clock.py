"""The monotonic clock that everything is stamped with."""

from __future__ import annotations

import time
from typing import Protocol

from inferprint.units import seconds


class Clock(Protocol):
    """A monotonic clock. ``inferprint.testing.FakeClock`` is one that is moved by hand."""

    def now_ns(self) -> int:
        """Nanoseconds since some fixed moment."""
        ...


class SystemClock:
    """The host's monotonic clock, on Linux the same one in all its processes."""

    now_ns = staticmethod(time.monotonic_ns)


def wall_s(clock: Clock, at_ns: int) -> float:
    """The wall time, Unix, of an instant of a clock, by what the wall shows now.

    A clock that has a method ``wall_s`` tells the wall time itself, as one that is moved by
    hand must.
    """
    now_s: float = getattr(clock, "wall_s", time.time)()
    return now_s - seconds(clock.now_ns() - at_ns)


def slept_ns() -> int:
    """Nanoseconds for which the host was suspended since boot; 0 where it cannot be told.

    The monotonic clock stands still in suspend, and Linux's boot-time clock does not.
    """
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return 0 if boot_time is None else time.clock_gettime_ns(boot_time) - time.monotonic_ns()
