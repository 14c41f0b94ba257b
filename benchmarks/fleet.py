"""What one host of a fleet brings: series, a page of metrics, bytes of its store."""

from __future__ import annotations

import gzip
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import generate_latest

from benchmarks._report import Report, main
from inferprint import Config, Exporter, Tracker
from inferprint.records import Component
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters.prometheus import PrometheusExporter
from inferprint_exporters.store import StoreExporter

MODELS = 2
TENANTS = 50
DEVICES: Mapping[Component, int] = {"gpu": 8, "cpu": 2, "dram": 2}


def served(url: str, requests: int) -> tuple[bytes, float]:
    """The page of metrics of a host that has served, and the CPU time that it took."""
    clock, rng = FakeClock(), random.Random(1)
    sources = [
        FakeSource(clock, device=f"{kind}:{i}", component=kind, watts=60.0)
        for kind, number in DEVICES.items()
        for i in range(number)
    ]
    metrics = PrometheusExporter()
    config = Config(location="FRA", pue=1.2, electricity_price=0.2, currency="EUR")
    exporters: list[Exporter] = [metrics, StoreExporter(url)]
    began_s = time.process_time()
    with Tracker(config, sources=sources, exporters=exporters, clock=clock) as tracker:
        for number in range(requests):
            labels = {"route": "/chat", "tenant": f"t{number % TENANTS}"}
            with tracker.request(f"model-{number % MODELS}", labels=labels) as request:
                clock.advance(0.01)
                request.add_tokens(input=rng.randrange(10, 2000), output=rng.randrange(1, 500))
            if number % 100 == 99:
                tracker.flush()
        tracker.flush()
        return generate_latest(metrics.registry), time.process_time() - began_s


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    requests = 1_000 if quick else 20_000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "receipts.db"
        page, cpu_s = served(f"sqlite:///{file}", requests)
        size = file.stat().st_size
    return {
        "devices": sum(DEVICES.values()),
        "models": MODELS,
        "series": sum(not line.startswith(b"#") for line in page.splitlines()),
        "page_bytes": len(page),
        "page_gzip_bytes": len(gzip.compress(page)),
        "store_bytes_per_receipt": size / requests,
        "cpu_us_per_request": cpu_s / requests * 1e6,
    }


if __name__ == "__main__":
    main(__doc__, measure)
