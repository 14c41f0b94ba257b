"""The time line: what one equal share of each instant adds up to, for readers at any instant."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.books import Account
from inferprint.stakes import ARRIVE, END
from inferprint.timeline import PARTS, TRIM_ABOVE, Event, State, Timeline
from strategies import LAST_WINDOW_TICK, TICK_NS, instants, traffic
from traffic import Run, events_of

END_NS = LAST_WINDOW_TICK * TICK_NS


def told(runs: list[Run], owners: frozenset[int] = frozenset()) -> list[Event]:
    """Starts and ends in order; those of ``owners`` with a thread's clock."""
    accounts = [Account(number, one.start_ns) for number, one in enumerate(runs)]
    return [
        (event.at_ns, END if event.ends else ARRIVE, accounts[event.number], clock)
        for event in events_of(runs)
        for clock in [0 if event.number in owners else None]
    ]


def integrals(runs: list[Run], until_ns: int) -> tuple[float, int]:
    """Of dt/n, and of the time in which nobody is there, stretch by stretch."""
    instants_ns = sorted({0, until_ns, *(t for one in runs for t in (one.start_ns, one.end_ns))})
    share_ns, quiet_ns = 0.0, 0
    for since_ns, to_ns in pairwise(at_ns for at_ns in instants_ns if at_ns <= until_ns):
        count = sum(one.start_ns <= since_ns < one.end_ns for one in runs)
        share_ns += (to_ns - since_ns) / count if count else 0.0
        quiet_ns += 0 if count else to_ns - since_ns
    return share_ns, quiet_ns


@given(traffic(children=False), instants(0, END_NS), st.frozensets(st.integers(0, 7)))
def test_its_integrals_are_those_of_the_requests_in_flight(
    runs: list[Run], until_ns: int, owners: frozenset[int]
) -> None:
    """At any instant: of all of them, and of those that do not own their thread."""
    timeline = Timeline()
    timeline.extend(told(runs, owners))
    marks, state = timeline.read(0, until_ns)
    share_ns, quiet_ns = integrals(runs, until_ns)
    assert state.share / PARTS == pytest.approx(share_ns, rel=1e-12, abs=1e-9)
    assert state.quiet_ns == quiet_ns
    share_ns, quiet_ns = integrals(
        [one for number, one in enumerate(runs) if number not in owners], until_ns
    )
    assert state.pool / PARTS == pytest.approx(share_ns, rel=1e-12, abs=1e-9)
    assert state.poolless_ns == quiet_ns
    assert state.running == sum(one.start_ns <= until_ns < one.end_ns for one in runs)
    assert len(marks) == sum((t <= until_ns) for one in runs for t in (one.start_ns, one.end_ns))


@given(traffic(children=False), st.lists(instants(0, END_NS), max_size=8), st.booleans())
def test_readers_see_every_event_once_wherever_they_stop(
    runs: list[Run], stops_ns: list[int], at_once: bool
) -> None:
    """Told at once or as time passes, a reader's pieces are the whole, and each begins in the
    state in which the one before it ended.
    """
    whole, piecewise, events = Timeline(), Timeline(), told(runs)
    whole.extend(events)
    marks, _ = whole.read(0, END_NS)
    seen: list[object] = []
    if at_once:
        piecewise.extend(events)
    for stop_ns in [*sorted(stops_ns), END_NS]:
        if not at_once:
            piecewise.extend([event for event in events if event[0] <= stop_ns])
            events = [event for event in events if event[0] > stop_ns]
        found, state = piecewise.read(len(seen), stop_ns)
        assert all(mark[0] <= stop_ns for mark in found)
        assert _near(state, whole.read(0, stop_ns)[1])
        seen += [mark[:4] for mark in found]
        assert piecewise.unread(len(seen)) == (len(marks) - len(seen) if at_once else 0)
    assert [kind for _, kind, *_ in seen] == [mark[1] for mark in marks]  # type: ignore[misc]


def _near(state: State, other: State) -> bool:
    """Equal, but for the last parts of an integral that was taken in pieces."""
    exact = state._replace(share=0, pool=0) == other._replace(share=0, pool=0)
    return exact and abs(state.share - other.share) < 100 and abs(state.pool - other.pool) < 100


def test_an_event_that_is_told_late_counts_from_the_latest() -> None:
    """What was read before it does not change."""
    timeline, one, two = Timeline(), Account(1, 0), Account(2, 40)
    timeline.extend([(0, ARRIVE, one, None), (100, END, one, None)])
    before = timeline.read(0, 100)[1]
    timeline.extend([(40, ARRIVE, two, None)])
    marks, state = timeline.read(2, 150)
    assert [mark[0] for mark in marks] == [100]
    assert state.share - before.share == 50 * PARTS
    assert state.running == 1


def test_shares_are_as_exact_after_years_as_on_the_first_day() -> None:
    """A nanosecond between three requests, a hundred years on."""
    timeline, years_ns = Timeline(), 100 * 365 * 86_400 * 10**9
    accounts = [Account(number, 0) for number in range(3)]
    timeline.extend([(0, ARRIVE, account, None) for account in accounts])
    timeline.extend([(years_ns, END, Account(3, 0), None)])
    timeline.extend([(years_ns, ARRIVE, Account(4, 0), None)])
    since, until = (timeline.read(5, years_ns + passed)[1] for passed in (0, 1))
    assert (until.share - since.share) / PARTS == pytest.approx(1 / 3, rel=1e-9)


def test_what_every_reader_has_read_is_let_go() -> None:
    """The slowest reader's place decides; readers go on where they were."""
    timeline, count = Timeline(), 2 * TRIM_ABOVE
    timeline.extend([(at_ns, ARRIVE, Account(at_ns, at_ns), None) for at_ns in range(count)])
    timeline.trim([count, 10])
    assert timeline.unread(10) == count - 10
    assert len(timeline.read(10, count)[0]) == count - 10
    timeline.trim([count, count - 5])
    marks, state = timeline.read(count - 5, count)
    assert [mark[0] for mark in marks] == list(range(count - 5, count))
    assert state.running == count
    assert timeline.unread(count) == 0
