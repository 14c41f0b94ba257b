"""Fakes for tests of one's own: a clock that is moved by hand and a source that is told.

With them no thread runs and no time passes::

    clock = FakeClock()
    source = FakeSource(clock, watts=300.0)
    with Tracker(sources=[source], clock=clock) as tracker:
        with tracker.request(model="m") as request:
            clock.advance(2.0)
        tracker.sample()
        assert float(request.receipt().energy.total_j) == 600.0
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from inferprint.records import Component, Device, Provenance, Reading
from inferprint.units import NS_PER_S, seconds

__all__ = ["FakeClock", "FakeSource"]


class FakeClock:
    """A monotonic clock that stands still until it is advanced.

    Args:
        start_s: seconds that it shows at first.
        wall: the wall time that goes with them, and moves with the clock; None: that of now.
    """

    def __init__(self, start_s: float = 0.0, wall: datetime | None = None) -> None:
        self._now_ns = round(start_s * NS_PER_S)
        began_s = time.time() if wall is None else wall.timestamp()
        self._wall_from_s = began_s - seconds(self._now_ns)

    def now_ns(self) -> int:
        """Nanoseconds on this clock."""
        return self._now_ns

    def wall_s(self) -> float:
        """The wall time, Unix."""
        return self._wall_from_s + seconds(self._now_ns)

    def advance(self, seconds: float) -> None:
        """Moves the clock forward.

        Raises:
            ValueError: ``seconds`` is negative; a monotonic clock does not go back.
        """
        if seconds < 0:
            raise ValueError(f"seconds={seconds!r}: a monotonic clock does not go back")
        self._now_ns += round(seconds * NS_PER_S)


class FakeSource:
    """A power source of one device whose power is set by hand; joules accrue with the clock.

    Args:
        clock: the clock that the tracker under test has too.
        device: the device's id.
        component: ``gpu``, ``cpu`` or ``dram``.
        watts: its power until ``set_power``.
        idle_w: idle power that the device declares; None: to be observed.
        provenance: what its readings say they are.
        relative_error: half-width of its readings' error.
    """

    def __init__(
        self,
        clock: FakeClock,
        device: str = "gpu:0",
        component: Component = "gpu",
        watts: float = 0.0,
        *,
        idle_w: float | None = None,
        provenance: Provenance = "measured",
        relative_error: float = 0.0,
    ) -> None:
        self._clock = clock
        self._device = Device(
            device, component, "fake " + component, idle_w=idle_w, relative_error=relative_error
        )
        self._provenance: Provenance = provenance
        self._watts = watts
        self._energy_j = 0.0
        self._accrued_ns = clock.now_ns()
        self._error: Exception | None = None
        self.closed = False

    def set_power(self, watts: float) -> None:
        """Sets the power from now on."""
        self._accrue()
        self._watts = watts

    def add(self, joules: float) -> None:
        """Adds energy at once, beside what the power brings."""
        self._accrue()
        self._energy_j += joules

    def reset(self) -> None:
        """Sets the counter to 0, as a driver reload does."""
        self._accrue()
        self._energy_j = 0.0

    def fail(self, error: Exception) -> None:
        """Makes every read raise ``error`` until ``recover``; joules go on accruing."""
        self._error = error

    def recover(self) -> None:
        """Ends what ``fail`` began."""
        self._error = None

    def devices(self) -> Sequence[Device]:
        """The one device."""
        return [self._device]

    def read(self) -> Sequence[Reading]:
        """One reading at the clock's present time; raises what ``fail`` was given."""
        if self._error is not None:
            raise self._error
        self._accrue()
        reading = Reading(self._device.id, self._accrued_ns, self._energy_j, self._provenance)
        return [reading]

    def close(self) -> None:
        """Marks the source as closed."""
        self.closed = True

    def _accrue(self) -> None:
        now_ns = self._clock.now_ns()
        self._energy_j += self._watts * (now_ns - self._accrued_ns) / NS_PER_S
        self._accrued_ns = now_ns
