"""From readings to windows: what one device used between two readings.

A counter that went back was reset, and what it counted in between is lost: such a window
has no energy, nor has one in which it jumped. A window in which the host slept or the
process was stopped is a gap: its energy is real and belongs to nobody. Neither makes
negative or invented energy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from inferprint import flags
from inferprint.records import Provenance, Reading
from inferprint.units import NS_PER_S, seconds

NO_FLAGS: frozenset[str] = frozenset()
# A counter that advances by more in one window has jumped: 10 kW need three years for it.
MOST_J = 1e12
# What no device of a host draws: a limit of ours, for a counter that has just gone back.
MOST_W = 1e6


class Window(NamedTuple):
    """What one device used between two readings.

    Args:
        device_id: the device.
        start_ns: the earlier reading's instant, monotonic.
        end_ns: the later reading's instant.
        energy_j: joules in between; None where they are not known.
        provenance: the later reading's.
        busy_s: seconds that the device was busy for anybody; None: not known.
        own_s: the part of ``busy_s`` that this process caused; None: not known.
        flags: what receipts that touch this window must say.
        gap: the requests in flight did not run for (all of) it, so it is charged to none.
        rough: its ends are not where the counter had stepped, so its mean power is off by up
            to a step's energy.
    """

    device_id: str
    start_ns: int
    end_ns: int
    energy_j: float | None
    provenance: Provenance = "measured"
    busy_s: float | None = None
    own_s: float | None = None
    flags: frozenset[str] = NO_FLAGS
    gap: bool = False
    rough: bool = False

    @property
    def duration_s(self) -> float:
        """Seconds from its start to its end."""
        return (self.end_ns - self.start_ns) / NS_PER_S

    @property
    def own_share(self) -> float | None:
        """The share of the device's busy time that this process caused; None: not known."""
        if self.own_s is None or not self.busy_s:
            return None
        return min(1.0, self.own_s / self.busy_s)


class Windower:
    """Makes the windows of one device from its readings.

    Args:
        device_id: the device whose readings are given.
    """

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.last: Reading | None = None
        # When the last window ended: its reading's instant, or that of a step before it.
        self.last_ns = 0
        self._flags: set[str] = set()
        # Where the counter stood before it went back.
        self._fell_from_j = math.inf

    def missed(self) -> None:
        """A reading failed: the window that spans it will say so."""
        if self.last is not None:
            self._flags.add(flags.MISSING_READING)

    def stalled(self) -> None:
        """The host slept or the process was stopped: the window that spans it is a gap."""
        if self.last is not None:
            self._flags.add(flags.GAP)

    def abandon(self, at_ns: int) -> Window:
        """A window without energy up to now; what the counter says later is then a gap's."""
        start_ns = at_ns if self.last is None else self.last_ns
        self._flags.add(flags.GAP)
        return Window(self.device_id, start_ns, at_ns, None, flags=frozenset(self._flags))

    def push(
        self, reading: Reading, at_ns: int | None = None, rough: bool = False
    ) -> Window | None:
        """Takes the next reading.

        Args:
            reading: the reading.
            at_ns: since when its counter has shown what it shows; None: just then.
            rough: of the window that it closes, as for ``Window``.

        Returns:
            The window that it closes; None for the first reading and for one that is no
            later than the one before it, whose energy is left to the next window.

        Raises:
            ValueError: the energy is not a finite number.
        """
        if not math.isfinite(reading.energy_j):
            raise ValueError(f"{self.device_id}: a reading of {reading.energy_j!r} joules")
        at_ns = reading.at_ns if at_ns is None else at_ns
        last, start_ns = self.last, self.last_ns
        if last is not None and at_ns <= start_ns:
            return None
        self.last, self.last_ns = reading, at_ns
        if last is None:
            return None
        energy_j = self._energy_j(last, reading, at_ns - start_ns)
        if energy_j is None:
            self._flags.add(flags.COUNTER_RESET)
        said = NO_FLAGS
        if self._flags:
            said = frozenset(self._flags)
            self._flags.clear()
        return Window(
            reading.device_id,
            start_ns,
            at_ns,
            energy_j,
            reading.provenance,
            _advance(last.busy_s, reading.busy_s),
            _advance(last.own_s, reading.own_s),
            said,
            gap=flags.GAP in said,
            rough=rough,
        )

    def _energy_j(self, last: Reading, reading: Reading, passed_ns: int) -> float | None:
        """What was counted between two readings; None: the counter was reset or jumped."""
        energy_j = reading.energy_j - last.energy_j
        if energy_j < 0:
            self._fell_from_j = last.energy_j
            return None
        # Back where it stood at once: it was not reset, one reading of it was wrong.
        came_back = reading.energy_j >= self._fell_from_j
        leapt = energy_j > MOST_W * seconds(passed_ns)
        return None if energy_j > MOST_J or (came_back and leapt) else energy_j


def _advance(before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    return after - before if 0 <= after - before < math.inf else None
