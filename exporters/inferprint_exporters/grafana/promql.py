"""PromQL that several dashboards ask."""

from __future__ import annotations

from inferprint_exporters.grafana.panels import HOST, MODEL

__all__ = ["increase", "ratio", "summed", "total"]


def summed(series: str, *, by: str = "", where: str = MODEL) -> str:
    """The sum of recorded series now, or at each instant of a graph."""
    return f"sum{_by(by)} ({series}{{{where}}})"


def total(series: str, *, by: str = "", where: str = MODEL) -> str:
    """What a recorded rate per second comes to over the range: a sum of its minutes."""
    return f"60 * sum{_by(by)} (sum_over_time({series}{{{where}}}[$__range:1m]))"


def ratio(above: str, below: str, *, by: str = "", where: str = MODEL, more: str = "") -> str:
    """The ratio of two recorded rates over the range: of their totals, not a mean of ratios.

    Args:
        above: the recorded series that is divided.
        below: the recorded series that it is divided by.
        by: labels to keep.
        where: matchers of both.
        more: further matchers of the one below.
    """
    parts = [
        f"sum{_by(by)} (sum_over_time({series}{{{matchers}}}[$__range]))"
        for series, matchers in ((above, where), (below, f"{where}{more}"))
    ]
    return f"{parts[0]} / ({parts[1]} > 0)"


def increase(counter: str, *, where: str = HOST) -> str:
    """What a counter rose by over the range, restarts taken in."""
    return f"sum(increase({counter}{{{where}}}[$__range]))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
