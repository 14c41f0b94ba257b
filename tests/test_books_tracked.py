"""The books of a tracker whose clock is moved by hand."""

from __future__ import annotations

import math
from contextvars import Context, copy_context

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inferprint import Config, Tracker, flags
from inferprint.engine import MOST_PENDING
from inferprint.errors import ReadingError
from inferprint.records import IdlePolicyName
from inferprint.request import Request
from inferprint.testing import FakeClock, FakeSource
from strategies import (
    policies,
    usual_watts,
)
from traffic import (
    assert_closed,
    timed,
)


class TrackedDevices(RuleBasedStateMachine):
    """A tracker of a GPU and a CPU, moved by hand through whatever can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.gpu = FakeSource(self.clock, "gpu:0", "gpu", watts=100.0)
        self.cpu = FakeSource(self.clock, "cpu:0", "cpu", watts=40.0, idle_w=30.0)
        self.tracker: Tracker | None = None
        self.running: list[tuple[Request, Context]] = []
        self.ended: list[Request] = []

    @precondition(lambda self: self.tracker is None)
    @rule(policy=policies)
    def start(self, policy: IdlePolicyName) -> None:
        config = Config(idle_policy=policy)
        self.tracker = Tracker(config, sources=[self.gpu, self.cpu], clock=self.clock).start()

    @precondition(lambda self: self.tracker)
    @rule(seconds=st.sampled_from([1e-9, 0.01, 0.1, 1.0, 60.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.tracker)
    @rule()
    def sample(self) -> None:
        self.tracker.sample()

    @precondition(lambda self: self.tracker)
    @rule()
    def flush(self) -> None:
        self.tracker.flush(timeout=0.0)

    @rule(gpu=st.booleans(), watts=usual_watts)
    def set_power(self, gpu: bool, watts: float) -> None:
        (self.gpu if gpu else self.cpu).set_power(watts)

    @rule(gpu=st.booleans(), what=st.sampled_from(["fail", "recover", "reset"]))
    def disturb(self, gpu: bool, what: str) -> None:
        source = self.gpu if gpu else self.cpu
        source.fail(ReadingError("gone")) if what == "fail" else getattr(source, what)()

    @precondition(lambda self: self.tracker)
    @rule(inside=st.none() | st.integers(0, 5))
    def begin(self, inside: int | None) -> None:
        context = Context()
        if inside is not None and inside < len(self.running):
            context = self.running[inside][1].run(copy_context)
        request = self.tracker.request("model")
        context.run(request.__enter__)
        self.running.append((request, context))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 5))
    def end(self, which: int) -> None:
        request, context = self.running.pop(which % len(self.running))
        context.run(request.__exit__, None, None, None)
        self.ended.append(request)

    @precondition(lambda self: self.tracker)
    @invariant()
    def books_close(self) -> None:
        assert_closed(self.tracker._engine.books)
        assert self.tracker.balance().closure_error <= 1e-9

    def teardown(self) -> None:
        if self.tracker is None:
            return
        while self.running:
            self.end(0)
        self.gpu.recover()
        self.cpu.recover()
        self.advance(1.5)  # longer than a device that was never read is waited for
        self.sample()
        self.books_close()
        self.receipts_sum_to_the_books()
        self.tracker.stop()

    def receipts_sum_to_the_books(self) -> None:
        balances = self.tracker.balance().devices.values()
        for balance in balances:
            parts = [r.receipt().energy.by_component[balance.component] for r in self.ended]
            charged_j = math.fsum(float(part.total_j) for part in parts if part.total_j)
            expected_j = (
                balance.requests_active_j + balance.requests_idle_j + balance.requests_standing_j
            )
            assert charged_j == pytest.approx(expected_j, rel=1e-9, abs=1e-9 * balance.measured_j)
            assert not any(part.total_j for part in parts if part.provenance == "unknown")


# Shrinking a failure of it takes minutes and says little more than the steps do.
TrackedDevices.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, phases=[Phase.reuse, Phase.generate]
)
TestTrackedDevices = TrackedDevices.TestCase


@pytest.mark.parametrize("asked_at_once", [True, False])
def test_a_receipt_is_the_same_whenever_it_is_asked_for(asked_at_once: bool) -> None:
    """A request that ended while its device could not be read has unknown energy, not 0,
    and that does not change when the device comes back.
    """
    clock = FakeClock()
    source = FakeSource(clock, watts=100.0)
    with Tracker(sources=[source], clock=clock) as tracker:
        clock.advance(10)
        tracker.sample()
        source.fail(ReadingError("gone"))
        with tracker.request("model") as request:
            clock.advance(1)
        tracker.sample()
        if asked_at_once:
            request.receipt()
        source.recover()
        clock.advance(1)
        tracker.sample()
    receipt = request.receipt()
    assert receipt.energy.total_j is None
    assert (receipt.provenance, receipt.flags) == (
        "unknown",
        {flags.MISSING_READING, flags.PUE_UNKNOWN} & receipt.flags,
    )


def test_a_flush_by_hand_waits_for_nobody() -> None:
    """The clock stands still, so no window can close: the request is settled as it is."""
    clock = FakeClock()
    with Tracker(sources=[FakeSource(clock, watts=100.0)], clock=clock) as tracker:
        with tracker.request("model") as request:
            pass
        assert timed(tracker.flush) < 1.0
        assert request.receipt().energy.total_j is None


def test_a_request_of_unknown_energy_is_not_charged_for_waiting() -> None:
    """It arrives in a window that a reset spoils: what its receipt can't show is not taken
    from the standing energy either, so that receipts sum to the books.
    """
    clock = FakeClock()
    source = FakeSource(clock, watts=100.0)
    with Tracker(sources=[source], clock=clock) as tracker:
        clock.advance(10)
        tracker.sample()
        with tracker.request("model") as request:
            source.reset()
            clock.advance(1)
        tracker.sample()
        balance = tracker.balance().devices["gpu:0"]
        assert request.receipt().energy.total_j is None
        assert balance.requests_standing_j == 0.0
        assert balance.standing_j == balance.standing_total_j == 1_000.0


def test_a_workflow_is_the_sum_of_its_parts() -> None:
    """A request, two that run inside it at once, and one inside one of those: together they
    have all that the meter counted, and each its own.
    """
    clock = FakeClock()
    source = FakeSource(clock, watts=50.0)
    config = Config(idle_policy="in_flight")
    with Tracker(config, sources=[source], clock=clock) as tracker:
        clock.advance(5)
        tracker.sample()
        source.set_power(150.0)
        with tracker.request("agent") as agent:
            clock.advance(1)
            inside = [copy_context(), copy_context()]
            steps = [tracker.request("step"), tracker.request("step")]
            for context, step in zip(inside, steps, strict=True):
                context.run(step.__enter__)
                clock.advance(1)
            with_tool = inside[0].run(copy_context)
            tool = tracker.request("tool")
            with_tool.run(tool.__enter__)
            clock.advance(1)
            with_tool.run(tool.__exit__, None, None, None)
            for context, step in zip(inside, steps, strict=True):
                clock.advance(1)
                context.run(step.__exit__, None, None, None)
            clock.advance(1)
        tracker.sample()
        receipt = agent.receipt()
        assert [child.model for child in receipt.children] == ["step", "step"]
        assert [child.model for child in receipt.children[0].children] == ["tool"]
        own = {
            request: float(request.receipt().energy.total_j) for request in (agent, *steps, tool)
        }
        assert list(own.values()) == pytest.approx([300.0, 300.0, 375.0, 75.0])
        whole = receipt.with_children().energy
        assert float(whole.total_j) == pytest.approx(sum(own.values()))
        assert float(whole.total_j) == pytest.approx(7 * 150.0)
        assert tracker.balance().closure_error <= 1e-9


def test_a_device_that_cannot_be_read_does_not_hoard_events() -> None:
    """While one device is away, requests come by the thousand: what waits for it is bounded,
    they are settled with what the other said, and when it is back its energy is nobody's.
    """
    clock = FakeClock()
    here = FakeSource(clock, "gpu:0", watts=100.0)
    away = FakeSource(clock, "gpu:1", watts=100.0)
    with Tracker(sources=[here, away], clock=clock) as tracker:
        clock.advance(1)
        tracker.sample()
        away.fail(ReadingError("gone"))
        for _ in range(6):
            for _ in range(MOST_PENDING // 8):
                with tracker.request("model") as request:
                    clock.advance(1e-5)
            tracker.sample()
            assert request.receipt().energy.total_j is not None
            assert flags.MISSING_READING in request.receipt().flags
        assert tracker._engine.books.backlog("gpu:1") <= MOST_PENDING
        away.recover()
        clock.advance(1)
        tracker.sample()
        balance = tracker.balance()
    assert balance.closure_error <= 1e-9
    back = balance.devices["gpu:1"]
    assert back.standing_j == pytest.approx(100.0)
    assert back.unattributed_j == pytest.approx(back.measured_j - 100.0)
    assert back.requests_active_j == 0.0
