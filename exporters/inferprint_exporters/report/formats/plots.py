"""The plots of the page, as SVG that is read in light and in dark."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from inferprint.units import JOULES_PER_WH

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Plot", "plots"]

PARTS = ("active", "idle", "standing", "overhead")
# Okabe and Ito's colours (2008), which colour-blind people tell apart; readable on both grounds.
COLOURS = {
    "active": "#0072b2",
    "idle": "#e69f00",
    "standing": "#d55e00",
    "overhead": "#999999",
    "embodied": "#009e73",
    "not told apart": "#cc79a7",
}
TEXT = "#010203"
"""Stands for the page's own text colour, which the SVG is given afterwards."""
MOST_MODELS = 12
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "text.parse_math": False,  # a name with dollars is a name
    **{f"{name}.color": TEXT for name in ("text", "xtick", "ytick")},
    **{f"axes.{name}color": TEXT for name in ("label", "edge", "title")},
}


class Plot(NamedTuple):
    """A caption and the SVG."""

    caption: str
    svg: Markup


def plots(report: Mapping[str, Any]) -> Iterator[Plot]:
    """Those that there are figures for."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        if report["models"]:
            yield _by_model(report)
        if report["hours"]:
            yield _by_hour(report["hours"])
        known = [c for c in report["concurrency"] if c["j_per_output_token"] is not None]
        if len(known) > 1:
            yield _by_concurrency(known)


def _by_model(report: Mapping[str, Any]) -> Plot:
    models = sorted(report["models"].items(), key=lambda item: -(item[1]["energy_j"] or 0.0))
    shown = models[:MOST_MODELS]
    in_carbon = (
        all(block["carbon_g"] is not None for _, block in shown) and len(report["carbon"]) == 1
    )
    layers = [_grams(block) if in_carbon else _watt_hours(block) for _, block in shown]
    figure, axes = _axes(height=1.2 + 0.45 * len(shown))
    _stack(axes, [_short(name) for name, _ in shown], layers, across=True)
    axes.set_xlabel("gCO2e" if in_carbon else "Wh")
    axes.invert_yaxis()
    caption = "Energy by model"
    if in_carbon:
        caption = (
            "Carbon by model: that of use by what the energy was, and that of making the hardware"
        )
    if len(models) > MOST_MODELS:
        caption += f"; the {MOST_MODELS} with the most energy of {len(models)}"
    return Plot(caption + ".", _svg(figure, "by-model"))


def _by_hour(hours: Mapping[str, Any]) -> Plot:
    names = [str(hour) for hour in range(24)]
    layers = [_watt_hours(hours[name]) if name in hours else {} for name in names]
    figure, axes = _axes(height=3.2)
    _stack(axes, names, layers, across=False)
    axes.set_xlabel("hour of the day, UTC")
    axes.set_ylabel("Wh")
    return Plot("Energy by hour of the day in which requests began.", _svg(figure, "by-hour"))


def _by_concurrency(found: Sequence[Mapping[str, Any]]) -> Plot:
    figure, axes = _axes(height=3.2)
    at = [one["at_most"] for one in found]
    for name, key in (("all", "j_per_output_token"), ("active", "active_j_per_output_token")):
        colour = COLOURS["active"] if name == "active" else COLOURS["standing"]
        axes.plot(at, [one[key] for one in found], marker="o", color=colour, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(at, [str(most) for most in at], minor=False)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("requests at a time, at most")
    axes.set_ylabel("J for an output token")
    _legend(axes)
    return Plot(
        "Energy of an output token by how many ran at a time.", _svg(figure, "by-concurrency")
    )


def _watt_hours(block: Mapping[str, Any]) -> dict[str, float]:
    parts = {name: block[f"{name}_j"] or 0.0 for name in PARTS}
    together = (block["energy_j"] or 0.0) - sum(parts[name] for name in PARTS[:3])
    if together > 1e-9 * (block["energy_j"] or 0.0):
        parts["not told apart"] = together
    return {name: joules / JOULES_PER_WH for name, joules in parts.items() if joules}


def _grams(block: Mapping[str, Any]) -> dict[str, float]:
    """Carbon of use, shared by what the energy was, and embodied carbon."""
    energy, carbon = _watt_hours(block), block["carbon"][0]
    total, use = sum(energy.values()), carbon["operational_g"] or 0.0
    parts = {name: use * part / total for name, part in energy.items()} if total else {}
    return parts | ({"embodied": carbon["embodied_g"]} if carbon["embodied_g"] else {})


def _stack(
    axes: Axes, names: Sequence[str], layers: Sequence[Mapping[str, float]], across: bool
) -> None:
    places, below = range(len(names)), [0.0] * len(names)
    for part, colour in COLOURS.items():
        values = [layer.get(part, 0.0) for layer in layers]
        if any(values):
            if across:
                axes.barh(places, values, left=below, color=colour, label=part)
            else:
                axes.bar(places, values, bottom=below, color=colour, label=part)
            below = [low + value for low, value in zip(below, values, strict=True)]
    (axes.set_yticks if across else axes.set_xticks)(places, names)
    _legend(axes)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _axes(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(9, height), layout="constrained")
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= 40 else line[:39] + "…"


def _svg(figure: Figure, name: str) -> Markup:
    import matplotlib as mpl
    from markupsafe import Markup as Safe

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    # What comes before is for a file of its own. Matplotlib escapes what it writes.
    return Safe(svg[svg.index("<svg") :].replace(TEXT, "currentColor"))  # noqa: S704
