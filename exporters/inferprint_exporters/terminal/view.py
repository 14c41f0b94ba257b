"""What there is to see at an instant: devices, models, requests in flight, and the books.

Pure: no clock, no I/O. Unknown is None; it is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from inferprint.impacts import Carbon, Cost
from inferprint.ranges import Range
from inferprint.receipt import as_dict
from inferprint.records import Provenance

__all__ = ["DeviceRow", "Grid", "Mode", "ModelRow", "RequestRow", "View", "as_of_then"]

Mode = Literal["demo", "devices", "metrics"]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device and its books.

    Args:
        id: as receipts and metrics name it.
        name: the product's name.
        component: ``gpu``, ``cpu`` or ``dram``.
        provenance: how its energy is known.
        power_w: mean power of its last window; None: not known, or not of now.
        idle_w: its idle power.
        age_s: how long ago it was last read.
        measured_j: what it used. The others, but for the closure error, add up to it.
        active_j, idle_j, standing_j: what requests were charged.
        unsplit_j: active and idle energy that could not be told apart, charged to requests.
        uncharged_j: idle energy that no request was charged, or not yet.
        other_processes_j: active energy of other processes.
        unattributed_j: what nothing explains.
        closure_error: how far they are from adding up to it, relative to it.
    """

    id: str
    name: str | None = None
    component: str | None = None
    provenance: str = "unknown"
    power_w: float | None = None
    idle_w: float | None = None
    age_s: float | None = None
    measured_j: float | None = None
    active_j: float | None = None
    idle_j: float | None = None
    standing_j: float | None = None
    unsplit_j: float | None = None
    uncharged_j: float | None = None
    other_processes_j: float | None = None
    unattributed_j: float | None = None
    closure_error: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What the settled requests of a model have used so far.

    Args:
        model: its name as requests gave it; ``other`` holds those past the limit of names.
        in_flight: requests that run now.
        requests: those that were settled, with known energy.
        energy_j: what they were charged.
        active_j, idle_j, standing_j, unsplit_j: its parts; None: none was charged.
        wasted_j: the part of it that failed or cancelled requests had.
        output_tokens: as they told.
        carbon_g: what it means; None: not known, as is what is missing in ``cost``.
        cost: money by currency.
    """

    model: str
    in_flight: int | None = None
    requests: int | None = None
    energy_j: float | None = None
    active_j: float | None = None
    idle_j: float | None = None
    standing_j: float | None = None
    unsplit_j: float | None = None
    wasted_j: float | None = None
    output_tokens: int | None = None
    carbon_g: float | None = None
    cost: Mapping[str, float] = field(default_factory=dict)

    @property
    def request_j(self) -> float | None:
        """Joules of a request in the mean."""
        return (
            self.energy_j / self.requests if self.energy_j is not None and self.requests else None
        )

    @property
    def waiting(self) -> float | None:
        """The part of its energy that is idle or standing; None where they are not told apart."""
        if not self.energy_j or self.unsplit_j or (self.idle_j is None and self.standing_j is None):
            return None
        return ((self.idle_j or 0.0) + (self.standing_j or 0.0)) / self.energy_j


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request in flight, and what it has used so far by its provisional receipt."""

    request_id: str
    model: str
    duration_s: float | None
    output_tokens: int | None
    energy_j: Range | None
    carbon_g: Carbon | None
    cost: Cost | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Grid:
    """The carbon intensity that carbon is computed with."""

    g_per_kwh: float
    location: str
    source: str


@dataclass(frozen=True, slots=True)
class View:
    """All that is shown.

    Args:
        at: wall time, ISO 8601.
        mode: what is looked at: a ``demo`` here, this machine's ``devices``, or the ``metrics``
            of a server.
        address: of the metrics; None in the other modes.
        stale_s: seconds since the server last answered; None: it answers.
        devices, models: a row each.
        requests: those in flight, the oldest first and a hundred at most; None: they cannot be
            told one by one.
        in_flight: how many there are; None: not known.
        grid: None: not known.
        hosted_j: estimated joules of calls to models elsewhere; in no other figure.
        faults: faults of power sources so far, by ``SOURCE KIND``.
        notes: what a reader should know.
    """

    at: str
    mode: Mode
    address: str | None = None
    stale_s: float | None = None
    devices: tuple[DeviceRow, ...] = ()
    models: tuple[ModelRow, ...] = ()
    requests: tuple[RequestRow, ...] | None = None
    in_flight: int | None = None
    grid: Grid | None = None
    hosted_j: float | None = None
    faults: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The view as plain dicts, lists, strings and numbers; unknown is None."""
        return as_dict(self)


def as_of_then(view: View, stale_s: float, why: str) -> View:
    """What is still known of a server that does not answer: its totals, as they were.

    Args:
        view: when it last answered.
        stale_s: how long ago that was.
        why: what happened.
    """
    return replace(
        view,
        stale_s=stale_s,
        devices=tuple(replace(row, power_w=None, age_s=None) for row in view.devices),
        models=tuple(replace(row, in_flight=None) for row in view.models),
        in_flight=None,
        notes=(why, *view.notes),
    )
