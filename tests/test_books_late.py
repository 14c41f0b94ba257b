"""The books when threads tell late, or out of order, of what happened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.books import Account
from inferprint.records import IdlePolicyName
from inferprint.units import NS_PER_S
from strategies import (
    idle_powers,
    policies,
)
from traffic import (
    assert_closed,
    close,
    earned,
    make_books,
    sums,
    window,
)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(0, 8)), min_size=1),
    policies,
    idle_powers,
)
def test_the_books_close_when_events_are_told_late(
    requests: list[tuple[int, int, int]], policy: IdlePolicyName, idle_w: float | None
) -> None:
    """A thread that was held up tells of a start, an end or both when the windows that they
    lie in have closed: all books close, and every request settles.
    """
    books = make_books(policy, idle_w)
    accounts: dict[int, Account] = {}
    for second in range(60):
        for number, (starts, lasts, late) in enumerate(requests):
            if number not in accounts and starts + late % 3 <= second:
                accounts[number] = Account(number, starts * NS_PER_S)
                books.start(accounts[number])
            account = accounts.get(number)
            if account and account.ended_ns is None and starts + lasts + late <= second:
                books.end(account, (starts + lasts) * NS_PER_S)
        close(books, window(second, second + 1, 100.0))
        assert_closed(books)
    assert all(account.settled for account in accounts.values())
    shares, balance = sums(books, list(accounts.values())), books.balance()["gpu:0"]
    assert shares.active_j == pytest.approx(balance.requests_active_j, rel=1e-9, abs=1e-6)
    assert shares.idle_j == pytest.approx(balance.requests_idle_j, rel=1e-9, abs=1e-6)


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 5),  # the parent, where there is one of that number
            st.integers(0, 8),  # seconds to its start, from the parent's
            st.integers(1, 8),  # seconds that it runs
            st.integers(0, 3),  # seconds until the start is told
            st.integers(0, 8),  # seconds until the end is told
        ),
        min_size=1,
        max_size=6,
    ),
    policies,
    idle_powers,
    st.integers(1, 3),
)
def test_the_books_close_when_parents_and_children_are_told_late(
    requests: list[tuple[int | None, int, int, int, int]],
    policy: IdlePolicyName,
    idle_w: float | None,
    window_s: int,
) -> None:
    """Children that start or end after their parents, told before or long after: the books
    close at every moment, every request settles, and what comes later is charged in full.
    """
    books = make_books(policy, idle_w)
    accounts, told = list[Account](), list[int]()
    events = list[tuple[int, int, Callable[[], None]]]()
    for number, (parent, after_s, lasts_s, start_late_s, end_late_s) in enumerate(requests):
        above = None if parent is None or parent >= number else accounts[parent]
        starts_s = after_s + (0 if above is None else above.started_ns // NS_PER_S)
        account = Account(number, starts_s * NS_PER_S, above)
        told_s = starts_s + start_late_s
        if above is not None:  # its parent was told of before it
            told_s = max(told_s, told[above.request])
        told.append(told_s)
        ends_ns = (starts_s + lasts_s) * NS_PER_S
        accounts.append(account)
        events.append((told_s, number, partial(books.start, account)))
        ended_s = max(told_s, starts_s + lasts_s + end_late_s)
        events.append((ended_s, 10 + number, partial(books.end, account, ends_ns)))
    for since_s in range(0, 120, window_s):
        for _, _, tell in sorted(e for e in events if since_s <= e[0] < since_s + window_s):
            tell()
        close(books, window(since_s, since_s + window_s, 100.0))
        assert_closed(books)
    assert all(account.settled for account in accounts)
    last = Account("last", 130 * NS_PER_S)
    books.start(last)
    books.end(last, 140 * NS_PER_S)
    close(books, window(since_s + window_s, 130, 100.0), window(130, 140, 1_000.0))
    share = earned(books, last)
    ledger = books.ledgers["gpu:0"]
    idle_j = min(1_000.0, 10 * ledger.idle.watts) if ledger.idle.watts is not None else 0.0
    assert share.active_j == pytest.approx(1_000.0 - idle_j, abs=1e-5)


def test_a_request_that_was_told_late_does_not_hold_up_others() -> None:
    """One that was told two seconds late, whole, is charged; those that came in time are
    settled with the windows in which they ended, as if it had not been there.
    """
    books = make_books(idle_w=0.0)
    early = Account("early", 0)
    books.start(early)
    books.end(early, 3 * NS_PER_S)
    close(books, window(0, 3, 300.0))
    late = Account("late", NS_PER_S // 2)
    books.start(late)
    books.end(late, 5 * NS_PER_S // 2)
    close(books, window(3, 3.1, 10.0))
    in_time = Account("in time", round(3.2 * NS_PER_S))
    books.start(in_time)
    books.end(in_time, round(3.3 * NS_PER_S))
    close(books, window(3.1, 3.4, 30.0))
    assert_closed(books)
    assert in_time.settled


@pytest.mark.parametrize("late", [False, True])
def test_an_end_that_is_told_late_does_not_lengthen_the_request(late: bool) -> None:
    """Its start was told in time, its end just after the window in which it lies was closed:
    of the next window, in which another runs, it gets next to nothing.
    """
    books = make_books(idle_w=0.0)
    first, second = Account("first", 0), Account("second", 0)
    books.start(first)
    books.start(second)
    if not late:
        books.end(first, 10 * NS_PER_S - 1_000)
    close(books, window(0, 10, 1_000.0))
    if late:
        books.end(first, 10 * NS_PER_S - 1_000)
    close(books, window(10, 20, 1_000.0))
    assert earned(books, first).active_j == pytest.approx(500.0, abs=1e-3)
    assert earned(books, second).active_j == pytest.approx(1_500.0, abs=1e-3)


def test_a_child_that_starts_after_its_parent_ended_leaves_the_books_closed() -> None:
    """Its start is told before the parent's end, though it came later: two threads."""
    books = make_books(idle_w=0.0)
    parent = Account("parent", 0)
    books.start(parent)
    child = Account("child", NS_PER_S // 2, parent)
    books.start(child)
    books.end(parent, NS_PER_S // 4)
    close(books, window(0, 1, 100.0))
    assert_closed(books)
    books.end(child, 2 * NS_PER_S)
    close(books, window(1, 2, 100.0))
    assert_closed(books)
    assert earned(books, child).active_j >= 100.0


def test_a_child_that_was_told_late_leaves_its_parent_s_end_as_it_was() -> None:
    """The parent ends soon after; it is not in flight again after its end, and who comes next
    gets all of what it used.
    """
    books = make_books(idle_w=0.0)
    parent, other = Account("parent", 0), Account("other", 0)
    books.start(parent)
    books.start(other)
    books.end(other, 6 * NS_PER_S)
    close(books, window(0, 6, 100.0))
    child = Account("child", NS_PER_S, parent)
    books.start(child)
    books.end(child, 2 * NS_PER_S)
    books.end(parent, round(6.5 * NS_PER_S))
    close(books, window(6, 10, 100.0))
    following = Account("following", 10 * NS_PER_S)
    books.start(following)
    books.end(following, 20 * NS_PER_S)
    close(books, window(10, 20, 100.0))
    assert_closed(books)
    assert earned(books, following).active_j == pytest.approx(100.0, rel=1e-9)


def test_the_books_are_exact_after_many_windows_with_a_request_that_never_ends() -> None:
    """Ten thousand windows, a request in each, and one that runs through all of them."""
    books = make_books("amortised", 50.0)
    books.start(Account("never ends", 0))
    for second in range(10_000):
        account = Account(second, second * NS_PER_S + second)
        books.start(account)
        books.end(account, account.started_ns + 123_456_789)
        close(books, window(second, second + 1, 100.0 + second % 7 / 3))
        books.settled()
    assert books.balance()["gpu:0"].closure_error <= 1e-12
    assert_closed(books)
