"""What a request has at stake in the books of a device, and what happens to it there."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from inferprint.books import Account


class Kind(IntEnum):
    """What happens to a request at an instant of a device's time."""

    ARRIVE = 0
    """It starts, and is in flight."""
    RESUME = 1
    """The last of its children ended: it is in flight again."""
    PAUSE = 2
    """A child of it started: it is not in flight meanwhile."""
    END = 3
    """It ends in flight."""
    END_PAUSED = 4
    """It ends while a child of it goes on."""


STEP_IN_FLIGHT = {Kind.ARRIVE: 1, Kind.RESUME: 1, Kind.PAUSE: -1, Kind.END: -1, Kind.END_PAUSED: 0}


class Stake:
    """What one request has earned so far from one device, in joules.

    ``active_j`` holds its idle energy too for the windows in which idle power was not
    known.
    """

    __slots__ = (
        "account",
        "active_entry",
        "active_j",
        "cpu_from_ns",
        "first_window",
        "idle_entry",
        "idle_j",
        "known_before",
        "last_window",
        "pooled",
        "running",
        "standing_j",
    )

    def __init__(self, account: Account) -> None:
        self.account = account
        self.active_j = self.idle_j = self.standing_j = 0.0
        # While it is in flight: its entries to the ledger's levels, and whether it shares
        # active energy alike with others.
        self.running = self.pooled = False
        self.active_entry = self.idle_entry = 0.0
        # The clock of the thread that it owns, when it was last read; None: it owns none.
        self.cpu_from_ns: int | None = None
        # The windows that it touched, counted by the ledger from 1; 0: none yet.
        self.first_window = self.last_window = self.known_before = 0


class Event(NamedTuple):
    """A request's event in a device's time.

    ``cpu_ns`` is the CPU clock of the thread that it owns then; None: it owns none, or it
    was not read.
    """

    at_ns: int
    kind: Kind
    stake: Stake
    cpu_ns: int | None
