"""The tracker itself, through its public names alone, on the same trace as the rules."""

from __future__ import annotations

from contextvars import Context

from benchmarks.attribution.load import Job
from inferprint import Config, Request, Tracker
from inferprint.testing import FakeClock, FakeSource

NAME = "tracker"


class Tracked:
    """Follows the jobs with a tracker, whose clock is the simulation's.

    Args:
        idle_w: idle power that its source declares.
    """

    def __init__(self, idle_w: float) -> None:
        self._clock = FakeClock()
        self._source = FakeSource(self._clock, idle_w=idle_w)
        self._tracker = Tracker(
            Config(exporters=()), sources=[self._source], clock=self._clock
        ).start()
        self._requests: dict[Job, tuple[Context, Request]] = {}
        self._ended: dict[Job, Request] = {}

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
        context.run(request.__exit__, None, None, None)
        self._ended[job] = request

    def close(self, at_s: float, energy_j: float) -> None:
        """The counter has risen by so many joules, and is read."""
        self._at(at_s)
        self._source.add(energy_j)
        self._tracker.sample()

    def finish(self) -> dict[Job, float]:
        """Active joules of each job that has ended, as its receipt says.

        Raises:
            AssertionError: the books do not close.
        """
        error = max(device.closure_error for device in self._tracker.balance().devices.values())
        assert error <= 1e-9, f"the books are off by {error}"
        self._tracker.stop()
        receipts = {job: request.receipt() for job, request in self._ended.items()}
        return {
            job: float(receipt.energy.active_j)
            for job, receipt in receipts.items()
            if receipt.energy.active_j is not None
        }

    def _at(self, at_s: float) -> None:
        self._clock.advance(max(0.0, at_s - self._clock.now_ns() / 1e9))
