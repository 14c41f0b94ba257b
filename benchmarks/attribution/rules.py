"""The rules of attribution that are compared, each on the same windows.

A rule is given a window and who was in flight in it, and returns the joules of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from benchmarks.attribution.hardware import Device
from benchmarks.attribution.load import Job
from inferprint.learning.hold import Hold
from inferprint.learning.learner import Learner, Part, Window
from inferprint.learning.progress import Progress
from inferprint.learning.work import NO_WORK, Work


@dataclass(slots=True, eq=False)
class Stay:
    """A job in the windows that it is in flight in.

    Args:
        job: the job, of which rules see only what it told.
        progress: its work, as far as it told.
        time_s: its seconds in this window, each over the number in flight then.
        flight_s: its seconds in this window.
        tokens: what it told in this window.
    """

    job: Job
    progress: Progress
    time_s: float = 0.0
    flight_s: float = 0.0
    tokens: int = 0


class Closed(NamedTuple):
    """A window that has closed."""

    window: Window
    stays: Sequence[Stay]
    ended: Sequence[Stay]
    running: int


class Rule(Protocol):
    """A rule of attribution."""

    name: str

    def charge(self, closed: Closed) -> Mapping[Job, float]:
        """The joules of each job."""
        ...


def in_proportion(active_j: float, weights: Mapping[Job, float]) -> dict[Job, float]:
    """All of ``active_j``, by weight."""
    total = sum(weights.values())
    return {job: active_j * weight / total for job, weight in weights.items()}


class Snapshot:
    """Each request is charged all that the counter rose while it ran, as several tools do."""

    name = "snapshot"

    def charge(self, closed: Closed) -> Mapping[Job, float]:
        """The whole window's power for each, for as long as it was in flight."""
        watts = closed.window.active_j / closed.window.duration_s
        return {stay.job: watts * stay.flight_s for stay in closed.stays}


class Overlap:
    """Equal shares of each instant between those in flight."""

    name = "overlap"

    def charge(self, closed: Closed) -> Mapping[Job, float]:
        """By time in flight over the number in flight."""
        weights = {stay.job: stay.time_s for stay in closed.stays}
        return in_proportion(closed.window.active_j, weights)


class TokenCount:
    """By the tokens that were told in the window; by time where none were."""

    name = "tokens"

    def charge(self, closed: Closed) -> Mapping[Job, float]:
        """By tokens, prompt and output alike."""
        weights: dict[Job, float] = {stay.job: stay.tokens for stay in closed.stays}
        if not sum(weights.values()):
            return Overlap().charge(closed)
        return in_proportion(closed.window.active_j, weights)


class Learned:
    """What ships: weights learned on line, and the sensor's noise evened out."""

    name = "learned"

    def __init__(self, hold: bool = True) -> None:
        self.learner: Learner[Job] = Learner()
        self._hold = Hold() if hold else None
        self.name = "learned" if hold else "not held"

    def charge(self, closed: Closed) -> Mapping[Job, float]:
        """By equal shares of F, and own work."""
        window = closed.window
        parts = [Part(stay.job, stay.job.engine.name, stay.progress) for stay in closed.stays]
        split = self.learner.weigh(window, parts, [stay.job for stay in closed.ended])
        weights = {
            stay.job: split.shared_w * stay.time_s + split.own_j.get(stay.job, 0.0)
            for stay in closed.stays
        }
        active_j = window.active_j
        if self._hold:
            active_j = self._hold.charge_j(
                active_j, split.expected_j, window.duration_s, closed.running
            )
        return in_proportion(active_j, weights)


class Oracle:
    """The true weights behind the same sensor: what no learning can do better than."""

    name = "true weights"

    def __init__(self, device: Device) -> None:
        self._device = device
        self._done: dict[Job, Work] = {}

    def charge(self, closed: Closed) -> Mapping[Job, float]:
        """By the server's own law and figures."""
        own_j = {stay.job: self._own_j(stay, closed.window.end_s) for stay in closed.stays}
        fixed_w = max(stay.job.engine.fixed_w for stay in closed.stays)
        own_w = sum(own_j.values()) / closed.window.busy_s
        shared_w = self._device.active_w(fixed_w)
        marginal = (self._device.active_w(fixed_w + own_w) - shared_w) / own_w if own_w else 0.0
        weights = {
            stay.job: shared_w * stay.time_s + marginal * own_j[stay.job] for stay in closed.stays
        }
        return in_proportion(closed.window.active_j, weights)

    def _own_j(self, stay: Stay, end_s: float) -> float:
        engine, done = stay.job.engine, stay.progress.work(end_s)
        since = done.minus(self._done.get(stay.job, NO_WORK))
        self._done[stay.job] = done
        price = Work(engine.prompt_j, engine.output_j, engine.context_j)
        return max(0.0, since.times(price))
