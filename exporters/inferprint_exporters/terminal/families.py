"""Reads metric families of inferprint, a tracker's own or a server's, into rows.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from prometheus_client.core import Metric

from inferprint_exporters.terminal.view import DeviceRow, Grid, ModelRow

__all__ = ["STALE_S", "Families"]

P = "inferprint_"
PHASES = ("active", "idle", "standing", "unsplit")
OF_MODELS = (
    "requests_in_flight",
    "request_energy_joules_count",
    "energy_joules_total",
    "tokens_total",
    "carbon_grams_total",
    "cost_total",
)

STALE_S = 5.0
"""Seconds that are many intervals of a sampler, unless a setting makes those very long."""

Series = list[tuple[Mapping[str, str], float]]


class Families:
    """The samples of some families, to be asked by name and labels.

    Args:
        metrics: the families. Those that are not inferprint's, and values that are no number,
            are left out.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._series: dict[str, Series] = defaultdict(list)
        for metric in metrics:
            for sample in metric.samples:
                if sample.name.startswith(P) and math.isfinite(sample.value):
                    self._series[sample.name.removeprefix(P)].append((sample.labels, sample.value))

    def __bool__(self) -> bool:
        return bool(self._series)

    @property
    def has_tracker(self) -> bool:
        """Whether a tracker is behind them: else nothing of requests and devices is known."""
        return "self_cpu_seconds_total" in self._series

    def sum(self, name: str, **labels: str) -> float | None:
        """The sum of the samples with these labels; None: there is none."""
        found = [
            value for own, value in self._series.get(name, ()) if labels.items() <= own.items()
        ]
        return math.fsum(found) if found else None

    def values(self, name: str, label: str) -> list[str]:
        """The values that a label has, each once."""
        series = self._series.get(name, ())
        return list(dict.fromkeys(labels[label] for labels, _ in series if label in labels))

    def devices(self, stale_s: float = STALE_S) -> tuple[DeviceRow, ...]:
        """A row for every device.

        Args:
            stale_s: one that was not read for longer has no power of now.
        """
        ids = self.values("device_energy_joules_total", "device")
        rows = [self._device(id_) for id_ in sorted(ids)]
        return tuple(
            replace(row, power_w=None) if row.age_s is not None and row.age_s > stale_s else row
            for row in rows
        )

    def _device(self, id_: str) -> DeviceRow:
        energy = self._series["device_energy_joules_total"]
        labels = next(own for own, _ in energy if own.get("device") == id_)
        charged = {
            phase: self.sum("device_charged_energy_joules_total", device=id_, phase=phase)
            for phase in PHASES
        }
        return DeviceRow(
            id=id_,
            component=labels.get("component"),
            provenance=labels.get("provenance", "unknown"),
            power_w=self.sum("device_power_watts", device=id_),
            idle_w=self.sum("device_idle_power_watts", device=id_),
            age_s=self.sum("device_reading_age_seconds", device=id_),
            measured_j=self.sum("device_energy_joules_total", device=id_),
            active_j=charged["active"],
            idle_j=charged["idle"],
            standing_j=charged["standing"],
            unsplit_j=charged["unsplit"],
            uncharged_j=self.sum("device_uncharged_idle_energy_joules", device=id_),
            other_processes_j=self.sum("other_processes_energy_joules_total", device=id_),
            unattributed_j=self.sum("unattributed_energy_joules_total", device=id_),
            closure_error=self.sum("books_closure_error_ratio", device=id_),
        )

    def models(self) -> tuple[ModelRow, ...]:
        """A row for every model, the one that used most first."""
        names = dict.fromkeys(name for of in OF_MODELS for name in self.values(of, "model"))
        rows = [self._model(name) for name in names]
        return tuple(sorted(rows, key=lambda row: (-(row.energy_j or 0.0), row.model)))

    def _model(self, model: str) -> ModelRow:
        phases = {
            phase: self.sum("energy_joules_total", model=model, phase=phase) for phase in PHASES
        }
        return ModelRow(
            model=model,
            in_flight=self._in_flight(model=model),
            requests=_whole(self.sum("request_energy_joules_count", model=model)),
            energy_j=self.sum("energy_joules_total", model=model),
            active_j=phases["active"],
            idle_j=phases["idle"],
            standing_j=phases["standing"],
            unsplit_j=phases["unsplit"],
            wasted_j=self.sum("wasted_energy_joules_total", model=model),
            output_tokens=_whole(self.sum("tokens_total", model=model, type="output")),
            carbon_g=self.sum("carbon_grams_total", model=model),
            cost={
                currency: amount
                for currency in self.values("cost_total", "currency")
                if (amount := self.sum("cost_total", model=model, currency=currency)) is not None
            },
        )

    @property
    def in_flight(self) -> int | None:
        """Requests in flight; None: not known."""
        return self._in_flight()

    def _in_flight(self, **labels: str) -> int | None:
        found = self.sum("requests_in_flight", **labels)
        # A model that has none in flight has no sample: with a tracker, that is 0.
        return _whole(found) if found is not None else (0 if self.has_tracker else None)

    @property
    def grid(self) -> Grid | None:
        """The carbon intensity; None: not known."""
        for labels, value in self._series.get("grid_carbon_intensity_grams_per_kwh", ()):
            return Grid(value, labels.get("location", ""), labels.get("source", ""))
        return None

    @property
    def hosted_j(self) -> float | None:
        """Estimated joules of calls to models elsewhere."""
        return self.sum("hosted_energy_joules_total")

    @property
    def faults(self) -> dict[str, int]:
        """Faults of power sources by ``SOURCE KIND``."""
        faults = dict[str, int]()
        for labels, value in self._series.get("source_errors_total", ()):
            name = f"{labels.get('source', '')} {labels.get('kind', '')}"
            faults[name] = faults.get(name, 0) + round(value)
        return faults


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
