"""Dashboards in the types that Grafana publishes, and their JSON. Needs the extra ``grafana``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from inferprint_exporters.grafana.panels import (
    STEP_S,
    Dashboard,
    Panel,
    Query,
    Variable,
)

with warnings.catch_warnings():
    # The second version of the schema is not what Grafana before 12 reads from files.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        barchart,
        bargauge,
        common,
        dashboard,
        heatmap,
        prometheus,
        stat,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common as schema
    from grafana_foundation_sdk.models import dashboard as model

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder

__all__ = ["VALUES", "built", "marks", "to_json"]

SOURCE = schema.DataSourceRef(type_val="prometheus", uid="${datasource}")
LABELS: dict[Variable, str] = {"host": "Host", "model": "Model", "currency": "Currency"}
# Where the values of a variable come from.
VALUES: dict[Variable, str] = {
    "host": "label_values(inferprint_build_info, instance)",
    "model": 'label_values(inferprint_request_duration_seconds_count{instance=~"$host"}, model)',
    "currency": "label_values(inferprint_cost_total, currency)",
}


def to_json(one: Dashboard) -> str:
    """The dashboard as Grafana reads it."""
    return json.dumps(built(one), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def built(one: Dashboard) -> model.Dashboard:
    """The dashboard in Grafana's published types."""
    builder = (
        dashboard.Dashboard(one.title)
        .uid(one.uid)
        .description(one.about)
        .tags(["inferprint"])
        .time("now-24h", "now")
        .refresh("1m")
        .timezone("browser")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_link_to_the_others())
    )
    builder.with_variable(_datasource())
    for name in one.variables:
        builder.with_variable(_variable(name))
    for annotation in marks():
        builder.annotation(annotation)
    for row in one.rows:
        builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            builder.with_panel(_panel(panel))
    found = builder.build()
    for number, shown in enumerate(found.panels or (), 1):
        shown.id_val = number
    return found


def _link_to_the_others() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("inferprint").type(model.DashboardLinkType.DASHBOARDS)
    return link.tags(["inferprint"]).as_dropdown(True).keep_time(True).include_vars(True)


# ---- variables and annotations ---------------------------------------------------------------


def _datasource() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _variable(name: Variable) -> dashboard.QueryVariable:
    variable = (
        dashboard.QueryVariable(name)
        .label(LABELS[name])
        .datasource(SOURCE)
        .query(VALUES[name])
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if name == "currency":  # sums of two currencies mean nothing
        return variable
    everything = model.VariableOption(text="All", value="$__all")
    return variable.multi(True).include_all(True).all_value(".*").current(everything)


def marks() -> list[dashboard.AnnotationQuery]:
    """What can be seen of models being loaded: nobody tells inferprint when one is."""
    first = _annotation(
        "First requests",
        'inferprint_model_first_request_timestamp_seconds{instance=~"$host"} * 1000',
        "First request of {{model}} on {{instance}}",
        "blue",
    ).step("10m")
    stepped = _annotation(
        "Steps of idle power",
        'inferprint:device_idle_power_watts:step2m{instance=~"$host"}',
        "Idle power of {{device}} on {{instance}} stepped: a model was loaded or unloaded",
        "orange",
    )
    return [first.use_value_for_time(True), stepped.step("60s")]


def _annotation(name: str, expr: str, text: str, colour: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(expr)
        .title_format(name)
        .text_format(text)
    )


# ---- panels ----------------------------------------------------------------------------------


def _panel(panel: Panel) -> Builder[model.Panel]:
    shown: Any = _KINDS[panel.kind](panel)
    shown.title(panel.title).description(panel.description).datasource(SOURCE)
    shown.unit(panel.unit).span(panel.width).height(panel.height).no_value("unknown")
    if panel.steps:
        steps = [model.Threshold(value=value, color=colour) for value, colour in panel.steps]
        absolute = model.ThresholdsMode.ABSOLUTE
        shown.thresholds(dashboard.ThresholdsConfig().mode(absolute).steps(steps))
    if panel.most is not None:
        shown.min(0).max(panel.most)
    if not panel.instant:
        shown.interval(f"{STEP_S}s").max_data_points(panel.points)
    if panel.time_from:
        shown.time_from(panel.time_from)
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        shown.with_target(_target(panel, query, letter))
    built_panel: Builder[model.Panel] = shown
    return built_panel


def _target(panel: Panel, query: Query, letter: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(SOURCE)
    if panel.kind in ("table", "hours"):
        target.format(model_format("table"))
    elif panel.kind == "heatmap":
        target.format(model_format("heatmap"))
    if panel.kind != "table" and query.legend:
        target.legend_format(query.legend)
    if query.exemplars:
        target.exemplar(True)
    return target.instant() if panel.instant else target.range()


def model_format(name: str) -> Any:
    """Prometheus's name for the form of an answer."""
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

    return PromQueryFormat(name)


def _stat(panel: Panel) -> stat.Panel:
    colour = schema.BigValueColorMode.VALUE if panel.steps else schema.BigValueColorMode.NONE
    return stat.Panel().reduce_options(_last()).graph_mode(_NO_GRAPH).color_mode(colour)


def _bars(panel: Panel) -> bargauge.Panel:
    across = schema.VizOrientation.HORIZONTAL
    shown = bargauge.Panel().reduce_options(_last()).orientation(across).min(0)
    return shown.display_mode(schema.BarGaugeDisplayMode.BASIC).show_unfilled(True)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True)
    legend.display_mode(schema.LegendDisplayMode.LIST).placement(schema.LegendPlacement.BOTTOM)
    several = common.VizTooltipOptions().mode(schema.TooltipDisplayMode.MULTI)
    shown = timeseries.Panel().legend(legend).tooltip(several.sort(schema.SortOrder.DESCENDING))
    if panel.steps:
        line = common.GraphThresholdsStyleConfig().mode(schema.GraphThresholdsStyleMode.DASHED)
        shown.thresholds_style(line)
    # A gap is not known; it is never drawn as 0 or as a line.
    return shown.line_width(1).span_nulls(False).axis_soft_min(0)


def _stacked(panel: Panel) -> timeseries.Panel:
    stacking = common.StackingConfig().mode(schema.StackingMode.NORMAL)
    return _lines(panel).stacking(stacking).fill_opacity(30)


def _hours(panel: Panel) -> barchart.Panel:
    legend = common.VizLegendOptions().show_legend(False)
    shown = barchart.Panel().x_field("hour").legend(legend).min(0)
    for transformation in (
        _transformed("sortBy", fields={}, sort=[{"field": "hour"}]),
        _transformed("organize", excludeByName={"Time": True}),
    ):
        shown.with_transformation(transformation)
    return shown


def _heatmap(panel: Panel) -> heatmap.Panel:
    axis = heatmap.YAxisConfig().unit(panel.unit)
    return heatmap.Panel().calculate(False).y_axis(axis).hide_legend()


def _table(panel: Panel) -> table.Panel:
    letters = dict(zip("ABCDEFGH", panel.queries, strict=False))
    names = {f"Value #{letter}": query.legend for letter, query in letters.items()}
    shown = table.Panel().with_transformation(_transformed("merge"))
    shown.with_transformation(
        _transformed("organize", excludeByName={"Time": True}, renameByName=names)
    )
    for query in panel.queries:
        unit = model.DynamicConfigValue(id_val="unit", value=query.unit)
        shown.override_by_name(query.legend, [unit])
    return shown


def _transformed(kind: str, **options: object) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(id_val=kind, options=options)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


_NO_GRAPH = schema.BigValueGraphMode.NONE
_KINDS: dict[str, Callable[[Panel], Any]] = {
    "stat": _stat,
    "lines": _lines,
    "stacked": _stacked,
    "bars": _bars,
    "hours": _hours,
    "table": _table,
    "heatmap": _heatmap,
}
