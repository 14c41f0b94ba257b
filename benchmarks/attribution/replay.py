"""Runs a server, its meter and the rules side by side."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from benchmarks.attribution.hardware import Device
from benchmarks.attribution.load import Job, Load
from benchmarks.attribution.rules import Closed, Rule, Stay
from benchmarks.attribution.sensors import PERIOD_S, Meter, Sensor
from benchmarks.attribution.server import Server, Step
from inferprint.learning.learner import Window
from inferprint.learning.pace import Pace
from inferprint.learning.progress import Progress


class Ledger:
    """Follows who is in flight, and asks every rule at the end of each window."""

    def __init__(self, rules: Sequence[Rule], idle_w: float) -> None:
        self.charged_j: dict[str, dict[Job, float]] = {rule.name: {} for rule in rules}
        self._rules = rules
        self._idle_w = idle_w
        self._paces: dict[str, Pace] = {}
        self._running: dict[Job, Stay] = {}
        self._ended: list[Stay] = []
        self._requests_s: dict[str, float] = {}
        self._at_s = self._busy_s = 0.0

    def start(self, job: Job, at_s: float) -> None:
        """A job arrives; one that streams tells of its prompt."""
        self._advance(at_s)
        pace = self._paces.setdefault(job.engine.name, Pace())
        self._running[job] = Stay(job, Progress(pace, at_s))
        if job.streamed:
            self._tell(job, at_s, prompt=job.uncached)

    def tell(self, job: Job, at_s: float) -> None:
        """A job that streams has one more token."""
        self._tell(job, at_s, output=1)

    def _tell(self, job: Job, at_s: float, prompt: int = 0, output: int = 0) -> None:
        stay = self._running[job]
        progress = stay.progress
        progress.tell(at_s, prompt or progress.told_prompt, progress.output + output)
        stay.tokens += prompt + output

    def end(self, job: Job, at_s: float) -> None:
        """A job ends; one that does not stream tells of all its tokens."""
        self._advance(at_s)
        if not job.streamed:
            self._tell(job, at_s, job.uncached, job.decoded)
        stay = self._running.pop(job)
        stay.progress.end(at_s)
        self._ended.append(stay)

    def close(self, at_s: float, energy_j: float) -> None:
        """A window ends: the counter has risen by so many joules."""
        self._advance(at_s)
        for pace in self._paces.values():
            pace.prompts.advance(at_s)
        idle_j = self._idle_w * PERIOD_S
        active_j = max(0.0, energy_j - idle_j)
        window = Window(at_s, PERIOD_S, self._busy_s, active_j, idle_j, self._requests_s)
        stays = [*self._ended, *self._running.values()]
        if self._busy_s > 0:
            self._charge(Closed(window, stays, self._ended, len(self._running)))
        for stay in stays:
            stay.time_s = stay.flight_s = 0.0
            stay.tokens = 0
        self._ended, self._requests_s, self._busy_s = [], {}, 0.0

    def _charge(self, closed: Closed) -> None:
        for rule in self._rules:
            charged_j = self.charged_j[rule.name]
            for job, joules in rule.charge(closed).items():
                charged_j[job] = charged_j.get(job, 0.0) + joules

    def _advance(self, at_s: float) -> None:
        passed_s, self._at_s = at_s - self._at_s, at_s
        if not self._running or passed_s <= 0:
            return
        self._busy_s += passed_s
        for job, stay in self._running.items():
            stay.time_s += passed_s / len(self._running)
            stay.flight_s += passed_s
            name = job.engine.name
            self._requests_s[name] = self._requests_s.get(name, 0.0) + passed_s


class Follower(Protocol):
    """What is told of a served load as it goes."""

    def start(self, job: Job, at_s: float) -> None:
        """A job arrives."""
        ...

    def tell(self, job: Job, at_s: float) -> None:
        """A job that streams has one more token."""
        ...

    def end(self, job: Job, at_s: float) -> None:
        """A job ends."""
        ...

    def close(self, at_s: float, energy_j: float) -> None:
        """The counter has risen by so many joules, and is read."""
        ...


def replay(
    load: Load,
    device: Device,
    sensor: Sensor,
    followers: Sequence[Follower],
    seconds: float,
    seed: int,
) -> list[Job]:
    """Serves a load for so many seconds, and tells all followers of it.

    Returns:
        The jobs with their true energy.
    """
    rng = random.Random(seed)
    jobs = list(load.jobs(seconds, rng))
    meter = Meter(sensor, rng)
    for step in Server(device, jobs).run():
        if step.start_s >= seconds:
            break
        _replay_step(step, device, meter, followers)
    return jobs


def _replay_step(step: Step, device: Device, meter: Meter, followers: Sequence[Follower]) -> None:
    arriving = deque(step.arrived)
    while meter.next_s <= step.end_s:
        at_s = meter.next_s
        _arrive(arriving, at_s, followers)
        meter.draw(device.idle_w + step.active_w, at_s)
        energy_j = meter.step()
        for follower in followers:
            follower.close(at_s, energy_j)
    _arrive(arriving, step.end_s, followers)
    meter.draw(device.idle_w + step.active_w, step.end_s)
    for follower in followers:
        for job in step.decoded:
            if job.streamed:
                follower.tell(job, step.end_s)
        for job in step.ended:
            follower.end(job, step.end_s)


def _arrive(arriving: deque[Job], until_s: float, followers: Sequence[Follower]) -> None:
    while arriving and arriving[0].arrives_s <= until_s:
        job = arriving.popleft()
        for follower in followers:
            follower.start(job, job.arrives_s)
