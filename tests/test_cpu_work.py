"""CPU energy of requests that own no thread: shared by learned work, as a GPU's is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextvars import Context
from dataclasses import replace

import pytest

from inferprint import Config, Reading, Receipt, Request, Tracker
from inferprint.ledgers import learned_of
from inferprint.testing import FakeClock, FakeSource
from inferprint.threads import renew_threads
from rig import Kept, Rig, awaited
from served import FIXED_W, IDLE_W, TOKEN_J, WINDOW_S, Served
from traffic import assert_closed

CORE_W = 1.0
"""Active watts of a busy core: so few that the CPU time of the test's thread is next to none."""


class Cpu(FakeSource):
    """A CPU that tells whose its busy time was; another process may draw power beside ours."""

    other_w = 0.0

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, "cpu:0", "cpu", watts=IDLE_W)
        self._used = Reading("cpu:0", clock.now_ns(), 0.0, busy_s=0.0, own_s=0.0)
        self._own_w = 0.0

    def set_power(self, watts: float) -> None:
        """Of idling and of this process, from now on."""
        self._own_w = watts - IDLE_W
        super().set_power(watts + self.other_w)

    def read(self) -> Sequence[Reading]:
        """The counter, and the busy seconds in proportion to the power."""
        (now,) = super().read()
        own_s = self._own_w / CORE_W * (now.at_ns - self._used.at_ns) / 1e9
        other_s = self.other_w / CORE_W * (now.at_ns - self._used.at_ns) / 1e9
        self._used = replace(
            now,
            busy_s=(self._used.busy_s or 0.0) + own_s + other_s,
            own_s=(self._used.own_s or 0.0) + own_s,
        )
        return [self._used]


class Pooled(Served):
    """A server whose requests own no thread, as on asyncio."""

    def start(self, rate: int = 2, model: str | None = None) -> Request:
        context, request = Context(), self.rig.tracker.request(model or self.model)
        context.run(awaited, request.__aenter__())
        self.running[request], self._contexts[request] = rate, context
        return request


@pytest.fixture
def rig() -> Iterator[Rig]:
    renew_threads()  # this thread's clock was last read by the fake clock of another test
    clock, kept = FakeClock(), Kept()
    source = Cpu(clock)
    config = Config(cpu_idle_w=IDLE_W, idle_policy="in_flight")
    with Tracker(config, sources=[source], exporters=[kept], clock=clock) as tracker:
        yield Rig(clock, source, tracker, kept)


@pytest.fixture
def served(rig: Rig) -> Pooled:
    """A server whose cost of work is known to its tracker."""
    made = Pooled(rig)
    made.warm_up()
    return made


def active_j(receipt: Receipt) -> float:
    return float(receipt.energy.active_j or 0.0)


def assert_sums(rig: Rig) -> None:
    """The books close, and the receipts of all that ended are what the books have charged."""
    assert_closed(rig.tracker._engine.books)
    (books,) = rig.tracker.balance().devices.values()
    charged_j = math.fsum(active_j(receipt) for receipt in rig.kept.receipts)
    assert charged_j == pytest.approx(books.requests_active_j, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("other_w", [0.0, 300.0])
def test_work_on_a_cpu_is_learned(rig: Rig, served: Pooled, other_w: float) -> None:
    """Of two requests on one thread, the one of four times the tokens pays the same part of what
    anyone costs and four times the work, within 3 %, whatever another process draws.
    """
    assert isinstance(rig.source, Cpu)
    rig.source.other_w = other_w
    fast, slow = served.start(rate=8), served.start(rate=2)
    served.run(50)
    served.to(0)
    rig.receipts()
    for request, rate in ((fast, 8), (slow, 2)):
        true_j = 50 * (FIXED_W * WINDOW_S / 2 + TOKEN_J * rate)
        assert active_j(request.receipt()) == pytest.approx(true_j, rel=0.03)
        assert request.receipt().attribution_method == "learned_work"
    assert_sums(rig)
    (books,) = rig.tracker.balance().devices.values()
    assert books.other_processes_j == pytest.approx(50 * WINDOW_S * other_w, rel=1e-6)


def test_what_is_learned_of_a_cpu_is_kept(rig: Rig, served: Pooled) -> None:
    """It is among what a tracker that starts later takes up."""
    (ledger,) = rig.tracker._engine.books.ledgers.values()
    work = learned_of(ledger).work
    assert work is not None
    assert work.price_j(served.model).output == pytest.approx(TOKEN_J, rel=0.05)


def test_without_tokens_it_stays_cpu_time(rig: Rig) -> None:
    """Requests that tell nothing share the process's CPU time alike, and say so."""
    served = Pooled(rig)
    first, second = served.start(rate=0), served.start(rate=0)
    served.run(20)
    served.to(0)
    assert {receipt.attribution_method for receipt in rig.receipts()} == {"cpu_time"}
    assert active_j(first.receipt()) == pytest.approx(active_j(second.receipt()))
    assert_sums(rig)


def test_cpu_time_that_is_known_is_what_counts(rig: Rig, served: Pooled) -> None:
    """While a request owns its thread, windows go by CPU time: this one's thread sleeps, so it
    pays next to nothing, and the rest is shared alike by those without a thread.
    """
    served.run(5)
    with rig.tracker.request("sleeper") as sleeper:
        fast, slow = served.start(rate=8), served.start(rate=2)
        served.run(50)
        served.to(0)
        served.run(1)
    rig.receipts()
    assert {one.receipt().attribution_method for one in (sleeper, fast, slow)} == {"cpu_time"}
    assert active_j(sleeper.receipt()) < 0.05 * active_j(fast.receipt())
    assert active_j(fast.receipt()) == pytest.approx(active_j(slow.receipt()), rel=0.01)
    assert_sums(rig)


def test_work_in_windows_of_known_cpu_time_is_not_charged_again(rig: Rig, served: Pooled) -> None:
    """What was done while another request owned its thread weighs nothing later."""
    busy, idler = served.start(rate=20), served.start(rate=2)
    with rig.tracker.request("sleeper"):
        served.run(20)
    served.running[busy] = 2
    served.run(20)
    served.to(0)
    rig.receipts()
    alike_j = 20 * WINDOW_S * (FIXED_W + 22 * TOKEN_J / WINDOW_S) / 2
    later_j = 20 * (FIXED_W * WINDOW_S / 2 + 2 * TOKEN_J)
    for request in (busy, idler):
        assert active_j(request.receipt()) == pytest.approx(alike_j + later_j, rel=0.05)
    assert_sums(rig)


def test_what_is_held_goes_to_those_who_used_it(rig: Rig, served: Pooled) -> None:
    """Energy that was held when a request comes that owns its thread is not charged to it."""
    pooled = served.start(), served.start()
    for second in range(300):  # long enough that it is a server which is rarely empty
        drawn_w = 2_000.0 if second == 299 else FIXED_W + 40 * TOKEN_J
        rig.source.set_power(IDLE_W + drawn_w)
        rig.clock.advance(1.0)
        for request in pooled:
            request.add_tokens(output=20)
        rig.tracker.sample()
    (ledger,) = rig.tracker._engine.books.ledgers.values()
    held_j = ledger._weighing.held_j
    assert held_j > 500
    with rig.tracker.request("owner") as owner:
        served.run(1)
        assert ledger._weighing.held_j == pytest.approx(0.0, abs=1e-6)
    served.to(0)
    rig.receipts()
    assert active_j(owner.receipt()) < 0.05 * active_j(pooled[0].receipt())
    assert_sums(rig)
