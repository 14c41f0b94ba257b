"""What the Prometheus exporter reads at a scrape: the tracker's books, status and factors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from inferprint.records import Balance, DeviceBalance, Status
from inferprint_exporters._families import Values

if TYPE_CHECKING:
    from inferprint import Tracker

__all__ = ["Cap", "read_tracker"]

Cap = Callable[[str, str], str]
"""Takes a label's name and value, gives the value to show."""

_Values = defaultdict[str, defaultdict[tuple[str, ...], float]]


def read_tracker(tracker: Tracker, cap: Cap) -> Values:
    """The tracker's figures by family.

    Args:
        tracker: whose ``balance()``, ``status()`` and ``factors`` are read.
        cap: bounds the labels whose values come from outside: model, source and kind.
    """
    values: _Values = defaultdict(lambda: defaultdict(float))
    _devices(values, tracker.balance())
    _status(values, tracker.status(), cap)
    if grid := tracker.factors.carbon_intensity:
        labels = (grid.region, grid.source)
        values["inferprint_grid_carbon_intensity_grams_per_kwh"][labels] = grid.value
    return values


def _devices(values: _Values, balance: Balance) -> None:
    for id_, device in balance.devices.items():
        reading = (id_, device.component, device.provenance)
        values["inferprint_device_energy_joules_total"][reading] = device.measured_j
        if device.power_w is not None:
            values["inferprint_device_power_watts"][reading] = device.power_w
        values["inferprint_standing_energy_joules_total"][id_,] = device.standing_total_j
        others = values["inferprint_other_processes_energy_joules_total"]
        others[id_,] = device.other_processes_j
        values["inferprint_unattributed_energy_joules_total"][id_,] = device.unattributed_j
        _books(values, id_, device)
    for id_, meter in balance.meters.items():
        values["inferprint_wall_energy_joules_total"][id_, meter.provenance] = meter.measured_j
        values["inferprint_wall_known_energy_joules_total"][id_,] = meter.devices_j


def _books(values: _Values, id_: str, device: DeviceBalance) -> None:
    charged = values["inferprint_device_charged_energy_joules_total"]
    charged[id_, "active"] = device.requests_active_j - device.requests_unsplit_j
    charged[id_, "idle"] = device.requests_idle_j
    charged[id_, "standing"] = device.requests_standing_j
    charged[id_, "unsplit"] = device.requests_unsplit_j
    values["inferprint_device_uncharged_idle_energy_joules"][id_,] = device.standing_j
    values["inferprint_books_closure_error_ratio"][id_,] = device.closure_error
    if device.idle_w is not None:
        values["inferprint_device_idle_power_watts"][id_,] = device.idle_w


def _status(values: _Values, status: Status, cap: Cap) -> None:
    for model, count in status.in_flight.items():
        values["inferprint_requests_in_flight"][cap("model", model),] += count
    for (source, kind), count in status.source_errors.items():
        labels = (cap("source", source), cap("kind", kind))
        values["inferprint_source_errors_total"][labels] += count
    for exporter, count in status.dropped_receipts.items():
        values["inferprint_dropped_receipts_total"][exporter,] = count
    values["inferprint_self_cpu_seconds_total"][()] = status.self_cpu_s
    for id_, age_s in status.reading_age_s.items():
        values["inferprint_device_reading_age_seconds"][id_,] = age_s
