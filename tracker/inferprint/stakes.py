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


class Stake:
    """What one request has earned so far from one device, in joules.

    ``active_j`` holds its idle energy too for the windows in which idle power was not
    known.
    """

    # Defaults on the class: a stake costs nothing until it is touched.
    active_j = 0.0
    idle_j = 0.0
    standing_j = 0.0
    # While it is in flight: its entries to the ledger's levels, and whether it shares active
    # energy alike with others.
    running = False
    pooled = False
    active_entry = 0.0
    idle_entry = 0.0
    # The clock of the thread that it owns, when it was last read; None: it owns none.
    cpu_from_ns: int | None = None
    # The first window that it touched, counted by the ledger from 1 (0: none yet), and the
    # windows of known energy before it.
    first_window = 0
    known_before = 0
    # Fixed when it ends.
    provenance: Provenance | None = None
    said: frozenset[str] | None = None
    method: str | None = None
    # How far off its active energy may be: by its own work and by what was shared alike, the
    # latter without what it has had since it came, or came back, until it left again.
    noise_j2 = 0.0
    sharing_j = 0.0
    share_s = 0.0
    came: Place | None = None
    left: Place | None = None
    # Its own work, in joules, of prompts and errors of both.
    own_j = 0.0
    own_prompt_j = 0.0
    prompt_error_j = 0.0
    output_error_j = 0.0
    errors_alike: tuple[float, ...] = (0.0, 0.0, 0.0)
