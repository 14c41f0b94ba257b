"""The rules that others use, on the same windows, and the truth behind the same sensor.

All share what the meter says above idle in a window. They get the tracker's own idle power,
so that what differs is the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.attribution.load import Job
from benchmarks.attribution.replay import Readings
from benchmarks.attribution.server import Step


@dataclass(slots=True)
class Stay:
    """What there is of a job in one window.

    Args:
        since_s: when it began in it.
        share_from_s, fixed_from_j: the levels then.
        share_s: its seconds in it, each over the number in flight then.
        flight_s: its seconds in it.
        tokens: what it told in it.
        true_j: its true energy in it.
    """

    since_s: float
    share_from_s: float
    fixed_from_j: float
    share_s: float = 0.0
    flight_s: float = 0.0
    tokens: int = 0
    true_j: float = 0.0


def snapshot(stays: Sequence[Stay], window_s: float) -> Sequence[float]:
    """Each is charged all that the meter rose while it ran, as several tools do."""
    return [stay.flight_s / window_s for stay in stays]


def tokens(stays: Sequence[Stay], window_s: float) -> Sequence[float]:
    """In proportion to the tokens told, prompt and output alike; by time where none were."""
    counts = [float(stay.tokens) for stay in stays]
    return _whole(counts) if any(counts) else overlap(stays, window_s)


def overlap(stays: Sequence[Stay], window_s: float) -> Sequence[float]:
    """Equal shares of each instant between those in flight."""
    return _whole([stay.share_s for stay in stays])


def true_shares(stays: Sequence[Stay], window_s: float) -> Sequence[float]:
    """In proportion to the truth in each window: what is left is the error of the sensor and of
    idle power, as far as it does not even out over windows.
    """
    return _whole([stay.true_j for stay in stays])


def _whole(weights: Sequence[float]) -> Sequence[float]:
    total = sum(weights)
    return [weight / total if total else 0.0 for weight in weights]


RULES: Mapping[str, Callable[[Sequence[Stay], float], Sequence[float]]] = {
    "snapshot": snapshot,
    "tokens": tokens,
    "overlap": overlap,
    "true shares": true_shares,
}


class Ledger:
    """Follows who is in flight, and charges by every rule at the end of each window.

    Args:
        idle_w: tells the idle power of all boards together.
    """

    def __init__(self, idle_w: Callable[[], float]) -> None:
        self.charged_j: dict[str, dict[Job, float]] = {rule: {} for rule in RULES}
        self._idle_w = idle_w
        self._running: dict[Job, Stay] = {}
        self._ended: dict[Job, Stay] = {}
        self._last = Readings(0.0, ())
        self._counted_j = 0.0
        # As in the server: what one that was there all along would have.
        self._share_s = self._fixed_j = 0.0

    def watch(self, step: Step, from_s: float, until_s: float) -> None:
        """A stretch of power, and whose it truly is."""
        if not self._running:
            return
        seconds = until_s - from_s
        self._share_s += seconds / len(self._running)
        self._fixed_j += step.shared_w * seconds / len(self._running)
        for job, watts in step.own_w.items():
            self._running[job].true_j += watts * seconds

    def start(self, job: Job, at_s: float) -> None:
        """A job arrives; one that streams tells of its prompt."""
        self._running[job] = Stay(at_s, self._share_s, self._fixed_j)
        if job.streamed:
            self._running[job].tokens = job.uncached

    def tell(self, job: Job, at_s: float) -> None:
        """One more token."""
        self._running[job].tokens += 1

    def end(self, job: Job, at_s: float) -> None:
        """A job ends; one that does not stream tells of all its tokens."""
        stay = self._running.pop(job)
        if not job.streamed:
            stay.tokens = job.uncached + job.decoded
        self._leave(stay, at_s)
        self._ended[job] = stay

    def read(self, readings: Readings) -> None:
        """A window ends."""
        for stay in self._running.values():
            self._leave(stay, readings.at_s)
        stays = self._ended | self._running
        window_s = readings.at_s - self._last.at_s
        active_j = self._active_j(readings, window_s)
        for rule, shares_of in RULES.items():
            charged_j = self.charged_j[rule]
            for job, share in zip(stays, shares_of(list(stays.values()), window_s), strict=True):
                charged_j[job] = charged_j.get(job, 0.0) + active_j * share
        self._ended, self._last = {}, readings
        for job in self._running:
            self._running[job] = Stay(readings.at_s, self._share_s, self._fixed_j)

    def _leave(self, stay: Stay, at_s: float) -> None:
        stay.flight_s = at_s - stay.since_s
        stay.share_s = self._share_s - stay.share_from_s
        stay.true_j += self._fixed_j - stay.fixed_from_j

    def _active_j(self, readings: Readings, window_s: float) -> float:
        counted_j = sum(readings.counters_j)
        energy_j, self._counted_j = counted_j - self._counted_j, counted_j
        active_j = max(0.0, energy_j - self._idle_w() * window_s)
        return active_j * _own_share(self._last, readings)


def _own_share(last: Readings, now: Readings) -> float:
    """The server's part of what the boards did; all, where the driver does not tell."""
    if now.busy_s is None or now.own_s is None:
        return 1.0
    busy_s = now.busy_s - (last.busy_s or 0.0)
    return (now.own_s - (last.own_s or 0.0)) / busy_s if busy_s else 1.0
