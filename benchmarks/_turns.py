"""Times several things in turns, so that the machine's noise hits all of them alike."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Turn:
    """One of the things that are timed.

    Args:
        statement: what is timed.
        names: what the statement refers to.
        before, after: called around each turn, outside of its time.
        cpu: whether the thread's CPU time is taken instead of the time that passes.
    """

    statement: str
    names: Mapping[str, Any]
    before: Callable[[], object] = _nothing
    after: Callable[[], object] = _nothing
    cpu: bool = False

    def microseconds(self, calls: int) -> float:
        """Takes its turn: microseconds a call, with the garbage collector at work."""
        clock = time.thread_time if self.cpu else time.perf_counter
        timer = timeit.Timer(self.statement, "import gc; gc.enable()", clock, dict(self.names))
        self.before()
        taken_s = timer.timeit(calls)
        self.after()
        return taken_s / calls * 1e6


class Taken(dict[str, Sequence[float]]):
    """Microseconds a call, by name, one figure for each round."""

    def us(self, name: str) -> float:
        """The median of the rounds."""
        return median(self[name])

    def ratio(self, name: str, to: str) -> float:
        """The median of the ratios of two turns of the same round."""
        return median(a / b for a, b in zip(self[name], self[to], strict=True))


def in_turns(turns: Mapping[str, Turn], calls: int, rounds: int) -> Taken:
    """Lets each take its turn in every round, in an order that rotates.

    Args:
        turns: what to time, by name.
        calls: calls in one turn.
        rounds: turns of each.
    """
    taken: dict[str, list[float]] = {name: [] for name in turns}
    names = list(turns)
    for _ in range(rounds):
        names.append(names.pop(0))
        for name in names:
            taken[name].append(turns[name].microseconds(calls))
    return Taken(taken)
