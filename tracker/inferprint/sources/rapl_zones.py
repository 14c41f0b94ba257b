"""Finds the RAPL domains below a powercap root, and says of each whether it can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inferprint.records import Component, Device
from inferprint.sources.findings import Finding
from inferprint.sources.host import Host
from inferprint.units import MICROJOULES_PER_JOULE

__all__ = ["Zone", "find_zones"]

PACKAGE_ERROR = 0.056
"""Half-width of a package's error. Khan, Ou, Hirki, Nurminen, Niemi, "How much power does
your server consume?", Computer Science - Research and Development 31(4), 2016: wall power
predicted from RAPL package power is at most 5.6 % off. It is of Intel servers; for AMD, whose
counter is a model in the CPU (Schöne et al., arXiv 2108.00808, 2021), no figure was found and
the same is used."""

DRAM_ERROR = 0.30
"""Half-width of DRAM's error: "up to ~30 %" on Intel's own platforms (Intel Power Gadget for
Linux, README). It is worst when idle (Desrochers, Paradis, Weaver, MEMSYS 2016)."""

ONE_METER_UJ = MICROJOULES_PER_JOULE
"""Two dies whose counters are within a joule show one meter: read one after the other, they
differ by what the package used in between."""

GRANT = "sudo chmod a+r {root}/intel-rapl*:*/energy_uj {root}/intel-rapl*:*/max_energy_range_uj"
MOUNT = (
    "docker run -v /sys/devices/virtual/powercap/intel-rapl:/powercap:ro"
    " -e INFERPRINT_POWERCAP_ROOT=/powercap ..."
)
LOAD = "sudo modprobe intel_rapl_msr"

CONTROL_TYPES = ("intel-rapl", "intel-rapl-mmio")


@dataclass(frozen=True, slots=True)
class Zone:
    """An energy domain that can be read.

    Args:
        device: what it meters.
        energy_file: holds the counter, microjoules as text.
        range_uj: what the counter counts to; None: not known.
    """

    device: Device
    energy_file: Path
    range_uj: int | None


def find_zones(root: Path, host: Host) -> tuple[list[Zone], list[Finding]]:
    """Looks for package domains and their DRAM.

    Args:
        root: the powercap class folder, or a mount of the control type's folder in it.
        host: the machine.

    Returns:
        The domains that can be read, and a finding for each domain that was found, or one
        that says why there is none.
    """
    zones: list[Zone] = []
    findings: list[Finding] = []
    meters: dict[str, int] = {}
    for component, label, folder in _domains(root):
        device = _device(component, label, host)
        try:
            energy_uj = int((folder / "energy_uj").read_text())
        except (OSError, ValueError) as error:
            findings.append(_unreadable(device, root, folder, error))
            continue
        twin = _same_meter(label, energy_uj, meters) if component == "cpu" else None
        if twin is None:
            zones.append(Zone(device, folder / "energy_uj", _range_uj(folder)))
        findings.append(_readable(device, folder, twin))
    return zones, findings or [_none_found(root, host)]


def _domains(root: Path) -> Iterator[tuple[Component, str, Path]]:
    """(component, the package's name, folder) of each domain that counts."""
    seen: set[str] = set()
    for control in CONTROL_TYPES:
        packages = [pair for pair in _packages(root, control) if pair[0] not in seen]
        for label, folder in packages:
            yield "cpu", label, folder
            parts = _numbered(folder, folder.name) or _numbered(folder.parent, folder.name)
            for part in parts:
                if _name(part) == "dram":
                    yield "dram", label, part
        seen.update(label for label, _ in packages)


def _packages(root: Path, control: str) -> Iterator[tuple[str, Path]]:
    folders = _numbered(root, control) or _numbered(root / control, control)
    for folder in folders:
        name = _name(folder)
        if name.startswith("package"):
            yield name, folder


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """The folders ``prefix:0``, ``prefix:1``, ... in order of their numbers."""
    shape = re.compile(re.escape(prefix) + r":(\d+)")
    try:
        found = [
            (match, path) for path in folder.iterdir() if (match := shape.fullmatch(path.name))
        ]
    except OSError:
        return []
    return [path for match, path in sorted(found, key=lambda pair: int(pair[0][1]))]


def _name(folder: Path) -> str:
    """What the kernel calls the domain; a package by its number where that is masked."""
    try:
        return (folder / "name").read_text().strip()
    except OSError:
        return "package-" + folder.name.split(":")[1] if folder.name.count(":") == 1 else ""


def _range_uj(folder: Path) -> int | None:
    try:
        return int((folder / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        return None


def _same_meter(label: str, energy_uj: int, meters: dict[str, int]) -> str | None:
    """The die of the same package that shows this counter already; else it is remembered.

    On AMD Zen 1 and 2 every die shows the counter of the whole socket, so that a sum counts
    it once a die (mlco2/codecarbon#1274, 2026: two dies of 68 W each on a 125 W machine).
    """
    package = label.partition("-die-")[0]
    for other, other_uj in meters.items():
        if other.partition("-die-")[0] == package and abs(other_uj - energy_uj) <= ONE_METER_UJ:
            return other
    meters[label] = energy_uj
    return None


def _device(component: Component, label: str, host: Host) -> Device:
    cpu = component == "cpu"
    return Device(
        f"{component}:{label}",
        component,
        host.cpu_name if cpu else f"memory of {label}",
        relative_error=PACKAGE_ERROR if cpu else DRAM_ERROR,
        capacity=float(host.threads),
    )


def _readable(device: Device, folder: Path, twin: str | None) -> Finding:
    if twin is not None:
        why = f"its counter is the one that {twin} shows already"
        return Finding("rapl", device.id, device.component, device.name, "absent", why)
    why = f"RAPL counter {folder.name}, ± {device.relative_error:.1%}"
    if device.component == "cpu" and "AMD" in device.name:
        why += " as for Intel's: AMD's counter is a model in the CPU of unpublished error"
    return Finding("rapl", device.id, device.component, device.name, "measured", why)


def _unreadable(device: Device, root: Path, folder: Path, error: Exception) -> Finding:
    why, mend = f"{folder / 'energy_uj'} does not hold a number: {error}", ""
    if isinstance(error, PermissionError):
        why = (
            "only root may read RAPL counters since Linux 5.10 (CVE-2020-8694); chmod lets every"
            " user of the host read them, until the next boot"
        )
        mend = GRANT.format(root=root)
    elif isinstance(error, FileNotFoundError):
        why = "the RAPL counters are listed but hidden, as container runtimes do"
        mend = MOUNT
    elif isinstance(error, OSError):
        why = f"{folder / 'energy_uj'} can't be read: {error}"
    return Finding("rapl", device.id, device.component, device.name, "unreadable", why, mend)


def _none_found(root: Path, host: Host) -> Finding:
    why, mend = f"no RAPL package domain below {root}", ""
    if host.system != "Linux":
        why = f"RAPL is read through Linux, and this is {host.system}"
    elif host.virtual:
        why += ": a hypervisor does not pass the counters on"
    elif host.container:
        why, mend = why + " in this container", MOUNT
    else:
        why, mend = why + ", which the kernel's module intel_rapl_msr brings", LOAD
    return Finding("rapl", "", "cpu", host.cpu_name, "absent", why, mend)
