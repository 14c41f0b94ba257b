"""The records that the stages hand to each other: devices, readings, parts, books.

All are frozen. Units are in the names: `_j` joules, `_w` watts, `_s` seconds, `_g` grams,
`_ns` nanoseconds on the monotonic clock. Unknown is None; it is never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from inferprint.ranges import Range

Component = Literal["gpu", "cpu", "dram", "wall"]
"""``wall`` is a meter of the whole machine: it is in the balance, and in no receipt."""
Provenance = Literal["measured", "prorated", "modelled", "unknown"]
CpuScope = Literal["process", "tree", "cgroup"]
Outcome = Literal["ok", "error", "cancelled"]
IdlePolicyName = Literal["in_flight", "amortised", "since_last", "separate"]

WEAKEST_FIRST: tuple[Provenance, ...] = ("unknown", "modelled", "prorated", "measured")


def weakest(provenances: Iterable[Provenance]) -> Provenance:
    """The least certain of several provenances; ``unknown`` of none."""
    found = set(provenances)
    for name in WEAKEST_FIRST:
        if name in found:
            return name
    return "unknown"


@dataclass(frozen=True, slots=True)
class Device:
    """What has an energy reading: a GPU, a CPU package, DRAM.

    Args:
        id: unique on the host and stable over restarts, such as a GPU's UUID.
        component: ``gpu``, ``cpu`` or ``dram``; ``wall`` for a meter of the whole machine.
        name: the product's name, for people.
        idle_w: watts drawn with the model resident and no request running, where they are
            known beforehand (from a table or a model). None: to be observed.
        step_s: seconds between the steps in which the counter is expected to advance, a
            first guess that the sampler corrects. None: it advances continuously.
        relative_error: half-width of the reading's error, 0.05 for ± 5 %: the same error in
            all readings, such as a board's gain.
        noise: relative standard deviation of the energy that it counts in a second, as it is
            expected before any was seen: what a sensor misses that looks a part of the time.
        average_s: seconds over which its power is averaged before it is told; 0: it is not.
        tabled_idle_w: idle watts of this product from a table, used and flagged until an
            idle stretch has been seen.
        capacity: busy seconds a second when it is fully busy: the cores of a CPU, else 1.
        flags: what receipts that this device has a part in must say.
        aliases: other names that requests may give it, such as those of a GPU's MIG instances.
    """

    id: str
    component: Component
    name: str
    idle_w: float | None = None
    step_s: float | None = None
    relative_error: float = 0.0
    noise: float = 0.0
    average_s: float = 0.0
    tabled_idle_w: float | None = None
    capacity: float = 1.0
    flags: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of one device: cumulative joules at an instant of the monotonic clock.

    Args:
        device_id: the device's ``id``.
        at_ns: when the counter had this value, nanoseconds on the monotonic clock.
        energy_j: joules since some fixed moment. A smaller value than before is a reset.
        provenance: ``measured`` for a counter or sensor, ``modelled`` for a power model.
        busy_s: cumulative seconds for which the device was busy for anybody (CPU seconds
            summed over cores, GPU utilisation integrated). None: not known.
        own_s: the part of ``busy_s`` that this process caused. None: not known.
    """

    device_id: str
    at_ns: int
    energy_j: float
    provenance: Provenance = "measured"
    busy_s: float | None = None
    own_s: float | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a request. ``input`` includes ``cached_input``. None: not told."""

    input: int | None = None
    cached_input: int | None = None
    output: int | None = None


@dataclass(frozen=True, slots=True)
class ComponentEnergy:
    """What one component (all GPUs, all CPU packages, all DRAM) spent for a request.

    ``active_j`` and ``idle_j`` are None where idle power was not known and the two could
    not be told apart; ``total_j`` holds them together.
    """

    active_j: Range | None
    idle_j: Range | None
    standing_j: Range | None
    total_j: Range | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Energy:
    """The energy of a request, itemised.

    Args:
        active_j: what it used above idle.
        idle_j: its share of the idle draw while it ran.
        standing_j: its share of the idle energy while no request ran.
        overhead_j: (PUE - 1) x total_j, cooling and power supply of the site, which no
            device meters. None while the PUE is not known.
        total_j: active + idle + standing: all that is charged to it of what the devices'
            meters counted. Overhead is not in it.
        by_component: the same parts for ``gpu``, ``cpu``, ``dram``.
    """

    active_j: Range | None
    idle_j: Range | None
    standing_j: Range | None
    overhead_j: Range | None
    total_j: Range | None
    by_component: Mapping[str, ComponentEnergy]


@dataclass(frozen=True, slots=True)
class WorkEnergy:
    """What active energy was for, on the devices where the cost of work was learned.

    Args:
        shared_j: its part of what anyone running costs, shared alike by those in flight.
        prompt_j: its own work on prompt tokens that were not cached.
        output_j: its own work on output tokens, their context taken in.
        prompt_j_per_token, output_j_per_token: own work for each such token; None: none told.
    """

    shared_j: Range
    prompt_j: Range
    output_j: Range
    prompt_j_per_token: Range | None
    output_j_per_token: Range | None


@dataclass(frozen=True, slots=True)
class DeviceBalance:
    """The books of one device since the tracker started, in joules.

    ``measured_j`` equals the sum of the six terms that follow it.

    Args:
        component: the device's component.
        name: the device's name.
        provenance: of its readings.
        measured_j: what its counter advanced by.
        requests_active_j: what requests were charged above idle, those still in flight
            included, and what could not be split into active and idle.
        requests_idle_j: idle energy charged to requests while they ran.
        requests_standing_j: idle energy of quiet times, charged to requests.
        standing_j: idle energy not charged to any request (yet).
        other_processes_j: active energy of other processes.
        unattributed_j: what nothing above explains.
        requests_unsplit_j: the part of requests_active_j that includes idle energy,
            because idle power was not known then.
        standing_total_j: all idle energy of quiet times, charged or not.
        power_w: mean power of the last window; None before one has closed.
        idle_w: idle power in use; None where it is not known.
    """

    component: Component
    name: str
    provenance: Provenance
    measured_j: float
    requests_active_j: float
    requests_idle_j: float
    requests_standing_j: float
    standing_j: float
    other_processes_j: float
    unattributed_j: float
    requests_unsplit_j: float = 0.0
    standing_total_j: float = 0.0
    power_w: float | None = None
    idle_w: float | None = None

    @property
    def closure_error(self) -> float:
        """How far the terms are from the meter, relative to the meter; 0 is closed."""
        explained = (
            self.requests_active_j
            + self.requests_idle_j
            + self.requests_standing_j
            + self.standing_j
            + self.other_processes_j
            + self.unattributed_j
        )
        return abs(self.measured_j - explained) / self.measured_j if self.measured_j else 0.0


@dataclass(frozen=True, slots=True)
class MeterBalance:
    """What a meter of the whole machine has counted since the tracker started, in joules.

    Args:
        name: the meter's name.
        provenance: of its readings.
        measured_j: what it counted.
        devices_j: what the devices counted in the same windows of it.
        power_w: mean power of its last window; None before one has closed.
    """

    name: str
    provenance: Provenance
    measured_j: float
    devices_j: float
    power_w: float | None = None

    @property
    def rest_j(self) -> float:
        """What no device of the tracker counts: fans, disks, boards, losses of the power supply,
        and devices that are not read. Windows of the two are not the same, so that it is off by up
        to a second's energy or so, and may be below 0 at first.
        """
        return self.measured_j - self.devices_j


@dataclass(frozen=True, slots=True)
class Balance:
    """The books of all devices that have been read, by device id, and the meters of the whole
    machine by theirs.
    """

    devices: Mapping[str, DeviceBalance]
    meters: Mapping[str, MeterBalance] = field(default_factory=dict)

    @property
    def closure_error(self) -> float:
        """The worst device's closure error."""
        return max((device.closure_error for device in self.devices.values()), default=0.0)

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        from inferprint.html import balance_table

        return balance_table(self)


@dataclass(frozen=True, slots=True)
class Status:
    """What the tracker says of itself.

    Args:
        in_flight: requests in flight by model.
        source_errors: faults by (source, kind) since the start.
        dropped_receipts: receipts that an exporter could not take, by exporter.
        self_cpu_s: CPU seconds of the tracker's own threads.
        reading_age_s: how long ago each device was last read, by its id; a device that never
            was is not in it.
    """

    in_flight: Mapping[str, int]
    source_errors: Mapping[tuple[str, str], int]
    dropped_receipts: Mapping[str, int]
    self_cpu_s: float
    reading_age_s: Mapping[str, float] = field(default_factory=dict)
