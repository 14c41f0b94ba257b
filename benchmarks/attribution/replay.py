"""Runs a server behind its meters, and tells what followers hear and see of it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from benchmarks.attribution.cotenant import Presence, Usage
from benchmarks.attribution.hardware import CoTenant, Device
from benchmarks.attribution.load import Job, Load
from benchmarks.attribution.sensors import PERIOD_S, Meter, Sensor
from benchmarks.attribution.server import Server, Step


class Readings(NamedTuple):
    """What there is to read at the end of a window.

    Args:
        at_s: when.
        counters_j: the energy counter of each board.
        busy_s, own_s: busy seconds of each board so far, everybody's and the server's; None:
            the driver does not tell.
    """

    at_s: float
    counters_j: Sequence[float]
    busy_s: float | None = None
    own_s: float | None = None


class Follower(Protocol):
    """Hears what requests tell, in the order of time, and reads the counters."""

    def start(self, job: Job, at_s: float) -> None:
        """A request starts; one that streams tells of its prompt."""
        ...

    def tell(self, job: Job, at_s: float) -> None:
        """A request that streams has one more token."""
        ...

    def end(self, job: Job, at_s: float) -> None:
        """A request ends; one that does not stream tells of all its tokens."""
        ...

    def read(self, readings: Readings) -> None:
        """A window ends."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """A server under load, behind its sensors.

    Args:
        load: what is asked of it.
        device: what it runs on.
        sensor: of each board.
        tenant: another process on the boards.
        idle_told: the tracker is told idle power beforehand, as the board's meter has it.
    """

    load: Load
    device: Device
    sensor: Sensor
    tenant: CoTenant | None = None
    idle_told: bool = False


class Replay:
    """One run of a scene.

    Args:
        scene: what to run.
        gains: of the boards' meters.
        followers: are told of it, in this order.
        seed: of all that is drawn by lot.
        watch: is told of each stretch of power, which no follower could know of.
    """

    def __init__(
        self,
        scene: Scene,
        gains: Sequence[float],
        followers: Sequence[Follower],
        seed: int,
        watch: Callable[[Step, float, float], None] = lambda _step, _from_s, _until_s: None,
    ) -> None:
        # Each has dice of its own, so that the same seed has the same jobs behind any sensor.
        self._jobs_rng = random.Random(f"jobs {seed}")
        rng = random.Random(f"sensors {seed}")
        self._scene, self._followers, self._watch = scene, followers, watch
        self._meters = [Meter(scene.sensor, gain, rng) for gain in gains]
        self._presence = Presence(scene.tenant, scene.load.quiet_s, rng)
        self._usage = Usage() if scene.tenant and scene.tenant.told else None
        self._windows = 0
        self._at_s = 0.0

    def run(self, seconds: float) -> list[Job]:
        """Serves for so many seconds; the jobs, with what is true of those that ended."""
        jobs = list(self._scene.load.jobs(seconds, self._jobs_rng))
        for step in Server(self._scene.device, jobs).run():
            if step.start_s >= seconds:
                break
            self._serve(step)
        return jobs

    def _serve(self, step: Step) -> None:
        arriving = deque(step.arrived)
        for until_s in self._cuts(step):
            while arriving and arriving[0].arrives_s <= until_s:
                self._start(arriving.popleft(), step)
            self._draw(step, until_s)
            self._presence.advance(until_s)
            if until_s == self._next_window_s:
                self._read(until_s)
        for follower in self._followers:
            for told in step.decoded:
                if told.streamed:
                    follower.tell(told, step.end_s)
            for ended in step.ended:
                follower.end(ended, step.end_s)

    def _start(self, job: Job, step: Step) -> None:
        self._draw(step, job.arrives_s)
        for follower in self._followers:
            follower.start(job, job.arrives_s)

    def _cuts(self, step: Step) -> Iterator[float]:
        """The step's end, and what comes before it: ends of windows, the other's comings."""
        while (cut_s := min(self._next_window_s, self._presence.next_s)) <= step.end_s:
            yield cut_s
        yield step.end_s

    @property
    def _next_window_s(self) -> float:
        return (self._windows + 1) * PERIOD_S

    def _draw(self, step: Step, until_s: float) -> None:
        from_s, self._at_s = self._at_s, until_s
        if until_s <= from_s:
            return
        device = self._scene.device
        own_w, other_w = step.active_w / device.boards, self._presence.active_w
        for meter in self._meters:
            meter.draw(device.idle_w + own_w + other_w, until_s)
        if self._usage:
            self._usage.draw(own_w, other_w, until_s - from_s)
        self._watch(step, from_s, until_s)

    def _read(self, at_s: float) -> None:
        counters_j = [meter.energy_j for meter in self._meters]
        readings = Readings(at_s, counters_j)
        if self._usage:
            self._usage.read(at_s, self._windows * PERIOD_S)
            readings = Readings(at_s, counters_j, self._usage.busy_s, self._usage.own_s)
        self._windows += 1
        for follower in self._followers:
            follower.read(readings)
