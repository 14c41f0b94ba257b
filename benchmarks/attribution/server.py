"""A continuous-batching server, step by step, and the true energy of each request.

Each step takes one token from every request that decodes and a chunk of the prompts that
wait, first come first served. The truth is the Shapley value of the cost: what anyone
running costs, g(F), is shared alike by those in the system; what own work adds to it is
shared in proportion to own work, g(F) / n + w_i (g(F + W) - g(F)) / W.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.attribution.hardware import Device, Engine
from benchmarks.attribution.load import Job


@dataclass(slots=True)
class Step:
    """What happened from ``start_s`` to ``end_s``: at the end, tokens came and jobs ended."""

    start_s: float
    end_s: float
    active_w: float
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
        # What one job that was in the system all along would owe of what is shared alike.
        self._fixed_level_j = 0.0

    def run(self) -> Iterator[Step]:
        """The steps, and the idle stretches between them, until the last job has ended."""
        while self._coming or self._in_system:
            if not self._in_system:
                start_s = self._now_s
                self._now_s = max(start_s, self._coming[0].arrives_s)
                yield Step(start_s, self._now_s, 0.0, self._admit(self._now_s, 0.0))
            else:
                yield self._step()

    def _step(self) -> Step:
        prompts = self._take_prompts()
        decoding = list(self._decoding)
        duration_s = _duration_s(decoding, prompts)
        end_s = self._now_s + duration_s
        own_w = dict.fromkeys(decoding, 0.0)
        for job in decoding:
            context = job.prompt + job.decoded
            own_w[job] = (job.engine.output_j + job.engine.context_j * context) / duration_s
        for job, tokens in prompts:
            own_w[job] = tokens * job.engine.prompt_j / duration_s
        fixed_w = _fixed_w(decoding, prompts)
        active_w = self._charge(own_w, fixed_w, duration_s)
        step = Step(self._now_s, end_s, active_w)
        step.arrived = self._admit(end_s, self._device.active_w(fixed_w))
        self._now_s = end_s
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

    def _charge(self, own_w: dict[Job, float], fixed_w: float, duration_s: float) -> float:
        total_w = sum(own_w.values())
        active_w = self._device.active_w(fixed_w + total_w)
        if total_w > 0:
            marginal = (active_w - self._device.active_w(fixed_w)) / total_w
            for job, watts in own_w.items():
                job.energy_j += watts * marginal * duration_s
        return active_w

    def _admit(self, until_s: float, fixed_w: float) -> list[Job]:
        """Lets jobs in up to ``until_s``, and charges what is shared alike meanwhile."""
        arrived = []
        at_s = self._now_s
        while self._coming and self._coming[0].arrives_s <= until_s:
            job = self._coming.popleft()
            self._share(fixed_w, job.arrives_s - at_s)
            at_s = max(at_s, job.arrives_s)
            job.fixed_from_j = self._fixed_level_j
            self._in_system += 1
            self._waiting.append(job)
            arrived.append(job)
        self._share(fixed_w, until_s - at_s)
        return arrived

    def _share(self, fixed_w: float, seconds: float) -> None:
        if self._in_system and seconds > 0:
            self._fixed_level_j += fixed_w * seconds / self._in_system

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
                del self._decoding[job]
                self._in_system -= 1
                job.ends_s = step.end_s
                job.energy_j += self._fixed_level_j - job.fixed_from_j
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
