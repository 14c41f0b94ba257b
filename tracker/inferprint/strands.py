"""The time lines of requests: one for all devices, until requests name theirs.

A request that names its devices is in flight on those alone. The first that names some of those
that share a time line parts it into two, which go on from the same state; devices that have always
had the same requests go on sharing one. So nothing costs more while no request names any.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from inferprint.stakes import ARRIVE, END, STEP
from inferprint.timeline import Event, Mark, PartialTimeline, State, Timeline

if TYPE_CHECKING:
    from inferprint.attribution import Ledger
    from inferprint.books import Account

_time_of = itemgetter(0)


class Strand(NamedTuple):
    """A time line, and the places of the devices whose requests are on it."""

    timeline: Timeline
    places: frozenset[int]

    def has(self, account: Account) -> bool:
        """Whether a request is on it."""
        return account.places is None or not self.places.isdisjoint(account.places)


class Strands:
    """All of them.

    Args:
        ledgers: of the devices, in the order of their places.

    Attributes:
        host: the time line of all requests, whatever devices they name.
    """

    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        self.host = Timeline()
        self._ledgers = ledgers
        self._strands = [Strand(self.host, frozenset(range(len(ledgers))))]
        self._of = [self._strands[0]] * len(ledgers)

    @property
    def parted(self) -> bool:
        """Whether a request has named some of the devices and not others."""
        return self._strands[0].timeline is not self.host

    def part(self, places: frozenset[int]) -> None:
        """A request has named these devices: no time line may be of one of them and another."""
        parted = self.parted
        for strand in [*self._strands]:
            inside = strand.places & places
            if inside == strand.places or (parted and not inside):
                continue
            self._strands.remove(strand)
            for some in filter(None, (inside, strand.places - inside)):
                new = Strand(PartialTimeline(strand.timeline), some)
                self._strands.append(new)
                for place in some:
                    self._of[place] = new

    def extend(self, events: Sequence[Event], until_ns: int) -> None:
        """Takes events in the order of time, of a window that ends at this instant."""
        if self.parted:
            for strand in self._strands:
                _extend(strand.timeline, [one for one in events if strand.has(one[2])], until_ns)
        _extend(self.host, events, until_ns)

    def read(self, place: int, until_ns: int) -> tuple[list[Mark], State]:
        """A device's events up to an instant, and the state then, as for ``Timeline.read``."""
        ledger = self._ledgers[place]
        if self.parted:
            self.host.advance(until_ns)
        return self._of[place].timeline.read(ledger.cursor, until_ns)

    def trim(self) -> None:
        """Drops what every device has read."""
        for timeline, places in self._strands:
            timeline.trim(self._ledgers[place].cursor for place in places)
        if self.parted:
            self.host.trim(())

    @property
    def held(self) -> int:
        """Events that are kept."""
        return max(strand.timeline.held for strand in self._strands)

    def unread(self, place: int) -> int:
        """Events that a device has not read yet."""
        return self._of[place].timeline.unread(self._ledgers[place].cursor)

    def running(self, place: int, told: Sequence[Event]) -> int:
        """Requests in flight on a device, with what was told since."""
        strand = self._of[place]
        since = sum(STEP[event[1]] for event in told if strand.has(event[2]))
        return strand.timeline.state.running + since


def _extend(timeline: Timeline, events: Sequence[Event], until_ns: int) -> None:
    now_ns = timeline.state.at_ns
    if events and events[0][0] < now_ns:
        late = {event[2] for event in events if event[1] == ARRIVE and event[0] < now_ns}
        events = sorted(
            (_not_free(event, now_ns, until_ns) if event[2] in late else event for event in events),
            key=_time_of,
        )
    timeline.extend(events)


def _not_free(event: Event, now_ns: int, until_ns: int) -> Event:
    """A request of which all was told late, because a thread was held up, counts from now
    for as long as it ran, but not past the window: it is not free.
    """
    at_ns, kind, account, cpu_ns = event
    if kind < END or at_ns > now_ns:
        return event
    ran_ns = at_ns - account.started_ns
    return min(now_ns + ran_ns, max(until_ns, now_ns)), kind, account, cpu_ns
