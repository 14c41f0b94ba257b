"""A continuous-batching server, step by step, and the true energy of each request.

Each step takes one token from every request that decodes and a chunk of the prompts that
wait, first come first served. The truth is the Shapley value of the cost: what anyone
running costs, g(F), is shared alike by those in the system; what own work adds to it is
shared in proportion to own work, g(F) / n + w_i (g(F + W) - g(F)) / W. Idle power, while
anyone is there, is shared alike too, as the tracker's policy ``in_flight`` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.attribution.hardware import Device, Engine
from benchmarks.attribution.load import Job


@dataclass(slots=True)
class Step:
    """What happened from ``start_s`` to ``end_s``: at the end, tokens came and jobs ended.

    Args:
        start_s, end_s: seconds of the simulation.
        active_w: above idle, on all boards together.
        shared_w: the part of it that all who are there share alike.
        own_w: the rest of it, by who caused it.
        arrived: who came meanwhile.
        decoded: who got a token.
        ended: who left.
    """

    start_s: float
    end_s: float
    active_w: float = 0.0
    shared_w: float = 0.0
    own_w: dict[Job, float] = field(default_factory=dict)
    arrived: list[Job] = field(default_factory=list)
    decoded: list[Job] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)


class Server:
    """Runs the jobs to their ends.

    Args:
        device: what it runs on.
        jobs: in the order in which they arrive.
    """

    def __init__(self, device: Device, jobs: Sequence[Job]) -> None:
        self._device = device
        self._coming = deque(jobs)
        self._waiting: deque[Job] = deque()
        self._decoding: dict[Job, None] = {}
        self._in_system = 0
        self._now_s = 0.0
        # What one that was there all along would have of what is shared alike: joules of
        # active energy, and seconds over the number there.
        self._fixed_level_j = self._share_level_s = 0.0

    def run(self) -> Iterator[Step]:
        """The steps, and the idle stretches between them, until the last job has ended."""
        while self._coming or self._in_system:
            if not self._in_system:
                yield self._wait()
            else:
                yield self._step()

    def _wait(self) -> Step:
        step = Step(self._now_s, max(self._now_s, self._coming[0].arrives_s))
        step.arrived = self._admit(step)
        self._now_s = step.end_s
        return step

    def _step(self) -> Step:
        prompts = self._take_prompts()
        decoding = list(self._decoding)
        duration_s = _duration_s(decoding, prompts)
        own_j = dict.fromkeys(decoding, 0.0)
        for job in decoding:
            context = job.prompt + job.decoded
            own_j[job] = job.engine.output_j + job.engine.context_j * context
        for job, tokens in prompts:
            own_j[job] = tokens * job.engine.prompt_j
        step = self._drawing(own_j, _fixed_w(decoding, prompts), duration_s)
        step.arrived = self._admit(step)
        self._now_s = step.end_s
        self._finish(step, decoding, prompts)
        return step

    def _take_prompts(self) -> list[tuple[Job, int]]:
        taken = []
        budget = self._waiting[0].engine.chunk_tokens if self._waiting else 0
        for job in self._waiting:
            tokens = min(budget, job.uncached - job.prefilled)
            taken.append((job, tokens))
            budget -= tokens
            if budget <= 0:
                break
        return taken

    def _drawing(self, own_j: dict[Job, float], fixed_w: float, duration_s: float) -> Step:
        """A step that does this work, charged to those whose work it is."""
        drive_w = sum(own_j.values()) / duration_s
        shared_w = self._device.active_w(fixed_w)
        active_w = self._device.active_w(fixed_w + drive_w)
        marginal = (active_w - shared_w) / drive_w / duration_s if drive_w else 0.0
        own_w = {job: joules * marginal for job, joules in own_j.items()}
        for job, watts in own_w.items():
            job.active_j += watts * duration_s
        return Step(self._now_s, self._now_s + duration_s, active_w, shared_w, own_w)

    def _admit(self, step: Step) -> list[Job]:
        """Lets jobs in up to the step's end, and charges what is shared alike meanwhile."""
        arrived = []
        at_s = step.start_s
        while self._coming and self._coming[0].arrives_s <= step.end_s:
            job = self._coming.popleft()
            self._share(step.shared_w, job.arrives_s - at_s)
            at_s = max(at_s, job.arrives_s)
            job.fixed_from_j, job.share_from_s = self._fixed_level_j, self._share_level_s
            self._in_system += 1
            self._waiting.append(job)
            arrived.append(job)
        self._share(step.shared_w, step.end_s - at_s)
        return arrived

    def _share(self, shared_w: float, seconds: float) -> None:
        if self._in_system and seconds > 0:
            self._fixed_level_j += shared_w * seconds / self._in_system
            self._share_level_s += seconds / self._in_system

    def _finish(self, step: Step, decoding: list[Job], prompts: list[tuple[Job, int]]) -> None:
        for job, tokens in prompts:
            job.prefilled += tokens
            if job.prefilled >= job.uncached:
                self._waiting.remove(job)
                self._decoding[job] = None
        for job in decoding:
            job.decoded += 1
            job.first_token_s = job.first_token_s or step.end_s
            step.decoded.append(job)
            if job.decoded >= job.output:
                self._leave(job, step)

    def _leave(self, job: Job, step: Step) -> None:
        del self._decoding[job]
        self._in_system -= 1
        job.ends_s = step.end_s
        job.active_j += self._fixed_level_j - job.fixed_from_j
        idle_w = self._device.idle_w * self._device.boards
        job.idle_j = idle_w * (self._share_level_s - job.share_from_s)
        step.ended.append(job)


def _duration_s(decoding: list[Job], prompts: list[tuple[Job, int]]) -> float:
    engines = {job.engine for job in decoding} | {job.engine for job, _ in prompts}
    seconds = sum(engine.step_s for engine in engines)
    seconds += sum(job.engine.step_per_request_s for job in decoding)
    return seconds + sum(job.engine.step_per_prompt_token_s * tokens for job, tokens in prompts)


def _fixed_w(decoding: list[Job], prompts: list[tuple[Job, int]]) -> float:
    """Two models on one device take turns within a step: F is the mean of theirs in time."""
    engines: set[Engine] = {job.engine for job in decoding} | {job.engine for job, _ in prompts}
    seconds = sum(engine.step_s for engine in engines)
    return sum(engine.fixed_w * engine.step_s for engine in engines) / seconds
