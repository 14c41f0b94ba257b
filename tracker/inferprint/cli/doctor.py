"""``inferprint doctor``: what is measured here, what is modelled, and what would mend the rest."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from inferprint._config import Config
from inferprint.cli import FAILED, OK, Subparsers
from inferprint.units import NS_PER_S

if TYPE_CHECKING:
    from inferprint.sources import PowerSource
    from inferprint.sources.findings import Finding
    from inferprint.sources.host import Host

BETWEEN_READINGS_S = 0.2
"""Two steps of a GPU's counter, which advances every 20 to 100 ms."""

GIB = 1 << 30

COMPONENTS = ("gpu", "cpu", "dram")


@dataclass(frozen=True, slots=True)
class Trial:
    """What two readings of a device gave: watts, or the fault that kept them from it."""

    watts: float | None = None
    fault: str | None = None

    @property
    def remark(self) -> str:
        """What is wrong with it, if anything."""
        if self.watts == 0:
            return "its counter did not move between two readings"
        return f"failed: {self.fault}" if self.fault else ""


@dataclass(frozen=True, slots=True)
class Row:
    """A finding with its trial; the trial is None where nothing is read."""

    finding: Finding
    trial: Trial | None

    @property
    def works(self) -> bool:
        """Whether there are joules for it."""
        return self.trial is not None and self.trial.fault is None


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``doctor``."""
    parser = subparsers.add_parser(
        "doctor", help="what is measured, what is modelled, and what mends the rest"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Looks for every device, takes two readings of each, and prints what it saw.

    Returns:
        0 when at least one device could be read, else 1.
    """
    from inferprint.sources.detect import detect
    from inferprint.sources.host import read_host

    host = read_host()
    detection = detect(Config(), host)
    try:
        trials = take_readings(detection.sources)
    finally:
        for source in detection.sources:
            source.close()
    rows = [Row(finding, trials.get(finding.device)) for finding in detection.findings]
    print(_as_json(host, rows) if args.json else _as_text(host, rows))
    return OK if any(row.works for row in rows) else FAILED


def take_readings(
    sources: Sequence[PowerSource], between_s: float = BETWEEN_READINGS_S
) -> dict[str, Trial]:
    """Reads every source twice and tells the mean power of each of its devices in between.

    Args:
        sources: to be read.
        between_s: seconds between the two readings.
    """
    first = [_read(source) for source in sources]
    time.sleep(between_s)
    trials: dict[str, Trial] = {}
    for source, before in zip(sources, first, strict=True):
        after = _read(source)
        for device in source.devices():
            trials[device.id] = _trial(before, after, device.id)
    return trials


_Readings = dict[str, tuple[int, float]] | str


def _read(source: PowerSource) -> _Readings:
    """(nanoseconds, joules) by device, or the fault."""
    try:
        return {reading.device_id: (reading.at_ns, reading.energy_j) for reading in source.read()}
    except Exception as error:  # noqa: BLE001 - a source may raise anything: it is the diagnosis
        return str(error) or repr(error)


def _trial(before: _Readings, after: _Readings, device_id: str) -> Trial:
    if isinstance(before, str) or isinstance(after, str):
        return Trial(fault=before if isinstance(before, str) else str(after))
    if device_id not in before or device_id not in after:
        return Trial(fault="it was left out of the readings, since its counter failed")
    (start_ns, start_j), (end_ns, end_j) = before[device_id], after[device_id]
    if end_ns <= start_ns or end_j < start_j:
        return Trial(fault="its counter went back between two readings")
    return Trial(watts=(end_j - start_j) * NS_PER_S / (end_ns - start_ns))


def meaning(rows: Iterable[Row]) -> str:
    """One sentence: how receipts from this machine will know the energy of each component."""
    known = {
        component: {row.finding.status for row in rows if row.works and _is(row, component)}
        for component in COMPONENTS
    }
    parts = [f"{name} energy {' and '.join(sorted(how))}" for name, how in known.items() if how]
    unknown = [name for name, how in known.items() if not how]
    if not parts:
        return "Receipts will have no energy: no device of this machine can be read."
    without = f"; {' and '.join(unknown)} energy will be unknown, not 0" if unknown else ""
    return f"Receipts will have {', '.join(parts)}{without}."


def _is(row: Row, component: str) -> bool:
    return row.finding.component == component


def platform_notes(host: Host) -> list[str]:
    """What about the machine changes what can be measured, a sentence each."""
    notes = []
    if host.system != "Linux":
        notes.append(f"{host.system} has no RAPL files: CPU and memory are modelled.")
    if host.virtual:
        notes.append("A virtual machine: CPU counters are the host's, and rarely passed on.")
    notes += container_notes(host) if host.container else []
    if host.cpu_limit is not None:
        notes.append(f"The cgroup allows {host.cpu_limit:g} of {host.threads} CPUs.")
    if host.memory_limit is not None:
        notes.append(f"The cgroup allows {host.memory_limit / GIB:.3g} GiB of memory.")
    return notes


def container_notes(host: Host) -> list[str]:
    """What a container hides, and what would show it, a sentence each."""
    notes = [
        "A container: CPU and memory figures are the whole host's, not its alone; requests get the "
        "part of this process's CPU time, or with cpu_scope=cgroup that of the whole container.",
        "Trackers in other containers are not seen from here. mend: mount one folder of the host "
        "in each, and name it: INFERPRINT_LOCK_FOLDER=/run/inferprint",
    ]
    if not host.gpu_files:
        notes.append(
            "No NVIDIA device is in it. mend: docker run --gpus all ...; in Kubernetes, "
            "resources: {limits: {nvidia.com/gpu: 1}}"
        )
    elif host.own_pids:
        notes.append(
            "GPU work is not told apart by process: drivers tell process ids of the host. mend: "
            "docker run --pid=host ...; in Kubernetes, hostPID: true"
        )
    return notes


def _as_json(host: Host, rows: Sequence[Row]) -> str:
    devices = [
        asdict(row.finding) | asdict(row.trial if row.trial is not None else Trial())
        for row in rows
    ]
    platform = asdict(host) | {"notes": platform_notes(host)}
    return json.dumps({"devices": devices, "platform": platform, "receipts": meaning(rows)})


def _as_text(host: Host, rows: Sequence[Row]) -> str:
    lines = [f"{host.cpu_name}, {host.threads} logical CPUs, {host.system}"]
    lines += [f"  {note}" for note in platform_notes(host)] + [""]
    for row in rows:
        found = row.finding
        lines.append(f"{found.component:5}{found.status:11}{_power(row):>10}  {found.name}")
        lines.append(f"{'':28}{found.why}")
        if row.trial is not None and row.trial.remark:
            lines.append(f"{'':28}{row.trial.remark}")
        if found.mend:
            lines.append(f"{'':28}mend: {found.mend}")
    return "\n".join([*lines, "", meaning(rows)])


def _power(row: Row) -> str:
    if row.trial is None:
        return "-"
    return "failed" if row.trial.watts is None else f"{row.trial.watts:.1f} W"
