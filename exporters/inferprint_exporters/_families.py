"""The metric families that the Prometheus exporter has, and how they are rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from inferprint_exporters._histogram import Histogram

__all__ = ["FAMILIES", "Family", "Values", "render"]

Values = Mapping[str, Mapping[tuple[str, ...], float | Histogram]]
"""Figures by family name, then by label values in the order of the family's labels."""

_Kind = type[CounterMetricFamily] | type[GaugeMetricFamily] | type[HistogramMetricFamily]
_COUNTER, _GAUGE, _HISTOGRAM = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: its name as it is queried, type, help text, labels and unit."""

    name: str
    kind: _Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    def metric(self, samples: Mapping[tuple[str, ...], float | Histogram]) -> Metric:
        """The family with these samples, as prometheus_client takes it."""
        metric: Any = self.kind(self.name, self.help, labels=self.labels, unit=self.unit)
        for labels, value in samples.items():
            figures = (value.buckets(), value.sum) if isinstance(value, Histogram) else (value,)
            metric.add_metric(labels, *figures)
        return cast("Metric", metric)


FAMILIES = (
    Family(
        "inferprint_request_energy_joules",
        _HISTOGRAM,
        "Energy charged to a request: active, idle and standing.",
        ("model", "outcome"),
        "joules",
    ),
    Family(
        "inferprint_request_duration_seconds",
        _HISTOGRAM,
        "Time from a request's start to its end.",
        ("model", "outcome"),
        "seconds",
    ),
    Family(
        "inferprint_time_to_first_token_seconds",
        _HISTOGRAM,
        "Time from a request's start to its first output token.",
        ("model",),
        "seconds",
    ),
    Family(
        "inferprint_quote_error_ratio",
        _HISTOGRAM,
        "Energy charged to a quoted request over the middle of its quote.",
        ("model",),
        "ratio",
    ),
    Family(
        "inferprint_requests_in_flight",
        _GAUGE,
        "Requests that have started and not ended.",
        ("model",),
    ),
    Family(
        "inferprint_model_first_request_timestamp_seconds",
        _GAUGE,
        "When the first request of a model started, of those that this process settled.",
        ("model",),
        "seconds",
    ),
    Family(
        "inferprint_energy_joules_total",
        _COUNTER,
        "Energy charged to settled requests. Phase unsplit: active and idle together.",
        ("model", "component", "phase"),
        "joules",
    ),
    Family(
        "inferprint_tokens_total",
        _COUNTER,
        "Tokens of settled requests. Type input includes cached_input.",
        ("model", "type"),
    ),
    Family(
        "inferprint_wasted_energy_joules_total",
        _COUNTER,
        "Energy charged to settled requests that failed or were cancelled.",
        ("model", "outcome"),
        "joules",
    ),
    Family(
        "inferprint_hosted_energy_joules_total",
        _COUNTER,
        "Estimated energy of calls to models that run elsewhere; in no other family.",
        ("model",),
        "joules",
    ),
    Family(
        "inferprint_engine_tokens_total",
        _COUNTER,
        "Tokens by an engine's own counters, of all its requests, tracked or not.",
        ("engine", "model", "type", "window"),
    ),
    Family(
        "inferprint_engine_window_energy_joules_total",
        _COUNTER,
        "Energy of all devices in windows in which this model of an engine alone had tokens.",
        ("engine", "model", "component", "provenance"),
        "joules",
    ),
    Family(
        "inferprint_engine_unassigned_window_energy_joules_total",
        _COUNTER,
        "Energy of all devices in windows in which several models had tokens, or none had.",
        ("engine", "component", "provenance", "window"),
        "joules",
    ),
    Family(
        "inferprint_device_energy_joules_total",
        _COUNTER,
        "Energy that a device used since the tracker started.",
        ("device", "component", "provenance"),
        "joules",
    ),
    Family(
        "inferprint_device_power_watts",
        _GAUGE,
        "Mean power of a device over its last window.",
        ("device", "component", "provenance"),
        "watts",
    ),
    Family(
        "inferprint_wall_energy_joules_total",
        _COUNTER,
        "Energy that a meter of the whole machine counted.",
        ("device", "provenance"),
        "joules",
    ),
    Family(
        "inferprint_wall_known_energy_joules_total",
        _COUNTER,
        "What the devices counted of it, in the same windows.",
        ("device",),
        "joules",
    ),
    Family(
        "inferprint_standing_energy_joules_total",
        _COUNTER,
        "Idle energy of a device while no request ran, charged to requests or not.",
        ("device",),
        "joules",
    ),
    Family(
        "inferprint_other_processes_energy_joules_total",
        _COUNTER,
        "Active energy of a device that other processes caused.",
        ("device",),
        "joules",
    ),
    Family(
        "inferprint_unattributed_energy_joules_total",
        _COUNTER,
        "Energy of a device that nothing explains.",
        ("device",),
        "joules",
    ),
    Family(
        "inferprint_device_charged_energy_joules_total",
        _COUNTER,
        "Energy of a device that requests were charged, those in flight included.",
        ("device", "phase"),
        "joules",
    ),
    Family(
        "inferprint_device_uncharged_idle_energy_joules",
        _GAUGE,
        "Idle energy of a device that no request was charged, or not yet.",
        ("device",),
        "joules",
    ),
    Family(
        "inferprint_device_idle_power_watts",
        _GAUGE,
        "Idle power of a device, by which active and idle energy are told apart.",
        ("device",),
        "watts",
    ),
    Family(
        "inferprint_device_reading_age_seconds",
        _GAUGE,
        "Time since a device was last read.",
        ("device",),
        "seconds",
    ),
    Family(
        "inferprint_books_closure_error_ratio",
        _GAUGE,
        "How far what a device's energy went to is from what it used, relative to that.",
        ("device",),
        "ratio",
    ),
    Family(
        "inferprint_carbon_grams_total",
        _COUNTER,
        "CO2 equivalent of settled requests.",
        ("model", "scope"),
        "grams",
    ),
    Family(
        "inferprint_water_liters_total",
        _COUNTER,
        "Water that settled requests consumed.",
        ("model",),
        "liters",
    ),
    Family(
        "inferprint_cost_total",
        _COUNTER,
        "Cost of settled requests, in the currency of the label.",
        ("model", "currency"),
    ),
    Family(
        "inferprint_grid_carbon_intensity_grams_per_kwh",
        _GAUGE,
        "Carbon intensity of the grid that carbon is computed with.",
        ("location", "source"),
    ),
    Family(
        "inferprint_source_errors_total",
        _COUNTER,
        "Faults of power sources.",
        ("source", "kind"),
    ),
    Family(
        "inferprint_dropped_receipts_total",
        _COUNTER,
        "Receipts that an exporter could not take.",
        ("exporter",),
    ),
    Family(
        "inferprint_self_cpu_seconds_total",
        _COUNTER,
        "CPU time of the tracker's own threads.",
        unit="seconds",
    ),
    Family(
        "inferprint_build_info",
        _GAUGE,
        "Always 1; the label tells the version of inferprint.",
        ("version",),
    ),
)


def render(values: Values) -> Iterator[Metric]:
    """The families that have samples: what is not known is absent, never 0."""
    for family in FAMILIES:
        if samples := values.get(family.name):
            yield family.metric(samples)
