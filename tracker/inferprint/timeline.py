"""The time line of the requests in flight: run through once, for all devices.

It keeps the running integral of dt/n, n requests in flight, which is what one equal share
of each instant adds up to. Every event is marked with where the integrals stood, so that a
device, whose windows close at instants of its own, need not go through the requests in
flight: a start and an end cost the same with ten of them as with ten thousand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from inferprint.stakes import RESUME, STEP

if TYPE_CHECKING:
    from inferprint.books import Account

Event = tuple[int, int, "Account", int | None]
"""When (ns), what (see ``stakes``), whose, and the CPU clock of the thread that it owns."""

Mark = tuple[int, int, "Account", int | None, int, int, int, int, int, int]
"""An event and, from the fifth place on, the ``State`` just before it, without its time."""

# The integrals are whole numbers of these parts of a nanosecond, so that the differences of
# two instants are as exact after months as on the first day.
PARTS = 1 << 40

# Marks that every device has read are dropped when there are more than this.
TRIM_ABOVE = 128

_time_of = itemgetter(0)


class State(NamedTuple):
    """The time line at an instant.

    Args:
        at_ns: the instant.
        share: integral of dt/n over the requests in flight, in parts of a nanosecond.
        pool: the same over those of them that do not own their thread.
        quiet_ns: time in which none was in flight.
        poolless_ns: time in which none without a thread of its own was in flight.
        running: requests in flight.
        pooled: those of them that do not own their thread.
    """

    at_ns: int
    share: int
    pool: int
    quiet_ns: int
    poolless_ns: int
    running: int
    pooled: int

    def at(self, at_ns: int) -> State:
        """The state at another instant between the same two events."""
        passed_ns = at_ns - self.at_ns
        return State(
            at_ns,
            self.share + (passed_ns * PARTS // self.running if self.running else 0),
            self.pool + (passed_ns * PARTS // self.pooled if self.pooled else 0),
            self.quiet_ns + (0 if self.running else passed_ns),
            self.poolless_ns + (0 if self.pooled else passed_ns),
            self.running,
            self.pooled,
        )


class Span:
    """The requests' time line over one window of one device.

    Args:
        start, end: its state at the window's two ends.
        marks: the events in between.

    Attributes:
        length_ns: from the start to the end.
        quiet_ns: time in which no request was in flight.
        busy_ns: time in which one was.
    """

    __slots__ = ("busy_ns", "end", "length_ns", "marks", "quiet_ns", "start")

    def __init__(self, start: State, end: State, marks: Sequence[Mark]) -> None:
        self.start, self.end, self.marks = start, end, marks
        self.length_ns = end.at_ns - start.at_ns
        self.quiet_ns = end.quiet_ns - start.quiet_ns
        self.busy_ns = self.length_ns - self.quiet_ns

    @property
    def alone(self) -> bool:
        """Whether one request was in flight at the start and none came in, or the reverse."""
        running = self.start.running
        return running <= 1 and running + sum(mark[1] <= RESUME for mark in self.marks) == 1


class Timeline:
    """Takes events, and gives each device those of its windows."""

    def __init__(self) -> None:
        self.state = State(0, 0, 0, 0, 0, 0, 0)
        # Integrals of the number in flight, and of its square, up to the state's instant.
        self.request_ns = self.pair_ns = 0
        self._marks: list[Mark] = []
        self._dropped = 0

    def extend(self, events: Iterable[Event]) -> None:
        """Takes events in the order of time; one that is told late counts from the latest."""
        at_ns, share, pool, quiet_ns, poolless_ns, running, pooled = self.state
        request_ns = pair_ns = 0
        add, parts, steps = self._marks.append, PARTS, STEP
        for event_ns, kind, account, cpu_ns in events:
            passed_ns = event_ns - at_ns
            if passed_ns > 0:
                at_ns = event_ns
                gained = 0
                if running:
                    gained = passed_ns * parts // running
                    share += gained
                    many_ns = running * passed_ns
                    request_ns += many_ns
                    pair_ns += running * many_ns
                else:
                    quiet_ns += passed_ns
                if not pooled:
                    poolless_ns += passed_ns
                else:
                    pool += gained if pooled == running else passed_ns * parts // pooled
            # Written out: this is run for every event, and a tuple in a tuple costs twice as much.
            add((at_ns, kind, account, cpu_ns, share, pool, quiet_ns, poolless_ns, running, pooled))
            step = steps[kind]
            running += step
            if kind <= RESUME:
                account.pooled = cpu_ns is None
                account.came_at = share
            elif account.came_at is not None:
                account.reserved += share - account.came_at
                account.came_at = None
            if account.pooled:
                pooled += step
        self.state = State(at_ns, share, pool, quiet_ns, poolless_ns, running, pooled)
        self.request_ns += request_ns
        self.pair_ns += pair_ns

    def read(self, cursor: int, until_ns: int) -> tuple[list[Mark], State]:
        """The events from a cursor to an instant, and the state then.

        Args:
            cursor: how many events this reader has read before.
            until_ns: the instant; its events are included.
        """
        start = cursor - self._dropped
        end = bisect_right(self._marks, until_ns, lo=start, key=_time_of)
        if end < len(self._marks):
            following = self._marks[end]
            return self._marks[start:end], State(following[0], *following[4:]).at(until_ns)
        # What is told later of before this instant can only count from it.
        self.advance(until_ns)
        return self._marks[start:], self.state.at(until_ns)

    @property
    def held(self) -> int:
        """How many events are kept."""
        return len(self._marks)

    def advance(self, until_ns: int) -> None:
        """Goes on to an instant, up to which all was told."""
        if until_ns > self.state.at_ns:
            self._pass(until_ns)

    def _pass(self, until_ns: int) -> None:
        passed_ns, running = until_ns - self.state.at_ns, self.state.running
        self.request_ns += running * passed_ns
        self.pair_ns += running * running * passed_ns
        self.state = self.state.at(until_ns)

    def unread(self, cursor: int) -> int:
        """How many events a reader has not read yet."""
        return self._dropped + len(self._marks) - cursor

    def trim(self, cursors: Iterable[int]) -> None:
        """Drops what every reader has read."""
        read = min(cursors, default=self._dropped + len(self._marks)) - self._dropped
        if read > TRIM_ABOVE:
            del self._marks[:read]
            self._dropped += read


class PartialTimeline(Timeline):
    """The time line of some of the devices, which goes on from that of more of them.

    It leaves the accounts alone: what they keep is of the time line of all.

    Args:
        before: the time line that it goes on from.
    """

    def __init__(self, before: Timeline) -> None:
        super().__init__()
        self.state, self._marks, self._dropped = before.state, [*before._marks], before._dropped
        # Whether those in flight share their thread, as far as they came after this began.
        self._pooled: dict[Account, bool] = {}
        if isinstance(before, PartialTimeline):
            self._pooled = {**before._pooled}

    def extend(self, events: Iterable[Event]) -> None:
        """Takes events as any does, before the time line of all takes them."""
        for event_ns, kind, account, cpu_ns in events:
            state = self.state.at(max(event_ns, self.state.at_ns))
            self._marks.append((state.at_ns, kind, account, cpu_ns, *state[1:]))
            if kind <= RESUME:
                pooled = self._pooled[account] = cpu_ns is None
            else:
                pooled = self._pooled.pop(account, account.pooled)
            self.state = state._replace(
                running=state.running + STEP[kind],
                pooled=state.pooled + (STEP[kind] if pooled else 0),
            )
