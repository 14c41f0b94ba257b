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
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from inferprint.clock import Clock, slept_ns
from inferprint.errors import ReadingError
from inferprint.records import Reading
from inferprint.sources import PowerSource
from inferprint.steps import BEGIN_WITHIN_NS, SEEK_EVERY_NS, StepClock
from inferprint.units import NS_PER_S
from inferprint.windows import Window, Windower

T = TypeVar("T")

log = logging.getLogger("inferprint")

THREAD_NAME = "inferprint-sampler"
# Lanes that are due within this of each other are read in one waking.
TOGETHER_NS = 200_000
# A thread that was meant to wake and did not for this long was stopped, or the host slept.
STALLED_NS = 5 * NS_PER_S
# Waits shorter than this are not cut short by a stop.
SHORT_NS = NS_PER_S // 8
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
        self.devices = list(source.devices())
        self.next_ns = 0
        # Devices that the last reading did not give.
        self.missing: set[str] = set()
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
        readings = self._read()
        return self._push(readings) if self.steps is None else self._follow(self.steps, readings)

    def _follow(self, steps: StepClock, readings: Sequence[Reading]) -> list[Window]:
        windows: list[Window] = []
        for reading in readings:
            closes_ns = steps.look(reading.at_ns, reading.energy_j)
            self.next_ns = steps.next_look_ns
            if closes_ns is not None:
                rough, self._sharp = not (steps.sharp and self._sharp), steps.sharp
                closing = self._push([replace(reading, at_ns=closes_ns)])
                windows += [replace(window, rough=rough) for window in closing]
        return windows

    def now(self) -> list[Window]:
        """Reads the source and closes the windows of its devices here, on a step or not.

        Raises:
            Exception: whatever the source raises; the windows that span it will say so.
        """
        return self._push(self._read())

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

    def _read(self) -> Sequence[Reading]:
        self.missing = set(self._windowers)
        try:
            readings = [reading for reading in self.source.read() if _usable(reading)]
            self.missing -= {reading.device_id for reading in readings}
        finally:
            for device_id in self.missing:
                self._windowers[device_id].missed()
        return [reading for reading in readings if reading.device_id in self._windowers]

    def _push(self, readings: Sequence[Reading]) -> list[Window]:
        windows = [self._windowers[reading.device_id].push(reading) for reading in readings]
        return [window for window in windows if window is not None]


def _usable(reading: Reading) -> bool:
    return isinstance(reading.energy_j, int | float) and math.isfinite(reading.energy_j)


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
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._slept_ns = slept_ns()

    def open(self, sources: Sequence[PowerSource], on_steps: bool) -> None:
        """Takes these sources, and reads each for the first time.

        Args:
            sources: the sources.
            on_steps: looks at a counter that steps until it does, so that its first window
                begins there; takes up to a quarter of a second.
        """
        for source in sources:
            try:
                self.lanes.append(Lane(source, self._interval_ns))
            except Exception as error:  # noqa: BLE001 - a source may raise anything
                self.fault(type(source).__name__, error)
        for lane in self.lanes:
            if not (on_steps and lane.steps):
                self._guard(lane, lane.now, list[Window]())
        if on_steps:
            self._begin_on_steps()

    def start(self, prepare: Callable[[], None]) -> None:
        """Starts the thread, which first calls ``prepare``.

        Raises:
            RuntimeError: no more threads can be started.
        """
        self._stop.clear()
        thread = threading.Thread(target=self._run, args=(prepare,), name=THREAD_NAME, daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Ends the thread, after what it is doing."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)
        self._thread = None

    def close(self) -> None:
        """Closes the sources."""
        for lane in self.lanes:
            self._guard(lane, lane.source.close, None)

    def read_now(self) -> list[Window]:
        """Reads every source once and closes a window of every device here."""
        found: list[Window] = []
        for lane in self.lanes:
            found += self._guard(lane, lane.now, [])
        return found

    @property
    def missing(self) -> set[str]:
        """The devices that the last reading of their source did not give."""
        return set().union(*(lane.missing for lane in self.lanes))

    def fault(self, source: str, error: BaseException) -> None:
        """Counts a fault, and logs the first of its kind."""
        kind = str(getattr(error, "kind", type(error).__name__))
        self.errors[source, kind] += 1
        if self.errors[source, kind] == 1:
            log.warning("%s: %s: %s (said once)", source, type(error).__name__, error)

    def _begin_on_steps(self) -> None:
        waiting = [lane for lane in self.lanes if lane.steps]
        until_ns = self._clock.now_ns() + BEGIN_WITHIN_NS + self._interval_ns
        while waiting and self._clock.now_ns() < until_ns:
            for lane in waiting:
                due = partial(lane.due, self._clock.now_ns())
                self._guard(lane, due, list[Window]())
            waiting = [lane for lane in waiting if not lane.begun]
            time.sleep(SEEK_EVERY_NS / NS_PER_S)

    def _run(self, prepare: Callable[[], None]) -> None:
        prepare()
        start_ns = next_tick_ns = self._clock.now_ns()
        for lane in self.lanes:
            lane.next_ns = lane.next_ns or start_ns
        more = False
        while not self._stop.is_set():
            now_ns = self._clock.now_ns()
            windows = self._read_due(now_ns)
            if windows or now_ns >= next_tick_ns:
                next_tick_ns = now_ns + self._interval_ns
                self._take(windows)
                more = True
            more = more and self._work_on()
            self.cpu_s = time.thread_time()
            if more:
                time.sleep(0)  # gives way: a thread with a request may wait for the interpreter
                continue
            next_ns = min([next_tick_ns, *(lane.next_ns for lane in self.lanes)])
            self._wait(next_ns - self._clock.now_ns())
        while self._work_on():  # what was begun holds the books
            pass

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
            windows += self._guard(lane, partial(lane.due, now_ns), [])
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

    def _guard(self, lane: Lane, call: Callable[[], T], otherwise: T) -> T:
        """Calls into a source, whose faults are counted and go no further."""
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - a source may raise anything
            self.fault(lane.name, error)
            return otherwise
        for device_id in lane.missing:
            self.fault(lane.name, ReadingError(f"{device_id} gave no usable reading", "missing"))
        return result
