"""The dashboard *Carbon*: how clean the grid was, what requests emitted, and when is best."""

from __future__ import annotations

from inferprint_exporters.grafana.overview import NO_GRID
from inferprint_exporters.grafana.panels import HOST, MODEL, Dashboard, Panel, Query, Row
from inferprint_exporters.grafana.promql import ratio, summed, total

__all__ = ["CARBON"]

INTENSITY = "inferprint_grid_carbon_intensity_grams_per_kwh"
BY_HOUR = (
    "avg by (hour) "
    "(avg_over_time(inferprint:grid_carbon_intensity_grams_per_kwh:by_hour[$__range]))"
)
# A custom unit of Grafana's.
PER_KWH = "suffix: gCO2e/kWh"
UTC = "Hours are of UTC, over all hosts."

GRID = Row(
    "The grid",
    (
        Panel(
            "Carbon intensity",
            "Grams of CO2 equivalent for a kWh of the grid, as receipts are computed with it, and "
            "who says so. A flat line is the average of a year.",
            "lines",
            (
                Query(
                    f"avg by (location, source) ({INTENSITY}{{{HOST}}})", "{{location}}: {{source}}"
                ),
            ),
            PER_KWH,
            empty_while=NO_GRID,
        ),
        Panel(
            "Carbon intensity by hour of the day",
            f"The mean over the range of each hour. {UTC}",
            "hours",
            (Query(BY_HOUR),),
            PER_KWH,
            empty_while=NO_GRID,
        ),
        Panel(
            "Best hours",
            f"The three hours of the day with the lowest mean intensity over the range. {UTC}",
            "bars",
            (Query(f"bottomk(3, {BY_HOUR})", "{{hour}}:00 UTC"),),
            PER_KWH,
            empty_while=NO_GRID,
            width=6,
        ),
        Panel(
            "Power by hour of the day",
            f"Mean watts of all devices over the range, for each hour: work that can wait belongs "
            f"in the hours where the grid is clean. {UTC}",
            "hours",
            (Query("sum by (hour) (avg_over_time(inferprint:fleet_watts:by_hour[$__range]))"),),
            "watt",
            width=12,
        ),
        Panel(
            "Intensity that was used",
            "Over the range: the grid's intensity weighed by the hosts' power, over its plain "
            "mean. Below 1: work was done when the grid was cleaner than usual.",
            "stat",
            (
                Query(
                    "3.6e6 * "
                    + ratio(
                        "inferprint:host_carbon_grams:rate5m",
                        "inferprint:host_watts_on_grid:rate5m",
                        where=HOST,
                    )
                    + " / avg(avg_over_time("
                    f"inferprint:host_carbon_intensity_grams_per_kwh{{{HOST}}}[$__range]))"
                ),
            ),
            "short",
            empty_while=NO_GRID,
            steps=((None, "green"), (1.05, "orange")),
            width=6,
        ),
    ),
)

EMITTED = Row(
    "What requests emitted",
    (
        Panel(
            "CO2 equivalent",
            "Over the range: of settled requests, operational and embodied where known.",
            "stat",
            (Query(total("inferprint:carbon_grams:rate5m")),),
            "massg",
            empty_while=NO_GRID,
            width=6,
        ),
        Panel(
            "Operational and embodied",
            "Grams of CO2 equivalent an hour. Operational: energy x PUE (1 where not known) x the "
            "grid's intensity. Embodied: their share of making the hardware.",
            "stacked",
            (Query(f"3600 * {summed('inferprint:carbon_grams:rate5m', by='scope')}", "{{scope}}"),),
            "massg",
            empty_while=NO_GRID,
            width=18,
        ),
        Panel(
            "By model",
            "Over the range: grams of CO2 equivalent of each model; the ten largest.",
            "bars",
            (
                Query(
                    f"topk(10, {total('inferprint:carbon_grams:rate5m', by='model')})", "{{model}}"
                ),
            ),
            "massg",
            empty_while=NO_GRID,
        ),
        Panel(
            "Per request",
            "Grams of CO2 equivalent of a model's requests over their number, five minutes each.",
            "lines",
            (
                Query(
                    f"{summed('inferprint:carbon_grams:rate5m', by='model')} / "
                    f"(sum by (model) (inferprint:requests:rate5m{{{MODEL}}}) > 0)",
                    "{{model}}",
                ),
            ),
            "massg",
            empty_while=NO_GRID,
        ),
        Panel(
            "Grams per kWh of requests",
            "Over the range: CO2 equivalent of requests over the energy that they were charged. "
            "Above the grid's intensity by the PUE and by what making the hardware emitted.",
            "stat",
            (
                Query(
                    "3.6e6 * "
                    + ratio("inferprint:carbon_grams:rate5m", "inferprint:request_watts:rate5m")
                ),
            ),
            PER_KWH,
            empty_while=NO_GRID,
            width=12,
        ),
        Panel(
            "Water",
            "Over the range: litres that settled requests consumed, on the site and off it, where "
            "known.",
            "stat",
            (Query(total("inferprint:water_liters:rate5m")),),
            "litre",
            empty_while="nothing is known of the site's water or the grid's",
            width=12,
        ),
    ),
)

CARBON = Dashboard(
    "inferprint-carbon",
    "inferprint: carbon",
    "How clean the grid was and when it is best, and what requests emitted.",
    ("host", "model"),
    (GRID, EMITTED),
)
