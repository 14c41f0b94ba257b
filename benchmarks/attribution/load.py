"""Who asks for what, and when."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import count

from benchmarks.attribution.hardware import Engine

_FILL_S = 5.0


@dataclass(slots=True, eq=False)
class Job:
    """One request, what it asks for, and (filled in by the server) what became of it.

    ``active_j`` is the truth, its share of the cost that it had a part in causing, and
    ``idle_j`` its equal share of the boards' idle energy at each instant of its stay.
    """

    id: int
    engine: Engine
    arrives_s: float
    prompt: int
    cached: int
    output: int
    streamed: bool
    cancelled: bool
    prefilled: int = 0
    decoded: int = 0
    first_token_s: float | None = None
    ends_s: float = math.inf
    fixed_from_j: float = 0.0
    share_from_s: float = 0.0
    active_j: float = 0.0
    idle_j: float = 0.0

    @property
    def uncached(self) -> int:
        """Prompt tokens that have to be computed."""
        return self.prompt - self.cached


@dataclass(frozen=True, slots=True)
class Load:
    """A stream of requests.

    Tokens are by default those of ShareGPT's conversations as the vLLM paper counts them
    (Kwon et al., SOSP 2023, section 6.1): means of 161 and 338.

    Args:
        engines: the models asked for, in equal parts.
        concurrency: mean number in flight that the rate of arrivals aims at.
        prompt_median, output_median: tokens, lognormal with ``prompt_sigma``, ``output_sigma``.
        streamed: share of the requests that report tokens as they come.
        cached: share of the requests whose prompt is cached by a half.
        cancelled: share that is cancelled at a random token.
        burst: how many times the mean rate arrives in bursts of ``burst_s`` seconds; 1: Poisson.
        lengths: prompt and output tokens of every request; None: drawn.
        twins: each request comes with another just like it, at the same instant.
        quiet_s: nothing arrives before this, so that idle power can be seen.
    """

    engines: Sequence[Engine]
    concurrency: float
    prompt_median: float = 98.0
    prompt_sigma: float = 1.0
    output_median: float = 265.0
    output_sigma: float = 0.7
    streamed: float = 1.0
    cached: float = 0.2
    cancelled: float = 0.03
    burst: float = 1.0
    burst_s: float = 3.0
    lengths: tuple[int, int] | None = None
    twins: bool = False
    quiet_s: float = 5.0

    def jobs(self, seconds: float, rng: random.Random) -> Iterator[Job]:
        """The jobs that arrive within ``seconds``, in order; twins have the ids 2 i, 2 i + 1."""
        ids = count()
        for at_s in self._arrivals(max(0.0, seconds - self.quiet_s), rng):
            job = self._job(next(ids), self.quiet_s + at_s, rng)
            yield job
            if self.twins:
                yield replace(job, id=next(ids))

    def rate(self) -> float:
        """Arrivals a second that keep about ``concurrency`` in flight (Little's law)."""
        mean_s = sum(map(self._seconds, self.engines)) / len(self.engines)
        return self.concurrency / mean_s

    def _seconds(self, engine: Engine) -> float:
        output = self.output_median * math.exp(self.output_sigma**2 / 2)
        prompt = self.prompt_median * math.exp(self.prompt_sigma**2 / 2) * (1 - self.cached / 2)
        # Each token waits for a step, and each step carries its requests' share of prompts.
        step = engine.step_s + engine.step_per_request_s * self.concurrency
        others = self.concurrency * prompt / output * engine.step_per_prompt_token_s
        return output * (step + others)

    def _arrivals(self, seconds: float, rng: random.Random) -> Iterator[float]:
        # A slow server takes minutes to fill up: what would be in flight comes at once.
        at_once = (round(self.concurrency) - 1) // self._alike
        first = [rng.uniform(0, _FILL_S) for _ in range(at_once)]
        return merge(sorted(first), self.stream(seconds, rng))

    @property
    def _alike(self) -> int:
        return 2 if self.twins else 1

    def stream(self, seconds: float, rng: random.Random) -> Iterator[float]:
        """Instants of arrival within ``seconds``: a Poisson process, whole or in bursts."""
        # In bursts, time is that of the bursts alone, and then spread out.
        rate = self.rate() * self.burst / self._alike
        at_s = rng.expovariate(rate)
        while (real_s := self._spread(at_s)) < seconds:
            yield real_s
            at_s += rng.expovariate(rate)

    def _spread(self, at_s: float) -> float:
        if self.burst == 1:
            return at_s
        bursts = math.floor(at_s / self.burst_s)
        return bursts * self.burst_s * self.burst + at_s % self.burst_s

    def _job(self, number: int, at_s: float, rng: random.Random) -> Job:
        if self.lengths:
            prompt, output = self.lengths
        else:
            prompt = _tokens(self.prompt_median, self.prompt_sigma, 8_000, rng)
            output = _tokens(self.output_median, self.output_sigma, 4_000, rng)
        cancelled = rng.random() < self.cancelled
        return Job(
            number,
            rng.choice(self.engines),
            at_s,
            prompt,
            prompt // 2 if rng.random() < self.cached else 0,
            rng.randint(1, output) if cancelled else output,
            rng.random() < self.streamed,
            cancelled,
        )


def _tokens(median: float, sigma: float, most: int, rng: random.Random) -> int:
    return max(1, min(most, round(rng.lognormvariate(math.log(median), sigma))))
