"""What one equal share of the host's devices adds up to: a worker's estimates. Pure.

The agent tells, whenever windows have closed, how long one equal share of the host's time has
become (the integral of dt/n, n requests in flight) and what its devices draw. A worker keeps what
one share has earned so far; a request has earned the difference between two instants, as in the
agent's books before own work is weighed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from inferprint.units import seconds

_time_of = itemgetter(0)

# Instants that are kept: a request's own start is found among them a moment later.
MOST_KEPT = 64


class Draw(NamedTuple):
    """What a device draws while requests run.

    Args:
        active_w: above idle, all requests together; None: not known yet.
        idle_w: idle watts that they share; None: not known, and in ``active_w``.
        standing_j: what a request that comes now is charged for the waiting before it.
        provenance: place of its readings' provenance.
        share_s: seconds that one equal share of it has become since the agent's start.
        running: requests in flight on it.
    """

    active_w: float | None
    idle_w: float | None
    standing_j: float
    provenance: int
    share_s: float
    running: int


class News(NamedTuple):
    """The load of now, as the agent tells it.

    Args:
        at_ns: when.
        share_s: seconds that one equal share has become since the agent's start.
        running: requests in flight on the host.
        draws: of the devices, in their order.
    """

    at_ns: int
    share_s: float
    running: int
    draws: tuple[Draw, ...]


class Level(NamedTuple):
    """What one share had earned at an instant.

    Args:
        at_ns: the instant.
        share_s: seconds of the host.
        joules: of each device, active and idle.
    """

    at_ns: int
    share_s: float
    joules: tuple[tuple[float, float], ...]

    def without(self, before: Level, after: Level) -> Level:
        """The level from which less was earned: not what was between two others."""
        if not len(self.joules) == len(before.joules) == len(after.joules):
            return self  # of another agent
        joules = tuple(
            (own[0] + end[0] - start[0], own[1] + end[1] - start[1])
            for own, start, end in zip(self.joules, before.joules, after.joules, strict=True)
        )
        return Level(self.at_ns, self.share_s + after.share_s - before.share_s, joules)


class Levels:
    """The latest levels. One thread takes news; any may ask."""

    def __init__(self) -> None:
        # Replaced as one, so that who asks sees levels and news that belong together.
        self._state: tuple[tuple[Level, ...], News] | None = None

    @property
    def news(self) -> News | None:
        """The latest; None: there was none."""
        return None if self._state is None else self._state[1]

    def take(self, news: News) -> None:
        """Takes news; of another agent, whose share is less, it begins anew."""
        last = self.news
        if (
            self._state is None
            or last is None
            or news.share_s < last.share_s
            or len(news.draws) != len(last.draws)
        ):
            self._state = (_first(news),), news
        elif news.at_ns > last.at_ns:
            kept = self._state[0][1 - MOST_KEPT :]
            gained_s = [
                max(0.0, now.share_s - before.share_s)
                for now, before in zip(news.draws, last.draws, strict=True)
            ]
            host_s = news.share_s - last.share_s
            self._state = (*kept, _later(kept[-1], news, news.at_ns, host_s, gained_s)), news

    def at(self, at_ns: int, own: int = 1, busy_ns: int = 0) -> Level | None:
        """What one share had earned at an instant, or will have; None: nothing is known.

        Args:
            at_ns: the instant.
            own: requests in flight in this process: at least so many share what is to come.
            busy_ns: since when one is, if none was in flight on the host at the latest news.
        """
        if self._state is None:
            return None
        kept, news = self._state
        place = bisect_right(kept, at_ns, key=_time_of)
        if place == len(kept):
            from_ns = kept[-1].at_ns if news.running else max(kept[-1].at_ns, busy_ns)
            ahead_s = seconds(max(0, at_ns - from_ns))
            shares_s = [ahead_s / max(1, own, draw.running) for draw in news.draws]
            host_s = ahead_s / max(1, own, news.running)
            return _later(kept[-1], news, at_ns, host_s, shares_s)
        if not place:
            return kept[0]._replace(at_ns=at_ns)
        return _between(kept[place - 1], kept[place], at_ns)


def _first(news: News) -> Level:
    return Level(news.at_ns, news.share_s, ((0.0, 0.0),) * len(news.draws))


def _later(level: Level, news: News, at_ns: int, host_s: float, shares_s: Sequence[float]) -> Level:
    joules = tuple(
        (active_j + (draw.active_w or 0.0) * share_s, idle_j + (draw.idle_w or 0.0) * share_s)
        for (active_j, idle_j), draw, share_s in zip(
            level.joules, news.draws, shares_s, strict=True
        )
    )
    return Level(at_ns, level.share_s + host_s, joules)


def _between(before: Level, after: Level, at_ns: int) -> Level:
    part = (at_ns - before.at_ns) / (after.at_ns - before.at_ns)

    def mean(low: float, high: float) -> float:
        return low + part * (high - low)

    joules = tuple(
        (mean(low[0], high[0]), mean(low[1], high[1]))
        for low, high in zip(before.joules, after.joules, strict=True)
    )
    return Level(at_ns, mean(before.share_s, after.share_s), joules)
