"""What the demo prints: to people, or to scripts as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from inferprint import Balance, DeviceBalance, Factor, Receipt, Tracker
from inferprint.sources.findings import Finding

__all__ = ["JsonLines", "Start", "Text"]

HOW = ("measured", "modelled")
DOCTOR = "What is read, what is not, and the command that mends it: inferprint doctor"


@dataclass(frozen=True, slots=True)
class Start:
    """What is known when the demo starts."""

    where: str
    parameters: int
    clients: int
    seconds: float
    metrics: str
    findings: tuple[Finding, ...]
    carbon: Factor | None


class Text:
    """Lines for a person who watches."""

    name = "screen"

    def begin(self, start: Start) -> None:
        """Says what will be seen."""
        self._meters = meters(start.findings)
        _print(
            f"A transformer of {start.parameters / 1e6:.0f} million random weights, {start.where}:",
            f"{start.clients} clients ask it for {start.seconds:g} s, after a moment of quiet.",
            *self._meters,
            grid(start.carbon),
            f"Metrics, while this runs: {start.metrics}",
            "",
        )

    def start(self, tracker: Tracker) -> None:
        """Nothing: lines come with receipts."""

    def export(self, receipts: Sequence[Receipt]) -> None:
        """A line for each receipt."""
        _print(*map(str, receipts))

    def close(self) -> None:
        """Nothing: standard output stays open."""

    def end(self, balance: Balance) -> None:
        """The books, and once more what kind of figures these were."""
        _print("", *table(balance), "", *self._meters)


class JsonLines:
    """A JSON object a line: ``start``, then a ``receipt`` each, and ``balance`` at the end."""

    name = "screen"

    def begin(self, start: Start) -> None:
        """The object ``start``."""
        _print(json.dumps({"start": asdict(start)}))

    def start(self, tracker: Tracker) -> None:
        """Nothing: lines come with receipts."""

    def export(self, receipts: Sequence[Receipt]) -> None:
        """An object ``receipt`` for each."""
        _print(*(json.dumps({"receipt": receipt.to_dict()}) for receipt in receipts))

    def close(self) -> None:
        """Nothing: standard output stays open."""

    def end(self, balance: Balance) -> None:
        """The object ``balance``."""
        devices = {key: asdict(device) for key, device in balance.devices.items()}
        books = {"devices": devices, "closure_error": balance.closure_error}
        _print(json.dumps({"balance": books}))


def meters(findings: Iterable[Finding]) -> list[str]:
    """How the watts come about, in a line or two; modelled watts are never called measured."""
    known = [finding for finding in findings if finding.status in HOW]
    lines = [f"{f.component}: {f.status.upper()}. {f.name}: {f.why}" for f in known]
    if not known:
        return ["No device could be read: joules are UNKNOWN.", DOCTOR]
    if all(finding.status == "modelled" for finding in known):
        lines.insert(0, "No meter can be read here: all watts are MODELLED, not measured.")
    return lines if all(finding.status == "measured" for finding in known) else [*lines, DOCTOR]


def grid(carbon: Factor | None) -> str:
    """Which carbon intensity receipts are computed with, and how one is set."""
    if carbon is None:
        return "Carbon: unknown, until a place is set, for example INFERPRINT_LOCATION=FRA."
    where = f" in {carbon.region}" if carbon.region else ""
    return f"Carbon: {carbon.value:g} {carbon.unit}{where}, by {carbon.source}."


COLUMNS = ("used", "active", "idle", "standing", "not charged", "other procs", "unattributed")


def table(balance: Balance) -> list[str]:
    """The books of each device in joules: the first figure is the sum of those that follow."""
    rows = [
        (f"{key} ({device.provenance})", [f"{joules:.2f}" for joules in _terms(device)])
        for key, device in sorted(balance.devices.items())
    ]
    width = max((len(label) for label, _ in rows), default=0)
    return [
        "Balance in joules: what a device used = what requests were charged (active, idle and",
        "standing) + standing not charged yet + other processes + what nothing explains.",
        *(
            f"{label:{width}}" + "".join(f"{cell:>13}" for cell in cells)
            for label, cells in [("", COLUMNS), *rows]
        ),
        f"The terms add up to what was used, to within {balance.closure_error:.0e} of it.",
    ]


def _terms(device: DeviceBalance) -> tuple[float, ...]:
    return (
        device.measured_j,
        device.requests_active_j,
        device.requests_idle_j,
        device.requests_standing_j,
        device.standing_j,
        device.other_processes_j,
        device.unattributed_j,
    )


def _print(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)
