"""What a request has at stake in the books of a device, and what can happen to it."""

from __future__ import annotations

from typing import Final, NamedTuple

from inferprint.records import Provenance
from inferprint.uncertainty import Spread

# What happens to a request at an instant. Plain numbers, because they are compared often.
ARRIVE: Final = 0  # it starts, and is in flight
RESUME: Final = 1  # the last of its children ended: it is in flight again
PAUSE: Final = 2  # a child of it started: it is not in flight meanwhile
END: Final = 3  # it ends in flight
END_PAUSED: Final = 4  # it ends while a child of it goes on

# What each does to the number of requests in flight.
STEP: Final = (1, 1, -1, -1, 0)


Place = tuple[Spread, Spread, float]
"""Where the sum of what is uncertain stood at a window's start, what a nanosecond of an equal
share adds to it there, and how many there have been."""


class Earned(NamedTuple):
    """What a request has earned from a device, in joules."""

    active_j: float
    idle_j: float
    standing_j: float


class Since(NamedTuple):
    """When a request came.

    Args:
        first_window: the first that it touched, counted by the ledger from 1; 0: none yet.
        known_before: windows of known energy before it.
    """

    first_window: int = 0
    known_before: int = 0


NEVER: Final = Since()


class Verdict(NamedTuple):
    """What a receipt says of a request that has ended, on one device."""

    provenance: Provenance
    said: frozenset[str]
    method: str


class Stake:
    """What one request has earned so far from one device, in joules.

    ``active_j`` is what it has had of active energy but for ``own_j``; it holds its idle energy
    too for the windows in which idle power was not known.
    """

    __slots__ = (
        "active_entry",
        "active_j",
        "came",
        "cpu_from_ns",
        "errors_alike",
        "idle_entry",
        "idle_j",
        "left",
        "noise_j2",
        "output_error_j",
        "own_j",
        "own_prompt_j",
        "pooled",
        "prompt_error_j",
        "running",
        "share_s",
        "sharing_j",
        "since",
        "standing_j",
        "verdict",
    )

    def __init__(self) -> None:
        self.active_j = self.idle_j = self.standing_j = 0.0
        # While it is in flight: its entries to the ledger's levels, and whether it shares active
        # energy alike with others.
        self.running = self.pooled = False
        self.active_entry = self.idle_entry = 0.0
        # The clock of the thread that it owns, when it was last read; None: it owns none.
        self.cpu_from_ns: int | None = None
        self.since = NEVER
        # Fixed when it ends.
        self.verdict: Verdict | None = None
        # How far off its active energy may be: by its own work and by what was shared alike, the
        # latter without what it has had since it came, or came back, until it left again.
        self.noise_j2 = self.sharing_j = self.share_s = 0.0
        self.came: Place | None = None
        self.left: Place | None = None
        # Of its own work, weighed by what was learned: all, of prompts, and the errors of both.
        self.own_j = self.own_prompt_j = self.prompt_error_j = self.output_error_j = 0.0
        self.errors_alike: tuple[float, ...] = (0.0, 0.0, 0.0)
