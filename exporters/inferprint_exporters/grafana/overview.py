"""The dashboard *Overview*: what it all costs, and whether the books close."""

from __future__ import annotations

from inferprint_exporters.grafana.panels import HOST, MODEL, Dashboard, Panel, Query, Row
from inferprint_exporters.grafana.promql import increase, ratio, summed, total

__all__ = ["OVERVIEW"]

NO_GRID = "no carbon intensity is known: set location or carbon_intensity_g_per_kwh"
NO_PRICE = "no price is set: electricity_price and currency"
TIERS = (
    "Active: above idle power while requests ran. Idle: idle power while they ran. Standing: idle "
    "power while none ran. Unsplit: active and idle together, before idle power was known."
)
GOOD_BAD = ((None, "green"), (0.3, "orange"), (0.6, "red"))

NOW = Row(
    "Now and today",
    (
        Panel(
            "Power now",
            "What all devices of the chosen hosts draw: the rate of their energy counters over "
            "five minutes, summed. Devices that cannot be read are not in it.",
            "stat",
            (Query(summed("inferprint:device_watts:rate5m", where=HOST)),),
            "watt",
            width=4,
            height=5,
        ),
        Panel(
            "Energy today",
            "What all devices used since midnight: the increase of their energy counters.",
            "stat",
            (Query(f"{increase('inferprint_device_energy_joules_total')} / 3600"),),
            "watth",
            time_from="now/d",
            width=4,
            height=5,
        ),
        Panel(
            "Energy per request",
            "Over the range: energy that settled requests were charged (active, idle and "
            "standing) over their number.",
            "stat",
            (
                Query(
                    ratio("inferprint:request_watts:rate5m", "inferprint:requests:rate5m")
                    + " / 3600"
                ),
            ),
            "watth",
            width=4,
            height=5,
        ),
        Panel(
            "Energy per 1,000 output tokens",
            "Over the range: energy that requests were charged over their output tokens.",
            "stat",
            (
                Query(
                    ratio(
                        "inferprint:charged_watts:rate5m",
                        "inferprint:tokens:rate5m",
                        more=',type="output"',
                    )
                    + " / 3.6"
                ),
            ),
            "watth",
            empty_while="no request tells of its tokens",
            width=4,
            height=5,
        ),
        Panel(
            "Carbon per request",
            "Over the range: gCO2e of settled requests, operational and embodied where known, "
            "over their number. The middle of each receipt's interval.",
            "stat",
            (Query(ratio("inferprint:carbon_grams:rate5m", "inferprint:requests:rate5m")),),
            "massg",
            empty_while=NO_GRID,
            width=4,
            height=5,
        ),
        Panel(
            "Carbon per 1,000 output tokens",
            "Over the range: gCO2e of settled requests over their output tokens.",
            "stat",
            (
                Query(
                    "1000 * "
                    + ratio(
                        "inferprint:carbon_grams:rate5m",
                        "inferprint:tokens:rate5m",
                        more=',type="output"',
                    )
                ),
            ),
            "massg",
            empty_while=NO_GRID,
            width=4,
            height=5,
        ),
    ),
)

WAITING = Row(
    "Waiting, wasting, paying",
    (
        Panel(
            "Idle share",
            "Over the range: the part of what the hosts' devices used that is idle power, while "
            "requests ran and while none ran. What a model costs that waits.",
            "stat",
            (
                Query(
                    f'sum(sum_over_time(inferprint:tier_watts:rate5m{{{HOST},tier=~"idle|standing"}}[$__range]))'
                    f" / sum(sum_over_time(inferprint:tier_watts:rate5m{{{HOST}}}[$__range]))"
                ),
            ),
            "percentunit",
            steps=GOOD_BAD,
            width=6,
            height=5,
        ),
        Panel(
            "Cost in $currency",
            "Over the range: energy x PUE (1 where not known) x price of settled requests, and "
            "the machine's hours where their price is set.",
            "stat",
            (Query(total("inferprint:cost:rate5m", where=f'{MODEL},currency="$currency"')),),
            "short",
            empty_while=NO_PRICE,
            width=6,
            height=5,
        ),
        Panel(
            "Wasted energy",
            "Over the range: the part of requests' energy that went into requests that failed or "
            "were cancelled.",
            "stat",
            (
                Query(
                    ratio("inferprint:wasted_watts:rate5m", "inferprint:charged_watts:rate5m")
                    # Where none was wasted there is no series; that is 0 once any was charged.
                    + f" or 0 * {summed('inferprint:charged_watts:rate5m')}"
                ),
            ),
            "percentunit",
            steps=((None, "green"), (0.05, "orange"), (0.2, "red")),
            width=6,
            height=5,
        ),
        Panel(
            "Books: closing error",
            "The worst device now: how far what its energy went to is from what it used, relative "
            "to that. 0 is closed; above 1e-6 is a fault of inferprint.",
            "stat",
            (Query(f"max(inferprint_books_closure_error_ratio{{{HOST}}})"),),
            "sci",
            steps=((None, "green"), (1e-6, "red")),
            width=6,
            height=5,
        ),
    ),
)

BOOKS = Row(
    "Where it goes",
    (
        Panel(
            "Where the power goes",
            f"Watts of the hosts' devices by what they were for. {TIERS}",
            "stacked",
            (Query(summed("inferprint:tier_watts:rate5m", by="tier", where=HOST), "{{tier}}"),),
            "watt",
        ),
        Panel(
            "Books: measured against attributed",
            "What the devices' counters rose by, and what settled requests were charged: the rest "
            "is standing energy nobody was charged (yet), other processes, and what nothing "
            "explains. A long request is charged when it has settled, so the lines cross at times.",
            "lines",
            (
                Query(summed("inferprint:device_watts:rate5m", where=HOST), "measured"),
                Query(summed("inferprint:charged_watts:rate5m", where=HOST), "charged to requests"),
            ),
            "watt",
        ),
        Panel(
            "Books since the start",
            "Joules of each device since its tracker started: what it used is the sum of what "
            "requests were charged, idle energy nobody was charged (yet), other processes, and "
            "what nothing explains.",
            "table",
            tuple(
                Query(f"sum by (instance, device) ({metric}{{{HOST}}})", name, "joule")
                for name, metric in (
                    ("used", "inferprint_device_energy_joules_total"),
                    ("requests", "inferprint_device_charged_energy_joules_total"),
                    ("idle, not charged", "inferprint_device_uncharged_idle_energy_joules"),
                    ("other processes", "inferprint_other_processes_energy_joules_total"),
                    ("unattributed", "inferprint_unattributed_energy_joules_total"),
                )
            ),
            "joule",
            width=24,
        ),
        Panel(
            "Energy by model",
            "Over the range: what settled requests of each model were charged; the ten largest.",
            "bars",
            (
                Query(
                    f"topk(10, {total('inferprint:charged_watts:rate5m', by='model')} / 3600)",
                    "{{model}}",
                ),
            ),
            "watth",
        ),
        Panel(
            "Budget used",
            "Over all hosts and the trailing 30 days: energy (kWh), carbon (kg) and cost, each "
            "over its limit.",
            "bars",
            (Query("max by (part) (inferprint:budget:used_ratio)", "{{part}}"),),
            "percentunit",
            empty_while="no limit is given: inferprint dashboards --budget",
            steps=((None, "green"), (0.9, "orange"), (1.0, "red")),
            most=1.0,
        ),
    ),
)

OVERVIEW = Dashboard(
    "inferprint-overview",
    "inferprint: overview",
    "What AI requests use and cost, how much of it is waiting, and whether the books close.",
    ("host", "model", "currency"),
    (NOW, WAITING, BOOKS),
)
