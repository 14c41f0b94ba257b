"""Idle energy: told apart once idle power is known, and paid by whom the policy says."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Config, Tracker, flags
from inferprint.attribution import Ledger
from inferprint.books import Account, Books
from inferprint.idle import IdlePower
from inferprint.records import Device, IdlePolicyName
from inferprint.request import Request
from inferprint.stakes import Earned
from inferprint.standing import SMOOTHING_REQUESTS, idle_policy
from inferprint.testing import FakeClock, FakeSource
from inferprint.units import NS_PER_S
from inferprint.weights import TimeInFlight
from inferprint.windows import Window
from strategies import (
    LAST_WINDOW_TICK,
    TICK_NS,
    traffic,
    usual_watts,
)
from traffic import (
    Run,
    close,
    earned,
    make_books,
    play,
    run,
    said,
    shares,
    window,
)

END_NS = LAST_WINDOW_TICK * TICK_NS


def tracked(source: FakeSource, clock: FakeClock, **config: object) -> Tracker:
    return Tracker(Config(**config), sources=[source], clock=clock)  # type: ignore[arg-type]


def served(tracker: Tracker, clock: FakeClock, source: FakeSource, watts: float) -> Request:
    """One request of two seconds at a power, with windows of its own."""
    tracker.sample()
    source.set_power(watts)
    with tracker.request("model") as request:
        clock.advance(2)
    tracker.sample()
    return request


def test_idle_power_that_was_seen_before_is_told_apart() -> None:
    """A quiet window at 70 W, then 2 s at 300 W: 460 J active and 140 J idle, measured."""
    clock = FakeClock()
    source = FakeSource(clock, watts=70.0)
    with tracked(source, clock, idle_policy="in_flight") as tracker:
        clock.advance(1)
        receipt = served(tracker, clock, source, 300.0).receipt()
    energy = receipt.energy
    assert (float(energy.active_j), float(energy.idle_j)) == pytest.approx((460.0, 140.0))  # type: ignore[arg-type]
    assert float(energy.standing_j) == 0.0  # type: ignore[arg-type]
    assert receipt.provenance == "measured"
    assert flags.IDLE_UNKNOWN not in receipt.flags


def test_started_under_load_active_and_idle_are_one_sum() -> None:
    """No idle stretch was seen: the two are None, their sum is known, and the receipt says
    why. The next one, after a quiet second, has both.
    """
    clock = FakeClock()
    source = FakeSource(clock, watts=300.0)
    with tracked(source, clock, idle_policy="in_flight") as tracker:
        receipt = served(tracker, clock, source, 300.0).receipt()
        source.set_power(70.0)
        clock.advance(1)
        later = served(tracker, clock, source, 300.0).receipt()
    assert (receipt.energy.active_j, receipt.energy.idle_j) == (None, None)
    assert float(receipt.energy.total_j) == pytest.approx(600.0)  # type: ignore[arg-type]
    assert flags.IDLE_UNKNOWN in receipt.flags
    assert float(later.energy.active_j) == pytest.approx(460.0)  # type: ignore[arg-type]
    assert flags.IDLE_UNKNOWN not in later.flags


def test_idle_power_from_a_table_is_used_and_flagged_until_it_is_seen() -> None:
    """Then the observed one takes its place."""
    device = Device("gpu:0", "gpu", "a GPU", tabled_idle_w=60.0)
    ledger = Ledger(device, IdlePower(device), idle_policy("in_flight", 1.0), TimeInFlight())
    books = Books([ledger])
    windows = [window(0, 2, 600.0), window(2, 4, 160.0), window(4, 6, 600.0)]
    before, after = play(books, [run(0, 2), run(4, 6)], windows)
    assert earned(books, before) == pytest.approx((480.0, 120.0, 0.0))
    assert flags.IDLE_MODELLED in said(books, before)
    assert earned(books, after) == pytest.approx((440.0, 160.0, 0.0))
    assert flags.IDLE_MODELLED not in said(books, after)


def test_idle_power_set_by_hand_stays() -> None:
    """Whatever quiet windows show."""
    clock = FakeClock()
    source = FakeSource(clock, watts=50.0)
    with tracked(source, clock, idle_policy="in_flight", gpu_idle_w=70.0) as tracker:
        clock.advance(5)
        tracker.sample()
        receipt = served(tracker, clock, source, 300.0).receipt()
        assert tracker.balance().devices["gpu:0"].idle_w == 70.0
    assert float(receipt.energy.idle_j) == pytest.approx(140.0)  # type: ignore[arg-type]
    assert flags.IDLE_MODELLED not in receipt.flags


def test_idle_power_is_not_the_rest_of_a_busy_window() -> None:
    """Hours at one power with a request in flight leave idle power unknown."""
    books = make_books("in_flight", None)
    play(books, [run(0, 100)], [window(second, second + 1, 55.0) for second in range(100)])
    assert books.balance()["gpu:0"].idle_w is None


def test_a_window_with_another_process_at_work_is_not_quiet() -> None:
    """Its power says nothing of idling."""
    books = make_books("in_flight", None)
    close(books, window(0, 1, 250.0, busy_s=0.5, own_s=0.0))
    assert books.balance()["gpu:0"].idle_w is None
    close(books, window(1, 2, 70.0, busy_s=0.01, own_s=0.0))
    assert books.balance()["gpu:0"].idle_w == 70.0


@pytest.mark.parametrize("spoilt", [{"energy_j": None}, {"energy_j": 9.0, "gap": True}])
def test_spoilt_windows_say_nothing_of_idle_power(spoilt: dict[str, object]) -> None:
    """A reset has no energy, and in a gap the host slept."""
    books = make_books("in_flight", None)
    close(books, window(0, 1, **spoilt))  # type: ignore[arg-type]
    assert books.balance()["gpu:0"].idle_w is None


def test_a_window_uses_at_most_its_energy_as_idle() -> None:
    """Below idle power nothing is active, and nothing is invented."""
    found = shares([run(0, 1)], window(0, 1, 30.0), idle_w=50.0)
    assert found[0] == pytest.approx((0.0, 30.0, 0.0))


QUIET_THEN_BUSY = [window(0, 10, 1_000.0), window(10, 12, 600.0)]


def charged(policy: IdlePolicyName) -> tuple[Earned, Books]:
    """Ten quiet seconds at 100 W idle, then a request of two seconds at 300 W."""
    books = make_books(policy, 100.0)
    (account,) = play(books, [run(10, 12)], QUIET_THEN_BUSY)
    return earned(books, account), books


def test_in_flight_shares_idle_and_charges_standing_to_nobody() -> None:
    """The quiet stretch stays in the books as standing energy."""
    share, books = charged("in_flight")
    assert share == (400.0, 200.0, 0.0)
    assert books.balance()["gpu:0"].standing_j == 1_000.0


def test_since_last_charges_a_quiet_stretch_to_the_one_that_ends_it() -> None:
    """And to no one who arrives while it runs."""
    books = make_books("since_last", 100.0)
    runs = [run(10, 12), run(11, 12)]
    first, second = play(books, runs, QUIET_THEN_BUSY)
    assert earned(books, first).standing_j == 1_000.0
    assert earned(books, second).standing_j == 0.0
    assert books.balance()["gpu:0"].standing_j == 0.0


def test_since_last_shares_a_stretch_between_those_that_end_it_together() -> None:
    """Two at one instant pay half each."""
    found = shares([run(10, 12)] * 2, *QUIET_THEN_BUSY, policy="since_last", idle_w=100.0)
    assert [part.standing_j for part in found] == [500.0, 500.0]


def test_separate_charges_no_idle_energy_at_all() -> None:
    """It is reported beside: the idle of quiet time and of busy time."""
    share, books = charged("separate")
    assert share == (400.0, 0.0, 0.0)
    balance = books.balance()["gpu:0"]
    assert (balance.standing_j, balance.standing_total_j) == (1_200.0, 1_000.0)


def test_amortised_charges_a_part_of_what_has_stood() -> None:
    """One in nine to the first request of all, beside its share of the idle draw."""
    share, books = charged("amortised")
    first = 1_000.0 / (1 + SMOOTHING_REQUESTS)
    assert share == pytest.approx((400.0, 200.0, first))
    assert books.balance()["gpu:0"].standing_j == pytest.approx(1_000.0 - first)


def test_since_last_charges_a_request_and_the_one_that_starts_inside_it_at_once() -> None:
    """A child that starts at the very instant of its parent ends the quiet stretch with it."""
    runs = [run(10, 12), run(10, 12, parent=0)]
    found = shares(runs, *QUIET_THEN_BUSY, policy="since_last", idle_w=100.0)
    assert [one.standing_j for one in found] == pytest.approx([500.0, 500.0])


@given(traffic(), st.sampled_from(["amortised", "since_last"]), usual_watts)
def test_what_is_charged_and_what_is_not_yet_is_all_that_has_stood(
    runs: list[Run], policy: IdlePolicyName, idle_w: float
) -> None:
    """Standing energy is neither lost nor charged twice."""
    books = make_books(policy, idle_w)
    accounts = play(books, runs, [Window("gpu:0", 0, END_NS, idle_w * END_NS / NS_PER_S)])
    balance = books.balance()["gpu:0"]
    taken_j = math.fsum(earned(books, account).standing_j for account in accounts)
    assert balance.requests_standing_j == pytest.approx(taken_j, rel=1e-9, abs=1e-12)
    assert balance.standing_j + taken_j == pytest.approx(
        balance.standing_total_j, rel=1e-9, abs=1e-9 * balance.measured_j
    )


@given(st.floats(2, 100), st.floats(0.05, 0.9), st.floats(10, 200))
def test_amortised_charges_in_steady_traffic_what_stands_between_two_requests(
    every_s: float, busy_share: float, idle_w: float
) -> None:
    """After the horizon has filled, each pays the standing energy of one interval."""
    books = make_books("amortised", idle_w, horizon_s=10 * every_s)
    found, at_s = [], 0.0
    for number in range(150):
        request = Account(number, round(at_s * NS_PER_S))
        books.start(request)
        books.end(request, round((at_s + busy_share * every_s) * NS_PER_S))
        close(books, window(at_s, at_s + every_s, idle_w * every_s))
        found.append(earned(books, request).standing_j)
        at_s += every_s
    between_j = idle_w * every_s * (1 - busy_share)
    assert found[-1] == pytest.approx(between_j, rel=0.02)


def test_amortised_is_smooth_after_a_quiet_night() -> None:
    """Of a morning's first requests none pays more than one in nine of the night, and each
    pays less than the one before it.
    """
    books = make_books("amortised", 100.0)
    night_s = 8 * 3_600
    runs = [run(night_s + 2 * number, night_s + 2 * number + 1) for number in range(50)]
    windows = [window(0, night_s, 100.0 * night_s), window(night_s, night_s + 100, 10_000.0)]
    standing = [earned(books, account).standing_j for account in play(books, runs, windows)]
    assert standing[0] <= 100.0 * night_s / 9 * 1.000001
    assert all(later < before for before, later in pairwise(standing))
