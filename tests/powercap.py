"""Powercap trees laid out as Linux shows them, from the listings in ``fixtures/powercap``."""

from __future__ import annotations

from pathlib import Path

LISTINGS = Path(__file__).parent / "fixtures" / "powercap"

NOT_PERMITTED = Path("/proc/sys/vm/compact_memory")
"""A file of Linux that nobody may read, root neither."""


class PowercapTree:
    """A tree below ``folder``: zones under ``devices``, and a class folder of links to them.

    Args:
        listing: a name in ``fixtures/powercap``; each line is ``zone/file = value``.
        folder: an empty folder.
    """

    def __init__(self, listing: str, folder: Path) -> None:
        self.root = folder / "class" / "powercap"
        self._devices = folder / "devices" / "virtual" / "powercap"
        self.root.mkdir(parents=True)
        for line in (LISTINGS / f"{listing}.txt").read_text().splitlines():
            name, value = line.split(" = ")
            file = self._devices / name.split(":")[0] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value + "\n")
        self._link()

    def file(self, zone: str, name: str = "energy_uj") -> Path:
        """A file of a zone, such as ``intel-rapl:0:0``."""
        return self.root / zone / name

    def set_energy(self, zone: str, energy_uj: int) -> None:
        """Sets a counter in place, as the kernel does: an open file sees it."""
        self.file(zone).write_text(f"{energy_uj}\n")

    def add_energy(self, zone: str, joules: float) -> None:
        """Advances a counter."""
        file = self.file(zone)
        self.set_energy(zone, int(file.read_text()) + round(joules * 1e6))

    def deny(self, zone: str) -> None:
        """Makes a counter one that nobody may read."""
        self.file(zone).unlink()
        self.file(zone).symlink_to(NOT_PERMITTED)

    def control(self, name: str = "intel-rapl") -> Path:
        """The folder of a control type, which container users mount."""
        return self._devices / name

    def _link(self) -> None:
        for folder in [self._devices, *self._devices.rglob("intel-rapl*")]:
            if folder.is_dir() and folder != self._devices:
                (self.root / folder.name).symlink_to(folder)
