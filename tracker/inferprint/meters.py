"""The books of meters of the whole machine: what they count beside the devices.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inferprint.records import Device, MeterBalance, Provenance
from inferprint.windows import Window


class Meters:
    """All of them.

    Args:
        devices_j: what the devices have counted so far.
    """

    def __init__(self, devices_j: Callable[[], float] = lambda: 0.0) -> None:
        self._devices_j = devices_j
        self._books: dict[str, _Book] = {}

    def add(self, device: Device, begun: bool) -> None:
        """A meter; ``begun``: it was read for the first time together with the devices."""
        self._books[device.id] = _Book(device.name, 0.0 if begun else None)

    def after(self, windows: Sequence[Window]) -> Sequence[Window]:
        """Windows that close together, those of meters after those of the devices."""
        if not self._books:
            return windows
        return sorted(windows, key=lambda window: window.device_id in self._books)

    def close(self, window: Window) -> None:
        """A window of a meter closes."""
        self._books[window.device_id].close(window, self._devices_j())

    def balance(self) -> dict[str, MeterBalance]:
        """Those that have been read, by id."""
        read = {id_: book for id_, book in self._books.items() if book.seen_j is not None}
        return {id_: book.balance() for id_, book in read.items()}


class _Book:
    def __init__(self, name: str, seen_j: float | None) -> None:
        self._name = name
        # What the devices had counted at the last window's end.
        self.seen_j = seen_j
        self._measured_j = self._devices_j = 0.0
        self._power_w: float | None = None
        self._provenance: Provenance = "unknown"

    def close(self, window: Window, devices_j: float) -> None:
        before_j, self.seen_j = self.seen_j, devices_j
        if window.energy_j is None or window.gap or before_j is None:
            return
        self._measured_j += window.energy_j
        self._devices_j += devices_j - before_j
        self._power_w = window.energy_j / window.duration_s
        self._provenance = window.provenance

    def balance(self) -> MeterBalance:
        return MeterBalance(
            self._name, self._provenance, self._measured_j, self._devices_j, self._power_w
        )
