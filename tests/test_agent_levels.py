"""What one equal share of the host has earned, as a worker follows it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import flags
from inferprint.agent.estimates import provisional
from inferprint.agent.levels import MOST_KEPT, Draw, Levels, News
from inferprint.records import WEAKEST_FIRST, Device
from inferprint.units import NS_PER_S

GPU = Device("gpu:0", "gpu", "gpu")
MEASURED = WEAKEST_FIRST.index("measured")


def news(at_s: float, share_s: float, active_w: float | None = 100.0, running: int = 1) -> News:
    """News of one device that idles at 20 W."""
    draw = Draw(active_w, 20.0, 0.5, MEASURED, share_s, running)
    return News(round(at_s * NS_PER_S), share_s, running, (draw,))


def at(levels: Levels, at_s: float, own: int = 1, busy_s: float = 0.0) -> tuple[float, ...]:
    """Seconds and joules at an instant."""
    level = levels.at(round(at_s * NS_PER_S), own, round(busy_s * NS_PER_S))
    assert level is not None
    return (level.share_s, *level.joules[0])


def test_nothing_is_known_before_the_first_news() -> None:
    """No agent, no level."""
    assert Levels().at(5) is None
    assert Levels().news is None


def test_levels_grow_by_share_and_power() -> None:
    """Between two news, each watt counts for as long as the share has grown."""
    levels = Levels()
    levels.take(news(1, 0.0))
    levels.take(news(2, 0.5))
    assert at(levels, 2) == pytest.approx((0.5, 50.0, 10.0))
    assert at(levels, 1.5) == pytest.approx((0.25, 25.0, 5.0))
    assert at(levels, 0.5) == pytest.approx((0.0, 0.0, 0.0))


def test_the_future_is_as_the_latest_news() -> None:
    """Shared by those that ran then, or by all of this process's own, whichever are more."""
    levels = Levels()
    levels.take(news(1, 0.0, running=2))
    assert at(levels, 2) == pytest.approx((0.5, 50.0, 10.0))
    assert at(levels, 2, own=4) == pytest.approx((0.25, 25.0, 5.0))


def test_quiet_time_earns_nothing() -> None:
    """With none in flight at the latest news, a share grows from the first start on."""
    levels = Levels()
    levels.take(news(1, 0.0, running=0))
    assert at(levels, 3, busy_s=2.5) == pytest.approx((0.5, 50.0, 10.0))


def test_another_agents_levels_begin_anew() -> None:
    """Its share is less, or its devices are others."""
    levels = Levels()
    levels.take(news(1, 0.0))
    levels.take(news(2, 9.0))
    levels.take(news(3, 1.0))
    assert at(levels, 3) == (1.0, 0.0, 0.0)


@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0, 2), st.floats(0, 500)), max_size=100))
def test_levels_never_go_back_and_are_bounded(steps: list[tuple[float, float, float]]) -> None:
    """Whatever the load, later levels are no less, and only the latest are kept."""
    levels, at_s, share_s, ends = Levels(), 1.0, 0.0, []
    for passed_s, more_s, watts in steps:
        at_s, share_s = at_s + passed_s, share_s + more_s
        levels.take(news(at_s, share_s, watts))
        ends.append(at_s)
    found = [at(levels, end_s + 0.003) for end_s in ends[-MOST_KEPT + 2 :]]
    for before, after in itertools.pairwise(found):
        assert all(low <= high + 1e-6 for low, high in zip(before, after, strict=True))
    assert levels._state is None or len(levels._state[0]) <= MOST_KEPT


def test_time_of_children_is_left_out() -> None:
    """A level moved by what was between two others begins later by as much."""
    levels = Levels()
    levels.take(news(0, 0.0))
    levels.take(news(4, 4.0))
    first, second, third = (levels.at(s * NS_PER_S) for s in (0, 1, 3))
    assert first is not None
    assert second is not None
    assert third is not None
    moved = first.without(second, third)
    assert (moved.share_s, moved.joules) == (2.0, ((200.0, 40.0),))


def test_an_estimate_is_the_difference_of_two_levels() -> None:
    """With its part of the waiting, provisional, prorated at best."""
    levels = Levels()
    levels.take(news(0, 0.0))
    levels.take(news(4, 2.0))
    until = levels.at(4 * NS_PER_S)
    said = provisional(until, levels.news, [GPU], levels.at(0), "amortised")
    (part,) = said.parts
    assert part.earned == pytest.approx((200.0, 40.0, 0.5))
    assert (part.provenance, said.reserved_s) == ("prorated", 2.0)
    assert said.said == {flags.PROVISIONAL}


def test_an_estimate_of_a_device_that_is_not_known_is_unknown() -> None:
    """Not 0: no request ran while it was read."""
    levels = Levels()
    levels.take(news(0, 0.0, active_w=None))
    level = levels.at(0)
    (part,) = provisional(level, levels.news, [GPU], level, "amortised").parts
    assert part.provenance == "unknown"
    nothing = provisional(None, None, [], None, "amortised")
    assert nothing.parts == ()
    assert nothing.said == {flags.PROVISIONAL, flags.AGENT_LOST}
