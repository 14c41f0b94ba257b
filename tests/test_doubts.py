"""How far off what a request was charged for may be, from the windows that it was in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Tracker
from inferprint.attribution import Ledger
from inferprint.books import Account, Books
from inferprint.doubts import VARIANCE_KNOWN
from inferprint.idle import TABLED_ERROR, IdlePower
from inferprint.items import itemised
from inferprint.learning.errors import WorkError
from inferprint.learning.own import Own
from inferprint.ranges import Range
from inferprint.records import Device, Energy, IdlePolicyName
from inferprint.settlement import settlement
from inferprint.standing import idle_policy
from inferprint.testing import FakeClock, FakeSource
from inferprint.timeline import Mark
from inferprint.uncertainty import EQUAL_SHARES_PER_DOUBLING
from inferprint.units import NS_PER_S
from inferprint.weights import Shares, ThreadCpuTime, TimeInFlight, Weights, WindowWork
from inferprint.windows import Window
from traffic import HORIZON_S, Run, close, play, run, window

NORMAL = 1.6449
TABLED = 2e-3
NOISE, POWER_W = 0.1, 300.0
# Too short for its sensor's scatter to be learned from it.
MOST_S = 0.9


def device(**errors: float) -> Device:
    return Device("gpu:0", "gpu", "a device", **errors)  # type: ignore[arg-type]


def books_of(
    *devices: Device,
    policy: IdlePolicyName = "in_flight",
    idle_w: float | None = 0.0,
    weights: type[Weights] = TimeInFlight,
) -> Books:
    """Books of these devices; for an idle power of None it is as the device has it."""
    ledgers = []
    for place, one in enumerate(devices):
        idle = IdlePower(one, idle_w)
        ledgers.append(Ledger(one, idle, idle_policy(policy, HORIZON_S), weights(), place))
    return Books(ledgers)


def energy_of(account: Account, policy: IdlePolicyName = "in_flight") -> Energy:
    return itemised(settlement(account, policy).parts)[0]


def first_energy(books: Books, runs: list[Run], *windows: Window) -> Energy:
    """The energy of the first of these requests, its policy ``in_flight``."""
    return energy_of(play(books, runs, windows)[0])


def half(figure: Range | None) -> float:
    """Half of the width of an interval, which lies evenly about its middle or ends at 0."""
    assert figure is not None
    above_j = figure.high - figure.mid
    assert figure.low == pytest.approx(max(0.0, figure.mid - above_j))
    return above_j


def alone(seconds: float = 0.5, **errors: float) -> Energy:
    """The energy of a request that had a device without idle power to itself for a window."""
    return first_energy(
        books_of(device(**errors)), [run(0, seconds)], window(0, seconds, POWER_W * seconds)
    )


# ---- gain -------------------------------------------------------------------------------


def served_alone(relative_error: float) -> Energy:
    """The energy of a request of a tracker that is driven by hand, alone for two seconds."""
    clock = FakeClock()
    source = FakeSource(clock, watts=300.0, idle_w=100.0, relative_error=relative_error)
    with Tracker(sources=[source], exporters=[], clock=clock) as tracker:
        with tracker.request(model="m") as request:
            clock.advance(2.0)
        tracker.sample()
        return request.receipt(timeout=0).energy


def test_alone_on_an_exact_device_all_is_known_exactly() -> None:
    """Nothing is shared, nothing is missed: low, mid and high are the same."""
    energy = served_alone(0.0)
    assert energy.active_j == Range.exactly(400.0)
    assert energy.idle_j == Range.exactly(200.0)
    assert energy.total_j == Range.exactly(600.0)


def test_a_gain_within_five_percent_is_within_four_and_a_half_nine_times_in_ten() -> None:
    """Of every part and of their sum, which one gain moves together."""
    energy = served_alone(0.05)
    for figure in (energy.active_j, energy.idle_j, energy.total_j):
        assert figure is not None
        assert half(figure) == pytest.approx(0.045 * figure.mid, rel=1e-6)


# ---- noise ------------------------------------------------------------------------------


@given(st.floats(0.01, MOST_S))
def test_noise_adds_up_as_the_square_root_of_time(seconds: float) -> None:
    """At a steady power a request of four times the length is known twice as well, relatively."""
    expected_j = NORMAL * NOISE * POWER_W * math.sqrt(VARIANCE_KNOWN * seconds)
    energy = alone(seconds, noise=NOISE)
    assert half(energy.active_j) == pytest.approx(expected_j, rel=TABLED)
    assert energy.total_j == energy.active_j


@given(
    st.integers(1, 20),
    st.lists(st.integers(1, 899), max_size=8, unique=True),
    st.booleans(),
)
def test_a_window_in_pieces_is_as_uncertain_as_one(
    in_flight: int, cuts_ms: list[int], idle_known: bool
) -> None:
    """Read once or often: intervals are the same at constant power."""
    sensor = device(noise=NOISE, relative_error=0.02, tabled_idle_w=40.0)
    found = []
    for at_s in ([0.0, MOST_S], [0.0, *(ms / 1000 for ms in sorted(cuts_ms)), MOST_S]):
        ends = pairwise(at_s)
        windows = [window(since, to, POWER_W * (to - since)) for since, to in ends]
        books = books_of(sensor, idle_w=40.0 if idle_known else None)
        found.append(first_energy(books, [run(0, MOST_S)] * in_flight, *windows))
    once, often = found
    for before, after in ((once.active_j, often.active_j), (once.total_j, often.total_j)):
        assert before is not None
        assert after is not None
        assert (after.low, after.high) == pytest.approx((before.low, before.high), rel=1e-3)


@given(st.integers(1, 64))
def test_noise_is_shared_as_energy_is(in_flight: int) -> None:
    """Equal shares are equally uncertain, relatively, beside what equal shares leave open; and
    the more are in flight, the more that is.
    """
    books = books_of(device(noise=NOISE))
    energy = first_energy(books, [run(0, 0.5)] * in_flight, window(0, 0.5, POWER_W / 2))
    sharing = EQUAL_SHARES_PER_DOUBLING * math.log2(in_flight)
    relative = NORMAL * math.sqrt(VARIANCE_KNOWN * (NOISE**2 / 0.5 + sharing**2))
    assert half(energy.active_j) == pytest.approx(
        relative * POWER_W / 2 / in_flight, rel=TABLED, abs=1e-9
    )


def test_a_request_that_comes_and_goes_within_a_window_has_its_part() -> None:
    """One that was there for a half has more than a half of the deviation of one that was there
    for all of it, and less than all.
    """
    books = books_of(device(noise=NOISE))
    accounts = play(books, [run(0, 0.8), run(0.2, 0.6)], [window(0, 0.8, 0.8 * POWER_W)])
    whole_j, part_j = (half(energy_of(account).active_j) for account in accounts)
    assert whole_j / 4 < part_j < whole_j


def test_a_request_has_the_noise_of_its_own_windows_alone() -> None:
    """What others had before it came, and after it went, is not its own."""
    books = books_of(device(noise=NOISE))
    runs = [run(0.2, 0.4), run(0, 0.2), run(0.4, 0.9)]
    windows = [window(*ends, 60.0) for ends in ((0, 0.2), (0.2, 0.4), (0.4, 0.9))]
    assert half(first_energy(books, runs, *windows).active_j) == pytest.approx(
        half(alone(0.2, noise=NOISE).active_j), rel=1e-6
    )


def test_other_processes_take_their_part_of_the_noise() -> None:
    """Of a window of which half is theirs, a request has half of the deviation."""
    shared = window(0, 0.5, POWER_W / 2, busy_s=0.4, own_s=0.2)
    energy = first_energy(books_of(device(noise=NOISE)), [run(0, 0.5)], shared)
    assert half(energy.active_j) == pytest.approx(half(alone(noise=NOISE).active_j) / 2, rel=1e-6)


def test_work_on_a_thread_of_its_own_is_as_noisy_as_shared_work() -> None:
    """CPU time weighs energy; it does not make the meter exact."""
    widths_j = []
    for owns in (True, False):
        books = books_of(replace(device(noise=NOISE), component="cpu"), weights=ThreadCpuTime)
        close(books, window(0, 1, 0.0, busy_s=0.0, own_s=0.0))
        account = Account("a request", NS_PER_S)
        books.start(account, 0 if owns else None)
        books.end(account, 3 * NS_PER_S // 2, NS_PER_S // 2 if owns else None)
        close(books, window(1, 1.5, POWER_W / 2, busy_s=0.5, own_s=0.5))
        widths_j.append(half(energy_of(account).active_j))
    assert widths_j[0] == pytest.approx(widths_j[1])
    assert widths_j[0] == pytest.approx(half(alone(noise=NOISE).active_j))


def test_a_rough_window_is_less_certain() -> None:
    """One that does not end on its counter's steps is off by up to a step's energy at each end:
    a sixth of its square for both together.
    """
    step_s = 0.1
    smooth_j = half(alone(noise=NOISE, step_s=step_s).active_j)
    rough = window(0, 0.5, POWER_W / 2, rough=True)
    books = books_of(device(noise=NOISE, step_s=step_s))
    rough_j = half(first_energy(books, [run(0, 0.5)], rough).active_j)
    step_j = NORMAL * POWER_W * step_s * math.sqrt(VARIANCE_KNOWN / 6)
    assert rough_j == pytest.approx(math.hypot(smooth_j, step_j), rel=TABLED)


def test_what_a_sensor_shows_replaces_what_was_expected_of_it() -> None:
    """A minute of the same requests behind a sensor that scatters ten times as much as expected
    widens the interval about as much.
    """
    widths_j = []
    for noise in (0.01, 0.1):
        rng, books = Random(3), books_of(device(noise=0.01))
        at_s = [number / 10 for number in range(601)]
        windows = [
            window(since, to, 30.0 * (1 + rng.gauss(0, noise / math.sqrt(0.1))))
            for since, to in pairwise(at_s)
        ]
        runs = [run(59.0, 60.0), run(0, 60.0)]
        widths_j.append(half(first_energy(books, runs, *windows).total_j))
    sharing_j = NORMAL * math.sqrt(VARIANCE_KNOWN) * EQUAL_SHARES_PER_DOUBLING * 150.0
    noises_j = [math.sqrt(width_j**2 - sharing_j**2) for width_j in widths_j]
    assert noises_j[1] == pytest.approx(10 * noises_j[0], rel=0.4)


# ---- learned weights --------------------------------------------------------------------


class Known:
    """Weights of a rule that says how well it knows them: 200 W shared, 100 J of own work."""

    method = "known"
    owns_threads = False

    def weigh(self, work: WindowWork) -> Shares:
        (stake,) = {mark[2].stakes[0] for mark in work.marks}
        own = Own([stake], [100.0], [1.0], [1.0], 40.0, WorkError(20.0, 30.0, 0.0, -1.0, 0.0))
        return Shares(200.0, [own], learned=True, shared_error=0.1)

    def follow(self, marks: Sequence[Mark]) -> None:
        """Nothing."""

    def prices(self) -> None:
        """Nothing is learned."""


def test_errors_of_weights_go_together_as_they_are_said_to() -> None:
    """20 J of what is shared and 30 J of outputs, one too much as the other is too little, are
    off by 10 J; 20 J of prompts, which go with neither, add to that as a variance; all is scaled
    to what the meter says, here twice the weights.
    """
    energy = first_energy(books_of(device(), weights=Known), [run(0, 1)], window(0, 1, 600.0))
    off_j = 2 * math.hypot(30.0 - 20.0, 20.0)
    assert half(energy.active_j) == pytest.approx(
        NORMAL * math.sqrt(VARIANCE_KNOWN) * off_j, rel=TABLED
    )


# ---- several devices --------------------------------------------------------------------


def test_two_devices_add_up_as_independent() -> None:
    """Two sensors of the same noise are together off by the root of two, not by two; each
    component has its own.
    """
    gpu = device(noise=NOISE)
    cpu = replace(gpu, id="cpu:0", component="cpu")
    windows = [window(0, 0.5, POWER_W / 2, device_id=one.id) for one in (gpu, cpu)]
    energy = first_energy(books_of(gpu, cpu), [run(0, 0.5)], *windows)
    single_j = half(alone(noise=NOISE).total_j)
    assert half(energy.total_j) == pytest.approx(math.sqrt(2) * single_j, rel=TABLED)
    for component in ("gpu", "cpu"):
        assert half(energy.by_component[component].total_j) == pytest.approx(single_j)


def test_two_gains_rarely_err_alike() -> None:
    """Two boards within 5 % are together within less than 4.5 % nine times in ten."""
    one = device(relative_error=0.05)
    boards = [one, replace(one, id="gpu:1")]
    windows = [window(0, 0.5, 100.0, device_id=board.id) for board in boards]
    total_j = first_energy(books_of(*boards), [run(0, 0.5)], *windows).total_j
    assert 0.045 / math.sqrt(2) * 200 < half(total_j) < 0.04 * 200


# ---- idle power -------------------------------------------------------------------------


def idle_doubted(policy: IdlePolicyName) -> Energy:
    """Of a request alone for half a second on an exact device whose idle power is tabled."""
    books = books_of(device(tabled_idle_w=100.0), policy=policy, idle_w=None)
    (account,) = play(books, [run(0, 0.5)], [window(0, 0.5, POWER_W / 2)])
    return energy_of(account, policy)


def test_idle_power_moves_energy_between_idle_and_active() -> None:
    """Either is as uncertain as idle power is; their sum was measured."""
    energy = idle_doubted("in_flight")
    off_j = NORMAL * TABLED_ERROR * 100.0 * 0.5
    assert half(energy.active_j) == pytest.approx(off_j, rel=TABLED)
    assert half(energy.idle_j) == pytest.approx(off_j, rel=TABLED)
    assert energy.total_j == Range.exactly(150.0)


def test_who_pays_no_idle_energy_is_off_by_it() -> None:
    """By the policy ``separate`` all that is charged is active energy."""
    energy = idle_doubted("separate")
    assert energy.idle_j == Range.exactly(0.0)
    assert half(energy.active_j) == pytest.approx(NORMAL * TABLED_ERROR * 50.0, rel=TABLED)
    assert energy.total_j == energy.active_j


def test_idle_power_that_was_seen_for_long_is_better_known() -> None:
    """The deviation of a mean: half a minute of noisy quiet leaves a tenth of what one second's
    noise is to begin with, or less; and what is set by hand is taken as exact.
    """
    rng, idle = Random(5), IdlePower(device(tabled_idle_w=90.0))
    assert idle.deviation_w == pytest.approx(TABLED_ERROR * 90.0)
    for _ in range(600):
        idle.observe(100.0 * (1 + rng.gauss(0, 0.05)), 0.1)
    of_a_second_w = 100.0 * 0.05 * math.sqrt(0.1)
    assert 0.5 * of_a_second_w / math.sqrt(30) < idle.deviation_w < 0.3 * of_a_second_w
    assert abs((idle.watts or 0.0) - 100.0) < 3 * idle.deviation_w
    assert IdlePower(device(), 70.0).deviation_w == 0.0


# ---- sensors that average ---------------------------------------------------------------


def test_a_sensor_that_averages_is_late_for_short_requests() -> None:
    """Of one as short as the lag nothing is sure, of one twenty times as long a twentieth; where
    20 are in flight others' energy covers most of that.
    """
    figures = [alone(seconds, average_s=1.0).active_j for seconds in (0.5, 10.0)]
    relative = [half(figure) / float(figure or 0) for figure in figures]
    assert relative[0] == pytest.approx(NORMAL, rel=TABLED)
    assert relative[1] == pytest.approx(NORMAL / 20, rel=TABLED)

    def shared(**errors: Any) -> float:
        runs = [run(0, 1.0)] * 20
        books = books_of(device(**errors))
        figure = first_energy(books, runs, window(0, 1.0, POWER_W)).active_j
        return half(figure) / float(figure or 0)

    late = NORMAL * 0.5 / 20
    assert shared(average_s=1.0) == pytest.approx(math.hypot(shared(), late), rel=TABLED)


def test_no_interval_ends_below_nothing() -> None:
    """What is very uncertain may be next to nothing, and not less."""
    figure = alone(0.01, noise=2.0).active_j
    assert figure is not None
    assert figure.low == 0.0
    assert figure.high > 2 * figure.mid
