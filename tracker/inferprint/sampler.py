"""Reads the sources on time, from one thread, and hands on the windows that close.

Every source is a lane with its own times: one whose counter steps is looked at where its
steps are due, the others on a grid that does not drift. No reading is ever made on a
request's path.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from functools import partial
from numbers import Integral, Real

from inferprint import flags
from inferprint.clock import Clock, slept_ns
from inferprint.errors import ConfigError, ReadingError, SourceError
from inferprint.records import Device, Reading
from inferprint.sources import PowerSource
from inferprint.steps import BEGIN_WITHIN_NS, SEEK_EVERY_NS, StepClock
from inferprint.units import NS_PER_S
from inferprint.windows import Window, Windower

log = logging.getLogger("inferprint")

THREAD_NAME = "inferprint-sampler"
# Lanes that are due within this of each other are read in one waking.
TOGETHER_NS = 200_000
# A thread that was meant to wake and did not for this long was stopped, or the host slept.
STALLED_NS = 5 * NS_PER_S
# Waits shorter than this are not cut short by a stop.
SHORT_NS = NS_PER_S // 8
# A reading further ahead of the clock than any reading takes is stamped by another clock.
AHEAD_NS = 3600 * NS_PER_S
# How long to wait, when stopping, for a source that hangs.
JOIN_S = 2.0


class Lane:
    """One source, when it is read, and the windows of its devices.

    Args:
        source: the source.
        interval_ns: wanted length of a window.
    """

    def __init__(self, source: PowerSource, interval_ns: int) -> None:
        self.source = source
        self.devices = [_checked(device) for device in source.devices()]
        self.next_ns = 0
        # Devices that the last reading did not give, and what else was wrong with it.
        self.missing: set[str] = set()
        self.faults: list[ReadingError] = []
        self._interval_ns = interval_ns
        self._windowers = {device.id: Windower(device.id) for device in self.devices}
        steps = len(self.devices) == 1 and self.devices[0].step_s is not None
        self.steps = StepClock(interval_ns) if steps else None
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
                windows += self._push([_at(reading, closes_ns)], rough)
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

    def stalled(self) -> None:
        """The host slept or the process was stopped since the last reading."""
        for windower in self._windowers.values():
            windower.stalled()

    def abandon(self, device_id: str, at_ns: int) -> Window:
        """A window without energy up to now, for a device that can't be read for long."""
        return self._windowers[device_id].abandon(at_ns)

    def _read(self, now_ns: int) -> Sequence[Reading]:
        self.missing, self.faults = set(self._windowers), []
        try:
            readings = [reading for reading in self.source.read() if self._usable(reading, now_ns)]
            self.missing -= {reading.device_id for reading in readings}
        finally:
            for device_id in self.missing:
                self._windowers[device_id].missed()
        return readings

    def _usable(self, reading: Reading, now_ns: int) -> bool:
        wrong = _what_is_wrong(reading, self._windowers, now_ns)
        if wrong:
            self.faults.append(ReadingError(f"{reading!r}: {wrong}", "unusable"))
        return not wrong

    def _push(self, readings: Sequence[Reading], rough: bool = False) -> list[Window]:
        pushed = [self._windowers[reading.device_id].push(reading, rough) for reading in readings]
        windows = [window for window in pushed if window is not None]
        for window in windows:
            if flags.COUNTER_RESET in window.flags:
                said = f"{window.device_id}: its counter went back or jumped"
                self.faults.append(ReadingError(said, flags.COUNTER_RESET))
        return windows


def _at(reading: Reading, at_ns: int) -> Reading:
    # As dataclasses.replace, in a fifth of its time.
    device_id, energy_j, provenance = reading.device_id, reading.energy_j, reading.provenance
    return Reading(device_id, at_ns, energy_j, provenance, reading.busy_s, reading.own_s)


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


class Sampler:
    """The thread that reads the sources, and what it has seen go wrong.

    Args:
        clock: the clock that readings are stamped with.
        interval_s: wanted length of a window.
        take: called with the windows that closed, and at least once every interval.
        work: called to do a little of the work that they bring; says whether there is more.
            Both are called from the sampler's thread.
    """

    def __init__(
        self,
        clock: Clock,
        interval_s: float,
        take: Callable[[list[Window]], None],
        work: Callable[[], bool],
    ) -> None:
        self.lanes: list[Lane] = []
        self.errors: Counter[tuple[str, str]] = Counter()
        self.cpu_s = 0.0
        self._clock = clock
        self._interval_ns = round(interval_s * NS_PER_S)
        self._take, self._work = take, work
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._slept_ns = slept_ns()

    def open(self, sources: Sequence[PowerSource], on_steps: bool) -> bool:
        """Takes these sources, and reads each for the first time.

        Args:
            sources: the sources.
            on_steps: looks at a counter that steps until it does, so that its first window
                begins there; takes up to a quarter of a second.

        Returns:
            Whether all of them can be used.
        """
        for source in sources:
            try:
                lane = Lane(source, self._interval_ns)
                self._check_new(lane)
                self.lanes.append(lane)
            except Exception as error:  # noqa: BLE001 - a source may raise anything
                self.fault(type(source).__name__, error)
        for lane in self.lanes:
            if not (on_steps and lane.steps):
                self._read_lane(lane)
        if on_steps:
            self._begin_on_steps()
        return len(self.lanes) == len(sources)

    def _check_new(self, lane: Lane) -> None:
        """Raises ConfigError where a device of it is another source's too."""
        ids = [device.id for known in [*self.lanes, lane] for device in known.devices]
        for device_id, times in Counter(ids).items():
            if times > 1:
                raise ConfigError("sources", device_id, "each device from one source, once")

    def start(self, prepare: Callable[[], None]) -> None:
        """Starts the thread, which first calls ``prepare``.

        Raises:
            RuntimeError: no more threads can be started.
        """
        self._stop.clear()
        thread = threading.Thread(target=self._run, args=(prepare,), name=THREAD_NAME, daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> bool:
        """Ends the thread, after what it is doing; whether it has ended."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(JOIN_S)
        return not thread.is_alive()

    def close(self) -> None:
        """Closes the sources."""
        for lane in self.lanes:
            try:
                lane.source.close()
            except Exception as error:  # noqa: BLE001 - a source may raise anything
                self.fault(lane.name, error)

    def read_now(self) -> list[Window]:
        """Reads every source once and closes a window of every device here."""
        found: list[Window] = []
        for lane in self.lanes:
            found += self._read_lane(lane)
        return found

    @property
    def missing(self) -> set[str]:
        """The devices that the last reading of their source did not give."""
        return set().union(*(lane.missing for lane in self.lanes))

    def fault(self, source: str, error: BaseException) -> None:
        """Counts a fault, and logs the first of its kind."""
        kind = error.kind if isinstance(error, SourceError) else type(error).__name__
        with self._counting:
            self.errors[source, kind] += 1
            first = self.errors[source, kind] == 1
        if first:
            log.warning("%s: %s: %s (said once)", source, type(error).__name__, error)

    def _begin_on_steps(self) -> None:
        waiting = [lane for lane in self.lanes if lane.steps]
        until_ns = self._clock.now_ns() + BEGIN_WITHIN_NS + self._interval_ns
        while waiting and self._clock.now_ns() < until_ns:
            for lane in waiting:
                self._guard(lane, partial(lane.due, self._clock.now_ns()))
            waiting = [lane for lane in waiting if not lane.begun]
            time.sleep(SEEK_EVERY_NS / NS_PER_S)

    def _run(self, prepare: Callable[[], None]) -> None:
        prepare()
        # All read at multiples of the interval, so that there is one waking for all.
        start_ns = next_tick_ns = self._tick_after(self._clock.now_ns())
        for lane in self.lanes:
            lane.next_ns = lane.next_ns or start_ns
        more, windows = False, list[Window]()
        while not self._stop.is_set():
            now_ns = self._clock.now_ns()
            windows += self._read_due(now_ns)
            if now_ns >= next_tick_ns:
                next_tick_ns = self._tick_after(now_ns)
                self._take(windows)
                more, windows = True, []
            more = more and self._work_on()
            self.cpu_s = time.thread_time()
            if more:
                time.sleep(0)  # gives way: a thread with a request may wait for the interpreter
                continue
            next_ns = min([next_tick_ns, *(lane.next_ns for lane in self.lanes)])
            self._wait(next_ns - self._clock.now_ns())
        while self._work_on():  # what was begun holds the books
            pass

    def _tick_after(self, now_ns: int) -> int:
        return (now_ns // self._interval_ns + 1) * self._interval_ns

    def _wait(self, ns: int) -> None:
        # A plain sleep takes a third of the CPU time of waiting for the event; a stop can
        # wait for a short one.
        if 0 < ns < SHORT_NS:
            time.sleep(ns / NS_PER_S)
        else:
            self._stop.wait(max(0, ns) / NS_PER_S)

    def _read_due(self, now_ns: int) -> list[Window]:
        due = [lane for lane in self.lanes if lane.next_ns <= now_ns + TOGETHER_NS]
        if due and self._was_stalled(now_ns - min(lane.next_ns for lane in due)):
            for lane in self.lanes:
                lane.stalled()
        windows: list[Window] = []
        for lane in due:
            windows += self._guard(lane, partial(lane.due, now_ns))
        return windows

    def _was_stalled(self, late_ns: int) -> bool:
        before_ns, self._slept_ns = self._slept_ns, slept_ns()
        return late_ns > STALLED_NS or self._slept_ns - before_ns > STALLED_NS

    def _work_on(self) -> bool:
        try:
            return self._work()
        except Exception as error:  # noqa: BLE001 - a fault of ours may not end the sampling
            self.fault("tracker", error)
            return False

    def _read_lane(self, lane: Lane) -> list[Window]:
        return self._guard(lane, partial(lane.now, self._clock.now_ns()))

    def _guard(self, lane: Lane, read: Callable[[], list[Window]]) -> list[Window]:
        """Reads a source, whose faults are counted and go no further."""
        try:
            windows = read()
        except Exception as error:  # noqa: BLE001 - a source may raise anything
            self.fault(lane.name, error)
            return []
        for fault in lane.faults:
            self.fault(lane.name, fault)
        if lane.missing and not lane.faults:
            self.fault(lane.name, ReadingError(f"no reading of {sorted(lane.missing)}", "missing"))
        return windows
