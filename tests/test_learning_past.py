"""Sums of observations that are read anew with each estimate."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.learning.fit import Observed, Row
from inferprint.learning.law import bend_slope, saturated, slope
from inferprint.learning.nonnegative import non_negative
from inferprint.learning.past import Past

FIXED, BEND, OWN = 0, 1, 2


def past() -> Past:
    """For F, the bend and the price of a token."""
    made = Past(FIXED, BEND)
    for _ in range(3):
        made.add()
    return made


def one_by_one(rows: Sequence[tuple[float, float, float]], estimate: Sequence[float]) -> Observed:
    """What these rows (seconds busy, tokens, joules) tell, each linear about the estimate."""
    into = Observed(3)
    for busy_s, tokens, joules in rows:
        drive_w = estimate[FIXED] + estimate[OWN] * tokens / busy_s
        steep = slope(drive_w, estimate[BEND])
        row: Row = [
            (FIXED, busy_s * steep),
            (BEND, busy_s * bend_slope(drive_w, estimate[BEND])),
            (OWN, tokens * steep),
        ]
        off_j = joules - busy_s * saturated(drive_w, estimate[BEND])
        into.observe(row, off_j + sum(value * estimate[i] for i, value in row), 2.0)
    return into


def flat(observed: Observed) -> list[float]:
    return [*observed.moment, *(value for line in observed.information for value in line)]


@given(
    st.lists(
        st.tuples(st.floats(0.2, 1.0), st.floats(0, 500), st.floats(1, 500)), min_size=1, max_size=8
    ),
    st.floats(50, 400),
    st.floats(0.1, 1.0),
)
def test_where_power_is_affine_sums_tell_all_that_their_rows_do(
    rows: list[tuple[float, float, float]], fixed_w: float, price_j: float
) -> None:
    """Whatever the rows were put together with, and whatever the estimate is. The derivative in
    the bend is a square, of which a band has the line at its middle.
    """
    sums = past()
    for busy_s, tokens, joules in rows:
        sums.take([(FIXED, busy_s), (OWN, tokens)], (joules, 2.0), joules, 1.0)
    estimate = [fixed_w, 0.0, price_j]
    told, wanted = sums.read(estimate), one_by_one(rows, estimate)
    for i in (FIXED, OWN):
        assert told.moment[i] == pytest.approx(wanted.moment[i], rel=1e-6, abs=1e-6)
        for j in (FIXED, OWN):
            assert told.information[i][j] == pytest.approx(wanted.information[i][j], rel=1e-6)


def test_a_law_is_found_however_wrong_the_estimate_was() -> None:
    """Rows of a server that saturates, put together by what a wrong estimate expected of them,
    tell F, the bend and the price once they are read again and again with what they told.
    """
    rng, sums, estimate = random.Random(4), past(), [400.0, 1 / 5000, 0.1]
    for _ in range(200):
        busy_s, tokens = rng.uniform(0.5, 1.0), rng.uniform(0, 900)
        joules = busy_s * saturated(200 + 0.5 * tokens / busy_s, 1 / 500)
        expected_j = busy_s * saturated(400 + 0.1 * tokens / busy_s, 1 / 5000)
        sums.take([(FIXED, busy_s), (OWN, tokens)], (joules, 2.0), expected_j, 1.0)
    for _ in range(20):
        told = sums.read(estimate)
        estimate = non_negative(told.information, told.moment)
    assert estimate == pytest.approx([200.0, 1 / 500, 0.5], rel=0.02)


def test_only_what_is_like_it_is_replaced() -> None:
    """A thousand rows of a high power leave what was told of a low one as it was."""
    sums, low = past(), [(1.0, 0.0, 200.0)]
    sums.take([(FIXED, 1.0), (OWN, 0.0)], (200.0, 2.0), 200.0, 0.9)
    alone = flat(sums.read([200.0, 0.0, 0.5]))
    for _ in range(1000):
        sums.take([(FIXED, 1.0), (OWN, 800.0)], (600.0, 2.0), 600.0, 0.9)
    together = flat(sums.read([200.0, 0.0, 0.5]))
    high = flat(one_by_one([(1.0, 800.0, 600.0)], [200.0, 0.0, 0.5]))
    wanted = [one + 10 * other for one, other in zip(alone, high, strict=True)]
    assert alone == pytest.approx(flat(one_by_one(low, [200.0, 0.0, 0.5])))
    assert together == pytest.approx(wanted, rel=1e-6)


def test_what_is_forgotten_counts_less() -> None:
    """A tenth is kept of each sum."""
    sums = past()
    sums.take([(FIXED, 1.0), (OWN, 100.0)], (250.0, 2.0), 250.0, 1.0)
    before = flat(sums.read([200.0, 0.001, 0.5]))
    sums.forget(0.1)
    assert flat(sums.read([200.0, 0.001, 0.5])) == pytest.approx([0.1 * one for one in before])


def test_state_goes_through_json() -> None:
    """What is restored tells the same; what does not fit the parameters is refused."""
    sums = past()
    sums.take([(FIXED, 1.0), (OWN, 100.0)], (250.0, 2.0), 250.0, 1.0)
    plain = json.loads(json.dumps(sums.state()))
    again = past()
    again.restore(plain)
    assert flat(again.read([200.0, 0.001, 0.5])) == flat(sums.read([200.0, 0.001, 0.5]))
    again.add()
    with pytest.raises(ValueError, match="4"):
        again.restore(plain)
    plain[0][1]["busy_s"] = 0.0
    with pytest.raises(ValueError, match="busy"):
        past().restore(plain)
