"""The dashboard *Hosts and devices*: what each draws, and how far its figures can be trusted."""

from __future__ import annotations

from inferprint_exporters.grafana.overview import TIERS
from inferprint_exporters.grafana.panels import HOST, Dashboard, Panel, Query, Row
from inferprint_exporters.grafana.promql import summed

__all__ = ["HOSTS"]

DEVICE = "{{instance}} {{device}}"

POWER = Row(
    "Power",
    (
        Panel(
            "Power by host",
            "The rate of the energy counters of a host's devices over five minutes.",
            "stacked",
            (
                Query(
                    summed("inferprint:device_watts:rate5m", by="instance", where=HOST),
                    "{{instance}}",
                ),
            ),
            "watt",
        ),
        Panel(
            "Power by device",
            "The rate of each device's energy counter over five minutes; none while it cannot be "
            "read.",
            "lines",
            (
                Query(
                    summed("inferprint:device_watts:rate5m", by="instance, device", where=HOST),
                    DEVICE,
                ),
            ),
            "watt",
        ),
        Panel(
            "Tiers of power",
            f"Watts by host and by what they were for. {TIERS}",
            "stacked",
            (
                Query(
                    summed("inferprint:tier_watts:rate5m", by="instance, tier", where=HOST),
                    "{{instance}} {{tier}}",
                ),
            ),
            "watt",
        ),
        Panel(
            "Idle power in use",
            "Watts that active and idle energy are told apart by: observed while no request runs, "
            "declared, or from a table. A step is a model that was loaded or unloaded.",
            "lines",
            (
                Query(
                    f"max by (instance, device) (inferprint:device_idle_power_watts{{{HOST}}})",
                    DEVICE,
                ),
            ),
            "watt",
            empty_while="no idle power is known",
        ),
        Panel(
            "Idle share by host",
            "The part of a host's power that is idle power, while requests ran and while none ran.",
            "lines",
            (
                Query(
                    f"max by (instance) (inferprint:host_idle_share:ratio5m{{{HOST}}})",
                    "{{instance}}",
                ),
            ),
            "percentunit",
            steps=((None, "green"), (0.8, "red")),
            most=1.0,
        ),
        Panel(
            "Unattributed",
            "The part of each device's energy that nothing explains. Over 5 % for 15 minutes "
            "raises an alert.",
            "lines",
            (
                Query(
                    f"max by (instance, device) (inferprint:unattributed_share:ratio5m{{{HOST}}})",
                    DEVICE,
                ),
            ),
            "percentunit",
            steps=((None, "green"), (0.05, "red")),
        ),
    ),
)

TRUST = Row(
    "How far it can be trusted",
    (
        Panel(
            "Devices",
            "Now: power, idle power in use, seconds since the last reading, closing error of the "
            "books. Provenance says whether joules are measured or modelled.",
            "table",
            (
                Query(
                    "max by (instance, device, component, provenance) "
                    f"(inferprint_device_power_watts{{{HOST}}})",
                    "power",
                    "watt",
                ),
                Query(
                    f"max by (instance, device) (inferprint_device_idle_power_watts{{{HOST}}})",
                    "idle power",
                    "watt",
                ),
                Query(
                    f"max by (instance, device) (inferprint_device_reading_age_seconds{{{HOST}}})",
                    "last read",
                    "s",
                ),
                Query(
                    f"max by (instance, device) (inferprint_books_closure_error_ratio{{{HOST}}})",
                    "closing error",
                    "sci",
                ),
            ),
            width=24,
        ),
        Panel(
            "Energy by provenance",
            "Over the range: energy of devices by how it is known. Measured: a counter; modelled: "
            "a power model, no meter.",
            "bars",
            (
                Query(
                    "60 * sum by (component, provenance) (sum_over_time("
                    f"inferprint:device_watts:rate5m{{{HOST}}}[$__range:1m])) / 3600",
                    "{{component}} {{provenance}}",
                ),
            ),
            "watth",
            width=8,
        ),
        Panel(
            "Source health: last reading",
            "Seconds since each device was last read. Over 90 s raises an alert.",
            "lines",
            (
                Query(
                    "max by (instance, device) "
                    f"(inferprint:device_reading_age_seconds:max1m{{{HOST}}})",
                    DEVICE,
                ),
            ),
            "s",
            steps=((None, "green"), (90, "red")),
            width=8,
        ),
        Panel(
            "Source health: faults",
            "Faults of power sources per second, by kind.",
            "lines",
            (
                Query(
                    "sum by (instance, source, kind) "
                    f"(rate(inferprint_source_errors_total{{{HOST}}}[$__rate_interval]))",
                    "{{instance}} {{source}} {{kind}}",
                ),
            ),
            empty_while="no source has had a fault",
            width=8,
        ),
        Panel(
            "Receipts dropped",
            "Receipts per second that an exporter could not take.",
            "lines",
            (
                Query(
                    "sum by (instance, exporter) "
                    f"(rate(inferprint_dropped_receipts_total{{{HOST}}}[$__rate_interval]))",
                    "{{instance}} {{exporter}}",
                ),
            ),
            steps=((None, "green"), (1e-9, "red")),
            width=8,
        ),
        Panel(
            "What inferprint itself takes",
            "CPU time of the tracker's own threads, as a part of one core.",
            "lines",
            (
                Query(
                    "sum by (instance) "
                    f"(rate(inferprint_self_cpu_seconds_total{{{HOST}}}[$__rate_interval]))",
                    "{{instance}}",
                ),
            ),
            "percentunit",
            width=8,
        ),
        Panel(
            "Versions",
            "Processes that serve metrics, by their version of inferprint.",
            "bars",
            (Query(f"count by (version) (inferprint_build_info{{{HOST}}})", "{{version}}"),),
            width=8,
        ),
    ),
)

HOSTS = Dashboard(
    "inferprint-hosts",
    "inferprint: hosts and devices",
    "What each host and device draws, how much of it is idle, and how far it can be trusted.",
    ("host",),
    (POWER, TRUST),
)
