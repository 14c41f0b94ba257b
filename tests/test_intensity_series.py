"""Means over an intensity that steps, and what is said of values that are old."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.errors import ConfigError
from inferprint.flags import INTENSITY_STALE
from inferprint.impacts import Factor, mean_factor
from inferprint.intensity.series import STALE_AFTER_S, UNKNOWN_AFTER_S, Series, Slot

STALE = frozenset({INTENSITY_STALE})
HOUR = 3600.0


def factor(value: float, low: float | None = None, high: float | None = None) -> Factor:
    return Factor("grid_carbon_intensity", value, "gCO2e/kWh", "test", low=low, high=high)


def hours(*values: float) -> list[Slot]:
    return [Slot(n * HOUR, (n + 1) * HOUR, factor(value)) for n, value in enumerate(values)]


@st.composite
def slots(draw: st.DrawFn) -> list[Slot]:
    """Values with intervals, of neighbouring times of different length."""
    found, at_s = [], 0.0
    for length_s in draw(st.lists(st.floats(1.0, 7200.0), min_size=1, max_size=8)):
        ends = sorted(draw(st.tuples(*[st.floats(0.0, 2000.0)] * 3)))
        found.append(Slot(at_s, at_s + length_s, factor(ends[1], ends[0], ends[2])))
        at_s += length_s
    return found


@st.composite
def spans(draw: st.DrawFn) -> tuple[list[Slot], list[float]]:
    """Values, and three times among them in order."""
    found = draw(slots())
    at = st.floats(0.0, found[-1].end_s)
    return found, sorted(draw(st.tuples(at, at, at)))


def value_of(series: Series, start_s: float, end_s: float) -> Factor:
    known = series.over(start_s, end_s)
    assert known.factor is not None
    assert not known.flags
    return known.factor


@given(spans())
def test_a_mean_lies_among_the_values(drawn: tuple[list[Slot], list[float]]) -> None:
    """Between the least and the greatest of them, and within its own interval."""
    found, (start_s, _, end_s) = drawn
    got = value_of(Series(found), start_s, end_s).range
    assert got.low <= got.mid <= got.high
    values = [slot.factor.value for slot in found]
    assert min(values) - 1e-6 <= got.mid <= max(values) + 1e-6


@given(spans())
def test_neighbouring_spans_add_up(drawn: tuple[list[Slot], list[float]]) -> None:
    """What two spans weigh together is what the span over both of them weighs."""
    found, (a, b, c) = drawn
    series = Series(found)
    both = sum(value_of(series, *span).value * (span[1] - span[0]) for span in ((a, b), (b, c)))
    assert both == pytest.approx(value_of(series, a, c).value * (c - a), rel=1e-9, abs=1e-6)


@given(spans(), st.floats(0.0, 1.0), st.integers(0, 7))
def test_a_narrower_value_never_widens_the_mean(
    drawn: tuple[list[Slot], list[float]], part: float, which: int
) -> None:
    """An interval that shrinks towards its middle shrinks that of the mean, or leaves it."""
    found, (start_s, _, end_s) = drawn
    index = which % len(found)
    was = found[index].factor.range
    tight = replace(
        found[index].factor,
        low=was.mid - (was.mid - was.low) * part,
        high=was.mid + (was.high - was.mid) * part,
    )
    narrower = [*found]
    narrower[index] = found[index]._replace(factor=tight)
    before = value_of(Series(found), start_s, end_s).range
    after = value_of(Series(narrower), start_s, end_s).range
    assert after.low >= before.low - 1e-9
    assert after.high <= before.high + 1e-9


@given(slots(), st.floats(-1e10, 1e10), st.floats(-1e10, 1e10))
def test_no_time_raises(found: list[Slot], start_s: float, end_s: float) -> None:
    """Long ago, far ahead, even backwards: an answer or None, which never is 0."""
    known = Series(found).over(start_s, end_s)
    assert known.factor is None or start_s >= 0.0


def test_a_mean_is_weighed_by_time() -> None:
    """Half an hour of 100 and an hour and a half of 300."""
    assert value_of(Series(hours(100, 300, 300)), 1800, 9000).value == pytest.approx(250)


def test_an_instant_has_the_value_of_its_time() -> None:
    """Of two neighbours, the one that begins then."""
    series = Series(hours(100, 300))
    assert [value_of(series, at, at).value for at in (0, 3599, 3600)] == [100, 100, 300]


def test_a_mean_without_intervals_has_none() -> None:
    """Values that are taken as exact do not get an interval by being averaged."""
    got = value_of(Series(hours(100, 300)), 0, 7200)
    assert (got.value, got.low, got.high) == (200.0, None, None)


def test_a_mean_names_each_of_its_sources() -> None:
    """And a year only where it is the same for all."""
    parts = [
        (1.0, replace(factor(1), source="measured", year=2024)),
        (1.0, replace(factor(2), source="estimated", year=2025)),
        (2.0, replace(factor(3), source="measured", year=2025)),
    ]
    got = mean_factor((one, weight) for weight, one in parts)
    assert got is not None
    assert (got.value, got.source, got.year) == (2.25, "measured; estimated", None)


def test_before_the_first_value_nothing_is_known() -> None:
    """Nor of a span that begins there, nor where there is no value at all."""
    assert Series(hours(100)).over(-1, 10) == (None, frozenset())
    assert Series().over(0, 10) == (None, frozenset())


@pytest.mark.parametrize(
    ("past_s", "flags", "known"),
    [
        (STALE_AFTER_S, frozenset(), True),
        (STALE_AFTER_S + 1, STALE, True),
        (STALE_AFTER_S + UNKNOWN_AFTER_S, STALE, True),
        (STALE_AFTER_S + UNKNOWN_AFTER_S + 1, STALE, False),
    ],
)
def test_the_latest_value_holds_for_a_while(
    past_s: float, flags: frozenset[str], known: bool
) -> None:
    """Past its end it stands in, then it is flagged, then it is nothing any more."""
    at_s = HOUR + past_s
    got = Series(hours(100)).over(at_s, at_s)
    assert (got.factor is not None, got.flags) == (known, flags)


def test_a_span_that_ends_in_old_values_is_flagged() -> None:
    """And one over a gap in the middle, though newer values have come since."""
    gap = [Slot(0, HOUR, factor(100)), Slot(10 * HOUR, 11 * HOUR, factor(300))]
    assert Series(gap[:1]).over(0, 3 * HOUR).flags == STALE
    known = Series(gap).over(0, 11 * HOUR)
    assert known.flags == STALE
    assert known.factor is not None
    assert known.factor.value == pytest.approx((10 * 100 + 300) / 11)
    assert Series(gap).over(10 * HOUR, 11 * HOUR).flags == frozenset()


def test_values_that_nobody_renewed_are_old() -> None:
    """Though they are of that time: a forecast that is not replaced by the next one."""
    series = Series(hours(100, 300), renewed_until_s=1800)
    assert [series.over(0, end).flags for end in (1800, 1801)] == [frozenset(), STALE]
    assert series.renewed(7200).over(0, 7200).flags == frozenset()


def test_newer_values_replace_older_ones_from_their_start_on() -> None:
    """What was before them stays, until it is too long ago."""
    series = Series(hours(1, 2, 3)).with_slots([Slot(5400, 9000, factor(9))], 0.0, 1e9)
    assert [(s.start_s, s.end_s, s.factor.value) for s in series.slots] == [
        (0, 3600, 1),
        (3600, 5400, 2),
        (5400, 9000, 9),
    ]
    pruned = series.with_slots([Slot(9000, 9001, factor(7))], 5400.0, 1e9)
    assert [s.factor.value for s in pruned.slots] == [9, 7]
    assert [s.factor.value for s in pruned.with_slots(pruned.slots, 1e8, 1e9).slots] == [7]


@pytest.mark.parametrize("field", ["basis", "unit"])
def test_bases_are_never_mixed(field: str) -> None:
    """Average and marginal, grams of one thing and of another: refused, however they meet."""
    first, other = hours(100, 200)
    changed = replace(other.factor, **{field: "marginal"})
    with pytest.raises(ConfigError, match="never mixed"):
        Series([first, other._replace(factor=changed)])
    with pytest.raises(ConfigError, match="never mixed"):
        Series([first]).with_slots([other._replace(factor=changed)], 0.0, 1e9)


def test_order_does_not_matter() -> None:
    """Values may come in any order."""
    assert all(a.start_s < b.start_s for a, b in pairwise(Series(hours(1, 2, 3)[::-1]).slots))
