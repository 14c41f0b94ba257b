"""What an engine's own token counters and the devices' joules come to, window by window.

For engines that no hook reaches. A window is what lies between two looks; its figures are of all
that ran in it together, idle energy and other processes included, and never of a request.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferprint.integrations.engine_metrics import (
    EngineWindow,
    TokenCounts,
    engine_windows,
    scrape,
)
from inferprint.records import weakest
from inferprint_exporters._families import Values
from inferprint_exporters._readings import Cap

if TYPE_CHECKING:
    from inferprint import Tracker

__all__ = ["Energy", "EngineTotals", "EngineWatch", "energy_of"]

LOOK_S = 15.0
CLOSE_S = 2.0
"""Seconds for which a stop waits for a look that is under way."""

LATE_S = 2.0
LATE_INTERVALS = 3
"""A device that was last read longer ago is not read: its joules stand still."""

TOKEN_TYPES = ("input", "cached_input", "output")

Energy = Mapping[str, tuple[str, float]]
"""Joules that all devices have used so far, and their provenance, by component."""

_Counter = defaultdict[tuple[str, ...], float]


class EngineTotals:
    """Sums over windows.

    Args:
        cap: bounds the values of the label ``model``.
    """

    def __init__(self, cap: Cap) -> None:
        self._cap = cap
        self._lock = threading.Lock()
        self._counts: TokenCounts | None = None
        self._energy: Energy | None = None
        self._tokens, self._energy_j, self._unassigned_j = (
            _Counter(float),
            _Counter(float),
            _Counter(float),
        )

    def take(self, counts: TokenCounts, energy: Energy | None) -> None:
        """Closes a window and begins the next.

        Args:
            counts: what the engine has counted so far.
            energy: what the devices have used so far; None: not known.
        """
        with self._lock:
            before, used = self._counts, _used(self._energy, energy)
            self._counts, self._energy = counts, energy
            if before is None or before.engine != counts.engine:
                return
            windows = engine_windows(before, counts, None)
            kind = "interrupted" if used is None else _kind(windows)
            for window in windows:
                self._add_tokens(window, kind)
            for part, joules in (used or {}).items():
                if kind == "one_model":
                    self._energy_j[counts.engine, self._name(windows[0]), *part] += joules
                else:
                    self._unassigned_j[counts.engine, *part, kind] += joules

    def interrupt(self) -> None:
        """The engine could not be asked: the window that goes on has no energy."""
        with self._lock:
            self._energy = None

    def _name(self, window: EngineWindow) -> str:
        return self._cap("model", window.model) if window.model else ""

    def _add_tokens(self, window: EngineWindow, kind: str) -> None:
        for type_ in TOKEN_TYPES:
            count: int | None = getattr(window.tokens, type_)
            if count is not None:
                self._tokens[window.engine, self._name(window), type_, kind] += count

    def snapshot(self) -> Values:
        """A copy of all totals by family name."""
        with self._lock:
            return {
                "inferprint_engine_tokens_total": self._tokens.copy(),
                "inferprint_engine_window_energy_joules_total": self._energy_j.copy(),
                "inferprint_engine_unassigned_window_energy_joules_total": (
                    self._unassigned_j.copy()
                ),
            }


def _used(before: Energy | None, after: Energy | None) -> Mapping[tuple[str, str], float] | None:
    """Joules in between, by component and provenance; None where they are not known, or other
    components are read than before.
    """
    if before is None or after is None or before.keys() != after.keys():
        return None
    return {
        (component, provenance): max(0.0, joules - before[component][1])
        for component, (provenance, joules) in after.items()
    }


def _kind(windows: Sequence[EngineWindow]) -> str:
    return ("no_tokens", "one_model")[len(windows)] if len(windows) < 2 else "several_models"


def energy_of(tracker: Tracker) -> Energy | None:
    """What a tracker's devices have used so far; None while one of them is not read."""
    devices, ages_s = tracker.balance().devices, tracker.status().reading_age_s
    late_s = max(LATE_S, LATE_INTERVALS * tracker.config.sample_interval_s)
    if not devices or any(not ages_s.get(id_, late_s) < late_s for id_ in devices):
        return None
    found: dict[str, tuple[str, float]] = {}
    for component in sorted({device.component for device in devices.values()}):
        own = [device for device in devices.values() if device.component == component]
        provenance = weakest(device.provenance for device in own)
        found[component] = provenance, sum(device.measured_j for device in own)
    return found


class EngineWatch:
    """Looks at an engine every now and then, in a thread of its own, until it is closed.

    Args:
        url: of the engine's metrics.
        tracker: knows the devices, and counts the faults.
        totals: where it goes.
        look_s: seconds between two looks.
    """

    def __init__(
        self, url: str, tracker: Tracker, totals: EngineTotals, look_s: float = LOOK_S
    ) -> None:
        self._url, self._tracker, self._totals, self._look_s = url, tracker, totals, look_s
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="inferprint-engine-metrics", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        self.look()
        while not self._stop.wait(self._look_s):
            self.look()

    def look(self) -> None:
        """Looks once; what goes wrong is counted, and goes no further."""
        try:
            counts = scrape(self._url)
            self._totals.take(counts, energy_of(self._tracker))
        except Exception as error:  # noqa: BLE001 - a fault of ours may not end the looking
            self._totals.interrupt()
            self._tracker.fault("engine metrics", error)

    def close(self) -> None:
        """Looks no more."""
        self._stop.set()
        self._thread.join(CLOSE_S)
