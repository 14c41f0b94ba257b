"""The report as a picture; needs the extra ``bench``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.attribution.gates import COVERAGE, LIMITS
from benchmarks.attribution.grid import CONCURRENCY, DUTY, SENSORS
from benchmarks.attribution.score import CellScore
from benchmarks.attribution.tables import NAMES, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "matplotlib is missing, so there is no plot: pip install 'inferprint[bench]'"


def can_plot() -> bool:
    """Whether the extra is installed."""
    return find_spec("matplotlib") is not None


def plot(report: Report, path: Path) -> None:
    """Draws the errors of every rule over the concurrency, and what the intervals cover.

    Args:
        report: what to draw.
        path: of the PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    for server, panel in zip(LIMITS, axes.flat, strict=False):
        _errors(panel, server, report.scores)
    _coverage(axes.flat[3], report.scores)
    seeds = ", ".join(map(str, report.seeds))
    figure.suptitle(
        "Error of a request's active energy after the first minute, 25-of-100 ms sensor, gain "
        f"divided out ({report.date}, Python {report.python}, seeds {seeds})"
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _errors(panel: Axes, server: str, scores: Sequence[CellScore]) -> None:
    mine = [score for score in scores if score.cell[:2] == (server, DUTY)]
    mine.sort(key=lambda score: score.cell.concurrency)
    for color, rule in enumerate(NAMES):
        found = [(s.cell.concurrency, s.errors["after"].get(rule)) for s in mine]
        known = [(concurrency, score) for concurrency, score in found if score]
        where = [concurrency for concurrency, _ in known]
        medians, p95s = ([100 * s[i] for _, s in known] for i in (1, 2))
        panel.plot(where, medians, "o-", color=f"C{color}", label=rule)
        panel.plot(where, p95s, "o:", color=f"C{color}")
    most, median, p95 = LIMITS[server]
    panel.hlines(100 * median, 1, most, "black", "solid", label="limits")
    panel.hlines(100 * p95, 1, most, "black", "dotted")
    panel.set(
        title=f"{server}: median (solid) and 95th percentile (dotted)",
        xlabel="requests in flight",
        ylabel="error, %",
        xscale="log",
        yscale="log",
    )
    panel.set_xticks(CONCURRENCY, map(str, CONCURRENCY))
    panel.minorticks_off()
    panel.legend(fontsize="small")


def _coverage(panel: Axes, scores: Sequence[CellScore]) -> None:
    for color, sensor in enumerate(SENSORS):
        mine = [score for score in scores if score.cell.sensor == sensor]
        covered = [100 * (score.coverage["all"] or 0.0) for score in mine]
        names = [score.cell.server for score in mine]
        panel.scatter(names, covered, color=f"C{color}", label=sensor, alpha=0.7)
    panel.axhspan(*(100 * limit for limit in COVERAGE), color="black", alpha=0.2)
    panel.tick_params(axis="x", labelrotation=45)
    panel.set(title="truth within the receipt's interval, each cell (band: limits)", ylabel="%")
    panel.legend(fontsize="small")
