"""Apple silicon, through the Zeus project's package ``zeus-apple-silicon`` (extra ``apple``)."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from inferprint.errors import ReadingError
from inferprint.records import Component, Device, Reading
from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.sources.findings import Finding
from inferprint.units import MILLIJOULES_PER_JOULE

__all__ = ["AppleSource", "findings", "load"]

# No study of the error of Apple's energy model, which is a model in the chip, was found: this is a
# guess of ours.
ERROR = 0.10

# The device, what it is, its name, and the fields of what the package tells that are its energy.
PARTS: tuple[tuple[str, Component, str, tuple[str, ...]], ...] = (
    ("gpu:apple", "gpu", "Apple GPU", ("gpu_mj", "gpu_sram_mj")),
    ("gpu:apple-ane", "gpu", "Apple Neural Engine", ("ane_mj",)),
    ("cpu:apple", "cpu", "Apple CPU", ("cpu_total_mj",)),
    ("dram:apple", "dram", "Apple unified memory", ("dram_mj",)),
)


class AppleSource:
    """The parts of the chip whose energy it counts.

    Args:
        monitor: an ``AppleEnergyMonitor``.
        times: the host's CPU times.
        threads: logical CPUs.
    """

    def __init__(
        self, monitor: Any, times: Callable[[], CpuTimes] = cpu_times, threads: int = 1
    ) -> None:
        self._monitor, self._times = monitor, times
        told = monitor.get_cumulative_energy()
        self._devices = [
            Device(
                device_id,
                component,
                name,
                relative_error=ERROR,
                capacity=1.0 if component == "gpu" else float(threads),
            )
            for device_id, component, name, fields in PARTS
            if _joules(told, fields) is not None
        ]

    def devices(self) -> Sequence[Device]:
        """Those that this chip tells of."""
        return self._devices

    def read(self) -> Sequence[Reading]:
        """One reading of each part.

        Raises:
            ReadingError: the chip tells of none just now.
        """
        usage, at_ns = self._times(), time.monotonic_ns()
        try:
            told = self._monitor.get_cumulative_energy()
        except RuntimeError as error:
            raise ReadingError(f"Apple's energy counters can't be read: {error}") from error
        known = {device.id for device in self._devices}
        return [
            Reading(device_id, at_ns, energy_j)
            if component == "gpu"
            else Reading(device_id, at_ns, energy_j, busy_s=usage.busy_s, own_s=usage.own_s)
            for device_id, component, _, fields in PARTS
            if device_id in known and (energy_j := _joules(told, fields)) is not None
        ]

    def close(self) -> None:
        """Nothing is held."""


def load() -> Any:
    """The monitor; None: the package is not installed."""
    try:
        package = importlib.import_module("zeus_apple_silicon")
    except ModuleNotFoundError:
        return None
    return package.AppleEnergyMonitor()


def findings(source: AppleSource) -> list[Finding]:
    """What is measured."""
    why = f"the chip's energy counters, ± {ERROR:.0%}"
    return [
        Finding("apple", device.id, device.component, device.name, "measured", why)
        for device in source.devices()
    ]


def _joules(told: Any, fields: Sequence[str]) -> float | None:
    """The sum of the fields that there are; None: there are none."""
    known = [value for field in fields if (value := getattr(told, field, None)) is not None]
    return sum(known) / MILLIJOULES_PER_JOULE if known else None
