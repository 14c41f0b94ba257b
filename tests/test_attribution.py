"""Who caused what: the shares of requests in a window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.books import Account
from inferprint.records import IdlePolicyName
from inferprint.units import NS_PER_S
from inferprint.windows import Window
from strategies import (
    LAST_WINDOW_TICK,
    TICK_NS,
    instants,
    policies,
    traffic,
    usual_watts,
)
from traffic import (
    Run,
    assert_closed,
    close,
    earned,
    make_books,
    play,
    run,
    shares,
    window,
)

END_NS = LAST_WINDOW_TICK * TICK_NS


@given(st.integers(1, 40), usual_watts, usual_watts, st.lists(instants(1, END_NS - 1)))
def test_equal_requests_get_equal_energy(
    count: int, idle_w: float, power_w: float, cuts_ns: list[int]
) -> None:
    """Those that start and end together pay alike for all, however the windows lie."""
    windows = cut(Window("gpu:0", 0, END_NS, power_w * END_NS / NS_PER_S), cuts_ns)
    found = shares([Run(TICK_NS, END_NS - TICK_NS)] * count, *windows, idle_w=idle_w)
    first = pytest.approx(found[0], rel=1e-12, abs=1e-12)
    assert all(part == first for part in found)


def test_overlap_is_shared_and_the_rest_is_not() -> None:
    """Alone a request gets all of the power, with another half of it."""
    found = shares([run(0, 6), run(4, 10)], window(0, 10, 1_000.0))
    assert [part.active_j for part in found] == pytest.approx([500.0, 500.0])
    found = shares([run(0, 10), run(4, 6)], window(0, 10, 1_000.0))
    assert [part.active_j for part in found] == pytest.approx([900.0, 100.0])


def cut(whole: Window, at_ns: Sequence[int]) -> list[Window]:
    """A window of constant power in pieces."""
    cuts = sorted({whole.start_ns, whole.end_ns, *at_ns})
    joules_per_ns = (whole.energy_j or 0.0) / (whole.end_ns - whole.start_ns)
    return [
        Window(whole.device_id, start, end, joules_per_ns * (end - start))
        for start, end in pairwise(cuts)
    ]


@given(
    traffic(),
    st.lists(instants(1, END_NS - 1), min_size=1, max_size=10),
    policies,
    usual_watts,
    st.floats(0, 1),
)
def test_splitting_a_window_changes_nothing_at_constant_power(
    runs: list[Run], cuts_ns: list[int], policy: IdlePolicyName, idle_w: float, above: float
) -> None:
    """Read once or read often: every request gets the same, and so does the pool. Where no
    request runs, the power is that of idling, as it is with one that runs throughout.
    """
    power_w = idle_w + 1_000.0 * above
    throughout = [*runs, Run(0, END_NS)] if above else runs
    whole = Window("gpu:0", 0, END_NS, power_w * END_NS / NS_PER_S)
    once = shares(throughout, whole, policy=policy, idle_w=idle_w)
    often = shares(throughout, *cut(whole, cuts_ns), policy=policy, idle_w=idle_w)
    for before, after in zip(once, often, strict=True):
        assert after == pytest.approx(before, rel=1e-9, abs=1e-9 * (whole.energy_j or 0.0))


@given(traffic(), st.lists(instants(1, END_NS - 1), min_size=1, max_size=10), usual_watts)
def test_splitting_a_window_changes_nothing_while_idle_power_is_unknown(
    runs: list[Run], cuts_ns: list[int], power_w: float
) -> None:
    """Then requests get the time in which they ran, whole, and the rest is unattributed."""
    runs = [*runs, Run(0, END_NS)]  # no quiet window, so that idle power stays unknown
    whole = Window("gpu:0", 0, END_NS, power_w * END_NS / NS_PER_S)
    found = []
    for windows in ([whole], cut(whole, cuts_ns)):
        books = make_books("in_flight", None)
        found.append([earned(books, account) for account in play(books, runs, windows)])
    for before, after in zip(*found, strict=True):
        assert after == pytest.approx(before, rel=1e-9, abs=1e-9 * (whole.energy_j or 0.0))


def test_a_request_that_runs_long_is_exact_after_millions_of_joules() -> None:
    """A short one beside it is told apart to 1e-6 of its own energy."""
    books = make_books(idle_w=0.0)
    long_one = Account("long", 0)
    books.start(long_one)
    close(books, window(0, 1_000_000, 1e9))
    short_one = Account("short", 1_000_000 * NS_PER_S)
    books.start(short_one)
    books.end(short_one, 1_000_000 * NS_PER_S + NS_PER_S // 10)
    close(books, window(1_000_000, 1_000_001, 1_000.0))
    assert earned(books, short_one).active_j == pytest.approx(50.0, rel=1e-6)
    assert_closed(books)


@given(st.floats(10.0, 2_000.0))
def test_what_is_expected_in_steady_power_is_what_comes(power_w: float) -> None:
    """With one request in flight at constant power, the estimate before a window closes is
    what the books hold after it.
    """
    books = make_books("in_flight", 10.0)
    account = Account("request", 0)
    books.start(account)
    close(books, window(0, 1, power_w))
    ledger, stake = books.stakes_of(account)[0]
    expected = ledger.expected(stake, 0, 2 * NS_PER_S, sharers=1)
    close(books, window(1, 2, power_w))
    assert expected == pytest.approx(ledger.earned(stake), rel=1e-9)


def test_nothing_is_expected_of_a_device_that_has_told_nothing() -> None:
    """Before a busy window its power is not known."""
    books = make_books("in_flight", 10.0)
    account = Account("request", 0)
    books.start(account)
    ledger, stake = books.stakes_of(account)[0]
    assert ledger.expected(stake, 0, NS_PER_S, sharers=1) is None
