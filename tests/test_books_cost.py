"""What the books cost: no more with many requests in flight than with few."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from inferprint.books import Account, Books
from inferprint.timeline import TRIM_ABOVE
from inferprint.units import NS_PER_S
from traffic import (
    assert_closed,
    close,
    make_books,
    timed,
    window,
)


def _with_in_flight(count: int) -> Books:
    books = make_books("amortised", 50.0)
    for number in range(count):
        books.start(Account(number, number))
    close(books, window(0, 1, 100.0))
    return books


def _start_end_and_window(books: Books, second: int) -> None:
    account = Account("one more", second * NS_PER_S + 1)
    books.start(account)
    books.end(account, second * NS_PER_S + 2)
    close(books, window(second, second + 1, 100.0))


def _instructions(call: Callable[[], None]) -> int:
    """How many bytecode instructions a call executes."""
    executed = 0

    def trace(frame: object, event: str, _: object) -> object:
        nonlocal executed
        frame.f_trace_opcodes = True  # type: ignore[attr-defined]
        executed += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return executed


def test_a_start_and_an_end_cost_the_same_with_ten_in_flight_as_with_ten_thousand() -> None:
    """As many instructions are executed for them and for the window that they lie in, and
    they take about the same time.
    """
    few, many = _with_in_flight(10), _with_in_flight(10_000)
    counts = [_instructions(lambda b=b: _start_end_and_window(b, 1)) for b in (few, many)]
    assert 100 < counts[1] < 1.05 * counts[0]

    def best_s(books: Books) -> float:
        calls = (partial(_start_end_and_window, books, second) for second in range(2, 60))
        return min(map(timed, calls))

    assert best_s(many) < 3 * best_s(few)


def test_a_window_of_a_thousand_events_takes_milliseconds() -> None:
    """Five hundred requests start and end in each of ten windows."""
    books, taken_s = make_books("amortised", 50.0), []
    for second in range(10):
        for number in range(500):
            account = Account(number, second * NS_PER_S + 1_000 * number)
            books.start(account)
            books.end(account, account.started_ns + 700_000)
        taken_s.append(timed(lambda: close(books, window(second, second + 1, 100.0))))  # noqa: B023
        assert len(books.settled()) == 500
    assert min(taken_s) < 0.03


def test_events_that_every_device_has_read_are_let_go() -> None:
    """Memory does not grow with the number of requests that came and went."""
    books = make_books(idle_w=0.0)
    for second in range(40):
        for number in range(500):
            account = Account(number, second * NS_PER_S + number)
            books.start(account)
            books.end(account, account.started_ns + 10)
        close(books, window(second, second + 1, 1.0))
        books.settled()
    books.start(Account("one more", 40 * NS_PER_S))
    close(books, window(40, 41, 1.0))
    assert len(books._strands.host._marks) <= TRIM_ABOVE + 1_000
    assert_closed(books)
