"""A fleet: agents of several hosts, scraped by a real Prometheus that sends on to a real
VictoriaMetrics.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from inferprint import Config, Device, Reading, Tracker
from inferprint.agent import Agent
from inferprint.records import DeviceBalance
from inferprint_exporters.prometheus import PrometheusExporter
from prometheus_server import Prometheus, prometheus
from support import REPO
from victoria_server import victoria_metrics

pytestmark = pytest.mark.real

RULES = REPO / "exporters/inferprint_exporters/grafana/rules/inferprint.rules.yml"
HOSTS = 3
IDLE_W = 60.0
QUIET_S = 2.0


class Meter:
    """A GPU on the real clock whose power is set."""

    def __init__(self, device: str) -> None:
        self._device = Device(device, "gpu", "metered gpu")
        self._lock = threading.Lock()
        self._watts, self._energy_j, self._at_ns = IDLE_W, 0.0, time.monotonic_ns()

    def set_power(self, watts: float) -> None:
        """It draws so much from now on."""
        with self._lock:
            self._advance()
            self._watts = watts

    def _advance(self) -> None:
        now_ns = time.monotonic_ns()
        self._energy_j += self._watts * (now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns

    def devices(self) -> Sequence[Device]:
        return [self._device]

    def read(self) -> Sequence[Reading]:
        with self._lock:
            self._advance()
            return [Reading(self._device.id, self._at_ns, self._energy_j)]

    def close(self) -> None:
        pass


class Host(NamedTuple):
    """A host of the fleet: its agent, a worker, and its GPUs."""

    agent: Agent
    worker: Tracker
    meters: list[Meter]
    port: int

    def serve(self, model: str, watts: float, seconds: float, tokens: int) -> None:
        """A request on all of its GPUs. After it they draw nothing, so that the books stand."""
        for meter in self.meters:
            meter.set_power(watts)
        with self.worker.request(model) as request:
            time.sleep(seconds)
            request.add_tokens(input=100, output=tokens)
        for meter in self.meters:
            meter.set_power(0.0)
        request.receipt(timeout=20.0)
        time.sleep(3 * self.agent.tracker.config.sample_interval_s)
        self.agent.tracker.flush(20.0)


def host(stack: ExitStack, folder: Path, number: int) -> Host:
    """A host with as many GPUs as its number says."""
    meters = [Meter(f"gpu:{i}") for i in range(number)]
    exporter = PrometheusExporter(listen=("127.0.0.1", 0))
    socket = str(folder / f"{number}.sock")
    agent = stack.enter_context(
        Agent(Config(), socket=socket, sources=meters, exporters=[exporter])
    )
    worker = stack.enter_context(Tracker(Config(agent=socket)))
    assert exporter.port is not None
    return Host(agent, worker, meters, exporter.port)


class Fleet(NamedTuple):
    """Hosts that have served, and the two servers that know of it."""

    hosts: list[Host]
    near: Prometheus
    far: Prometheus

    def sum_of(self, field: Callable[[DeviceBalance], float]) -> float:
        """A term of the books, over all devices of all hosts."""
        books = (one.agent.tracker.balance().devices.values() for one in self.hosts)
        return sum(field(device) for devices in books for device in devices)


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts with one, two and three GPUs, two models on them."""
    folders = tmp_path_factory.mktemp("far"), tmp_path_factory.mktemp("near")
    rules = folders[1] / "rules.yml"
    rules.write_text(_quick(RULES))
    with ExitStack() as stack:
        hosts = [host(stack, folders[1], number) for number in range(1, HOSTS + 1)]
        began_s = time.monotonic()
        address, far = stack.enter_context(victoria_metrics(folders[0]))
        ports = [one.port for one in hosts]
        near = stack.enter_context(prometheus(folders[1], ports, str(rules), remote_write=address))
        near.wait_for("count(inferprint_build_info)", lambda found: found == HOSTS)
        # Until idle power has been seen.
        time.sleep(max(0.0, began_s + QUIET_S - time.monotonic()))
        for number, one in enumerate(hosts):
            one.serve("llama", 250.0 + 50 * number, 0.5, 80)
            one.serve("mistral" if number else "llama", 200.0, 0.3, 40)
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
            own_j = sum(
                device.measured_j for device in one.agent.tracker.balance().devices.values()
            )
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
        one.serve("llama", 300.0, 0.3, 50)
    for asked in (fleet.near, fleet.far):
        asked.wait_for("sum(inferprint:device_watts:rate5m)", _above_0)
        difference = "sum(inferprint:device_watts:rate5m) - sum(inferprint:fleet_watts:rate5m)"
        asked.wait_for(difference, lambda found: found is not None and abs(found) < 1e-6)
    fleet.near.wait_for("sum(inferprint:joules_per_output_token:ratio5m)", _above_0)


def _above_0(found: float | None) -> bool:
    return found is not None and found > 0
