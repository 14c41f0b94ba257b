"""How many others a request will run beside, and the quantiles of a record."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.learning.crowd import HORIZON_S, Crowd, Load
from inferprint.learning.latest import MOST, Latest
from inferprint.learning.record import Lengths
from inferprint.units import NS_PER_S

counts = st.integers(0, 500)
means = st.floats(0, 500)
lengths_s = st.floats(0.001, 1_000)
values = st.lists(st.floats(-50, 50), max_size=80)


@given(counts, means, lengths_s, lengths_s)
def test_a_share_is_a_part_of_the_time(
    running: int, others: float, residence_s: float, duration_s: float
) -> None:
    """A request's integral of 1/n is more than none of its time, and at most all of it."""
    share_s = Crowd(running, others, residence_s).share_s(duration_s)
    assert 0 < share_s <= duration_s * (1 + 1e-9)


@given(counts, lengths_s, lengths_s)
def test_a_steady_crowd_is_shared_exactly(n: int, residence_s: float, duration_s: float) -> None:
    """A fixed number of clients: each request is one of so many, all the time."""
    crowd = Crowd(n, float(n), residence_s, dispersion=0.0)
    assert crowd.share_s(duration_s) == pytest.approx(duration_s / (n + 1))


def test_the_share_is_the_mean_of_a_simulation() -> None:
    """Arrivals at random, 4 in flight in the mean, exponential residence: the mean of 1/n over
    requests that found 9 others, and none, is within 5 % of what is expected.
    """
    rng = random.Random(1)
    for found, duration_s in ((9, 5.0), (9, 20.0), (0, 5.0), (0, 20.0)):
        sums = 0.0
        for _ in range(3_000):
            leave = [rng.expovariate(0.1) for _ in range(found)]
            at_s, come = rng.expovariate(0.4), []
            while at_s < duration_s:
                come.append(at_s)
                leave.append(at_s + rng.expovariate(0.1))
                at_s += rng.expovariate(0.4)
            leave.sort()
            at = [duration_s * (i + 0.5) / 20 for i in range(20)]
            n = [1 + found + bisect_right(come, t) - bisect_right(leave, t) for t in at]
            sums += sum(1 / one for one in n) / 20
        expected = Crowd(found, 4.0, 10.0).share_s(duration_s) / duration_s
        assert expected == pytest.approx(sums / 3_000, rel=0.05)


def test_a_load_is_followed_and_forgotten() -> None:
    """Two clients that each wait for their answers: one other beside each; an hour after the last
    of them, none.
    """
    load = Load()
    crowd = load.crowd(0, 0, 0.0, 0.0, 0)
    for second in range(1, 1_000):
        crowd = load.crowd(second * NS_PER_S, 2, 2.0 * second, 4.0 * second, second)
    assert crowd.others == pytest.approx(1.0)
    assert crowd.residence_s == pytest.approx(2.0, rel=0.05)
    assert crowd.dispersion == pytest.approx(0.0, abs=0.01)
    later_ns = round((1_000 + 30 * HORIZON_S) * NS_PER_S)
    assert load.crowd(later_ns, 0, 2_000.0, 4_000.0, 999).others == pytest.approx(0.0, abs=1e-9)


@given(values, values)
def test_quantiles_are_in_order_and_of_the_latest(old: list[float], new: list[float]) -> None:
    """Whatever came: quantiles rise with their part and lie within what is kept."""
    latest = Latest([*old, *new], expected=[-1.0, 0.0, 1.0])
    found = [latest.at(part) for part in (0.0, 0.04, 0.5, 0.96, 1.0)]
    assert found == sorted(found)
    assert min([*old, *new, -1.0]) <= found[0]
    assert found[-1] <= max([*old, *new, 1.0])
    assert list(Latest(latest.values).values) == list(latest.values)


def test_what_is_expected_gives_way_to_what_comes() -> None:
    """With many values, nothing is left of what stood in for them, nor of the oldest."""
    latest = Latest(expected=[-100.0, 0.0, 100.0])
    assert (latest.at(0.0), latest.at(1.0)) == (-100.0, 100.0)
    for i in range(MOST + 50):
        latest.add(float(i))
    assert len(latest) == MOST
    assert (latest.at(0.0), latest.at(1.0)) == (50.0, MOST + 49.0)


@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_a_quantile_covers_what_comes_next(part: float) -> None:
    """Of random values after 39 others, that part is below it, within 1 %: also in a small record
    the intervals cover what they say.
    """
    rng = random.Random(2)
    below = 0
    for _ in range(8_000):
        latest = Latest(rng.gauss(0, 1) for _ in range(39))
        below += rng.gauss(0, 1) <= latest.at(part)
    assert below / 8_000 == pytest.approx(part, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), max_size=60), counts)
def test_a_usual_length_is_never_more_than_the_maximum(
    came: list[tuple[int, int]], most: int
) -> None:
    """Whatever lengths and maxima came, also those that were passed."""
    lengths = Lengths()
    for output, limit in came:
        lengths.add(output, limit)
    usual = lengths.usual
    assert (usual.tokens is None) == (not any(output for output, _ in came))
    expected = usual.output(most)
    assert expected is None or 0 <= expected <= most
