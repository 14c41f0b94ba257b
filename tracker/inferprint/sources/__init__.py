"""Where joules come from. A source is anything with cumulative joules per device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from inferprint.records import Device, Reading

__all__ = ["PowerSource"]


@runtime_checkable
class PowerSource(Protocol):
    """Anything that can say how many joules its devices have used so far.

    A sensor that only knows power integrates inside its source, and does not integrate
    over a gap in its own readings. A source is read from one thread only.

    A device whose counter advances in steps (``Device.step_s``) is read on its own
    schedule, so its source has that one device and no other.

    A source may have a method ``says() -> frozenset[str]`` too: flags for receipts of the windows
    that close with its last reading.
    """

    def devices(self) -> Sequence[Device]:
        """The devices, the same ones at every call."""
        ...

    def read(self) -> Sequence[Reading]:
        """One reading of every device that could be read.

        Raises:
            ReadingError: none could be read. Any other exception is treated alike.
        """
        ...

    def close(self) -> None:
        """Releases what the source holds. It is not read again."""
        ...
