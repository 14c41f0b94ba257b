"""How fast the Grafana dashboards are: every query of every panel, on a week of a whole fleet.

Needs Prometheus and numpy: apt-get install prometheus, pip install -e '.[test]'.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy
import psutil
import yaml

from benchmarks._fleet import HOSTS, MODELS, curve, rate, scraped
from benchmarks._remote_write import Labels, write
from benchmarks._report import Report, main
from benchmarks._rig import REPO, from_tests
from inferprint_exporters.grafana.every import DASHBOARDS
from inferprint_exporters.grafana.panels import STEP_S, Dashboard, Panel, Query

SCRAPE_S, RULE_S, HOUR_S = 15, 60, 3600
RULES = REPO / "exporters" / "inferprint_exporters" / "grafana" / "rules"
LIMITS: Labels = {"__name__": "inferprint:budget:limit", "part": "energy_kwh"}


class Recorded(NamedTuple):
    """A series that a rule records: its value when the load is at its mean, how often, and in
    which hour of the day.
    """

    labels: Labels
    value: float
    every_s: int
    hour: int | None = None


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    hours = 2 if quick else 7 * 24
    until_s = int(time.time()) // HOUR_S * HOUR_S
    with tempfile.TemporaryDirectory() as folder:
        with _server(Path(folder) / "rules-only") as server:
            recorded = _recorded(server, until_s)
        home = Path(folder) / "week"
        with _server(home) as server:
            began_s = time.perf_counter()
            samples = _fill(server, recorded, until_s, hours)
            report: dict[str, Any] = {
                "data": {
                    "hosts": HOSTS,
                    "models": MODELS,
                    "hours": hours,
                    "series": len(scraped()) + len(recorded),
                    "million_samples": samples / 1e6,
                    "written_in_s": time.perf_counter() - began_s,
                }
            }
            for dashboard in DASHBOARDS:
                report[dashboard.uid] = _timed(server, dashboard, until_s, hours, quick)
            report["rules"] = _rules(server, until_s)
    return report


def _server(folder: Path) -> AbstractContextManager[Any]:
    folder.mkdir(exist_ok=True)
    options = ("--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=31d")
    run: AbstractContextManager[Any] = from_tests("prometheus_server", compiled=False).prometheus(
        folder, None, options=options
    )
    return run


# ---- the data --------------------------------------------------------------------------------


def _recorded(server: Any, until_s: int) -> list[Recorded]:
    """What the rules record of the fleet at its mean load: each rule is asked in its order, after
    what it needs was written for it.
    """
    fleet = scraped()
    since_s = numpy.arange(-2 * HOUR_S, 1, SCRAPE_S)
    rising = numpy.array([[series[2]] for series in fleet])
    at = numpy.array([[series[1]] for series in fleet])
    values = numpy.where(rising, at * (since_s + 2 * HOUR_S), at)
    for half in numpy.array_split(numpy.arange(len(since_s)), 4):
        times_ms = (until_s + since_s[half]) * 1000
        write(server.client, [series[0] for series in fleet], times_ms, values[:, half])
    write(server.client, [LIMITS], numpy.array([until_s * 1000]), numpy.array([[1e6]]))
    found = [Recorded(LIMITS, 1e6, RULE_S)]
    for rule in _rules_of("inferprint.rules.yml"):
        for one in server.query(rule["expr"], until_s):
            labels = {**one["metric"], "__name__": rule["record"]}
            value = float(one["value"][1])
            write(server.client, [labels], numpy.array([until_s * 1000]), numpy.array([[value]]))
            found += _by_hour(labels, value, rule["every_s"])
    return found


def _rules_of(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / file).read_text())["groups"]
    return [
        {**rule, "every_s": RULE_S * int(group.get("interval", "1m").removesuffix("m"))}
        for group in groups
        for rule in group["rules"]
    ]


def _by_hour(labels: Labels, value: float, every_s: int) -> list[Recorded]:
    if "hour" not in labels:
        return [Recorded(labels, value, every_s)]
    return [Recorded({**labels, "hour": f"{hour:02}"}, value, every_s, hour) for hour in range(24)]


def _fill(server: Any, recorded: Sequence[Recorded], until_s: int, hours: int) -> int:
    """Writes the hours up to a time, oldest first; returns how many samples."""
    fleet = scraped()
    begins_s = until_s - hours * HOUR_S
    written = 0
    for hour in range(hours):
        starts_s = begins_s + hour * HOUR_S
        since_s = starts_s - begins_s + numpy.arange(SCRAPE_S, HOUR_S + 1, SCRAPE_S)
        raw = _raw(fleet, since_s)
        write(server.client, [series[0] for series in fleet], (begins_s + since_s) * 1000, raw)
        since_s = starts_s - begins_s + numpy.arange(RULE_S, HOUR_S + 1, RULE_S)
        made = _made(recorded, starts_s // HOUR_S % 24, since_s)
        write(server.client, [one.labels for one in recorded], (begins_s + since_s) * 1000, made)
        written += raw.size + int((~numpy.isnan(made)).sum())
    return written


def _raw(fleet: Sequence[tuple[Labels, float, bool]], since_s: numpy.ndarray) -> numpy.ndarray:
    at = numpy.array([[series[1]] for series in fleet])
    rising = numpy.array([[series[2]] for series in fleet])
    # Whole numbers and rounded joules, as counters are: noise in the last digits compresses badly.
    return numpy.where(rising, (at * curve(since_s)).round(3), at)


def _made(recorded: Sequence[Recorded], hour: int, since_s: numpy.ndarray) -> numpy.ndarray:
    at = numpy.array([[one.value if one.hour in (None, hour) else numpy.nan] for one in recorded])
    every_s = numpy.array([[one.every_s] for one in recorded])
    return numpy.where(since_s % every_s == 0, at * rate(since_s), numpy.nan)


# ---- what is measured ------------------------------------------------------------------------


class Taken(NamedTuple):
    """What a query took: the first time, the median and the least of the times after it, and the
    server's CPU time of those, each.
    """

    first_ms: float
    median_ms: float
    least_ms: float
    cpu_ms: float


def _timed(
    server: Any, dashboard: Dashboard, until_s: int, hours: int, quick: bool
) -> dict[str, Any]:
    found = {
        f"{panel.title}, {number}": _taken(server, panel, query, until_s, hours, 3 if quick else 7)
        for panel in dashboard.panels
        for number, query in enumerate(panel.queries, 1)
    }
    slowest = max(found, key=lambda name: found[name].least_ms)
    return {
        "queries": len(found),
        "slowest_ms": found[slowest].least_ms,
        "slowest_median_ms": max(one.median_ms for one in found.values()),
        "slowest_first_ms": max(one.first_ms for one in found.values()),
        "slowest_cpu_ms": max(one.cpu_ms for one in found.values()),
        "all_cpu_ms": sum(one.cpu_ms for one in found.values()),
        "over_200_ms": [name for name, one in found.items() if one.least_ms > 200],
        "slowest": slowest,
    }


def _taken(server: Any, panel: Panel, query: Query, until_s: int, hours: int, times: int) -> Taken:
    first_ms = _taken_ms(server, panel, query, until_s, hours)
    before_s = _cpu_s()
    again_ms = [_taken_ms(server, panel, query, until_s, hours) for _ in range(times - 1)]
    cpu_ms = (_cpu_s() - before_s) * 1e3 / len(again_ms)
    return Taken(first_ms, median(again_ms), min(again_ms), cpu_ms)


def _cpu_s() -> float:
    """CPU time of the server, which is this process's only child."""
    (child,) = psutil.Process().children()
    times = child.cpu_times()
    return float(times.user + times.system)


def _taken_ms(server: Any, panel: Panel, query: Query, until_s: int, hours: int) -> float:
    range_s = {"1h": HOUR_S, "now/d": min(hours, 24) * HOUR_S}.get(panel.time_from, hours * HOUR_S)
    step_s = max(STEP_S, range_s // panel.points)
    expr = _asked(query.expr, range_s, step_s)
    call: dict[str, Any] = {"query": expr, "time": until_s}
    if not panel.instant:
        call |= {"start": until_s - range_s, "end": until_s, "step": step_s}
    path = "/api/v1/query" if panel.instant else "/api/v1/query_range"
    began_s = time.perf_counter()
    answer = server.client.get(path, params=call)
    taken_ms = (time.perf_counter() - began_s) * 1e3
    if not answer.is_success or not answer.json()["data"]["result"]:
        raise RuntimeError(f"{panel.title}: nothing was found by {expr}: {answer.text[:200]}")
    return taken_ms


def _asked(expr: str, range_s: int, step_s: int) -> str:
    """The query as Grafana sends it, with everything chosen."""
    values = {
        "__range": f"{range_s}s",
        "__rate_interval": f"{max(step_s + SCRAPE_S, 4 * SCRAPE_S)}s",
        "host": ".*",
        "model": ".*",
        "currency": "EUR",
    }
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)


def _rules(server: Any, until_s: int) -> dict[str, Any]:
    """What one evaluation of every rule takes, each asked as a query."""
    found = {}
    for rule in (*_rules_of("inferprint.rules.yml"), *_rules_of("inferprint.alerts.yml")):
        server.query(rule["expr"], until_s)
        began_s = time.perf_counter()
        server.query(rule["expr"], until_s)
        name = rule.get("record") or rule["alert"]
        found[name] = (time.perf_counter() - began_s) * 1e3
    slowest = max(found, key=lambda name: found[name])
    return {
        "queries": len(found),
        "slowest_ms": found[slowest],
        "all_ms": sum(found.values()),
        "slowest": slowest,
    }


if __name__ == "__main__":
    main(__doc__, measure)
