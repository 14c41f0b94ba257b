"""A fleet: several hosts scraped by a real Prometheus, which sends on to a real VictoriaMetrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from inferprint import Tracker
from inferprint.records import DeviceBalance
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters.prometheus import PrometheusExporter
from prometheus_server import Prometheus, prometheus
from support import REPO
from victoria_server import victoria_metrics

pytestmark = pytest.mark.real

RULES = REPO / "exporters/inferprint_exporters/grafana/rules/inferprint.rules.yml"
HOSTS = 3


class Host(NamedTuple):
    """A host of the fleet, on a clock of its own."""

    tracker: Tracker
    clock: FakeClock
    sources: list[FakeSource]
    port: int

    def serve(self, model: str, watts: float, seconds: float, tokens: int) -> None:
        """A request on all of its devices, and a pause of a second."""
        for source in self.sources:
            source.set_power(watts)
        with self.tracker.request(model) as request:
            self.clock.advance(seconds)
            request.add_tokens(input=100, output=tokens)
        for source in self.sources:
            source.set_power(60.0)
        self.clock.advance(1.0)
        self.tracker.flush()


def host(stack: ExitStack, number: int) -> Host:
    """A host with as many GPUs as its number says, which has been idle for two seconds."""
    clock = FakeClock()
    sources = [FakeSource(clock, device=f"gpu:{i}", watts=60.0) for i in range(number)]
    exporter = PrometheusExporter(listen=("127.0.0.1", 0))
    tracker = stack.enter_context(Tracker(sources=sources, exporters=[exporter], clock=clock))
    for _ in range(20):
        clock.advance(0.1)
        tracker.sample()
    assert exporter.port is not None
    return Host(tracker, clock, sources, exporter.port)


class Fleet(NamedTuple):
    """Hosts that have served, and the two servers that know of it."""

    hosts: list[Host]
    near: Prometheus
    far: Prometheus

    def sum_of(self, field: Callable[[DeviceBalance], float]) -> float:
        """A term of the books, over all devices of all hosts."""
        books = (one.tracker.balance().devices.values() for one in self.hosts)
        return sum(field(device) for devices in books for device in devices)


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts with one, two and three GPUs, two models on them."""
    folders = tmp_path_factory.mktemp("far"), tmp_path_factory.mktemp("near")
    rules = folders[1] / "rules.yml"
    rules.write_text(_quick(RULES))
    with ExitStack() as stack:
        hosts = [host(stack, number) for number in range(1, HOSTS + 1)]
        address, far = stack.enter_context(victoria_metrics(folders[0]))
        ports = [one.port for one in hosts]
        near = stack.enter_context(prometheus(folders[1], ports, str(rules), remote_write=address))
        near.wait_for("count(inferprint_build_info)", lambda found: found == HOSTS)
        for number, one in enumerate(hosts):
            one.serve("llama", 250.0 + 50 * number, 2.0, 80)
            one.serve("mistral" if number else "llama", 200.0, 1.0, 40)
        yield Fleet(hosts, near, far)


def _quick(rules: Path) -> str:
    """The same rules, evaluated every second."""
    groups: Any = yaml.safe_load(rules.read_text())
    for group in groups["groups"]:
        group["interval"] = "1s"
    return json.dumps(groups)


def test_totals_are_the_sum_of_the_hosts_books(fleet: Fleet) -> None:
    """Measured and charged by phase, on the Prometheus that scrapes and on the store that it sends
    to; each host keeps its own, and each model is summed over its hosts.
    """
    phases: dict[str, Callable[[DeviceBalance], float]] = {
        "active": lambda device: device.requests_active_j,
        "idle": lambda device: device.requests_idle_j,
        "standing": lambda device: device.requests_standing_j,
    }
    measured = "inferprint_device_energy_joules_total"
    for asked in (fleet.near, fleet.far):
        asked.wait_for(f"sum({measured})", _near(fleet.sum_of(lambda d: d.measured_j)))
        for phase, field in phases.items():
            charged = f'sum(inferprint_energy_joules_total{{phase="{phase}"}})'
            asked.wait_for(charged, _near(fleet.sum_of(field)))
        for one in fleet.hosts:
            own_j = sum(device.measured_j for device in one.tracker.balance().devices.values())
            asked.wait_for(f'sum({measured}{{instance="127.0.0.1:{one.port}"}})', _near(own_j))
        counted = 'sum(inferprint_request_energy_joules_count{model="%s"})'
        asked.wait_for(counted % "llama", _near(HOSTS + 1))
        asked.wait_for(counted % "mistral", _near(HOSTS - 1))


def _near(wanted: float) -> Callable[[float | None], bool]:
    assert wanted > 0
    return lambda found: found == pytest.approx(wanted, rel=1e-9)


def test_the_rules_add_up_over_the_fleet(fleet: Fleet) -> None:
    """What is recorded for the whole is the sum of what is recorded for each host, on both."""
    # Once more after the first were scraped: a rate needs a counter to have moved.
    seen = "sum(inferprint_request_energy_joules_count)"
    fleet.near.wait_for(seen, lambda found: found == 2 * HOSTS)
    for one in fleet.hosts:
        one.serve("llama", 300.0, 1.0, 50)
    for asked in (fleet.near, fleet.far):
        asked.wait_for("sum(inferprint:device_watts:rate5m)", _above_0)
        difference = "sum(inferprint:device_watts:rate5m) - sum(inferprint:fleet_watts:rate5m)"
        asked.wait_for(difference, lambda found: found is not None and abs(found) < 1e-6)
    fleet.near.wait_for("sum(inferprint:joules_per_output_token:ratio5m)", _above_0)


def _above_0(found: float | None) -> bool:
    return found is not None and found > 0
