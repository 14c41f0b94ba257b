"""The books of all devices, and the requests in them from start to settlement.

Pure: events and windows go in, settled accounts come out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from inferprint.attribution import Ledger
from inferprint.records import DeviceBalance
from inferprint.stakes import ARRIVE, END, END_PAUSED, PAUSE, RESUME, STEP, Earned, Stake
from inferprint.strands import Strands
from inferprint.timeline import PARTS, Event
from inferprint.units import NS_PER_S
from inferprint.windows import Window

if TYPE_CHECKING:
    from inferprint.intensity import Known
    from inferprint.learning.progress import Progress
    from inferprint.outlook import Outlook

_time_of = itemgetter(0)

NOTHING_PAID: Mapping[int, Earned] = {}


class Account:
    """One request in the books of its devices.

    Args:
        request: the request that it is for; the books do not look into it.
        started_ns: when it started, monotonic.
        parent: the request that it runs inside; None: none.
        model: the model's name.
        places: of the devices that it runs on; None: on all.
    """

    __slots__ = (
        "books",
        "came_at",
        "children",
        "ended_ns",
        "intensity",
        "model",
        "outlook",
        "paid",
        "parent",
        "places",
        "pooled",
        "progress",
        "request",
        "reserved",
        "running_children",
        "settled",
        "stakes",
        "started_ns",
        "told_ns",
        "unread",
        "waits_for",
    )

    def __init__(
        self,
        request: Any,
        started_ns: int,
        parent: Account | None = None,
        model: str = "",
        places: frozenset[int] | None = None,
    ) -> None:
        self.request = request
        self.model = model
        self.places = places
        self.started_ns = started_ns
        self.parent = parent
        self.books: Books | None = None
        self.ended_ns: int | None = None
        self.stakes: Sequence[Stake] = ()
        # The requests that ran inside it and ended before it.
        self.children: Sequence[Any] = ()
        self.running_children = 0
        # Whether it has no thread of its own, so that it shares CPU time alike with others.
        self.pooled = True
        # Its equal share of the time so far, and where the sum of equal shares stood when it came
        # in flight, both in parts of a nanosecond; None: it is not in flight.
        self.reserved = 0
        self.came_at: int | None = None
        # When the last thing told of it happened.
        self.told_ns = 0
        # Stakes that have not ended yet, and children that have not been settled.
        self.waits_for = 0
        self.settled = False
        # Whether it runs on a device that is not read.
        self.unread = False
        # What each device had paid when it was settled without waiting for it.
        self.paid: Mapping[int, Earned] = NOTHING_PAID
        # Its work, once it or another of its model has told of tokens.
        self.progress: Progress | None = None
        # Carbon intensity of the hours in which its energy was used, where that changes.
        self.intensity: Known | None = None
        # What was known when it started, if it is one of those that quotes learn from.
        self.outlook: Outlook | None = None


class Books:
    """The ledgers of all devices.

    Args:
        ledgers: one for each device, each with its place in this list.
    """

    def __init__(self, ledgers: Sequence[Ledger] = ()) -> None:
        self.ledgers = {ledger.device.id: ledger for ledger in ledgers}
        self._in_order = list(ledgers)
        self._strands = Strands(self._in_order)
        self._arrived = 0
        self._told: list[Event] = []
        # Devices that have been read.
        self._begun = 0
        self._ended: deque[Account] = deque()
        self._settled: list[Account] = []

    # ---- requests ------------------------------------------------------------------------

    def start(
        self, account: Account, cpu_ns: int | None = None, parent_cpu_ns: int | None = None
    ) -> None:
        """A request starts; its parent is not in flight until it ends.

        Args:
            account: its account.
            cpu_ns: the CPU clock, at its start, of the thread that it owns; None: none.
            parent_cpu_ns: likewise of the thread that its parent owns.
        """
        account.books = self
        self._arrived += 1
        at_ns = account.started_ns
        parent = account.parent
        if parent is not None and parent.ended_ns is not None:
            parent = account.parent = None  # it outlives its parent: it is on its own
        if parent is not None:
            parent.waits_for += 1
            parent.running_children += 1
            if parent.progress is not None:
                parent.progress.expects = False  # its children may do its work
            if parent.running_children == 1:
                self._tell(at_ns, PAUSE, parent, parent_cpu_ns)
        account.stakes = [Stake() for _ in self._in_order]
        account.waits_for = len(account.stakes)
        if account.places is not None:
            account.waits_for = len(account.places)
            self._strands.part(account.places)
        self._tell(at_ns, ARRIVE, account, cpu_ns)

    def end(
        self,
        account: Account,
        ended_ns: int,
        cpu_ns: int | None = None,
        parent_cpu_ns: int | None = None,
    ) -> None:
        """A request ends.

        Args:
            account: its account.
            ended_ns: when; at least a nanosecond after its start, so that it is never free.
            cpu_ns: the CPU clock, at its end, of the thread that it owns; None: none.
            parent_cpu_ns: likewise of the thread that its parent owns.
        """
        account.ended_ns = ended_ns = max(ended_ns, account.started_ns + 1)
        kind = END_PAUSED if account.running_children else END
        self._tell(ended_ns, kind, account, cpu_ns)
        # A child that outlives it is settled alone.
        account.waits_for -= account.running_children
        self._ended.append(account)
        parent = account.parent
        if parent is not None and parent.ended_ns is not None:
            account.parent = None
        elif parent is not None:
            parent.children = [*parent.children, account.request]
            parent.running_children -= 1
            if not parent.running_children:
                self._tell(ended_ns, RESUME, parent, parent_cpu_ns)
        if not account.waits_for:
            self._settle(account)

    # ---- windows -------------------------------------------------------------------------

    def _tell(self, at_ns: int, kind: int, account: Account, cpu_ns: int | None) -> None:
        # What happens to one request keeps its order, whatever instants threads tell.
        account.told_ns = at_ns = max(at_ns, account.told_ns)
        self._told.append((at_ns, kind, account, cpu_ns))

    def _advance(self, until_ns: int) -> None:
        """Puts what was told of requests into the order of time."""
        if not self._told:
            return
        self._told.sort(key=_time_of)
        self._strands.extend(self._told, until_ns)
        self._told = []
        self._strands.trim()

    def open(self, device_id: str, at_ns: int) -> Iterator[None]:
        """A device was read for the first time; iterated over as for ``close``."""
        self._advance(at_ns)
        ledger = self.ledgers[device_id]
        self._begun += ledger.state is None
        for account in ledger.open(*self._strands.read(ledger.place, at_ns)):
            self._end_stake(ledger, account)
            yield

    def close(self, window: Window, cpu_ns: Mapping[Account, int] | None = None) -> Iterator[None]:
        """A window of a device closes; ``cpu_ns`` as for ``Ledger.close``.

        It is done when the iterator has come to its end; until then it yields after every
        request that ended, so that the caller can give way in between.
        """
        ledger = self.ledgers[window.device_id]
        if ledger.state is None:
            yield from self.open(window.device_id, window.start_ns)
        self._advance(window.end_ns)
        marks, end = self._strands.read(ledger.place, window.end_ns)
        for account in ledger.close(window, marks, end, cpu_ns):
            self._end_stake(ledger, account)
            yield

    @property
    def begun(self) -> bool:
        """Whether every device has been read."""
        return self._begun == len(self._in_order)

    @property
    def held(self) -> int:
        """Events that are kept, because a device's window with them has not closed, or may
        not have.
        """
        return self._strands.held

    def backlog(self, device_id: str) -> int:
        """Events that wait for a window of this device to close."""
        return self._strands.unread(self.ledgers[device_id].place)

    @property
    def running(self) -> int:
        """Requests in flight, by what was told so far."""
        return self._strands.host.state.running + sum(STEP[event[1]] for event in self._told)

    @property
    def parted(self) -> bool:
        """Whether a request has named some of the devices and not others."""
        return self._strands.parted

    def running_on(self, ledger: Ledger) -> int:
        """Requests in flight on a device, by what was told so far."""
        return self._strands.running(ledger.place, self._told)

    @property
    def busy(self) -> bool:
        """Whether a request is in flight, or has ended and is not settled."""
        return bool(self.running or self._ended)

    def load(self) -> tuple[float, float, int]:
        """Integrals over time (s) of the number in flight and of its square, and how many
        requests have arrived, all so far.
        """
        timeline = self._strands.host
        return timeline.request_ns / NS_PER_S, timeline.pair_ns / NS_PER_S, self._arrived

    def share_s(self) -> tuple[float, int]:
        """Seconds that one equal share of the time has become so far, and up to when (ns)."""
        state = self._strands.host.state
        return state.share / (PARTS * NS_PER_S), state.at_ns

    # ---- settlement ----------------------------------------------------------------------

    def unsettled_by(self, ended_by_ns: int) -> bool:
        """Whether a request that had ended by then is not settled yet."""
        return bool(self._ended) and _ended_ns(self._ended[0]) <= ended_by_ns

    def settled(self) -> list[Account]:
        """The accounts that were settled since the last call, in that order."""
        settled, self._settled = self._settled, []
        return settled

    def give_up(self, ended_by_ns: int) -> None:
        """Settles the requests that ended by then with what is known of them."""
        while self._ended and _ended_ns(self._ended[0]) <= ended_by_ns:
            account = self._ended[0]
            account.paid = {
                ledger.place: ledger.settle(stake)
                for ledger, stake in self.stakes_of(account)
                if stake.verdict is None
            }
            self._settle(account)

    def stakes_of(self, account: Account) -> list[tuple[Ledger, Stake]]:
        """What a request has at stake, by device."""
        stakes, places = account.stakes, account.places
        if places is None:
            return list(zip(self._in_order, stakes, strict=True))
        return [(self._in_order[place], stakes[place]) for place in sorted(places)]

    def earned(self, account: Account) -> list[Earned]:
        """What a request has earned from each device up to its last window's end."""
        return [
            account.paid.get(ledger.place) or ledger.earned(stake)
            for ledger, stake in self.stakes_of(account)
        ]

    def earned_j(self, account: Account) -> float:
        """All that a request has earned up to the last windows' ends."""
        return sum(map(sum, self.earned(account)))

    def reserved_s(self, account: Account, until_ns: int) -> float | None:
        """Seconds of the machine that a request has reserved up to an instant, shared alike
        among those in flight; None: no window has closed since it started.
        """
        if account.came_at is None:
            return account.reserved / (PARTS * NS_PER_S) if account.reserved else None
        state = self._strands.host.state
        share = state.at(max(until_ns, state.at_ns)).share
        return (account.reserved + share - account.came_at) / (PARTS * NS_PER_S)

    @property
    def measured_j(self) -> float:
        """What all devices have counted."""
        return sum(ledger.measured_j for ledger in self._in_order)

    def balance(self) -> dict[str, DeviceBalance]:
        """The books of the devices that have been read, by device id."""
        return {
            device_id: ledger.balance()
            for device_id, ledger in self.ledgers.items()
            if ledger.state is not None
        }

    def _end_stake(self, ledger: Ledger, account: Account) -> None:
        if account.settled:
            ledger.write_off(account.stakes[ledger.place], account.paid[ledger.place])
            return
        account.waits_for -= 1
        if not account.waits_for:
            self._settle(account)

    def _settle(self, account: Account) -> None:
        account.settled = True
        self._settled.append(account)
        ended = self._ended
        while ended and ended[0].settled:
            ended.popleft()
        parent = account.parent
        if parent is None:
            return
        account.parent = None
        parent.waits_for -= 1
        if parent.ended_ns is not None and not parent.waits_for and not parent.settled:
            self._settle(parent)


def _ended_ns(account: Account) -> int:
    assert account.ended_ns is not None
    return account.ended_ns
