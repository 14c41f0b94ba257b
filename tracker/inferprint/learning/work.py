"""The work of requests, in tokens, as far as it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple


class Work(NamedTuple):
    """Tokens that were computed, or the joules that one of each takes.

    Args:
        prompt: uncached prompt tokens.
        output: output tokens.
        context: sum over the output tokens of the tokens before each.
    """

    prompt: float = 0.0
    output: float = 0.0
    context: float = 0.0

    def plus(self, other: Work) -> Work:
        """The sum of both."""
        return Work(self[0] + other[0], self[1] + other[1], self[2] + other[2])

    def minus(self, other: Work) -> Work:
        """What this has more than the other; may be negative."""
        return Work(self[0] - other[0], self[1] - other[1], self[2] - other[2])

    def times(self, price: Work) -> float:
        """The joules of this work at a price per token."""
        return self[0] * price[0] + self[1] * price[1] + self[2] * price[2]


NO_WORK = Work()


def sum_of(works: Iterable[Work]) -> Work:
    """All of them together."""
    columns = list(zip(*works, strict=True))
    return Work(*map(sum, columns)) if columns else NO_WORK


class WindowWork(NamedTuple):
    """What was done on a device in a window, or in several put together.

    Args:
        duration_s: its length.
        busy_s: for how long any request was in flight in it.
        active_j: the active energy that requests caused.
        idle_j: the idle energy in it; a sensor's error is relative to both together.
        work: the requests' work, by model.
        requests_s: the integral of the number in flight, by model.
        prompt_squares: sum over the windows of the squares of the prompt tokens, by model.
    """

    duration_s: float
    busy_s: float
    active_j: float
    idle_j: float
    work: Mapping[str, Work]
    requests_s: Mapping[str, float]
    prompt_squares: Mapping[str, float] = MappingProxyType({})

    @property
    def concurrency(self) -> float:
        """Mean number in flight while any was."""
        return sum(self.requests_s.values()) / self.busy_s if self.busy_s else 0.0

    def plus(self, other: WindowWork) -> WindowWork:
        """Both windows together."""
        work = dict(self.work)
        for model, more in other.work.items():
            work[model] = work.get(model, NO_WORK).plus(more)
        return WindowWork(
            self.duration_s + other.duration_s,
            self.busy_s + other.busy_s,
            self.active_j + other.active_j,
            self.idle_j + other.idle_j,
            work,
            _sums(self.requests_s, other.requests_s),
            _sums(self.prompt_squares, other.prompt_squares),
        )


def _sums(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {model: one.get(model, 0.0) + other.get(model, 0.0) for model in {**one, **other}}


def window_of(plain: Sequence[Any]) -> WindowWork:
    """The window that was written as a list of its parts.

    Raises:
        TypeError, ValueError: it is none.
    """
    duration_s, busy_s, active_j, idle_j, work, requests_s, prompt_squares = plain
    if not 0 < float(busy_s) <= float(duration_s):
        raise ValueError(f"busy for {busy_s} s of {duration_s}")
    return WindowWork(
        float(duration_s),
        float(busy_s),
        float(active_j),
        float(idle_j),
        {model: Work(*map(float, done)) for model, done in work.items()},
        {model: float(seconds) for model, seconds in requests_s.items()},
        {model: float(square) for model, square in prompt_squares.items()},
    )
