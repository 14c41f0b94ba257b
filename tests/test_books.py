"""The books: they close at every moment, whatever happens."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.books import Account, Books
from inferprint.records import IdlePolicyName
from inferprint.stakes import Earned
from inferprint.units import NS_PER_S
from inferprint.windows import Window
from strategies import (
    device_windows,
    idle_powers,
    policies,
    traffic,
)
from traffic import (
    Reference,
    Run,
    assert_closed,
    close,
    earned,
    make_books,
    play,
    run,
    sums,
    window,
)

DEVICES = ("gpu:0", "gpu:1", "cpu:0")


@given(traffic(), st.tuples(*map(device_windows, DEVICES)), policies, idle_powers)
def test_the_books_of_every_device_close_at_every_moment(
    runs: list[Run],
    windows: tuple[list[Window], ...],
    policy: IdlePolicyName,
    idle_w: float | None,
) -> None:
    """After each window of each of three devices the six terms sum to its meter, none is
    negative, and once all requests have ended their shares sum to what the books charged.
    """
    books = make_books(policy, idle_w, DEVICES)
    flat = [one for of_device in windows for one in of_device]
    accounts = play(books, runs, flat, watch=lambda _: assert_closed(books))
    for place, device_id in enumerate(DEVICES):
        balance, shares = books.balance()[device_id], sums(books, accounts, place)
        charged_j = (
            balance.requests_active_j,
            balance.requests_idle_j,
            balance.requests_standing_j,
        )
        allowed_j = 1e-9 * balance.measured_j
        assert shares == pytest.approx(charged_j, rel=1e-9, abs=allowed_j)
        assert balance.measured_j == pytest.approx(
            math.fsum(one.energy_j or 0.0 for one in windows[place]), rel=1e-12
        )
        assert min(earned(books, account, place) for account in accounts) >= (-allowed_j,) * 3
    assert all(account.settled for account in accounts)


@given(traffic(), device_windows(), policies, idle_powers)
def test_the_shares_are_those_of_a_reference_that_looks_at_every_request(
    runs: list[Run], windows: list[Window], policy: IdlePolicyName, idle_w: float | None
) -> None:
    """Active, idle and standing energy of every request agree with a slow computation that
    goes through all requests in every stretch of time.
    """
    books, reference = make_books(policy, idle_w), Reference(runs, policy)
    ledger = books.ledgers["gpu:0"]
    accounts = play(books, runs, windows, watch=lambda w: reference.close(w, ledger.idle.watts))
    balance = books.balance()["gpu:0"]
    allowed_j = 1e-9 * balance.measured_j
    for number, account in enumerate(accounts):
        expected = (
            reference.active_j[number],
            reference.idle_j[number],
            reference.standing_j[number],
        )
        assert earned(books, account) == pytest.approx(expected, rel=1e-9, abs=allowed_j)
    assert balance.standing_j == pytest.approx(reference.pool_j, rel=1e-9, abs=allowed_j)
    assert balance.standing_total_j == pytest.approx(
        reference.standing_total_j, rel=1e-9, abs=allowed_j
    )


@given(
    traffic(),
    st.tuples(*map(device_windows, DEVICES[:2])),
    policies,
    idle_powers,
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_events_are_told_changes_nothing(
    runs: list[Run],
    windows: tuple[list[Window], ...],
    policy: IdlePolicyName,
    idle_w: float | None,
    random: Random,
) -> None:
    """Threads tell of their requests in any order between two windows; all get the same."""
    flat = [one for of_device in windows for one in of_device]
    plain, shuffled = (make_books(policy, idle_w, DEVICES[:2]) for _ in range(2))
    first = play(plain, runs, flat)
    second = play(shuffled, runs, flat, shuffle=random)
    for place, device_id in enumerate(DEVICES[:2]):
        allowed_j = 1e-9 * plain.balance()[device_id].measured_j
        for before, after in zip(first, second, strict=True):
            assert earned(shuffled, after, place) == pytest.approx(
                earned(plain, before, place), rel=1e-9, abs=allowed_j
            )


@given(traffic(), st.tuples(*map(device_windows, DEVICES[:2])), policies, idle_powers)
def test_devices_keep_books_of_their_own(
    runs: list[Run],
    windows: tuple[list[Window], ...],
    policy: IdlePolicyName,
    idle_w: float | None,
) -> None:
    """With the devices listed the other way round, or one of them away, each has the same
    books to the bit.
    """
    flat = [one for of_device in windows for one in of_device]
    both, turned = (
        make_books(policy, idle_w, devices) for devices in (DEVICES[:2], DEVICES[1::-1])
    )
    play(both, runs, flat)
    play(turned, runs, flat)
    assert both.balance() == turned.balance()
    alone = make_books(policy, idle_w, DEVICES[:1])
    play(alone, runs, windows[0])
    assert alone.balance()["gpu:0"] == both.balance()["gpu:0"]


@given(traffic(), device_windows(), policies, idle_powers)
def test_what_is_charged_does_not_change_after_settlement(
    runs: list[Run], windows: list[Window], policy: IdlePolicyName, idle_w: float | None
) -> None:
    """A settled request's energy, provenance and flags stay as they were."""
    books = make_books(policy, idle_w)
    found: dict[Account, tuple[object, ...]] = {}

    def look(_: Window) -> None:
        for account in books.settled():
            found[account] = _state(books, account)

    accounts = play(books, runs, windows, watch=look)
    assert set(found) == set(accounts)
    assert all(_state(books, account) == then for account, then in found.items())


def _state(books: Books, account: Account) -> tuple[object, ...]:
    ledger, stake = books.stakes_of(account)[0]
    return earned(books, account), ledger.provenance_of(stake), ledger.said(stake)


@given(traffic(), st.tuples(*map(device_windows, DEVICES[:2])), policies, idle_powers, st.data())
def test_the_books_close_when_requests_are_given_up(
    runs: list[Run],
    windows: tuple[list[Window], ...],
    policy: IdlePolicyName,
    idle_w: float | None,
    data: st.DataObject,
) -> None:
    """Requests settled before their devices were read keep what they had been paid; what they
    earned since is unattributed, and the paid parts still sum to what the books charged.
    """
    books = make_books(policy, idle_w, DEVICES[:2])
    paid: dict[Account, list[Earned]] = {}

    def give_up(one: Window) -> None:
        assert_closed(books)
        books.give_up(data.draw(st.sampled_from([0, one.start_ns, one.end_ns])))
        assert_closed(books)
        for account in books.settled():
            paid[account] = [earned(books, account, place) for place in range(2)]

    flat = [one for of_device in windows for one in of_device]
    accounts = play(books, runs, flat, watch=give_up)
    assert set(paid) == set(accounts)
    for place, device_id in enumerate(DEVICES[:2]):
        balance = books.balance()[device_id]
        charged_j = (
            balance.requests_active_j,
            balance.requests_idle_j,
            balance.requests_standing_j,
        )
        total = [math.fsum(parts[place][i] for parts in paid.values()) for i in range(3)]
        assert total == pytest.approx(charged_j, rel=1e-9, abs=1e-9 * balance.measured_j)


def test_giving_up_settles_only_those_that_ended_by_then() -> None:
    """One that runs, and one that ended later, wait on."""
    books = make_books(idle_w=0.0)
    accounts = [Account(number, 0) for number in range(3)]
    for account in accounts:
        books.start(account)
    books.end(accounts[0], NS_PER_S)
    books.end(accounts[1], 2 * NS_PER_S)
    assert books.unsettled_by(NS_PER_S)
    assert not books.unsettled_by(0)
    books.give_up(NS_PER_S)
    assert [account.settled for account in accounts] == [True, False, False]
    assert books.settled() == accounts[:1]
    assert books.settled() == []


def test_what_a_request_earned_after_it_was_given_up_is_nobody_s() -> None:
    """Its receipt stands at what had been paid, and the window that comes later is
    unattributed as far as it is its.
    """
    books = make_books(idle_w=0.0)
    account = Account("request", 0)
    books.start(account)
    close(books, window(0, 1, 100.0))
    books.end(account, 2 * NS_PER_S)
    books.give_up(2 * NS_PER_S)
    assert earned(books, account).active_j == 100.0
    close(books, window(1, 2, 40.0))
    balance = books.balance()["gpu:0"]
    assert (balance.requests_active_j, balance.unattributed_j) == (100.0, 40.0)
    assert earned(books, account).active_j == 100.0


def test_an_unread_device_keeps_a_request_waiting_until_it_is_abandoned() -> None:
    """One device has closed its window, the other has not: the request is not settled. A
    window without energy settles it, and what the counter says later is nobody's.
    """
    books = make_books(idle_w=0.0, devices=("gpu:0", "gpu:1"))
    account = Account("request", 0)
    books.start(account)
    books.end(account, NS_PER_S)
    close(books, window(0, 2, 100.0))
    assert not account.settled
    assert books.backlog("gpu:1") == 2
    close(books, window(0, 2, None, device_id="gpu:1"))
    assert account.settled
    assert books.backlog("gpu:1") == 0
    ledger, stake = books.stakes_of(account)[1]
    assert ledger.provenance_of(stake) == "unknown"
    close(books, window(2, 4, 300.0, device_id="gpu:1", gap=True))
    assert_closed(books)
    assert books.balance()["gpu:1"].unattributed_j == 300.0


def test_a_request_without_devices_is_settled_at_its_end() -> None:
    """There is nothing to wait for."""
    books = make_books(devices=())
    parent = Account("parent", 0)
    books.start(parent)
    child = Account("child", 1, parent)
    books.start(child)
    books.end(child, 2)
    assert books.settled() == [child]
    books.end(parent, 3)
    assert books.settled() == [parent]
    assert books.balance() == {}


def test_a_parent_is_not_in_flight_while_its_children_run() -> None:
    """Two children overlap: the parent gets the time before the first and after the last."""
    runs = [run(0, 10), run(2, 6, 0), run(4, 8, 0)]
    books = make_books(idle_w=0.0)
    accounts = play(books, runs, [window(0, 10, 1_000.0)])
    shares = [earned(books, account).active_j for account in accounts]
    assert shares == pytest.approx([400.0, 300.0, 300.0], rel=1e-9)
    assert accounts[0].children == [1, 2]


def test_a_child_that_outlives_its_parent_is_on_its_own() -> None:
    """The parent is settled without it, and gets nothing after the child's start."""
    books = make_books(idle_w=0.0)
    accounts = play(books, [run(0, 4), run(2, 8, 0)], [window(0, 5, 500.0), window(5, 10, 500.0)])
    assert [earned(books, account).active_j for account in accounts] == pytest.approx([200, 800])
    assert accounts[0].children == ()
    assert [account.request for account in books.settled()] == [0, 1]


@pytest.mark.parametrize("depth", [2, 50])
def test_deep_nesting_charges_nothing_twice(depth: int) -> None:
    """Each level runs a second before its child and a second after; the sum is the meter's."""
    runs = [run(level, 2 * depth - level, level - 1 if level else None) for level in range(depth)]
    books = make_books(idle_w=0.0)
    accounts = play(books, runs, [window(0, 2 * depth, 200.0 * depth)])
    assert [earned(books, account).active_j for account in accounts] == pytest.approx([200] * depth)


def test_a_child_is_settled_before_its_parent() -> None:
    """So that the parent's receipt can hold it."""
    books = make_books(idle_w=0.0)
    play(books, [run(0, 3), run(1, 2, 0)], [window(0, 4, 400.0)])
    assert [account.request for account in books.settled()] == [1, 0]
