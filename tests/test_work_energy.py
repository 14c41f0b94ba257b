"""What active energy was for: the part that is shared alike, prompts and outputs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inferprint import Range, Receipt, Tracker, WorkEnergy
from inferprint.testing import FakeClock, FakeSource
from rig import Rig, by_hand
from served import FIXED_W, IDLE_W, TOKEN_J, WINDOW_S, Served


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(idle_w=IDLE_W, idle_policy="in_flight") as made:
        yield made


@pytest.fixture
def served(rig: Rig) -> Served:
    """A server whose cost of work is known to its tracker."""
    made = Served(rig)
    for _ in range(3):  # so that own work counts in full
        made.warm_up()
    return made


def work_of(receipt: Receipt) -> WorkEnergy:
    """It is known of this receipt."""
    assert receipt.work is not None
    return receipt.work


def test_it_adds_up_to_active_energy_and_each_part_is_known(rig: Rig, served: Served) -> None:
    """Two requests of unlike rates: half of the fixed cost each, and their own tokens."""
    fast, slow = served.start(rate=8), served.start(rate=2)
    served.run(50)
    served.to(0)
    rig.receipts()
    for request, rate in ((fast, 8), (slow, 2)):
        receipt = request.receipt()
        work, active_j = work_of(receipt), receipt.energy.active_j
        assert active_j is not None
        parts_j = work.shared_j.mid + work.prompt_j.mid + work.output_j.mid
        assert parts_j == pytest.approx(active_j.mid, rel=1e-9)
        assert work.shared_j.mid == pytest.approx(50 * FIXED_W * WINDOW_S / 2, rel=0.05)
        assert work.output_j.mid == pytest.approx(50 * rate * TOKEN_J, rel=0.05)


def test_each_token_has_its_price(rig: Rig, served: Served) -> None:
    """Own work over tokens, in a range that holds what a token truly takes."""
    request = served.start(rate=4)
    served.run(20)
    served.to(0)
    rig.receipts()
    price = work_of(request.receipt()).output_j_per_token
    assert isinstance(price, Range)
    assert price.mid == pytest.approx(TOKEN_J, rel=0.05)
    assert price.low <= TOKEN_J <= price.high
    assert work_of(request.receipt()).prompt_j_per_token is None


def test_it_is_in_the_dict(rig: Rig, served: Served) -> None:
    """With every figure a range of plain numbers."""
    request = served.start()
    served.run(5)
    served.to(0)
    rig.receipts()
    plain = request.receipt().to_dict()["work"]
    names = {"shared_j", "prompt_j", "output_j", "prompt_j_per_token", "output_j_per_token"}
    assert set(plain) == names
    assert set(plain["shared_j"]) == {"low", "mid", "high"}


def test_where_nothing_is_learned_it_is_not_told(rig: Rig) -> None:
    """Equal shares of time tell nothing of what energy was for."""
    rig.ran(seconds=1.0)
    assert rig.one_receipt().work is None


def test_a_request_of_two_hours_is_charged_as_its_tokens_are(rig: Rig, served: Served) -> None:
    """Beside shorter ones, and the books close."""
    long = served.start(rate=2)
    for _ in range(24):
        served.start(rate=4)
        served.run(3)
        served.end(list(served.running)[-1])
        rig.clock.advance(300.0)
        long.add_tokens(output=6_000)
        rig.source.add(6_000 * TOKEN_J)
        rig.tracker.sample()
    served.to(0)
    rig.receipts()
    receipt = long.receipt()
    assert receipt.duration_s > 7_200
    assert rig.tracker.balance().closure_error <= 1e-9
    assert work_of(receipt).output_j.mid > 0


def test_cpu_time_of_a_thread_is_not_told_apart_by_work() -> None:
    """A CPU's energy goes by the CPU time of threads: nothing is learned of tokens there."""
    clock = FakeClock()
    source = FakeSource(clock, "cpu:0", "cpu", watts=50.0, idle_w=10.0)
    with Tracker(sources=[source], clock=clock) as tracker:
        tracker.sample()
        with tracker.request("m") as request:
            request.add_tokens(input=5, output=5)
            clock.advance(1.0)
        tracker.sample()
        assert request.receipt().work is None
