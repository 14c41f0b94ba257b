"""What runs the agent on hosts and on clusters: units and manifests, checked by their own tools."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferprint.cli import _commands
from support import REPO, require_module, require_program

DEPLOY = REPO / "deploy"
UNIT = DEPLOY / "systemd/inferprint-agent.service"
RULES = REPO / "exporters/inferprint_exporters/grafana/rules/inferprint.rules.yml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
# Kinds of operators, whose schemas come with them and not with Kubernetes.
CUSTOM = {"ServiceMonitor", "ScaledObject"}


def documents() -> list[dict[str, Any]]:
    """Every object of every manifest."""
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    (found,) = [one for one in documents() if one["kind"] == kind]
    return found


def container() -> dict[str, Any]:
    """The agent's container."""
    (found,) = of_kind("DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.real
@pytest.mark.parametrize(
    "manifest",
    [one for one in documents() if one["kind"] not in CUSTOM],
    ids=lambda one: f"{one['kind']}",
)
def test_manifests_are_what_kubernetes_takes(manifest: dict[str, Any]) -> None:
    """By Kubernetes' own schema, in which nothing may stand that it does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        validate = require_module("kubernetes_validate", "pip install kubernetes-validate")
        validate.validate(manifest, "1.31", strict=True)


@pytest.mark.real
def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    """By systemd's own check, with a program that is there in place of ours."""
    analyze = require_program("systemd-analyze", "apt-get install systemd")
    unit = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert "/opt/inferprint/bin/inferprint" in text
    unit.write_text(text.replace("/opt/inferprint/bin/inferprint", sys.executable))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert unit.name not in done.stderr, done.stderr


def _options(arguments: list[str]) -> Any:
    """What the command line makes of them; wrong ones fail the test."""
    import argparse

    parser = argparse.ArgumentParser(exit_on_error=False)
    subparsers = parser.add_subparsers()
    for command in _commands():
        command.add_parser(subparsers)
    return parser.parse_args(arguments)


def test_they_start_an_agent_as_it_is_started() -> None:
    """The arguments of the unit, of the DaemonSet and of the image are options of the command,
    and all three name one socket and one port.
    """
    (started,) = [row for row in UNIT.read_text().splitlines() if row.startswith("ExecStart=")]
    (image,) = [r for r in (DEPLOY / "Containerfile").read_text().splitlines() if "CMD" in r]
    each = [started.split()[1:], container()["args"], yaml.safe_load(image.removeprefix("CMD "))]
    for found in map(_options, each):
        assert found.socket == "/run/inferprint/agent.sock"
        assert found.metrics_port == 9464


def test_what_prometheus_looks_for_is_there() -> None:
    """The monitor selects the service, the service the pods, and the port has one name."""
    monitor, service = of_kind("ServiceMonitor"), of_kind("Service")
    pods = of_kind("DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert service["spec"]["selector"].items() <= pods.items()
    (port,) = service["spec"]["ports"]
    (endpoint,) = monitor["spec"]["endpoints"]
    (named,) = container()["ports"]
    assert port["name"] == endpoint["port"] == named["name"]
    assert port["port"] == named["containerPort"]


@pytest.mark.real
def test_the_scaler_asks_for_what_is_recorded(tmp_path: Path) -> None:
    """Its query is one that Prometheus takes, over a series that the rules record."""
    (trigger,) = of_kind("ScaledObject")["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    recorded = {
        rule["record"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }
    assert any(name in query for name in recorded)
    rules = tmp_path / "rules.yml"
    rule = {"record": "x", "expr": query}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    promtool = require_program("promtool", "apt-get install prometheus")
    subprocess.run([promtool, "check", "rules", str(rules)], check=True, capture_output=True)


def test_the_agent_has_no_right_that_it_does_not_need() -> None:
    """In both one capability, to read; it writes into its own folders alone."""
    rights = container()["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}
    assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
    unit = UNIT.read_text()
    assert "\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\n" in unit
    assert "\nNoNewPrivileges=true\n" in unit
    assert "\nProtectSystem=strict\n" in unit
