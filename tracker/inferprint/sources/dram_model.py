"""DRAM by a power model, where RAPL has no DRAM domain: a constant for every GB installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from inferprint.records import Device, Reading
from inferprint.sources.findings import Finding
from inferprint.units import NS_PER_S

__all__ = ["DramModelSource"]

W_PER_GB = 0.284
"""Boavizta, boaviztapi, "RAM", consumption profile: the mean of stress tests on AWS
bare-metal servers, which hardly depended on load, so that all of it counts as idle."""

RELATIVE_ERROR = 0.25
"""The other published constant, 0.355 W/GB in the log of BLOOM's deployment (Luccioni et al.,
arXiv 2211.02001, 2022; bloom_api_carbon.ipynb), is 25 % higher."""

BYTES_PER_GB = 1024**3
"""Memory is sold in powers of two."""


class DramModelSource:
    """The memory of this host (of the VM, in a VM) at a constant power.

    Args:
        installed_bytes: as ``psutil.virtual_memory().total`` gives it.
        clock: nanoseconds on the monotonic clock.
    """

    def __init__(self, installed_bytes: int, clock: Callable[[], int] = time.monotonic_ns) -> None:
        installed_gb = installed_bytes / BYTES_PER_GB
        self._power_w = installed_gb * W_PER_GB
        self._device = Device(
            "dram:host",
            "dram",
            f"{installed_gb:.3g} GB of memory",
            idle_w=self._power_w,
            relative_error=RELATIVE_ERROR,
        )
        self._clock = clock
        self._start_ns = clock()

    def devices(self) -> Sequence[Device]:
        """The one device."""
        return [self._device]

    def findings(self) -> list[Finding]:
        """What is modelled, with its watts."""
        why = (
            f"modelled at {W_PER_GB} W/GB (Boavizta), {self._power_w:.3g} W at all times, "
            f"± {RELATIVE_ERROR:.0%}"
        )
        return [Finding("dram_model", self._device.id, "dram", self._device.name, "modelled", why)]

    def read(self) -> Sequence[Reading]:
        """One reading: joules since this source was made."""
        at_ns = self._clock()
        energy_j = self._power_w * (at_ns - self._start_ns) / NS_PER_S
        return [Reading(self._device.id, at_ns, energy_j, "modelled")]

    def close(self) -> None:
        """Nothing is held."""
