"""What a request tells the books of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferprint.learning.hearing import NOTHING, Told

if TYPE_CHECKING:
    from inferprint.books import Account
    from inferprint.request import Request

__all__ = ["cpu_clocks", "shared_clock", "step", "told"]

# Threads of requests whose CPU clock is read at the end of a window.
MOST_OWNERS = 64


def step(request: Request) -> int:
    """By how many a request that the books have not been told of changes those in flight; one
    inside another takes its place.
    """
    started = request._account is None and request._parent is None
    ended = request._ended_ns >= 0 and request._parent is None
    return started - ended


def told(request: Request) -> Told:
    """The tokens that it has told of so far; cached ones of its prompt are not computed."""
    prompt = request._input
    if prompt is not None:
        prompt = max(0, prompt - (request._cached_input or 0))
    elif not request._output:
        return NOTHING
    return Told(prompt, request._output or 0, request._first_told)


def cpu_clocks(owners: Sequence[Account]) -> Mapping[Account, int]:
    """The CPU clocks of the threads that requests own, of the first ``MOST_OWNERS`` of them."""
    clocks = {}
    for account in owners[:MOST_OWNERS]:
        clock_ns = account.request._thread.cpu_ns()
        if clock_ns is not None:
            clocks[account] = clock_ns
    return clocks


def shared_clock(request: Request, cpu_ns: int | None) -> int | None:
    """The clock as its parent's too, if both own the same thread."""
    parent = request._parent
    return cpu_ns if parent is not None and parent._thread is request._thread else None
