"""The Grafana dashboards, the rules and the command that writes them, as files."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferprint_exporters._families import FAMILIES
from inferprint_exporters.grafana.every import DASHBOARDS
from inferprint_exporters.grafana.panels import Dashboard, Panel
from support import REPO, run_python

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import dashboard as schema

FOLDER = REPO / "exporters" / "inferprint_exporters" / "grafana"
COMMITTED = sorted((FOLDER / "dashboards").glob("*.json"))
PANELS = [(one, panel) for one in DASHBOARDS for panel in one.panels]
SUFFIXES = ("", "_bucket", "_sum", "_count")


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules" / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def names(promql: str) -> set[str]:
    """The metrics and recorded series that a query names."""
    bare = re.sub(r'"[^"]*"', "", promql)
    return set(re.findall(r"\binferprint(?::[\w:]+|_\w+)", bare))


def known() -> set[str]:
    """Every series that is scraped or recorded, and what a user's limits record."""
    scraped = {family.name + suffix for family in FAMILIES for suffix in SUFFIXES}
    recorded = {rule["record"] for rule in rules("inferprint.rules.yml")}
    return scraped | recorded | {"inferprint:budget:limit"}


def targets(dashboard: Any) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield from panel.get("targets", ())


def test_the_committed_json_is_current(tmp_path: Path) -> None:
    """What is committed is what the code makes: run python -m inferprint_exporters.grafana."""
    from inferprint_exporters.grafana.build import to_json

    made = {f"{one.uid}.json": to_json(one) for one in DASHBOARDS}
    assert {path.name: path.read_text() for path in COMMITTED} == made


def test_it_is_written_without_a_warning(tmp_path: Path) -> None:
    """The command that writes the committed files runs, and names each."""
    script = (
        "import pathlib, sys; from inferprint_exporters.grafana import __main__ as made;"
        f"made.FOLDER = pathlib.Path({str(tmp_path)!r}); made.main()"
    )
    result = run_python("-c", script)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(tmp_path.iterdir()) == sorted(map(Path, result.stdout.split()))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_it_is_of_grafanas_published_types(path: Path) -> None:
    """Read into the types that Grafana publishes and written again, nothing is lost."""
    data = loaded(path)
    again = json.loads(json.dumps(schema.Dashboard.from_json(data), cls=JSONEncoder))
    assert again == data


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_it_asks_the_data_source_that_is_chosen(path: Path) -> None:
    """Each query, variable and annotation goes to the variable's data source, none to one by
    name; ids are unique; panels do not lie on each other.
    """
    data = loaded(path)
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asked = [*targets(data), *data["annotations"]["list"], *data["templating"]["list"][1:]]
    assert data["templating"]["list"][0]["type"] == "datasource"
    assert [one for one in asked if one["datasource"] != chosen] == []
    ids = [panel["id"] for panel in data["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in data["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


@pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{one.uid}: {panel.title}" for one, panel in PANELS]
)
def test_each_panel_says_what_it_shows(dashboard: Dashboard, panel: Panel) -> None:
    """It has a description and a unit, and asks only for what is scraped or recorded, with the
    variables that its dashboard has.
    """
    assert len(panel.about.split()) >= 6
    assert panel.unit
    for query in panel.queries:
        assert names(query.expr)
        assert names(query.expr) <= known(), query.expr
        own = set(re.findall(r"\$(?!__)(\w+)", query.expr + panel.title))
        assert own <= set(dashboard.variables), query.expr


def test_long_ranges_are_read_from_what_is_recorded() -> None:
    """Counters and buckets are asked for directly only over a day or less, or of processes and
    devices, which are few: a week of them at 15 s is millions of samples.
    """
    requests = ("energy_joules", "request", "tokens", "carbon_grams", "water", "cost", "wasted")
    scraped = tuple(f"inferprint_{name}" for name in requests)
    long_reads = [
        query.expr
        for _, panel in PANELS
        for query in panel.queries
        if not panel.time_from and any(name.startswith(scraped) for name in names(query.expr))
    ]
    assert long_reads == []


def test_rules_ask_for_what_is_there() -> None:
    """A recording or alerting rule names only what is scraped or recorded, none twice."""
    every = [*rules("inferprint.rules.yml"), *rules("inferprint.alerts.yml")]
    assert [rule for rule in every if not names(rule["expr"]) <= known()] == []
    recorded = [rule["record"] for rule in rules("inferprint.rules.yml")]
    assert len(recorded) == len(set(recorded))


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not() -> None:
    """tests/rules/alerts.test.yml has both for each alert, and each says what to make of it."""
    cases = yaml.safe_load((REPO / "tests" / "rules" / "alerts.test.yml").read_text())["tests"]
    seen = {
        (case["alertname"], bool(case["exp_alerts"]))
        for test in cases
        for case in test["alert_rule_test"]
    }
    alerts = rules("inferprint.alerts.yml")
    assert seen == {(rule["alert"], fires) for rule in alerts for fires in (True, False)}
    for rule in alerts:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_every_alert_and_panel_is_documented() -> None:
    """docs/dashboards.md has a row for each alert and each recorded series, and of each panel
    what it says of itself.
    """
    page = (REPO / "docs" / "dashboards.md").read_text()
    alerts = [rule["alert"] for rule in rules("inferprint.alerts.yml")]
    assert re.findall(r"^\| `(Inferprint\w+)`", page, flags=re.M) == alerts
    recorded = {rule["record"] for rule in rules("inferprint.rules.yml")}
    assert set(re.findall(r"`(inferprint:[\w:]+)`", page)) >= recorded
    rows = [f"| {panel.title} | {panel.about} | {panel.empty_while} |" for _, panel in PANELS]
    assert [row for row in rows if row not in page.splitlines()] == []


@pytest.mark.parametrize("path", sorted((FOLDER / "provisioning").iterdir()), ids=lambda p: p.name)
def test_provisioning_is_yaml(path: Path) -> None:
    """Each file that provisions Grafana or Prometheus is one YAML object."""
    assert isinstance(yaml.safe_load(path.read_text()), dict)


class TestCommand:
    def test_it_writes_all_that_ships(self, tmp_path: Path) -> None:
        """Dashboards, rules and provisioning, byte for byte, and it names each."""
        result = run_python("-m", "inferprint", "dashboards", "--output", tmp_path / "new")
        assert (result.returncode, result.stderr) == (0, "")
        written = sorted(path for path in (tmp_path / "new").rglob("*") if path.is_file())
        assert sorted(map(Path, result.stdout.split())) == written
        shipped = [
            path
            for name in ("dashboards", "rules", "provisioning")
            for path in (FOLDER / name).iterdir()
        ]
        texts = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in shipped}
        made = {
            path.relative_to(tmp_path / "new").as_posix(): path.read_bytes() for path in written
        }
        assert made == texts

    def test_limits_become_a_rule_each(self, tmp_path: Path) -> None:
        """--budget writes a rules file that records each limit under its part."""
        budget = ("--budget", "energy_kwh=500", "--budget", "EUR=0.5")
        result = run_python("-m", "inferprint", "dashboards", "--output", tmp_path, *budget)
        assert result.returncode == 0, result.stderr
        text = (tmp_path / "rules" / "inferprint-budget.rules.yml").read_text()
        (group,) = yaml.safe_load(text)["groups"]
        limits = {rule["labels"]["part"]: rule["expr"] for rule in group["rules"]}
        assert limits == {"energy_kwh": "vector(500.0)", "EUR": "vector(0.5)"}
        assert {rule["record"] for rule in group["rules"]} == {"inferprint:budget:limit"}

    @pytest.mark.parametrize("budget", ["kwh=5", "EUR", "EUR=0", "EUR=x", "EUR=nan", "=5"])
    def test_a_limit_that_is_none_is_refused(self, budget: str, tmp_path: Path) -> None:
        """It is named with what would be right, exit code 2, and nothing is written."""
        result = run_python(
            "-m", "inferprint", "dashboards", "--output", tmp_path / "new", "--budget", budget
        )
        assert result.returncode == 2
        assert "energy_kwh, carbon_kg, or the code of a currency" in result.stderr
        assert not (tmp_path / "new").exists()

    def test_a_folder_that_cannot_be_made_is_an_error(self, tmp_path: Path) -> None:
        """It names the option, exit code 2, no traceback."""
        (tmp_path / "file").write_text("")
        result = run_python("-m", "inferprint", "dashboards", "--output", tmp_path / "file")
        assert result.returncode == 2
        assert "--output" in result.stderr
        assert "Traceback" not in result.stderr

    def test_it_needs_no_extra(self, tmp_path: Path) -> None:
        """The files are written where Grafana's SDK is not installed."""
        script = (
            "import sys; sys.modules['grafana_foundation_sdk'] = None; import inferprint.cli as c;"
            f"sys.exit(c.main(['dashboards', '--output', {str(tmp_path)!r}]))"
        )
        assert run_python("-c", script).returncode == 0
