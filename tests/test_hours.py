"""A receipt's carbon is of the hours in which its energy was used."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Config, Receipt, Tracker
from inferprint.impacts import Factor
from inferprint.intensity import Known
from inferprint.testing import FakeClock, FakeSource

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
NIGHT_G, DAY_G = 50.0, 400.0
J_PER_KWH = 3.6e6


class NightAndDay:
    """50 g/kWh before 6 o'clock (UTC) and 400 g/kWh after it; unknown from the next day on."""

    def over(self, start_s: float, end_s: float) -> Known:
        six, next_day = MIDNIGHT.timestamp() + 6 * 3600, MIDNIGHT.timestamp() + 86_400
        if end_s > next_day:
            return Known(None, frozenset({"intensity_stale"}))
        if end_s <= start_s:
            return Known(factor(NIGHT_G if end_s < six else DAY_G))
        night_s = max(0.0, min(end_s, six) - start_s)
        share = min(1.0, night_s / (end_s - start_s))
        return Known(factor(NIGHT_G * share + DAY_G * (1 - share)))

    def start(self) -> None: ...

    def close(self) -> None: ...


def factor(value: float) -> Factor:
    return Factor("grid_carbon_intensity", value, "gCO2e/kWh", "test")


def tracker_at(hour: float, policy: str = "amortised") -> tuple[Tracker, FakeClock, FakeSource]:
    """A tracker that starts at an hour of the first day, with a GPU of 100 W idle."""
    clock = FakeClock(1000.0, wall=MIDNIGHT)
    clock.advance(hour * 3600)
    source = FakeSource(clock, watts=100.0, idle_w=100.0)
    config = Config(idle_policy=policy)  # type: ignore[arg-type]
    tracker = Tracker(config, sources=[source], clock=clock, intensity=NightAndDay())
    return tracker, clock, source


def g_per_kwh(receipt: Receipt) -> float:
    """Grams for each kWh that the meters counted."""
    assert receipt.carbon is not None
    assert receipt.energy.total_j is not None
    return receipt.carbon.mid / (receipt.energy.total_j.mid / J_PER_KWH)


@pytest.mark.parametrize(("hour", "expected"), [(2.0, NIGHT_G), (9.0, DAY_G), (5.75, 225.0)])
def test_a_request_has_the_intensity_of_its_time(hour: float, expected: float) -> None:
    """At night, by day, and half an hour of which the second half is day."""
    tracker, clock, source = tracker_at(hour, "in_flight")
    with tracker:
        with tracker.request("m") as request:
            source.set_power(300.0)
            clock.advance(1800.0)
        tracker.sample()
        receipt = request.receipt()
    assert g_per_kwh(receipt) == pytest.approx(expected)
    assert [f.value for f in receipt.factors if f.name == "grid_carbon_intensity"] == [
        pytest.approx(expected)
    ]


def test_what_was_used_at_night_counts_by_what_was_used_at_night() -> None:
    """300 W for an hour of night and 900 W for an hour of day: by energy, not by time."""
    tracker, clock, source = tracker_at(5.0, "in_flight")
    with tracker:
        with tracker.request("m") as request:
            for watts in (300.0, 900.0):
                source.set_power(watts)
                for _ in range(60):
                    clock.advance(60.0)
                    tracker.sample()
        tracker.flush()
        receipt = request.receipt()
    expected = (300 * NIGHT_G + 900 * DAY_G) / 1200
    # The books are noted with the first window after each quarter of an hour.
    assert g_per_kwh(receipt) == pytest.approx(expected, rel=0.01)


def test_standing_energy_has_the_intensity_of_the_quiet_time() -> None:
    """After a quiet night the first request of the day pays for night power."""
    tracker, clock, _ = tracker_at(0.0, "since_last")
    with tracker:
        for _ in range(12):
            clock.advance(1800.0)
            tracker.sample()
        clock.advance(3600.0)  # and an hour of day
        with tracker.request("m") as request:
            clock.advance(36.0)
        tracker.sample()
        receipt = request.receipt()
    standing = receipt.energy.standing_j
    assert standing is not None
    assert standing.mid == pytest.approx(100.0 * 7 * 3600)
    expected = (6 * NIGHT_G + 1.01 * DAY_G) / 7.01
    assert g_per_kwh(receipt) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("policy", ["amortised", "since_last"])
def test_the_carbon_of_the_receipts_adds_up_to_that_of_the_meter(policy: str) -> None:
    """Requests day and night, all standing energy charged in the end: the grams add up."""
    tracker, clock, source = tracker_at(1.0, policy)
    grams, meter = 0.0, 0.0
    with tracker:
        for step in range(120):
            hour = 1.0 + step / 10
            clock.advance(240.0)
            source.set_power(100.0 + 40.0 * (step % 7))
            with tracker.request("m") as request:
                clock.advance(120.0)
            tracker.sample()
            source.set_power(100.0)
            joules = 100.0 * 240 + (100.0 + 40.0 * (step % 7)) * 120
            meter += joules / J_PER_KWH * (NIGHT_G if hour < 6.0 else DAY_G)
            receipt = request.receipt()
            assert receipt.carbon is not None
            grams += receipt.carbon.mid
        pool_kwh = sum(d.standing_j for d in tracker.balance().devices.values()) / J_PER_KWH
    grams += pool_kwh * DAY_G
    assert grams == pytest.approx(meter, rel=0.02)


def test_an_hour_that_is_not_known_makes_the_carbon_unknown() -> None:
    """A request into the next day: no figure is made up for the hours that nobody knows."""
    tracker, clock, _ = tracker_at(23.5, "in_flight")
    with tracker:
        with tracker.request("m") as request:
            clock.advance(3600.0)
        tracker.sample()
        receipt = request.receipt()
    assert receipt.carbon is None
    assert "intensity_stale" in receipt.flags


def test_an_estimate_has_it_too() -> None:
    """While it runs, by what it has used up to now."""
    tracker, clock, source = tracker_at(5.5, "in_flight")
    with tracker, tracker.request("m") as request:
        source.set_power(300.0)
        clock.advance(3600.0)
        tracker.sample()
        assert g_per_kwh(request.estimate()) == pytest.approx((NIGHT_G + DAY_G) / 2)


def test_nothing_is_kept_of_requests_that_have_ended() -> None:
    """Also where nobody asks for their receipts."""
    tracker, clock, _ = tracker_at(1.0)
    with tracker:
        for _ in range(50):
            with tracker.request("m"):
                clock.advance(60.0)
            tracker.sample()
        hours = tracker._engine._hours
        assert hours is not None
        assert not hours._notes


factors = st.builds(
    lambda values, basis: Factor(
        "grid_carbon_intensity", sorted(values)[1], "g/kWh", "s", "", None,
        sorted(values)[0], sorted(values)[2], basis=basis,
    ),
    st.lists(st.floats(0, 1e4), min_size=3, max_size=3),
    st.just("average"),
)  # fmt: skip


@given(st.lists(st.tuples(factors, st.floats(0.01, 1e6)), min_size=1, max_size=6))
def test_a_mean_lies_between_what_it_is_of(weighted: list[tuple[Factor, float]]) -> None:
    """So do the ends of its interval, which stay in order."""
    from inferprint.impacts import mean_factor

    mean = mean_factor(weighted)
    assert mean is not None
    for end in ("low", "mid", "high"):
        values = [getattr(one.range, end) for one, _ in weighted]
        tolerance = 1e-9 * max(values) + 1e-300
        assert min(values) - tolerance <= getattr(mean.range, end) <= max(values) + tolerance
    ends = (mean.range.low, mean.range.mid, mean.range.high)
    assert all(a <= b + 1e-9 * b + 1e-300 for a, b in pairwise(ends))


def test_different_bases_have_no_mean() -> None:
    """Average and marginal intensities are never mixed."""
    from dataclasses import replace

    from inferprint.impacts import mean_factor

    average, marginal = (replace(factor(100.0), basis=b) for b in ("average", "marginal"))
    assert mean_factor([(average, 1.0), (marginal, 1.0)]) is None
    assert mean_factor([(average, 1.0), (marginal, 0.0)]) == average
