"""A continuously batching engine: one thread steps all sequences, clients stream from it.

Each turn prefills the prompt of one waiting job, where a slot is free, and then decodes one
token of every running job; a job joins and leaves the batch at any step (Yu et al., "Orca",
OSDI 2022).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy

from inferprint.demo.model import Model

__all__ = ["Engine"]

SEED = 21
TEMPERATURE = 1.0

Event = int | None | Exception
"""What a job is told: a token, None at its end, or why there is none."""


@dataclass(slots=True, eq=False)
class _Job:
    prompt: bytes
    output_tokens: int
    tell: Callable[[Event], None]
    abandoned: bool = False
    slot: int = -1
    tokens: list[int] = field(default_factory=list)

    @property
    def position(self) -> int:
        """How many of its tokens are in the cache."""
        return len(self.prompt) + len(self.tokens) - 1

    @property
    def finished(self) -> bool:
        return self.abandoned or len(self.tokens) >= self.output_tokens


class Engine:
    """Runs a model for many clients at once, as a context manager.

    Args:
        model: it has ``slots`` for as many sequences as run at once; more jobs wait.

    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._random = numpy.random.default_rng(SEED)
        self._free = list(range(model.slots))
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="inferprint-demo-engine")

    def __enter__(self) -> Engine:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    async def stream(self, prompt: bytes, output_tokens: int) -> AsyncGenerator[int, None]:
        """The tokens that follow a prompt, as they come. Leaving it early frees its slot.

        Args:
            prompt: one token a byte; with the output it must fit into the context.
            output_tokens: how many to make.

        """
        loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()

        def tell(event: Event) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        job = _Job(prompt, output_tokens, tell)
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            job.abandoned = True

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._prefill()
                self._decode()
        except Exception as error:  # noqa: BLE001 - every client raises it where it waits
            for job in (*self._running, *self._waiting):
                job.tell(error)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._waiting or self._running)
            return not self._stopped

    def _prefill(self) -> None:
        if self._free and self._waiting:
            job = self._waiting.popleft()
            job.slot = self._free.pop()
            self._running.append(job)
            prompt = numpy.frombuffer(job.prompt, numpy.uint8).astype(numpy.int64)
            self._step([job], prompt[None, :], numpy.zeros(1, numpy.int64))

    def _decode(self) -> None:
        if jobs := self._running[:]:
            last = numpy.array([[job.tokens[-1]] for job in jobs])
            self._step(jobs, last, numpy.array([job.position for job in jobs]))

    def _step(self, jobs: list[_Job], tokens: Any, starts: Any) -> None:
        slots = numpy.array([job.slot for job in jobs])
        logits = self._model.forward(tokens, slots, starts)
        # Adding Gumbel noise and taking the largest draws from the softmax.
        drawn = (logits / TEMPERATURE + self._random.gumbel(size=logits.shape)).argmax(axis=-1)
        for job, token in zip(jobs, drawn.tolist(), strict=True):
            self._give(job, token)

    def _give(self, job: _Job, token: int) -> None:
        job.tokens.append(token)
        if not job.abandoned:
            job.tell(token)
        if job.finished:
            self._running.remove(job)
            self._free.append(job.slot)
            if not job.abandoned:
                job.tell(None)
