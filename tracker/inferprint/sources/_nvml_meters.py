"""The three ways in which NVML tells energy, best first, behind one method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from inferprint.units import MILLIJOULES_PER_JOULE, NS_PER_S

__all__ = ["EnergyCounter", "Meter", "PowerIntegral", "find_meter"]

MILLIWATTS_PER_WATT = 1_000


class Meter(Protocol):
    """Cumulative joules of one board.

    Attributes:
        what: how it is read, for people.
        step_s: seconds between the steps of the counter; None: no steps.
        average_s: seconds over which the power is averaged that it counts; 0: none.
    """

    what: str
    step_s: float | None
    average_s: float

    def joules(self, handle: Any, at_ns: int) -> float:
        """Joules so far at ``at_ns``; raises NVMLError."""
        ...

    def interrupt(self) -> None:
        """A reading failed: what happens until the next is not known."""
        ...


class EnergyCounter:
    """The board's own counter: millijoules since the driver was loaded, Volta and later.

    It advances in steps; 100 ms is the slowest update of the power sensors that Yang, Adamek
    and Armour found on A100 and H100 ("Part-time Power Measurements: nvidia-smi's Lack of
    Attention", arXiv:2312.02741; SC'24), and only a first guess here.
    """

    what = "total energy counter"
    step_s: float | None = 0.1
    average_s = 0.0

    def __init__(self, nvml: Any) -> None:
        self._read_mj = nvml.nvmlDeviceGetTotalEnergyConsumption

    def joules(self, handle: Any, at_ns: int) -> float:
        return self._read_mj(handle) / MILLIJOULES_PER_JOULE  # type: ignore[no-any-return]

    def interrupt(self) -> None:
        pass  # the counter counts on


class PowerIntegral:
    """A power sensor, integrated by the trapezoid rule between readings.

    Between readings further apart than ``max_gap_s``, and around a reading that failed,
    nobody looked, so no energy is known: it begins again below where it ever was, which
    reads as a reset of a counter.

    Args:
        what: how it is read, for people.
        read_w: watts of the board with a handle; raises NVMLError.
        max_gap_s: the longest time between readings that is integrated over.
        average_s: seconds that the sensor averages over.
    """

    step_s: float | None = None

    def __init__(
        self,
        what: str,
        read_w: Callable[[Any], float],
        max_gap_s: float,
        average_s: float = 0.0,
    ) -> None:
        self.what = what
        self.average_s = average_s
        self._read_w = read_w
        self._max_gap_ns = max_gap_s * NS_PER_S
        self._start_j = self._energy_j = 1.0
        self._last: tuple[int, float] | None = None

    def joules(self, handle: Any, at_ns: int) -> float:
        watts = self._read_w(handle)
        last_ns, last_w = self._last or (0, 0.0)
        if self._last is None or at_ns - last_ns > self._max_gap_ns:
            self._start_j -= 1.0
            self._energy_j = self._start_j
        else:
            self._energy_j += (watts + last_w) / 2 * (at_ns - last_ns) / NS_PER_S
        self._last = at_ns, watts
        return self._energy_j

    def interrupt(self) -> None:
        self._last = None


def find_meter(nvml: Any, handle: Any, max_gap_s: float) -> Meter:
    """The best meter that a board answers to.

    Args:
        nvml: the module pynvml, initialised.
        handle: the board's.
        max_gap_s: the longest time between readings that a power sensor is integrated over.

    Raises:
        NVMLError: it answers to none; what it said of its energy counter.
    """
    refusals = []
    for meter in _meters(nvml, max_gap_s):
        try:
            meter.joules(handle, 0)
        except nvml.NVMLError as error:
            refusals.append(error)
        else:
            meter.interrupt()
            return meter
    raise refusals[0]


def _meters(nvml: Any, max_gap_s: float) -> Iterator[Meter]:
    def instant_w(handle: Any) -> float:
        field = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])[0]
        if field.nvmlReturn != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(field.nvmlReturn)
        return field.value.uiVal / MILLIWATTS_PER_WATT  # type: ignore[no-any-return]

    def mean_w(handle: Any) -> float:
        return nvml.nvmlDeviceGetPowerUsage(handle) / MILLIWATTS_PER_WATT  # type: ignore[no-any-return]

    yield EnergyCounter(nvml)
    yield PowerIntegral("instant power, integrated", instant_w, max_gap_s)
    # NVIDIA, "NVML API Reference", nvmlDeviceGetPowerUsage: since Ampere, but for GA100.
    mean = "power, integrated; most GPUs give the mean of the last second, so it lags"
    yield PowerIntegral(mean, mean_w, max_gap_s, average_s=1.0)
