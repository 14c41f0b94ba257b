"""Reads the sources on time, from one thread, and hands on the windows that close.

Every source is a lane with its own times: one whose counter steps is looked at where its
steps are due, the others on a grid that does not drift. No reading is ever made on a
request's path.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from inferprint.calibration import Calibration
from inferprint.clock import Clock, slept_ns
from inferprint.errors import ConfigError, ReadingError
from inferprint.faults import Faults
from inferprint.lanes import NO_CORRECTIONS, Lane
from inferprint.sources import PowerSource
from inferprint.steps import BEGIN_WITHIN_NS, SEEK_EVERY_NS
from inferprint.ticks import Ticks
from inferprint.units import NS_PER_S, seconds
from inferprint.windows import Window

THREAD_NAME = "inferprint-sampler"
# Lanes that are due within this of each other are read in one waking.
TOGETHER_NS = 200_000
# A thread that was meant to wake and did not for this long was stopped, or the host slept.
STALLED_NS = 5 * NS_PER_S
# Waits shorter than this are not cut short by a stop.
SHORT_NS = NS_PER_S // 8
# How long to wait, when stopping, for a source that hangs.
JOIN_S = 2.0


class Sampler:
    """The thread that reads the sources, and what it has seen go wrong.

    Args:
        clock: the clock that readings are stamped with.
        interval_s: wanted length of a window.
        take: called with the windows that closed, and at least once every interval; says
            whether there is work to do.
        work: called to do a little of the work that they bring; says whether there is more.
            Both are called from the sampler's thread.
        corrections: of the gains of devices, by their ids.
        faults: counts what goes wrong; None: one of its own does.

    Attributes:
        again_ns: when ``take`` is to be called, if that is before its next time.
    """

    def __init__(
        self,
        clock: Clock,
        interval_s: float,
        take: Callable[[list[Window]], bool],
        work: Callable[[], bool],
        corrections: Mapping[str, Calibration] = NO_CORRECTIONS,
        faults: Faults | None = None,
    ) -> None:
        self.lanes: list[Lane] = []
        self.cpu_s = 0.0
        self.again_ns = sys.maxsize
        faults = faults or Faults()
        self.errors, self.fault = faults.errors, faults.fault
        self._clock = clock
        self._interval_ns = round(interval_s * NS_PER_S)
        self._ticks = Ticks(self._interval_ns)
        self._take, self._work, self._corrections = take, work, corrections
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
                lane = Lane(source, self._interval_ns, self._corrections, self._ticks)
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

    def ages_s(self, now_ns: int) -> dict[str, float]:
        """How many seconds ago each device was last read; one that never was is not in it."""
        last = {
            device.id: lane.last(device.id) for lane in tuple(self.lanes) for device in lane.devices
        }
        return {
            id_: max(0.0, seconds(now_ns - reading.at_ns))
            for id_, reading in last.items()
            if reading is not None
        }

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
        # All read at the same ticks, so that there is one waking for all.
        start_ns = next_tick_ns = self._ticks.after(self._clock.now_ns())
        for lane in self.lanes:
            lane.next_ns = lane.next_ns or start_ns
        more, windows = False, list[Window]()
        while not self._stop.is_set():
            now_ns = self._clock.now_ns()
            windows += self._read_due(now_ns)
            if now_ns >= min(next_tick_ns, self.again_ns):
                self.again_ns = sys.maxsize
                if now_ns >= next_tick_ns:
                    next_tick_ns = self._next_tick(now_ns)
                more, windows = self._take(windows) or more, []
            more = more and self._work_on()
            self.cpu_s = time.thread_time()
            if more:
                time.sleep(0)  # gives way: a thread with a request may wait for the interpreter
                continue
            next_ns = min([next_tick_ns, self.again_ns, *(lane.next_ns for lane in self.lanes)])
            self._wait(next_ns - self._clock.now_ns())
        while self._work_on():  # what was begun holds the books
            pass

    def _next_tick(self, now_ns: int) -> int:
        beside = any(lane.steps is not None and lane.steps.beside for lane in self.lanes)
        moved = self._ticks.seen(beside)
        next_tick_ns = self._ticks.after(now_ns)
        if moved:
            for lane in self.lanes:
                if lane.steps is None:
                    lane.next_ns = next_tick_ns
        return next_tick_ns

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
