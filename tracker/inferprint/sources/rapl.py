"""CPU packages and their DRAM through RAPL, the energy counters in the CPU.

Linux shows them as files below ``/sys/class/powercap``, on Intel and AMD alike (AMD has no
DRAM domain). Package domains and their ``dram`` are read; ``core`` and ``uncore`` are inside
the package, ``psys`` holds it, and ``intel-rapl-mmio`` shows the same package a second time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from inferprint.errors import ReadingError
from inferprint.records import Device, Reading
from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.sources.rapl_zones import Zone
from inferprint.units import MICROJOULES_PER_JOULE, NS_PER_S

__all__ = ["EnergyCounter", "RaplSource"]

CEILING_W = 1000.0
"""More than one package draws: twice the highest TDP in codecarbon's table (500 W)."""

CLOCK_SLACK_S = 1.0
"""A thread may lose its CPU this long between looking at the clock and at the counter."""

LONGEST_INTERVAL_S = 60.0
"""The longest time between readings that ``Config.sample_interval_s`` allows."""


class EnergyCounter:
    """Joules since the first value of a counter that starts over when it reaches its range.

    A value below the last one is the range passed once if that needs no more power than
    ``CEILING_W``; else the counter was reset. After a reset, and after a gap in which the
    range may have been passed more than once, the energy in between is not known: the count
    goes back to 0, which every reader of it takes for a reset. Energy is never invented.

    Args:
        range_uj: what the counter counts to, in microjoules; None: not known, so that any
            value below the last one is a reset.
    """

    def __init__(self, range_uj: int | None) -> None:
        self._range_uj = range_uj
        self._last: tuple[int, int] | None = None
        self._total_uj = 0

    def advance(self, raw_uj: int, at_ns: int) -> float:
        """Takes the counter's value, in microjoules, at a monotonic instant.

        Returns:
            Joules; the first value as it stands, then what it has advanced by since.
        """
        delta_uj = raw_uj if self._last is None else self._since(*self._last, raw_uj, at_ns)
        self._last = (raw_uj, at_ns)
        self._total_uj = 0 if delta_uj is None else self._total_uj + delta_uj
        return self._total_uj / MICROJOULES_PER_JOULE

    def _since(self, last_uj: int, last_ns: int, raw_uj: int, at_ns: int) -> int | None:
        elapsed_s = (at_ns - last_ns) / NS_PER_S
        if self._range_uj is None:
            return raw_uj - last_uj if raw_uj >= last_uj else None
        full_turn_s = self._range_uj / MICROJOULES_PER_JOULE / CEILING_W
        if elapsed_s > max(LONGEST_INTERVAL_S, full_turn_s):
            return None
        if raw_uj >= last_uj:
            return raw_uj - last_uj
        wrapped_uj = raw_uj - last_uj + self._range_uj
        most_uj = CEILING_W * (elapsed_s + CLOCK_SLACK_S) * MICROJOULES_PER_JOULE
        return wrapped_uj if 0 <= wrapped_uj <= most_uj else None


class RaplSource:
    """Reads energy domains, each through a file that stays open.

    ``busy_s`` and ``own_s`` are the host's busy CPU seconds and this process's, the same for
    every domain: the kernel does not say on which package they were spent. DRAM has them too,
    since what it draws above idle follows the CPUs that use it.

    Args:
        zones: the domains, as ``rapl_zones.find_zones`` gives them.
        times: the host's CPU times.
        clock: nanoseconds on the monotonic clock.
    """

    def __init__(
        self,
        zones: Sequence[Zone],
        times: Callable[[], CpuTimes] = cpu_times,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._domains = [_Domain(zone) for zone in zones]
        self._times = times
        self._clock = clock

    def devices(self) -> Sequence[Device]:
        """One device for each domain."""
        return [domain.device for domain in self._domains]

    def read(self) -> Sequence[Reading]:
        """One reading of every domain that could be read.

        A domain that fails is left out; its file is opened again at the next read.

        Raises:
            ReadingError: no domain could be read.
        """
        usage = self._times()
        readings: list[Reading] = []
        fault: OSError | ValueError | None = None
        for domain in self._domains:
            try:
                readings.append(domain.read(self._clock, usage))
            except (OSError, ValueError) as error:
                domain.close()
                fault = error
        if not readings:
            kind = "permission" if isinstance(fault, PermissionError) else "unreadable"
            raise ReadingError(f"No RAPL counter could be read: {fault}", kind)
        return readings

    def close(self) -> None:
        """Closes the files."""
        for domain in self._domains:
            domain.close()


class _Domain:
    """One energy domain: its open file and its count."""

    def __init__(self, zone: Zone) -> None:
        self.device = zone.device
        self._path = zone.energy_file
        self._counter = EnergyCounter(zone.range_uj)
        self._fd: int | None = None

    def read(self, clock: Callable[[], int], usage: CpuTimes) -> Reading:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        at_ns = clock()
        raw_uj = int(os.pread(self._fd, 32, 0))
        energy_j = self._counter.advance(raw_uj, at_ns)
        return Reading(self.device.id, at_ns, energy_j, busy_s=usage.busy_s, own_s=usage.own_s)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
