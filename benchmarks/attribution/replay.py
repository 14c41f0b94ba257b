"""Runs a server, its meter and the rules side by side."""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks.attribution.hardware import Device
from benchmarks.attribution.learning.learner import Window
from benchmarks.attribution.learning.pace import Pace
from benchmarks.attribution.learning.progress import Progress
from benchmarks.attribution.load import Job, Load
from benchmarks.attribution.rules import Closed, Rule, Stay
from benchmarks.attribution.sensors import PERIOD_S, Meter, Sensor
from benchmarks.attribution.server import Server, Step


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
            self.tell(job, at_s, prompt=job.uncached)

    def tell(self, job: Job, at_s: float, prompt: int = 0, output: int = 0) -> None:
        """A job tells of tokens."""
        stay = self._running[job]
        stay.progress.tell(at_s, prompt or None, output)
        stay.tokens += prompt + output

    def end(self, job: Job, at_s: float) -> None:
        """A job ends; one that does not stream tells of all its tokens."""
        self._advance(at_s)
        if not job.streamed:
            self.tell(job, at_s, job.uncached, job.decoded)
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


def replay(
    load: Load, device: Device, sensor: Sensor, rules: Sequence[Rule], seconds: float, seed: int
) -> tuple[list[Job], Ledger]:
    """Serves a load for so many seconds.

    Returns:
        The jobs with their true energy, and the ledger with what each rule charged.
    """
    rng = random.Random(seed)
    jobs = list(load.jobs(seconds, rng))
    meter, ledger = Meter(sensor, rng), Ledger(rules, device.idle_w)
    for step in Server(device, jobs).run():
        if step.start_s >= seconds:
            break
        _replay_step(step, device, meter, ledger)
    return jobs, ledger


def _replay_step(step: Step, device: Device, meter: Meter, ledger: Ledger) -> None:
    arriving = iter(step.arrived)
    job = next(arriving, None)
    while True:
        cut_s = min(meter.next_s, step.end_s)
        while job is not None and job.arrives_s <= cut_s:
            ledger.start(job, job.arrives_s)
            job = next(arriving, None)
        meter.draw(device.idle_w + step.active_w, cut_s)
        if meter.next_s > step.end_s:
            break
        at_s = meter.next_s
        ledger.close(at_s, meter.step())
    for job in step.decoded:
        if job.streamed:
            ledger.tell(job, step.end_s, output=1)
    for job in step.ended:
        ledger.end(job, step.end_s)
