"""When all sources are read together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferprint.ticks import Ticks

INTERVAL_NS = 100_000_000
instants = st.integers(0, 10**18)
moves = st.integers(0, 8)


def moved(times: int) -> Ticks:
    """Ticks whose offset was moved so many times."""
    ticks = Ticks(INTERVAL_NS)
    while times:
        times -= ticks.seen(beside=True)
    return ticks


@given(instants, moves)
def test_the_next_is_later_by_an_interval_at_most(at_ns: int, times: int) -> None:
    """And the one after it an interval later, wherever the offset is."""
    ticks = moved(times)
    next_ns = ticks.after(at_ns)
    assert at_ns < next_ns <= at_ns + INTERVAL_NS
    assert ticks.after(next_ns) == next_ns + INTERVAL_NS
    assert ticks.after(next_ns - 1) == next_ns


def test_they_stay_while_all_can_be_read_then() -> None:
    """A counter that is beside them for a second, now and then, moves nothing."""
    ticks = Ticks(INTERVAL_NS)
    before_ns = ticks.after(0)
    for _ in range(100):
        assert not any(ticks.seen(beside=True) for _ in range(10))
        assert not ticks.seen(beside=False)
    assert ticks.after(0) == before_ns


def test_they_move_away_from_a_counter_that_steps_just_then() -> None:
    """After two seconds, and to eight other places at the most: some counters may be beside
    wherever they are.
    """
    ticks = Ticks(INTERVAL_NS)
    asked = [ticks.seen(beside=True) for _ in range(1_000)]
    assert asked.index(True) == 19
    assert sum(asked) == 8
