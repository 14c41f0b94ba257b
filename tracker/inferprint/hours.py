"""In which hours a request's energy was used, and so how much carbon a kWh of it stands for.

What a request has used is noted every quarter of an hour that it runs for; between two notes
it is taken to have used it evenly. Standing energy was used before it came: it has the mean
intensity of the quiet times whose energy the pool held then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING

from inferprint.impacts import Factor, mean_factor
from inferprint.intensity.known import Intensity, Known
from inferprint.stakes import Earned

if TYPE_CHECKING:
    from inferprint.books import Account, Books
    from inferprint.records import DeviceBalance

__all__ = ["Hours"]

# As often as the live providers publish, at most: grids are cleared every 5 to 60 minutes.
NOTED_EVERY_S = 900.0
# Notes of the pool that are kept: ten days of them.
POOL_NOTES = 1000


class Hours:
    """Notes what requests have used as time goes by.

    Args:
        intensity: of the grid.
        wall_s: the wall time, Unix, of an instant of the monotonic clock.
        began_ns: when the books begin.
    """

    def __init__(self, intensity: Intensity, wall_s: Callable[[int], float], began_ns: int) -> None:
        self._intensity, self._wall_s = intensity, wall_s
        # What requests in flight had used, in joules, at instants (ns).
        self._notes: dict[Account, list[tuple[int, float]]] = {}
        self._slot: float | None = None
        self._pool = _Pool(began_ns)

    def start(self, account: Account) -> None:
        """A request starts."""
        self._notes[account] = []

    def note(self, at_ns: int, books: Books) -> None:
        """Windows have closed, up to an instant; notes what is due."""
        wall_s = self._wall_s(at_ns)
        if wall_s // NOTED_EVERY_S == self._slot:
            return
        self._slot = wall_s // NOTED_EVERY_S
        self._pool.note(at_ns, books.balance(), self._over)
        for account, notes in self._notes.items():
            notes.append((at_ns, _used_j(books.earned(account))))

    def end(self, account: Account, ended_ns: int, earned: Iterable[Earned]) -> Known:
        """The intensity of what a request has used, whose notes are then dropped."""
        known = self.so_far(account, ended_ns, earned)
        self._notes.pop(account, None)
        return known

    def so_far(self, account: Account, until_ns: int, earned: Iterable[Earned]) -> Known:
        """The intensity of what a request has used up to an instant.

        Args:
            account: its account.
            until_ns: its end, or now.
            earned: what each device has charged it.
        """
        parts = tuple(earned)
        spans = list(self._spans(account, until_ns, _used_j(parts)))
        standing_j = sum(part.standing_j for part in parts)
        known = [(self._over(start_ns, end_ns), joules) for start_ns, end_ns, joules in spans]
        if not any(joules > 0 for _, joules in known):
            known = [(self._over(account.started_ns, until_ns), 1.0)]
        if standing_j > 0:
            waited = self._pool.at(account.started_ns) or known[0][0]
            known.append((waited, standing_j))
        said = frozenset().union(*(one.flags for one, joules in known if joules > 0))
        return Known(mean_factor((one.factor, joules) for one, joules in known), said)

    def _spans(
        self, account: Account, until_ns: int, used_j: float
    ) -> Iterator[tuple[int, int, float]]:
        """What it has used between two notes, from its start to its end."""
        from_ns, before_j = account.started_ns, 0.0
        for at_ns, joules in [*self._notes.get(account, ()), (until_ns, used_j)]:
            if from_ns < at_ns <= until_ns:
                yield from_ns, at_ns, max(0.0, joules - before_j)
                from_ns, before_j = at_ns, joules

    def _over(self, start_ns: int, end_ns: int) -> Known:
        return self._intensity.over(self._wall_s(start_ns), self._wall_s(end_ns))


class _Pool:
    """The mean intensity of the standing energy that waits to be charged.

    The pool is taken to be well mixed: what is drawn from it has the mean of all that is in it.
    """

    def __init__(self, began_ns: int) -> None:
        self._at: deque[tuple[int, Known]] = deque(maxlen=POOL_NOTES)
        self._from_ns = began_ns
        self._total_j = 0.0
        self._held_j = 0.0

    def note(
        self,
        at_ns: int,
        balance: Mapping[str, DeviceBalance],
        over: Callable[[int, int], Known],
    ) -> None:
        """Mixes in what was added since the last note."""
        total_j = sum(device.standing_total_j for device in balance.values())
        if total_j > self._total_j:
            added = over(self._from_ns, at_ns)
            mixed = self._at[-1][1] if self._at else added
            weighted: list[tuple[Factor | None, float]] = [
                (mixed.factor, self._held_j),
                (added.factor, total_j - self._total_j),
            ]
            said = added.flags | (mixed.flags if self._held_j > 0 else frozenset())
            self._at.append((at_ns, Known(mean_factor(weighted), said)))
        self._from_ns, self._total_j = at_ns, total_j
        self._held_j = sum(device.standing_j for device in balance.values())

    def at(self, at_ns: int) -> Known | None:
        """The mean when a request came: by the first note after it, or the last one; None:
        nothing was noted yet.
        """
        if not self._at:
            return None
        place = bisect_left(self._at, at_ns, key=itemgetter(0))
        return self._at[min(place, len(self._at) - 1)][1]


def _used_j(earned: Iterable[Earned]) -> float:
    return sum(part.active_j + part.idle_j for part in earned)
