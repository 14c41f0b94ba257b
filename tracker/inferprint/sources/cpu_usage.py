"""How busy the host's CPUs have been, for anybody and for this process."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

__all__ = ["CpuTimes", "cpu_times"]

# Linux counts guests' time in user and nice already. Time waiting for a disk (iowait) draws
# idle power, and time stolen by a hypervisor was spent on another machine's work.
BUSY = ("user", "nice", "system", "irq", "softirq")
NOT_BUSY = ("idle", "iowait", "steal")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """CPU seconds since the host started, summed over its logical CPUs.

    Args:
        busy_s: running anybody's work.
        total_s: busy, idle, waiting or stolen.
        own_s: CPU seconds of this process, all its threads, without its children.
    """

    busy_s: float
    total_s: float
    own_s: float


def cpu_times() -> CpuTimes:
    """The CPU times as they stand now: one read of ``/proc/stat`` on Linux."""
    times = psutil.cpu_times()
    busy_s = sum(getattr(times, name, 0.0) for name in BUSY)
    rest_s = sum(getattr(times, name, 0.0) for name in NOT_BUSY)
    return CpuTimes(busy_s, busy_s + rest_s, time.process_time())
