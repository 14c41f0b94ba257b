"""A fleet of hosts as Prometheus would have scraped it: every series, and how each moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy

from benchmarks._remote_write import Labels
from benchmarks._rig import from_tests
from inferprint.impacts import Carbon, Cost
from inferprint.receipt import Receipt
from inferprint.records import Tokens
from inferprint_exporters.prometheus import PrometheusExporter

fake_tracker = from_tests("fake_tracker", compiled=False)
made = from_tests("receipts", compiled=False)

__all__ = ["HOSTS", "MODELS", "curve", "rate", "scraped"]

MODELS, HOSTS, HOSTS_OF_A_MODEL = 20, 10, 2
DEVICES = [("gpu", f"GPU-{n}") for n in range(8)]
DEVICES += [(part, f"{part}:{n}") for part in ("cpu", "dram") for n in range(2)]
DAY_S = 86_400.0


def scraped() -> list[tuple[Labels, float, bool]]:
    """Every series of the fleet: its labels, its value or what it rises by in a second, and
    whether it rises.
    """
    return [series for host in range(HOSTS) for series in _of_host(host)]


def curve(since_s: numpy.ndarray) -> numpy.ndarray:
    """Load over time, as the integral of a rate whose mean is 1: it halves at night."""
    day = 2 * numpy.pi / DAY_S
    return since_s - 0.5 / day * (numpy.cos(day * since_s) - 1)


def rate(since_s: numpy.ndarray) -> numpy.ndarray:
    """Load over time; its mean is 1."""
    return 1 + 0.5 * numpy.sin(2 * numpy.pi / DAY_S * since_s)


def _of_host(host: int) -> Iterator[tuple[Labels, float, bool]]:
    tracker = fake_tracker.FakeTracker()
    books = replace(fake_tracker.gpu_books(400.0, idle_w=120.0), requests_unsplit_j=0.0)
    for part, id_ in DEVICES:
        tracker.devices[id_] = replace(books, component=cast("Any", part))
        tracker.reading_age_s[id_] = 0.1
    tracker.factors = fake_tracker.grid_intensity()
    tracker.source_errors = {("NvmlSource", "lost"): 0}
    tracker.dropped_receipts = {"store": 0}
    exporter = PrometheusExporter()
    exporter.start(cast("Any", tracker))
    for model in range(MODELS):
        if (model + host) % (HOSTS // HOSTS_OF_A_MODEL) == 0:
            tracker.in_flight[f"model-{model}"] = 3
            exporter.export(list(_requests(f"model-{model}")))
    where = {"job": "inferprint", "instance": f"host-{host}:9464"}
    for metric in exporter.collect():
        for sample in metric.samples:
            labels = {**sample.labels, **where, "__name__": sample.name}
            yield labels, sample.value, metric.type != "gauge"


def _requests(model: str) -> Iterator[Receipt]:
    """What a model's requests of a second are: 16 of them, spread over the buckets."""
    gram = made.exactly(0.1)
    for number in range(16):
        joules = 10.0 * 1.4**number
        yield made.receipt(
            model,
            request_id=f"{model}-{number}",
            outcome="cancelled" if number == 0 else "ok",
            duration_s=0.05 * 1.3**number,
            time_to_first_token_s=0.01 * 1.3**number,
            tokens=Tokens(input=500, cached_input=100, output=200),
            parts={
                name: made.component(joules * 0.6 / 3, joules * 0.3 / 3, joules * 0.1 / 3)
                for name in ("gpu", "cpu", "dram")
            },
            carbon=Carbon(0.1, 0.1, 0.1, operational_g=gram, embodied_g=gram),
            water=made.exactly(0.001),
            cost=Cost(0.01, 0.01, 0.01, currency="EUR"),
            quote_error_ratio=0.6 + 0.05 * number,
        )
