"""Other processes, and requests that own their thread."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.books import Account, Books
from inferprint.records import IdlePolicyName
from inferprint.units import NS_PER_S
from inferprint.weights import ThreadCpuTime
from inferprint.windows import Window
from strategies import (
    device_windows,
    policies,
    traffic,
)
from traffic import (
    Run,
    assert_closed,
    close,
    earned,
    make_books,
    play,
    run,
    window,
)


def test_other_processes_get_their_part_of_the_active_energy() -> None:
    """Three quarters of the busy time are theirs; idle energy is not."""
    books = make_books("in_flight", 50.0)
    (account,) = play(books, [run(0, 1)], [window(0, 1, 250.0, busy_s=0.8, own_s=0.2)])
    assert earned(books, account) == pytest.approx((50.0, 50.0, 0.0))
    assert books.balance()["gpu:0"].other_processes_j == pytest.approx(150.0)


def test_active_energy_without_a_request_is_theirs_or_nobody_s() -> None:
    """Ours where the device says so is unattributed, for no request asked for it."""
    books = make_books("in_flight", 50.0)
    close(books, window(0, 1, 250.0, busy_s=0.8, own_s=0.2))
    balance = books.balance()["gpu:0"]
    assert (balance.other_processes_j, balance.unattributed_j) == pytest.approx((150.0, 50.0))
    close(books, window(1, 2, 250.0))
    assert books.balance()["gpu:0"].unattributed_j == pytest.approx(250.0)


def cpu_books() -> Books:
    """Books of a CPU that was read for a second, in which it did nothing."""
    books = make_books("in_flight", 0.0, weights=ThreadCpuTime)
    close(books, cpu_window(0, 1, 0.0, own_s=0.0))
    return books


def cpu_window(start_s: float, end_s: float, energy_j: float, own_s: float) -> Window:
    """A window in which this process alone used the CPU."""
    return window(start_s, end_s, energy_j, busy_s=own_s, own_s=own_s)


def active(books: Books, *accounts: Account) -> list[float]:
    return [earned(books, account).active_j for account in accounts]


def test_requests_that_own_their_thread_get_its_cpu_time() -> None:
    """One used three CPU seconds and one used one, in the same five seconds."""
    books = cpu_books()
    busy, lazy = Account("busy", NS_PER_S), Account("lazy", NS_PER_S)
    books.start(busy, cpu_ns=7 * NS_PER_S)
    books.start(lazy, cpu_ns=0)
    books.end(busy, 6 * NS_PER_S, cpu_ns=10 * NS_PER_S)
    books.end(lazy, 6 * NS_PER_S, cpu_ns=1 * NS_PER_S)
    close(books, cpu_window(1, 6, 400.0, own_s=4.0))
    assert active(books, busy, lazy) == pytest.approx([300.0, 100.0])
    assert_closed(books)


def test_threads_are_read_at_the_end_of_every_window() -> None:
    """A long request gets in each window what its thread used in that window."""
    books = cpu_books()
    first, second = Account("first", NS_PER_S), Account("second", NS_PER_S)
    books.start(first, cpu_ns=0)
    books.start(second, cpu_ns=0)
    clocks = {first: 1 * NS_PER_S, second: 3 * NS_PER_S}
    close(books, cpu_window(1, 6, 400.0, own_s=4.0), cpu_ns={})
    assert list(books.ledgers["gpu:0"].owners) == [first, second]
    assert active(books, first, second) == pytest.approx([200.0, 200.0])
    close(books, cpu_window(6, 10, 400.0, own_s=4.0), cpu_ns=clocks)
    assert active(books, first, second) == pytest.approx([300.0, 500.0])
    books.end(first, 15 * NS_PER_S, cpu_ns=6 * NS_PER_S)
    books.end(second, 15 * NS_PER_S, cpu_ns=3 * NS_PER_S)
    close(books, cpu_window(10, 15, 500.0, own_s=5.0))
    assert active(books, first, second) == pytest.approx([800.0, 500.0])
    assert list(books.ledgers["gpu:0"].owners) == []


def test_the_rest_of_the_process_goes_to_requests_without_a_thread() -> None:
    """Four CPU seconds, one of them in an owned thread: the two others share three."""
    books = cpu_books()
    owner, *others = (Account(name, NS_PER_S) for name in ("owner", "one", "two"))
    books.start(owner, cpu_ns=0)
    for other in others:
        books.start(other)
        books.end(other, 6 * NS_PER_S)
    books.end(owner, 6 * NS_PER_S, cpu_ns=NS_PER_S)
    close(books, cpu_window(1, 6, 400.0, own_s=4.0))
    assert active(books, owner, *others) == pytest.approx([100.0, 150.0, 150.0])
    assert_closed(books)


def test_work_that_no_request_s_thread_did_follows_theirs_where_all_own_one() -> None:
    """Three more CPU seconds were a pool's, on behalf of the two, in proportion to their own."""
    books = cpu_books()
    one, two = Account("one", NS_PER_S), Account("two", NS_PER_S)
    for account, seconds in ((one, 1), (two, 3)):
        books.start(account, cpu_ns=0)
        books.end(account, 6 * NS_PER_S, cpu_ns=seconds * NS_PER_S)
    close(books, cpu_window(1, 6, 700.0, own_s=7.0))
    assert active(books, one, two) == pytest.approx([175.0, 525.0])


def test_a_parent_s_thread_time_is_its_own_without_its_child_s() -> None:
    """Both run in one thread: the clock at the child's start and end tells them apart."""
    books = cpu_books()
    parent = Account("parent", NS_PER_S)
    books.start(parent, cpu_ns=0)
    child = Account("child", 2 * NS_PER_S, parent)
    books.start(child, cpu_ns=NS_PER_S, parent_cpu_ns=NS_PER_S)
    books.end(child, 5 * NS_PER_S, cpu_ns=3 * NS_PER_S, parent_cpu_ns=3 * NS_PER_S)
    books.end(parent, 6 * NS_PER_S, cpu_ns=4 * NS_PER_S)
    close(books, cpu_window(1, 6, 400.0, own_s=4.0))
    assert active(books, parent, child) == pytest.approx([200.0, 200.0])
    assert_closed(books)


def test_a_thread_is_known_though_its_request_began_before_the_first_reading() -> None:
    """The device is read later, or at that very instant: the thread's time counts from then."""
    for opens_s in (1, 2):
        books = make_books("in_flight", 0.0, weights=ThreadCpuTime)
        account = Account("request", NS_PER_S)
        books.start(account, cpu_ns=0)
        close(books, cpu_window(opens_s, 4, 300.0, own_s=3.0), cpu_ns={account: 3 * NS_PER_S})
        assert active(books, account) == pytest.approx([300.0])


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 10), st.booleans()), min_size=1, max_size=6
    ),
    st.lists(st.floats(0, 3), min_size=6, max_size=6),
    st.floats(0, 4),
)
def test_thread_time_keeps_the_books(
    requests: list[tuple[int, int, bool]], rates: list[float], own_s: float
) -> None:
    """Owners and others come and go, some threads idle, CPU times that do not add up: the
    books close, no share is negative, and shares sum to what was charged.
    """
    books, accounts = cpu_books(), list[Account]()
    ends = [starts + lasts for starts, lasts, _ in requests]

    def clock_ns(number: int, second: int) -> int:
        return round(rates[number] * second * NS_PER_S)

    for number, (starts, _, owns) in enumerate(requests):
        accounts.append(Account(number, starts * NS_PER_S))
        books.start(accounts[-1], cpu_ns=clock_ns(number, starts) if owns else None)
    for second in range(1, 21):
        for number, (_, _, owns) in enumerate(requests):
            if ends[number] == second:
                cpu_ns = clock_ns(number, second) if owns else None
                books.end(accounts[number], second * NS_PER_S, cpu_ns=cpu_ns)
        owners = books.ledgers["gpu:0"].owners
        clocks = {account: clock_ns(account.request, second + 1) for account in owners}
        close(books, cpu_window(second, second + 1, 100.0, own_s), cpu_ns=clocks)
        assert_closed(books)
    found = [earned(books, account) for account in accounts]
    charged_j = books.balance()["gpu:0"].requests_active_j
    assert math.fsum(part.active_j for part in found) == pytest.approx(charged_j, abs=1e-6)
    assert all(part.active_j >= 0 for part in found)
    assert all(account.settled for account in accounts)


@given(
    traffic(),
    device_windows(),
    st.lists(st.none() | st.floats(0, 2), min_size=8, max_size=8),
    policies,
)
def test_thread_time_of_parents_and_children_keeps_the_books(
    runs: list[Run],
    windows: list[Window],
    rates: list[float | None],
    policy: IdlePolicyName,
) -> None:
    """Some of a family own their thread and some do not: the books close at every moment, no
    share is negative, and shares sum to what was charged.
    """

    def clock_ns(number: int, at_ns: int) -> int | None:
        rate = rates[number]
        return None if rate is None else round(rate * at_ns)

    books = make_books(policy, 5.0, weights=ThreadCpuTime)
    accounts = play(books, runs, windows, watch=lambda _: assert_closed(books), clock_ns=clock_ns)
    found = [earned(books, account) for account in accounts]
    balance = books.balance()["gpu:0"]
    allowed_j = 1e-9 * balance.measured_j
    total_j = math.fsum(part.active_j for part in found)
    assert total_j == pytest.approx(balance.requests_active_j, rel=1e-9, abs=allowed_j)
    assert min(part.active_j for part in found) >= -allowed_j
    assert all(account.settled for account in accounts)


@pytest.mark.parametrize("own_s", [5e-324, 1.5e-323, 1e-12])
def test_less_cpu_time_than_a_clock_tells_is_none(own_s: float) -> None:
    """The books close, and requests without a thread of their own share alike: a subnormal
    number divided by is not exact any more.
    """
    books = cpu_books()
    runs = [run(1, 1.3), run(1.1, 1.7)]
    accounts = play(books, runs, [cpu_window(1, 2, 100.0, own_s=own_s)])
    assert_closed(books)
    shares_j = [earned(books, account).active_j for account in accounts]
    assert math.fsum(shares_j) == pytest.approx(100.0, rel=1e-9)
