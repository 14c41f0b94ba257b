"""A process whose memory is looked at from outside: one step for each line on its input.

It imports nothing of the tracker before it has said ``imported``, so that this is the
baseline. A line is printed when a step is done.
"""

from __future__ import annotations

import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import prometheus_client  # noqa: F401 - what a server has without the tracker

if TYPE_CHECKING:
    from inferprint import Tracker

BATCH = 1_000
PACE_PER_S = 2_000
TICK_S = 0.01
FLUSH_S = 60.0


def started() -> Tracker:
    """A running tracker with the Prometheus exporter and a location, scraped once."""
    from inferprint import Config, Tracker
    from inferprint_exporters.prometheus import PrometheusExporter

    exporter = PrometheusExporter(listen=("127.0.0.1", 0))
    tracker = Tracker(Config(location="FRA"), exporters=[exporter]).start()
    call(tracker, 100)
    tracker.flush(FLUSH_S)
    with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics") as reply:
        reply.read()
    return tracker


def call(tracker: Tracker, requests: int) -> None:
    """Requests without a pause."""
    for _ in range(requests):
        with tracker.request("m") as request:
            request.add_tokens(input=100, output=1)


def load(tracker: Tracker, requests: int) -> None:
    """Requests at a steady ``PACE_PER_S``."""
    at_once = round(PACE_PER_S * TICK_S)
    next_s = time.monotonic()
    for _ in range(0, requests, at_once):
        call(tracker, at_once)
        next_s += TICK_S
        time.sleep(max(0.0, next_s - time.monotonic()))


def batches(tracker: Tracker, requests: int) -> None:
    """Requests in batches, each settled and handed over before the next."""
    for _ in range(0, requests, BATCH):
        call(tracker, BATCH)
        tracker.flush(FLUSH_S)


STEPS = {"load": load, "batches": batches, "tight": call}


def run() -> None:
    """Does what the lines say: ``start``, ``flush``, or one of ``STEPS`` and how many."""
    print("imported", flush=True)
    tracker: Tracker | None = None
    for line in sys.stdin:
        step, _, requests = line.strip().partition(" ")
        if step == "start":
            tracker = started()
        assert tracker is not None
        if step in STEPS:
            STEPS[step](tracker, int(requests))
        elif step == "flush":
            tracker.flush(FLUSH_S)
        print(step, flush=True)
    if tracker is not None:
        tracker.stop()


if __name__ == "__main__":
    run()
