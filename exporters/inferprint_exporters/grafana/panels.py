"""What a dashboard and its panels are, before they are Grafana's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "HOST",
    "MODEL",
    "STEP_S",
    "Dashboard",
    "Kind",
    "Panel",
    "Query",
    "Row",
    "Variable",
]

Kind = Literal["stat", "lines", "stacked", "bars", "hours", "table", "heatmap"]
"""One figure; lines; lines that add up; a bar for each series; a bar for each hour of the day;
a column for each query; counts by bucket over time."""

Variable = Literal["host", "model", "currency"]

STEP_S = 60
"""Seconds between the points of a graph at least: what is recorded has no more."""
POINTS = 400
"""Points of a graph at most: a line of half a screen shows no more."""

HOST = 'instance=~"$host"'
"""The matcher of what comes from the hosts that are chosen."""
MODEL = f'{HOST},model=~"$model"'
"""The matcher of what comes from them of the models that are chosen."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel.

    Args:
        expr: PromQL.
        legend: the name of its series, or of its column in a table.
        unit: of its column in a table.
        exemplars: whether to show the requests that stand for its points.
    """

    expr: str
    legend: str = ""
    unit: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    Args:
        title: its title.
        about: what it shows and how it is computed.
        kind: how it is drawn.
        queries: its queries.
        unit: Grafana's id of the unit, such as ``watt``.
        empty_while: when it has nothing to show although all is well; empty: never, once a
            few requests were served.
        steps: thresholds: a colour, and the value that it begins at; the first one at None.
        time_from: a time range of its own, such as ``now/d``.
        most: the end of its scale.
        width, height: in Grafana's grid, which is 24 wide.
    """

    title: str
    about: str
    kind: Kind
    queries: tuple[Query, ...]
    unit: str = "short"
    empty_while: str = ""
    steps: tuple[tuple[float | None, str], ...] = ()
    time_from: str = ""
    most: float | None = None
    width: int = 12
    height: int = 8

    @property
    def instant(self) -> bool:
        """Whether its queries are asked for the end of the range alone."""
        return self.kind in ("stat", "bars", "hours", "table")

    @property
    def points(self) -> int:
        """How many instants its queries are asked for at most. A heat map asks for a series a
        bucket and draws a column an instant, of which half as many can be told apart.
        """
        return POINTS // 2 if self.kind == "heatmap" else POINTS

    @property
    def description(self) -> str:
        """What it says of itself."""
        return f"{self.about} Empty while {self.empty_while}." if self.empty_while else self.about


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard.

    Args:
        uid: its name in Grafana's addresses, and that of its file.
        title: its title.
        about: what it answers.
        variables: what can be chosen on it.
        rows: its panels.
    """

    uid: str
    title: str
    about: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All its panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)
