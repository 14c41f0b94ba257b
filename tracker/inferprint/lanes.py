"""One source as the sampler sees it: when to read it, what of it is usable, its windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from numbers import Integral, Real

from inferprint import flags
from inferprint.calibration import Calibration
from inferprint.errors import ConfigError, ReadingError
from inferprint.records import Device, Reading
from inferprint.sources import PowerSource
from inferprint.steps import StepClock
from inferprint.ticks import Ticks
from inferprint.units import NS_PER_S
from inferprint.windows import NO_FLAGS, Window, Windower

# A reading further ahead of the clock than any reading takes is stamped by another clock.
AHEAD_NS = 3600 * NS_PER_S
NO_CORRECTIONS: Mapping[str, Calibration] = {}


class Lane:
    """One source, when it is read, and the windows of its devices.

    Args:
        source: the source.
        interval_ns: wanted length of a window.
        corrections: of the gains of devices, by their ids.
        ticks: when all sources are read together.
    """

    def __init__(
        self,
        source: PowerSource,
        interval_ns: int,
        corrections: Mapping[str, Calibration] = NO_CORRECTIONS,
        ticks: Ticks | None = None,
    ) -> None:
        self.source = source
        devices = [_checked(device) for device in source.devices()]
        ids = {device.id for device in devices}
        self._corrections = {id_: one for id_, one in corrections.items() if id_ in ids}
        self.devices = [
            self._corrections[device.id].device(device)
            if device.id in self._corrections
            else device
            for device in devices
        ]
        self.next_ns = 0
        # Devices that the last reading did not give, and what else was wrong with it.
        self.missing: frozenset[str] = frozenset()
        self.faults: list[ReadingError] = []
        self._interval_ns = interval_ns
        self._windowers = {device.id: Windower(device.id) for device in self.devices}
        self._ids = frozenset(self._windowers)
        steps = len(self.devices) == 1 and self.devices[0].step_s is not None
        self.steps = StepClock(interval_ns, ticks) if steps else None
        # What the source says of the windows that close now, where it has something to say.
        self._says: Callable[[], frozenset[str]] = getattr(source, "says", _nothing)
        # Whether the present window began on a step.
        self._sharp = False

    @property
    def name(self) -> str:
        """The source's name in metrics and logs: its class and its first device."""
        first = self.devices[0].id if self.devices else "no device"
        return f"{type(self.source).__name__}({first})"

    def due(self, now_ns: int) -> list[Window]:
        """Reads the source, as its time has come; returns the windows that close with it.

        Raises:
            Exception: whatever the source raises; the windows that span it will say so.
        """
        behind = max(0, now_ns - self.next_ns) // self._interval_ns
        self.next_ns += (behind + 1) * self._interval_ns
        readings = self._read(now_ns)
        return self._push(readings) if self.steps is None else self._follow(self.steps, readings)

    def _follow(self, steps: StepClock, readings: Sequence[Reading]) -> list[Window]:
        windows: list[Window] = []
        for reading in readings:
            closes_ns = steps.look(reading.at_ns, reading.energy_j)
            self.next_ns = steps.next_look_ns
            if closes_ns is not None:
                rough, self._sharp = not (steps.sharp and self._sharp), steps.sharp
                windows += self._push([reading], closes_ns, rough)
        return windows

    def now(self, now_ns: int) -> list[Window]:
        """Reads the source and closes the windows of its devices here, on a step or not.

        Raises:
            Exception: whatever the source raises; the windows that span it will say so.
        """
        return self._push(self._read(now_ns))

    @property
    def begun(self) -> bool:
        """Whether its devices' windows have begun."""
        return all(windower.last is not None for windower in self._windowers.values())

    def last(self, device_id: str) -> Reading | None:
        """The last reading of a device."""
        return self._windowers[device_id].last

    def last_ns(self, device_id: str) -> int:
        """Where the last window of a device that has been read ended, or its first begins."""
        return self._windowers[device_id].last_ns

    def stalled(self) -> None:
        """The host slept or the process was stopped since the last reading."""
        for windower in self._windowers.values():
            windower.stalled()

    def abandon(self, device_id: str, at_ns: int) -> Window:
        """A window without energy up to now, for a device that can't be read for long."""
        return self._windowers[device_id].abandon(at_ns)

    def _read(self, now_ns: int) -> Sequence[Reading]:
        self.missing, self.faults = self._ids, []
        try:
            readings = [reading for reading in self.source.read() if self._usable(reading, now_ns)]
            self.missing = self._ids.difference([reading.device_id for reading in readings])
            if self._corrections:
                readings = [self._corrected(reading) for reading in readings]
        finally:
            for device_id in self.missing:
                self._windowers[device_id].missed()
        return readings

    def _corrected(self, reading: Reading) -> Reading:
        correction = self._corrections.get(reading.device_id)
        return reading if correction is None else correction.reading(reading)

    def _usable(self, reading: Reading, now_ns: int) -> bool:
        wrong = _what_is_wrong(reading, self._windowers, now_ns)
        if wrong:
            self.faults.append(ReadingError(f"{reading!r}: {wrong}", "unusable"))
        return not wrong

    def _push(
        self, readings: Sequence[Reading], at_ns: int | None = None, rough: bool = False
    ) -> list[Window]:
        windowers = self._windowers
        pushed = [windowers[reading.device_id].push(reading, at_ns, rough) for reading in readings]
        windows = [window for window in pushed if window is not None]
        beside = self._says() if windows else NO_FLAGS
        if beside:
            windows = [window._replace(flags=window.flags | beside) for window in windows]
        for window in windows:
            if window.flags and flags.COUNTER_RESET in window.flags:
                said = f"{window.device_id}: its counter went back or jumped"
                self.faults.append(ReadingError(said, flags.COUNTER_RESET))
        return windows


def _nothing() -> frozenset[str]:
    return NO_FLAGS


def _checked(device: Device) -> Device:
    if isinstance(device, Device):
        return device
    raise ConfigError("sources", device, "sources whose devices() gives inferprint.Device")


def _what_is_wrong(reading: Reading, known: Container[str], now_ns: int) -> str:
    """Why a reading can't be used; empty: it can."""
    if not isinstance(reading, Reading):
        return "expected an inferprint.Reading"
    if reading.device_id not in known:
        return "expected one of the source's own devices"
    if not _is_number(reading.energy_j):
        return "expected energy_j to be a finite number of joules"
    at_ns = reading.at_ns
    if not (type(at_ns) is int or isinstance(at_ns, Integral)) or reading.at_ns > now_ns + AHEAD_NS:
        return "expected at_ns to be the present time.monotonic_ns()"
    return ""


def _is_number(value: object) -> bool:
    try:
        return (type(value) is float or isinstance(value, Real)) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
