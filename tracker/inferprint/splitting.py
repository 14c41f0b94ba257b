"""A window's energy by what it was for, before requests take their shares."""

from __future__ import annotations

from typing import NamedTuple

from inferprint.windows import Window


class Split(NamedTuple):
    """The energy of one window, in joules.

    Args:
        idle_j: at most what the device draws when idle, for the length of the window.
        requests_j: what the requests of this process caused above it; idle energy too
            where idle power is not known.
        other_j: what other processes caused above it.
        unattributed_j: the rest.
    """

    idle_j: float = 0.0
    requests_j: float = 0.0
    other_j: float = 0.0
    unattributed_j: float = 0.0


def split_window(window: Window, busy_ns: int, quiet_ns: int, idle_w: float | None) -> Split:
    """Splits a window's energy.

    Args:
        window: the window.
        busy_ns: time in it in which a request was in flight.
        quiet_ns: time in it in which none was.
        idle_w: idle power; None: not known.
    """
    energy_j = window.energy_j
    if energy_j is None:
        return Split()
    if window.gap:
        return Split(unattributed_j=energy_j)
    if idle_w is None:
        # Requests get the time in which they ran, whole; of the rest nothing is known.
        busy_j = energy_j * busy_ns / (busy_ns + quiet_ns)
        own_j, other_j = _own_and_other(window, busy_j)
        return Split(0.0, own_j, other_j, energy_j - busy_j)
    idle_j = min(energy_j, idle_w * window.duration_s)
    own_j, other_j = _own_and_other(window, energy_j - idle_j)
    return Split(idle_j, own_j, other_j, 0.0) if busy_ns else Split(idle_j, 0.0, other_j, own_j)


def _own_and_other(window: Window, joules: float) -> tuple[float, float]:
    """Active energy of this process and of others; all is ours where shares are unknown."""
    share = window.own_share
    own_j = joules if share is None else joules * share
    return own_j, joules - own_j
