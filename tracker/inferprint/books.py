"""The books of all devices, and the requests in them from start to settlement.

Pure: events and windows go in, settled accounts come out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from inferprint.attribution import Earned, Ledger
from inferprint.records import DeviceBalance
from inferprint.stakes import Event, Kind, Stake
from inferprint.windows import Window


class Account:
    """One request in the books of its devices.

    Args:
        request: the request that it is for; the books do not look into it.
        started_ns: when it started, monotonic.
        parent: the request that it runs inside; None: none.
    """

    __slots__ = (
        "books",
        "children",
        "ended_ns",
        "paid",
        "parent",
        "request",
        "running_children",
        "settled",
        "stakes",
        "started_ns",
        "waits_for",
    )

    def __init__(self, request: Any, started_ns: int, parent: Account | None = None) -> None:
        self.request = request
        self.books: Books | None = None
        self.started_ns = started_ns
        self.ended_ns: int | None = None
        self.parent = parent
        self.children: list[Account] = []
        self.running_children = 0
        self.stakes: list[tuple[Ledger, Stake]] = []
        # Stakes that have not ended yet, and children that have not been settled.
        self.waits_for = 0
        self.settled = False
        # What each device had paid when it was settled without waiting for it.
        self.paid: dict[Stake, Earned] = {}


class Books:
    """The ledgers of all devices.

    Args:
        ledgers: one for each device.
    """

    def __init__(self, ledgers: Iterable[Ledger] = ()) -> None:
        self.ledgers = {ledger.device.id: ledger for ledger in ledgers}
        self._ended: deque[Account] = deque()
        self._settled: list[Account] = []

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
        at_ns = account.started_ns
        parent = account.parent
        if parent is not None and parent.ended_ns is not None and parent.ended_ns <= at_ns:
            parent = account.parent = None
        if parent is not None:
            parent.waits_for += 1
            parent.running_children += 1
            if parent.running_children == 1:
                _tell(parent, at_ns, Kind.PAUSE, parent_cpu_ns)
        account.stakes = [(ledger, Stake(account)) for ledger in self.ledgers.values()]
        account.waits_for = len(account.stakes)
        _tell(account, at_ns, Kind.ARRIVE, cpu_ns)

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
        _tell(account, ended_ns, Kind.END_PAUSED if account.running_children else Kind.END, cpu_ns)
        # A child that outlives it is settled alone.
        account.waits_for -= account.running_children
        parent = account.parent
        if parent is not None and parent.ended_ns is None:
            parent.children.append(account)
            parent.running_children -= 1
            if not parent.running_children:
                _tell(parent, ended_ns, Kind.RESUME, parent_cpu_ns)
        else:
            account.parent = None
        self._ended.append(account)
        self._settle_if_due(account)

    def close(self, window: Window, cpu_ns: Mapping[Stake, int] | None = None) -> None:
        """A window of a device closes; ``cpu_ns`` as for ``Ledger.close``."""
        ledger = self.ledgers[window.device_id]
        for stake in ledger.close(window, cpu_ns):
            account = stake.account
            if account.settled:
                ledger.write_off(stake, account.paid.pop(stake))
            else:
                account.waits_for -= 1
                self._settle_if_due(account)

    def give_up(self, ended_by_ns: int) -> None:
        """Settles the requests that ended by then with what is known of them."""
        while self._ended and (self._ended[0].settled or _ended(self._ended[0]) <= ended_by_ns):
            account = self._ended.popleft()
            if not account.settled:
                account.paid = {
                    stake: ledger.earned(stake)
                    for ledger, stake in account.stakes
                    if ledger.closed_ns is None or ledger.closed_ns < _ended(account)
                }
                self._settle(account)

    @property
    def unsettled(self) -> bool:
        """Whether a request has ended and was not settled yet."""
        return bool(self._ended)

    def settled(self) -> list[Account]:
        """The accounts that were settled since the last call, in that order."""
        settled, self._settled = self._settled, []
        return settled

    def balance(self) -> dict[str, DeviceBalance]:
        """The books of the devices that have been read, by device id."""
        return {
            device_id: ledger.balance()
            for device_id, ledger in self.ledgers.items()
            if ledger.closed_ns is not None
        }

    def _settle_if_due(self, account: Account) -> None:
        if account.ended_ns is not None and not account.waits_for and not account.settled:
            self._settle(account)

    def _settle(self, account: Account) -> None:
        account.settled = True
        self._settled.append(account)
        while self._ended and self._ended[0].settled:
            self._ended.popleft()
        parent, account.parent = account.parent, None
        if parent is not None:
            parent.waits_for -= 1
            self._settle_if_due(parent)


def _ended(account: Account) -> int:
    assert account.ended_ns is not None
    return account.ended_ns


def _tell(account: Account, at_ns: int, kind: Kind, cpu_ns: int | None) -> None:
    for ledger, stake in account.stakes:
        own_cpu_ns = cpu_ns if ledger.weights.owns_threads else None
        ledger.add(Event(at_ns, kind, stake, own_cpu_ns))
