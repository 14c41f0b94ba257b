"""What is known of the carbon intensity of a span of time, and who is asked for it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from inferprint.impacts import Factor

__all__ = ["Constant", "Intensity", "Known"]


class Known(NamedTuple):
    """What is known of a span of time.

    Args:
        factor: the mean carbon intensity over it; None: not known.
        flags: what receipts that it is used for must say, such as ``intensity_stale``.
    """

    factor: Factor | None
    flags: frozenset[str] = frozenset()


class Intensity(Protocol):
    """A grid's carbon intensity over time."""

    def over(self, start_s: float, end_s: float) -> Known:
        """The mean over a span of wall time.

        It never waits, and does not raise.

        Args:
            start_s: its start, Unix time.
            end_s: its end, not before its start; the same: an instant.
        """
        ...

    def start(self) -> None:
        """What has to be fetched is fetched from now on, in a thread of its own."""
        ...

    def close(self) -> None:
        """Nothing is fetched any more; what is known stays known."""
        ...


class Constant:
    """The same at all times.

    Args:
        factor: it; None: not known.
    """

    def __init__(self, factor: Factor | None) -> None:
        self._known = Known(factor)

    def over(self, start_s: float, end_s: float) -> Known:
        """It."""
        return self._known

    def start(self) -> None:
        """There is nothing to fetch."""

    def close(self) -> None:
        """There is nothing to stop."""
