"""Power rails below ``/sys/class/hwmon``: NVIDIA's Grace CPUs and Jetson modules."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inferprint.errors import ReadingError
from inferprint.records import Component, Device, Reading
from inferprint.sources._nvml_meters import PowerIntegral
from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.sources.findings import Finding

__all__ = ["HwmonSource", "Rail", "find_rails", "findings"]

MICROWATTS_PER_WATT = 1_000_000
MILLI2 = 1_000_000  # millivolts by milliamperes

# NVIDIA, "Grace Performance Tuning Guide", Power Telemetry: the socket is the CPU with its memory
# and its regulators' losses; the module of a Grace Hopper is that and the GPU. The rails "CPU" and
# "SysIO" are parts of the socket.
GRACE: dict[str, tuple[Component, str]] = {
    "Grace": ("cpu", "NVIDIA Grace CPU and its memory"),
    "Module": ("wall", "the Grace Hopper module"),
}
_OEM = re.compile(r"(\w+) Power Socket (\d+)")


@dataclass(frozen=True, slots=True)
class Rail:
    """A rail that is read.

    Args:
        device: what it feeds.
        files: one that holds its microwatts, or two of millivolts and milliamperes.
    """

    device: Device
    files: tuple[Path, ...]

    def watts(self) -> float:
        """Its power now.

        Raises:
            OSError, ValueError: it can't be read.
        """
        values = [int(file.read_text()) for file in self.files]
        if len(values) == 1:
            return values[0] / MICROWATTS_PER_WATT
        return values[0] * values[1] / MILLI2


def find_rails(root: Path = Path("/sys/class/hwmon"), threads: int = 1) -> list[Rail]:
    """The rails of a Grace CPU or of a Jetson module that can be read; none elsewhere.

    Args:
        root: where Linux shows them.
        threads: logical CPUs.
    """
    found: dict[str, Rail] = {}
    try:
        folders = sorted(root.iterdir())
    except OSError:
        return []
    for folder in folders:
        for rail in (*_grace(folder, threads), *_jetson(folder, threads)):
            found.setdefault(rail.device.id, rail)
    return list(found.values())


def _grace(folder: Path, threads: int) -> Iterator[Rail]:
    for place in (folder, folder / "device"):
        told = _OEM.match(_text(place / "power1_oem_info"))
        if told is None or told[1] not in GRACE:
            continue
        component, name = GRACE[told[1]]
        device_id = f"{component}:{told[1].lower()}-{told[2]}"
        capacity = float(threads) if component == "cpu" else 1.0
        yield from _usable(
            Device(device_id, component, name, capacity=capacity), place / "power1_average"
        )


def _jetson(folder: Path, threads: int) -> Iterator[Rail]:
    """NVIDIA, "Jetson Linux Developer Guide", Platform Power and Performance: INA3221 monitors."""
    if _text(folder / "name") != "ina3221":
        return
    for channel in (1, 2, 3):
        label = _text(folder / f"in{channel}_label")
        component = _component(label)
        if component is None:
            continue
        capacity = float(threads) if component == "cpu" else 1.0
        device = Device(f"{component}:{label}", component, f"Jetson {label}", capacity=capacity)
        files = (folder / f"in{channel}_input", folder / f"curr{channel}_input")
        yield from _usable(device, *files)


def _component(label: str) -> Component | None:
    """What a rail feeds by its name, such as ``VDD_GPU_SOC``. One of both GPU and CPU is taken for
    the GPU's, since CPU time would tell nothing of its work.
    """
    if "GPU" in label:
        return "gpu"
    if "CPU" in label:
        return "cpu"
    return "wall" if label == "VDD_IN" else None


def _usable(device: Device, *files: Path) -> Iterator[Rail]:
    rail = Rail(device, files)
    try:
        rail.watts()
    except (OSError, ValueError):
        return
    yield rail


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


class HwmonSource:
    """Integrates the power of rails.

    Args:
        rails: as ``find_rails`` gives them.
        times: the host's CPU times.
        max_gap_s: the longest time between readings that is integrated over.
        clock: nanoseconds on the monotonic clock.
    """

    def __init__(
        self,
        rails: Sequence[Rail],
        times: Callable[[], CpuTimes] = cpu_times,
        max_gap_s: float = 2.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._rails = [
            (rail, PowerIntegral("", lambda rail: rail.watts(), max_gap_s)) for rail in rails
        ]
        self._times, self._clock = times, clock

    def devices(self) -> Sequence[Device]:
        """What the rails feed."""
        return [rail.device for rail, _ in self._rails]

    def read(self) -> Sequence[Reading]:
        """One reading of each rail that could be read.

        Raises:
            ReadingError: none could be.
        """
        usage, readings = self._times(), list[Reading]()
        fault: Exception | None = None
        for rail, meter in self._rails:
            at_ns, device = self._clock(), rail.device
            try:
                energy_j = meter.joules(rail, at_ns)
            except (OSError, ValueError) as error:
                meter.interrupt()
                fault = error
                continue
            cpu = device.component == "cpu"
            busy_s, own_s = (usage.busy_s, usage.own_s) if cpu else (None, None)
            readings.append(Reading(device.id, at_ns, energy_j, "measured", busy_s, own_s))
        if not readings:
            raise ReadingError(f"No power rail could be read: {fault}", "unreadable")
        return readings

    def close(self) -> None:
        """Nothing is held."""


def findings(rails: Sequence[Rail]) -> list[Finding]:
    """What is measured."""
    why = "power of its rail, integrated"
    return [
        Finding("hwmon", rail.device.id, rail.device.component, rail.device.name, "measured", why)
        for rail in rails
    ]
