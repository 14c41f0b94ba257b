"""The exporter before the real promtool and a real Prometheus server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from fake_tracker import FakeTracker, gpu_books, grid_intensity
from inferprint.impacts import Carbon, Cost
from inferprint.integrations.engine_metrics import TokenCounts
from inferprint.receipt import Receipt
from inferprint.records import Tokens
from inferprint_exporters.prometheus import PrometheusExporter
from prometheus_server import INSTALL, Prometheus, prometheus
from receipts import component, exactly, receipt
from support import REPO, require_program

pytestmark = pytest.mark.real

PROMQL = re.findall(r"```promql\n(.*?)```", (REPO / "docs" / "metrics.md").read_text(), re.DOTALL)


def requests() -> list[Receipt]:
    """Two requests of 420 J and 40 output tokens together, and a cancelled one of 80 J."""
    gram = exactly(1.5)
    one = receipt(
        request_id="first",
        time_to_first_token_s=0.3,
        tokens=Tokens(input=100, cached_input=20, output=30),
        parts={"gpu": component(200, 60, 20), "cpu": component(20, 15, 5)},
        carbon=Carbon(1.5, 1.5, 1.5, operational_g=gram, embodied_g=gram),
        cost=Cost(0.1, 0.1, 0.1, currency="EUR"),
        water=exactly(0.2),
    )
    two = receipt(
        labels={"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
        tokens=Tokens(output=10),
        parts={"gpu": component(total_j=100.0)},
    )
    lost = receipt(outcome="cancelled", parts={"gpu": component(70, 10)})
    return [one, two, lost]


@pytest.fixture
def tracker() -> FakeTracker:
    """A tracker with something in every book."""
    tracker = FakeTracker()
    tracker.factors = grid_intensity()
    tracker.devices = {"GPU-1": gpu_books(idle_w=50.0)}
    tracker.reading_age_s = {"GPU-1": 0.1}
    tracker.in_flight = {"llama-3-8b": 3}
    tracker.source_errors = {("nvml", "lost"): 1}
    tracker.dropped_receipts = {"store": 2}
    return tracker


@pytest.fixture
def exporter(tracker: FakeTracker) -> Iterator[PrometheusExporter]:
    """An exporter that serves on a free port."""
    exporter = PrometheusExporter(listen=("127.0.0.1", 0))
    exporter.start(tracker)
    yield exporter
    exporter.close()


@pytest.fixture
def server(exporter: PrometheusExporter, tmp_path: Path) -> Iterator[Prometheus]:
    """A real server that scrapes the exporter."""
    assert exporter.port is not None
    with prometheus(tmp_path, exporter.port) as server:
        yield server


def served_by_an_engine(exporter: PrometheusExporter, seen: int) -> None:
    """What an engine and the GPU have counted after so many requests."""
    counts = TokenCounts("vllm", {"m": Tokens(10 * seen, 2 * seen, 5 * seen)})
    exporter._engine_totals.take(counts, {"gpu": ("measured", 100.0 * seen)})


def test_promtool_has_nothing_to_say(exporter: PrometheusExporter) -> None:
    """Names, units, help texts and types of every family pass Prometheus's own linter."""
    program = require_program("promtool", INSTALL)
    exporter.export(requests())
    for seen in (0, 1, 1):
        served_by_an_engine(exporter, seen)
    text = generate_latest(exporter.registry)
    assert len({line for line in text.splitlines() if line.startswith(b"# TYPE")}) == 29
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_prometheus_tells_joules_per_token(
    exporter: PrometheusExporter, server: Prometheus
) -> None:
    """Energy over output tokens, as scraped by a real server, is what the receipts say."""
    exporter.export(requests()[:2])
    energy = "sum(inferprint_energy_joules_total)"
    server.wait_for(energy, lambda joules: joules == 420.0)
    tokens = 'sum(inferprint_tokens_total{type="output"})'
    assert server.value(f"{energy} / {tokens}") == pytest.approx(420.0 / 40)


def test_every_documented_query_has_an_answer(
    exporter: PrometheusExporter, tracker: FakeTracker, server: Prometheus
) -> None:
    """The queries of docs/metrics.md run; the first two give joules per token as a rate, of an
    engine's windows and of requests.
    """
    requests_seen = "sum(inferprint_request_energy_joules_count)"
    for seen in (3, 6, 9):
        exporter.export(requests())
        tracker.devices["GPU-1"] = gpu_books(measured_j=1000.0 * seen)
        served_by_an_engine(exporter, seen)
        server.wait_for(requests_seen, lambda count, seen=seen: count == seen)
    assert len(PROMQL) >= 3
    assert [query for query in PROMQL if not server.query(query)] == []
    engine, of_requests = PROMQL[:2]
    assert server.value(engine) == pytest.approx(100.0 / (10 - 2 + 5), rel=1e-6)
    assert server.value(of_requests) == pytest.approx(500.0 / 40, rel=1e-6)


def test_exemplars_lead_from_a_bucket_to_the_request(
    exporter: PrometheusExporter, server: Prometheus
) -> None:
    """A bucket's exemplar names the trace where there is one, else the request."""
    exporter.export(requests()[:2])
    server.wait_for("sum(inferprint_request_energy_joules_count)", lambda count: count == 2)
    exemplars = server.exemplars("inferprint_request_energy_joules_bucket")
    seen = {(*exemplar["labels"].items(), float(exemplar["value"])) for exemplar in exemplars}
    assert seen == {
        (("request_id", "first"), 320.0),
        (("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"), 100.0),
    }
