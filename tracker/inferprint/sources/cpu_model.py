"""CPU packages by a power model, where no counter can be read.

Power is a share of the thermal design power (TDP) that depends on how busy the CPUs are. The
host's CPU times are cumulative, so they also cover a time in which nothing was read: the model
gives its energy at the mean utilisation of that time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from inferprint.records import Device, Reading
from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.sources.findings import Finding
from inferprint.sources.host import Host
from inferprint.sources.tdp import lookup_tdp_w
from inferprint.units import NS_PER_S

__all__ = ["CpuModelSource", "Rating", "rate", "share_of_tdp"]

CURVE = ((0.0, 0.12), (0.10, 0.32), (0.50, 0.75), (1.0, 1.02))
"""(utilisation, share of TDP). Davy (Teads), "Building an AWS EC2 Carbon Emissions Dataset",
2021: RAPL under load on bare-metal Xeon instances; the Green Software Foundation's Impact
Framework uses the same points, with straight lines in between."""

CURVE_ERROR = 0.35
"""Half-width where the TDP is known: the straight line from idle to full is up to 34 % below
the curve (0.21 against 0.32 of TDP at 10 % utilisation), rounded up."""

GUESSED_W_PER_THREAD = 4.0
"""TDP per logical CPU where the CPU is not in the table: codecarbon 3
(``core/cpu.py``, ``DEFAULT_POWER_PER_CORE``)."""

GUESS_ERROR = 0.85
"""Half-width of that guess. Published TDPs are from 1.3 W a thread (AMD EPYC 9965, 500 W for
384) to 4.7 (Xeon Platinum 8375C, 300 W for 64), and more on CPUs made for high clocks (10 W,
EPYC 9175F): 1 to 7 W is ± 75 %, and CURVE_ERROR on top of its low end is 85 %."""


def share_of_tdp(utilisation: float) -> float:
    """The share of TDP that a package draws, by ``CURVE``.

    Args:
        utilisation: busy share of all its logical CPUs; what is outside 0 to 1 is cut off.
    """
    utilisation = min(max(utilisation, 0.0), 1.0)
    for (below, low), (above, high) in pairwise(CURVE):
        if utilisation <= above:
            return low + (high - low) * (utilisation - below) / (above - below)
    return CURVE[-1][1]


@dataclass(frozen=True, slots=True)
class Rating:
    """What the model takes one CPU package for.

    Args:
        tdp_w: watts of one package, or of the part of it that a VM has.
        relative_error: half-width of the modelled power's error.
        basis: where ``tdp_w`` comes from, for people.
    """

    tdp_w: float
    relative_error: float
    basis: str

    @property
    def idle_w(self) -> float:
        """Watts of one package with no work."""
        return self.tdp_w * share_of_tdp(0.0)

    @property
    def full_w(self) -> float:
        """Watts of one package with all its logical CPUs busy."""
        return self.tdp_w * share_of_tdp(1.0)


def rate(host: Host, table: Path | None) -> Rating:
    """The TDP of this host's CPU, from the table where it is there, else a guess.

    In a VM the package is shared with other VMs and the table has no core counts, so its TDP
    is only the limit of the guess by the logical CPUs that the VM has.

    Args:
        host: the machine.
        table: ``tdp.tdp_table()``.
    """
    tdp_w = lookup_tdp_w(host.cpu_name, table) if table else None
    if tdp_w is not None and not host.virtual:
        return Rating(tdp_w, CURVE_ERROR, f"TDP of {tdp_w:g} W from codecarbon's table")
    guess_w = GUESSED_W_PER_THREAD * host.threads / host.packages
    guess = f"a guess of {GUESSED_W_PER_THREAD:g} W for each of {host.threads} logical CPUs"
    if tdp_w is None:
        reason = "codecarbon's table does not have this name" if table else "there is no TDP table"
        return Rating(guess_w, GUESS_ERROR, f"{guess}, since {reason}")
    reason = f"a VM has an unknown share of the package's {tdp_w:g} W"
    return Rating(min(guess_w, tdp_w), GUESS_ERROR, f"{guess}, since {reason}")


class CpuModelSource:
    """Models each package from the host's utilisation, which all packages share evenly.

    Args:
        host: the machine.
        rating: what its packages are taken for.
        times: the host's CPU times.
        clock: nanoseconds on the monotonic clock.
    """

    def __init__(
        self,
        host: Host,
        rating: Rating,
        times: Callable[[], CpuTimes] = cpu_times,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._rating = rating
        self._times = times
        self._clock = clock
        self._devices = [
            Device(
                f"cpu:package-{number}",
                "cpu",
                host.cpu_name,
                idle_w=rating.idle_w,
                relative_error=rating.relative_error,
                capacity=float(host.threads),
            )
            for number in range(host.packages)
        ]
        self._at_ns = clock()
        self._seen = times()
        self._utilisation = 0.0
        self._energy_j = 0.0

    def devices(self) -> Sequence[Device]:
        """One device for each package."""
        return self._devices

    def findings(self) -> list[Finding]:
        """What is modelled, with the watts and where they come from."""
        why = (
            f"modelled from utilisation, {self._rating.idle_w:.3g} W idle to "
            f"{self._rating.full_w:.3g} W full, ± {self._rating.relative_error:.0%}: "
            f"{self._rating.basis}"
        )
        return [
            Finding("cpu_model", device.id, "cpu", device.name, "modelled", why)
            for device in self._devices
        ]

    def read(self) -> Sequence[Reading]:
        """One reading of each package: joules since this source was made."""
        at_ns, seen = self._clock(), self._times()
        power_w = self._rating.tdp_w * share_of_tdp(self._utilisation_until(seen))
        self._energy_j += power_w * (at_ns - self._at_ns) / NS_PER_S
        self._at_ns = at_ns
        return [
            Reading(device.id, at_ns, self._energy_j, "modelled", seen.busy_s, seen.own_s)
            for device in self._devices
        ]

    def close(self) -> None:
        """Nothing is held."""

    def _utilisation_until(self, seen: CpuTimes) -> float:
        """The busy share since the last read.

        The kernel counts in ticks of 10 ms: while none has passed, the last utilisation
        stands, and the ticks are left to the next read.
        """
        total_s = seen.total_s - self._seen.total_s
        if total_s > 0:
            self._utilisation = (seen.busy_s - self._seen.busy_s) / total_s
            self._seen = seen
        return self._utilisation
