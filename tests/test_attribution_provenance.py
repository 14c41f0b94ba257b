"""How well the energy of a request is known, and what its receipt must say."""

from __future__ import annotations

import pytest

from inferprint import flags
from inferprint.attribution import Ledger
from inferprint.books import Account, Books
from inferprint.idle import IdlePower
from inferprint.records import Device
from inferprint.standing import idle_policy
from inferprint.units import NS_PER_S
from inferprint.weights import TimeInFlight
from traffic import (
    Run,
    close,
    earned,
    make_books,
    play,
    provenance,
    run,
    said,
    window,
)


def test_a_request_alone_in_its_windows_is_measured() -> None:
    """The counter counted it and nothing else, from a window's start to a window's end."""
    books = make_books(idle_w=10.0)
    windows = [window(0, 1, 20.0), window(1, 2, 100.0), window(2, 3, 90.0), window(3, 4, 10.0)]
    (account,) = play(books, [run(1.0, 3.0)], windows[1:3])
    assert provenance(books, account) == "measured"
    assert earned(books, account) == (170.0, 20.0, 0.0)


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([run(1.5, 2.5)], id="another beside it"),
        pytest.param([run(0.0, 1.2)], id="another before it in its window"),
        pytest.param([run(1.5, 2.5, 0)], id="a child"),
    ],
)
def test_a_request_that_shares_a_window_is_prorated(others: list[Run]) -> None:
    """As is one that starts or ends within a window."""
    runs = [run(1.0, 3.0), *others]
    books = make_books(idle_w=10.0)
    account = play(books, runs, [window(0, 1, 20.0), window(1, 2, 100.0), window(2, 4, 90.0)])[0]
    assert provenance(books, account) == "prorated"


@pytest.mark.parametrize("times", [(1.1, 2.0), (1.0, 1.9)])
def test_a_request_that_covers_a_part_of_a_window_is_prorated(times: tuple[float, float]) -> None:
    """The meter cannot tell what of its window it used."""
    books = make_books(idle_w=10.0)
    (account,) = play(books, [run(*times)], [window(1, 2, 100.0)])
    assert provenance(books, account) == "prorated"


def test_what_a_power_model_gave_is_modelled_even_where_a_meter_followed() -> None:
    """The weakest of the windows that a request touched holds for all of it."""
    for first, second in (("modelled", "measured"), ("measured", "modelled")):
        windows = [window(0, 1, 90.0, provenance=first), window(1, 2, 90.0, provenance=second)]
        books = make_books(idle_w=10.0)
        (account,) = play(books, [run(0.0, 2.0)], windows)
        assert provenance(books, account) == "modelled"


def test_energy_that_no_counter_told_is_unknown() -> None:
    """A request whose only windows were reset, lay in a gap or were never read."""
    for one in (window(0, 2, None), window(0, 2, 80.0, gap=True)):
        books = make_books(idle_w=10.0)
        (account,) = play(books, [run(0.5, 1.5)], [one])
        assert provenance(books, account) == "unknown"
        assert sum(earned(books, account)) == 0.0
    books = make_books(idle_w=10.0)
    (account,) = play(books, [run(0.5, 1.5)], [window(2, 3, 50.0)])
    assert provenance(books, account) == "unknown"


def test_a_request_that_only_met_a_known_window_is_still_unknown() -> None:
    """It starts as a window closes, or its end is told at the next one's first instant: of
    the reset window that it ran in nothing is known, and that is not 0.
    """
    reset = window(1, 2, None, flags=frozenset({flags.COUNTER_RESET}))
    starts_at_a_reading = make_books(idle_w=10.0)
    (account,) = play(starts_at_a_reading, [run(1, 1.5)], [window(0, 1, 20.0), reset])
    assert provenance(starts_at_a_reading, account) == "unknown"
    ends_at_a_reading = make_books(idle_w=10.0)
    close(ends_at_a_reading, window(0, 1, 20.0))
    account = Account("request", round(1.2 * NS_PER_S))
    ends_at_a_reading.start(account)
    close(ends_at_a_reading, reset)
    ends_at_a_reading.end(account, 2 * NS_PER_S)
    close(ends_at_a_reading, window(2, 3, 20.0))
    assert provenance(ends_at_a_reading, account) == "unknown"


def test_a_request_that_a_device_missed_a_part_of_is_not_measured() -> None:
    """It began before the device was first read, or ran on through a reset: the counter has
    not covered it.
    """
    books = make_books(idle_w=10.0)
    (account,) = play(books, [run(0, 10)], [window(9, 10, 100.0)])
    assert provenance(books, account) == "prorated"
    books = make_books(idle_w=10.0)
    windows = [window(0, 1, 100.0), window(1, 2, None), window(2, 3, 100.0)]
    (account,) = play(books, [run(0, 3)], windows)
    assert provenance(books, account) == "prorated"


def test_a_request_says_what_happened_while_it_ran_and_nothing_else() -> None:
    """Flags of windows before it and after it are not its."""
    lost, slept = frozenset({flags.MISSING_READING}), frozenset({flags.GAP})
    windows = [
        window(0, 1, 10.0, flags=frozenset({flags.COUNTER_RESET})),
        window(1, 2, 10.0, flags=lost),
        window(2, 3, 10.0, flags=slept, gap=True),
    ]
    runs = [run(0.2, 0.8), run(1.2, 1.8), run(0.5, 2.5)]
    books = make_books(idle_w=5.0)
    found = [said(books, account) - {flags.SHORT} for account in play(books, runs, windows)]
    everything = {flags.COUNTER_RESET, *lost, *slept}
    assert found == [{flags.COUNTER_RESET}, lost, everything]


def test_a_request_within_one_window_says_that_it_is_short() -> None:
    """And gets its share of that window, never 0."""
    books = make_books(idle_w=10.0)
    windows = [window(0, 1, 100.0), window(1, 2, 100.0)]
    short, longer = play(books, [run(0.5, 0.500001), run(0.9, 1.1)], windows)
    assert flags.SHORT in said(books, short)
    assert flags.SHORT not in said(books, longer)
    assert earned(books, short).active_j > 0


def test_a_device_s_own_flags_are_on_every_receipt() -> None:
    """Such as that its meter counts more than it."""
    device = Device("gpu:0", "gpu", "a slice", flags=frozenset({flags.MIG_SHARED}))
    ledger = Ledger(device, IdlePower(device, 0.0), idle_policy("in_flight", 1.0), TimeInFlight())
    books = Books([ledger])
    (account,) = play(books, [run(0, 1)], [window(0, 2, 10.0)])
    assert flags.MIG_SHARED in said(books, account)
