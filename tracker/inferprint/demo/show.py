"""The demo from its first line to its last."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from importlib.metadata import entry_points
from typing import Any

import numpy

from inferprint import Config, Tracker
from inferprint.demo.arrays import Arrays, best_arrays
from inferprint.demo.clients import serve
from inferprint.demo.engine import Engine
from inferprint.demo.model import Model, Shape
from inferprint.demo.screen import JsonLines, Start, Text

__all__ = ["MOST_SLOTS", "QUIET_S", "show", "warm"]

QUIET_S = 1.5
"""How long the machine is watched before the first request: that is how idle power is known."""

MOST_SLOTS = 8
"""Answers that are computed at the same time; further clients wait for their turn."""
FLUSH_S = 5.0


def show(
    seconds: float, clients: int, metrics_port: int | None, *, as_json: bool, hold_s: float = 0.0
) -> None:
    """Serves the model under load, printing receipts as they settle and the balance at the end.

    Args:
        seconds: for how long requests are sent.
        clients: how many ask at the same time.
        metrics_port: port of the metrics; 0: any free one; None: the configured one where it
            is free, else any.
        as_json: prints JSON objects, one a line.
        hold_s: for how long the metrics are served after the balance, which they then equal.

    Raises:
        ConfigError: ``metrics_port`` cannot be listened on.
    """
    screen = JsonLines() if as_json else Text()
    config = Config()
    port = _free_port(config) if metrics_port is None else metrics_port
    config = Config(prometheus_port=port)
    arrays = best_arrays()
    model = warm(arrays, min(clients, MOST_SLOTS))
    metrics = _prometheus(config)
    tracker = Tracker(config, exporters=[metrics, screen])
    with tracker, Engine(model) as engine:
        start = Start(
            where=arrays.where,
            parameters=model.shape.parameters,
            clients=clients,
            seconds=seconds,
            metrics=f"http://{config.prometheus_host}:{metrics.port}/metrics",
            findings=tuple(tracker.findings),
            carbon=tracker.factors.carbon_intensity,
        )
        screen.begin(start)
        with suppress(KeyboardInterrupt):
            time.sleep(QUIET_S)
            asyncio.run(serve(tracker, engine, clients, seconds))
        tracker.flush(timeout=FLUSH_S)
        port = metrics.port
    # Once it has stopped, what it says does not change any more.
    screen.end(tracker.balance())
    if hold_s:
        _hold(metrics, port, config.prometheus_host, hold_s)


def _hold(metrics: Any, port: int, host: str, seconds: float) -> None:
    server = metrics.start_http_server(port, host)
    with suppress(KeyboardInterrupt):
        time.sleep(seconds)
    server.close()


def warm(arrays: Arrays, slots: int) -> Model:
    """A model that has run once, so that what loading costs is not taken for idling."""
    model = Model(arrays, Shape(), slots)
    zero = numpy.zeros(1, numpy.int64)
    model.forward(zero[None, :], zero, zero)
    return model


def _prometheus(config: Config) -> Any:
    (entry,) = entry_points(group="inferprint.exporters", name="prometheus")
    return entry.load()(config)


def _free_port(config: Config) -> int:
    """The configured port, or 0 where something listens on it already."""
    with socket.socket() as probe:
        taken = probe.connect_ex((config.prometheus_host, config.prometheus_port)) == 0
    return 0 if taken else config.prometheus_port
