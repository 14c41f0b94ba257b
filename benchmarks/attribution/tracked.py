"""The tracker itself, through its public names alone, on the same trace as the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Context

from benchmarks.attribution.load import Job
from benchmarks.attribution.replay import Readings
from benchmarks.attribution.sensors import GAIN_SPREAD, PERIOD_S
from inferprint import Config, Device, Reading, Receipt, Request, Tracker
from inferprint.testing import FakeClock


class Board:
    """The power source of one simulated board.

    Args:
        id: of its device.
        average_s: seconds that its sensor averages over; 0: it does not.
    """

    def __init__(self, id: str, average_s: float) -> None:  # noqa: A002 - as Device's
        self._device = Device(
            id,
            "gpu",
            "simulated H100",
            step_s=PERIOD_S,
            relative_error=GAIN_SPREAD,
            average_s=average_s,
        )
        self.reading = Reading(id, 0, 0.0)

    def devices(self) -> Sequence[Device]:
        """The board."""
        return [self._device]

    def read(self) -> Sequence[Reading]:
        """What its counters say."""
        return [self.reading]

    def close(self) -> None:
        """It holds nothing."""


class Tracked:
    """Follows the jobs with a tracker, whose clock is the simulation's.

    Idle energy is charged as the truth has it, by the policy ``in_flight``.

    Args:
        boards: how many there are.
        gpu_idle_w: set by hand; None: idle power is observed.
        average_s: as for ``Board``: NVML says of a power sensor whether it averages.
    """

    def __init__(
        self, boards: int, gpu_idle_w: float | None = None, average_s: float = 0.0
    ) -> None:
        self._clock = FakeClock()
        self._boards = [Board(f"gpu:{number}", average_s) for number in range(boards)]
        config = Config(exporters=(), idle_policy="in_flight", gpu_idle_w=gpu_idle_w)
        self._tracker = Tracker(config, sources=self._boards, clock=self._clock).start()
        self._requests: dict[Job, tuple[Context, Request]] = {}
        self._ended: dict[Job, Request] = {}

    def idle_w(self) -> float:
        """Idle power of all boards as the tracker sees it; 0 while it has seen none."""
        return sum(device.idle_w or 0.0 for device in self._tracker.balance().devices.values())

    def start(self, job: Job, at_s: float) -> None:
        """A job arrives; one that streams tells of its prompt."""
        self._at(at_s)
        # A context of its own: it is nobody's child.
        context, request = Context(), self._tracker.request(job.engine.name)
        context.run(request.__enter__)
        self._requests[job] = context, request
        if job.streamed:
            request.add_tokens(input=job.prompt, cached_input=job.cached)

    def tell(self, job: Job, at_s: float) -> None:
        """A job that streams has one more token."""
        self._at(at_s)
        self._requests[job][1].add_tokens(output=1)

    def end(self, job: Job, at_s: float) -> None:
        """A job ends; one that does not stream tells of all its tokens."""
        self._at(at_s)
        context, request = self._requests.pop(job)
        if not job.streamed:
            request.add_tokens(input=job.prompt, cached_input=job.cached, output=job.decoded)
        error = GeneratorExit() if job.cancelled else None
        context.run(request.__exit__, type(error) if error else None, error, None)
        self._ended[job] = request

    def read(self, readings: Readings) -> None:
        """Reads the boards and closes a window of each."""
        self._at(readings.at_s)
        at_ns = self._clock.now_ns()
        for board, energy_j in zip(self._boards, readings.counters_j, strict=True):
            board.reading = Reading(
                board.reading.device_id,
                at_ns,
                energy_j,
                busy_s=readings.busy_s,
                own_s=readings.own_s,
            )
        self._tracker.sample()

    def finish(self) -> tuple[Mapping[Job, Receipt], float]:
        """The receipts of the jobs that have ended, and the worst closure error of the books."""
        closure_error = self._tracker.balance().closure_error
        self._tracker.stop()
        receipts = {job: request.receipt(timeout=0) for job, request in self._ended.items()}
        return receipts, closure_error

    def _at(self, at_s: float) -> None:
        self._clock.advance(max(0.0, at_s - self._clock.now_ns() / 1e9))
