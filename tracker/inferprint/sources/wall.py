"""A meter of the whole machine, outside of it; asked in a thread of its own, as it takes long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

from inferprint.errors import ReadingError
from inferprint.records import Device, Reading
from inferprint.sources._nvml_meters import PowerIntegral
from inferprint.sources._wall_meters import MeterReader
from inferprint.sources.findings import Finding

__all__ = ["WallSource", "finding"]

THREAD_NAME = "inferprint-wall-meter"
# BMCs and plugs renew what they tell about once a second.
INTERVAL_S = 1.0
MAX_GAP_S = 10.0
JOIN_S = 2.0


class WallSource:
    """The power of a meter, integrated. Its device is in no receipt: the balance has it.

    Args:
        read_w: watts now; raises ReadingError.
        device_id: the meter's id, such as ``wall:ipmi``.
        interval_s: seconds between two looks.
    """

    def __init__(self, read_w: MeterReader, device_id: str, interval_s: float = INTERVAL_S) -> None:
        self._device = Device(device_id, "wall", "the host's wall power")
        self._read_w, self._interval_s = read_w, interval_s
        self._watts = 0.0
        self._meter = PowerIntegral("", lambda _: self._watts, max(MAX_GAP_S, 3 * interval_s))
        self._seen: Reading | ReadingError = ReadingError("the meter was not asked yet", "starting")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def devices(self) -> Sequence[Device]:
        """The meter."""
        return [self._device]

    def look(self) -> Reading | ReadingError:
        """Asks the meter, which may take seconds; what it told, or why it did not."""
        try:
            self._watts = self._read_w()
            at_ns = time.monotonic_ns()
            self._seen = Reading(self._device.id, at_ns, self._meter.joules(None, at_ns))
        except ReadingError as error:
            self._meter.interrupt()
            self._seen = error
        return self._seen

    def read(self) -> Sequence[Reading]:
        """What the meter told last; the thread that asks it is started by the first reading.

        Raises:
            ReadingError: it did not, when it was asked last.
        """
        if self._thread is None or self._pid != os.getpid():
            self._begin()
        if isinstance(self._seen, ReadingError):
            raise ReadingError(str(self._seen), self._seen.kind)
        return [self._seen]

    def _begin(self) -> None:
        self._pid, self._stop = os.getpid(), threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name=THREAD_NAME, daemon=True
        )
        self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_s):
            self.look()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            thread.join(JOIN_S)


def finding(source: WallSource) -> Finding:
    """What a first look at the meter gives."""
    (device,) = source.devices()
    seen = source.look()
    if isinstance(seen, ReadingError):
        return Finding("wall", device.id, "wall", device.name, "unreadable", str(seen))
    why = "power, integrated; in no receipt: the balance tells what it has above the devices"
    return Finding("wall", device.id, "wall", device.name, "measured", why)
