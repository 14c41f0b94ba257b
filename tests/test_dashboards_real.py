"""Dashboards and rules before the real promtool, and on a real Prometheus that scrapes the demo."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from inferprint_exporters.grafana.every import DASHBOARDS
from inferprint_exporters.grafana.panels import Panel, Query
from prometheus_server import INSTALL, Prometheus, prometheus
from support import REPO, require_program, run_python
from test_demo import MODELLED, demo

pytestmark = pytest.mark.real

RULES = REPO / "exporters" / "inferprint_exporters" / "grafana" / "rules"
ALL_KNOWN = {
    **MODELLED,
    "INFERPRINT_LOCATION": "FRA",
    "INFERPRINT_PUE": "1.2",
    "INFERPRINT_WUE_L_PER_KWH": "0.2",
    "INFERPRINT_ELECTRICITY_PRICE": "0.2",
    "INFERPRINT_CURRENCY": "EUR",
    "INFERPRINT_HARDWARE": "dram_gb=16",
}
"""Settings under which the demo has all that a dashboard can show."""
EMPTY = {"Source health: faults": "the demo's sources have none"}
STEPS = "inferprint:device_idle_power_watts:step2m"
"""The one series that is not recorded: modelled idle power has no steps."""
PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels]


class Shown(NamedTuple):
    """A Prometheus that has scraped the demo to its end, and the balance that it ended with."""

    server: Prometheus
    balance: dict[str, Any]
    receipts: list[dict[str, Any]]


def by_the_second(folder: Path) -> str:
    """The rules as ``inferprint dashboards`` writes them, with a second for every minute: the
    demo lasts seconds. Returns the pattern of their files.
    """
    budget = ("--budget", "energy_kwh=5", "--budget", "carbon_kg=1", "--budget", "EUR=9")
    done = run_python("-m", "inferprint", "dashboards", "--output", folder, *budget)
    assert done.returncode == 0, done.stderr
    for path in (folder / "rules").iterdir():
        text = re.sub(r"interval: \d+m", "interval: 1s", path.read_text())
        path.write_text(text.replace("[30d:1m]", "[1h:1s]"))
    return str(folder / "rules" / "*.yml")


def asked(expr: str) -> str:
    """A query as Grafana would send it, everything chosen, over the last five minutes."""
    for name, value in {
        "$__range:1m": "5m:1s",
        "$__range": "5m",
        "$__rate_interval": "4s",
        "$host": ".*",
        "$model": ".*",
        "$currency": "EUR",
    }.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Scraped and recorded while the demo ran, and once more after its balance."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = by_the_second(folder)
    options = ("--seconds", "15", "--metrics-port", "0", "--json", "--hold", "100")
    with demo(*options, env=ALL_KNOWN) as process:
        assert process.stdout is not None
        start = json.loads(process.stdout.readline())["start"]
        with prometheus(folder, urlsplit(start["metrics"]).port or 0, rules) as server:
            receipts = []
            while "balance" not in (line := json.loads(process.stdout.readline())):
                receipts.append(line["receipt"])
            devices = line["balance"]["devices"]
            used_j = sum(device["measured_j"] for device in devices.values())
            name = "inferprint_device_energy_joules_total"
            server.wait_for(f"sum({name})", lambda joules: joules == pytest.approx(used_j, 1e-12))
            time.sleep(2.0)  # the rules go over it once more
            yield Shown(server, devices, receipts)


def answer(shown: Shown, panel: Panel, query: Query) -> list[dict[str, Any]]:
    expr = asked(query.expr)
    return shown.server.query(expr) if panel.instant else shown.server.over(expr, 60, 1)


def finite(result: list[dict[str, Any]]) -> bool:
    """Whether a figure is among what was found."""
    pairs = [pair for one in result for pair in one.get("values", [one.get("value")])]
    return any(value not in ("NaN", "+Inf", "-Inf") for _, value in pairs)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_query_of_every_panel_has_an_answer(shown: Shown, panel: Panel) -> None:
    """None is an error, none is empty, but for the one of which the demo has nothing."""
    empty = [query.expr for query in panel.queries if not finite(answer(shown, panel, query))]
    assert bool(empty) == (panel.title in EMPTY), empty


def test_variables_and_annotations_have_an_answer(shown: Shown) -> None:
    """Hosts, models and currencies to choose from; the first request of the model."""
    from inferprint_exporters.grafana.build import VALUES, annotations

    found = {}
    for name, query in VALUES.items():
        matched = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        assert matched
        found[name] = shown.server.values_of(asked(matched[1]), matched[2])
    assert (found["model"], found["currency"], len(found["host"])) == (["tiny-llm"], ["EUR"], 1)
    first, steps = (annotation.build().expr or "" for annotation in annotations())
    (at,) = shown.server.over(asked(first), 30, 1)
    assert abs(float(at["values"][-1][1]) / 1000 - time.time()) < 200
    shown.server.over(asked(steps), 60, 1)  # no step is no answer


def test_exemplars_lead_to_requests(shown: Shown) -> None:
    """The query that asks for exemplars gets them, and they name requests of the demo."""
    (query,) = (query for panel in PANELS for query in panel.queries if query.exemplars)
    ids = {receipt["request_id"] for receipt in shown.receipts}
    named = {one["labels"]["request_id"] for one in shown.server.exemplars(asked(query.expr))}
    assert named
    assert named <= ids


def test_every_rule_is_evaluated(shown: Shown) -> None:
    """No rule fails, what is recorded is there, and nothing is alarmed by a demo that is well."""
    rules = shown.server.rules()
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    empty = {name for name in recorded if not shown.server.over(name, 60, 1)}
    assert empty == {STEPS}
    firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
    assert firing == set()
    assert len(recorded) > 40


BOOKS = {
    "used": ("measured_j",),
    "requests": ("requests_active_j", "requests_idle_j", "requests_standing_j"),
    "idle, not charged": ("standing_j",),
    "other processes": ("other_processes_j",),
    "unattributed": ("unattributed_j",),
}
"""Columns of the panel of the books, and the terms of the balance that they are."""


def test_the_books_are_those_of_the_balance(shown: Shown) -> None:
    """Each column of each device is what ``tracker.balance()`` said; what was used is the sum of
    the others.
    """
    (panel,) = (panel for panel in PANELS if panel.title == "Books since the start")
    columns = {
        query.legend: {
            one["metric"]["device"]: float(one["value"][1])
            for one in shown.server.query(asked(query.expr))
        }
        for query in panel.queries
    }
    said = {
        column: {id_: sum(device[term] for term in terms) for id_, device in shown.balance.items()}
        for column, terms in BOOKS.items()
    }
    assert columns.keys() == said.keys()
    for column, devices in said.items():
        assert columns[column] == pytest.approx(devices, rel=1e-9, abs=1e-9), column
    for id_ in shown.balance:
        parts = sum(columns[column][id_] for column in columns if column != "used")
        assert columns["used"][id_] == pytest.approx(parts, rel=1e-9)


def test_what_models_were_charged_is_what_devices_charged(shown: Shown) -> None:
    """Energy by model, by the receipts, and by the devices' books are one sum."""
    by_model = shown.server.value("sum(inferprint_energy_joules_total)")
    by_device = shown.server.value("sum(inferprint_device_charged_energy_joules_total)")
    receipts_j = sum(receipt["energy"]["total_j"]["mid"] for receipt in shown.receipts)
    assert by_model == pytest.approx(receipts_j, rel=1e-9)
    assert by_device == pytest.approx(receipts_j, rel=1e-9)


def promtool(*args: str | Path) -> subprocess.CompletedProcess[str]:
    program = require_program("promtool", INSTALL)
    command = [program, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_promtool_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    """What ``inferprint dashboards`` writes passes: the rules, the limits, and the provisioned
    configuration beside them.
    """
    arguments = ("dashboards", "--output", str(tmp_path), "--budget", "EUR=9")
    subprocess.run([sys.executable, "-m", "inferprint", *arguments], check=True, cwd=REPO)
    config = tmp_path / "prometheus.yml"
    config.write_text((tmp_path / "provisioning" / "prometheus.yml").read_text())
    done = promtool("check", "config", "--lint-fatal", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "inferprint-budget.rules.yml" in done.stdout


@pytest.mark.parametrize("name", ["alerts", "recording"])
def test_rules_do_what_they_say(name: str) -> None:
    """Each alert fires where it should and not where it should not; figures come out right."""
    done = promtool("test", "rules", REPO / "tests" / "rules" / f"{name}.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
