"""Energy per request for Prometheus: counters and histograms, scraped over HTTP.

The metrics are described in docs/metrics.md.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.core import Metric

from inferprint._version import __version__
from inferprint.receipt import Receipt
from inferprint_exporters._engine import EngineTotals, EngineWatch
from inferprint_exporters._families import FAMILIES, Values, render
from inferprint_exporters._metrics_server import MetricsServer
from inferprint_exporters._readings import read_tracker
from inferprint_exporters._totals import Totals

if TYPE_CHECKING:
    from inferprint import Config, Tracker

__all__ = ["PrometheusExporter"]

OTHER = "other"
CHARGED = "inferprint_device_charged_energy_joules_total"


class PrometheusExporter:
    """Keeps the totals of receipts and gives them, and the books, to Prometheus.

    It is a collector of prometheus_client, on a registry of its own. Its totals can be
    scraped as long as it lives, also after the tracker has stopped.

    Args:
        registry: a registry to join instead of its own; taking it off again is up to the
            registry's owner.
        listen: host and port to serve on while the tracker runs. None: nothing is served,
            until ``start_http_server`` or ``asgi_app`` is used.
        max_label_values: distinct values of a label; what is past it is ``other``.
    """

    name = "prometheus"

    def __init__(
        self,
        *,
        registry: CollectorRegistry | None = None,
        listen: tuple[str, int] | None = None,
        max_label_values: int = 100,
    ) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._listen = listen
        self._max_label_values = max_label_values
        self._tracker: Tracker | None = None
        self._server: MetricsServer | None = None
        self._engine: EngineWatch | None = None
        self._begin()
        self.registry.register(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._totals = Totals()
        self._engine_totals = EngineTotals(self._locked_cap)
        self._label_values: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._charged_j: dict[tuple[str, ...], float] = {}

    @classmethod
    def from_config(cls, config: Config) -> PrometheusExporter:
        """An exporter that serves on the settings' host and port while the tracker runs."""
        listen = (config.prometheus_host, config.prometheus_port)
        return cls(listen=listen, max_label_values=config.max_label_values)

    @property
    def port(self) -> int | None:
        """The port that it serves on since ``start``; None while it does not."""
        return self._server.port if self._server else None

    def start(self, tracker: Tracker) -> None:
        """Reads this tracker at scrapes from now on, and serves if it is to. Where the settings
        name an engine's metrics, it looks at them too.

        In the child of a fork it begins anew: what the parent counted stays the parent's.

        Raises:
            ConfigError: it cannot listen on its host and port.
        """
        if self._pid != os.getpid():
            self._leave_to_parent()
        self._tracker = tracker
        if self._listen is not None:
            host, port = self._listen
            self._server = self.start_http_server(port, host)
        if (url := tracker.config.engine_metrics_url) is not None:
            self._engine = EngineWatch(url, tracker, self._engine_totals)

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Adds settled receipts to the totals."""
        unix_s = time.time()
        for receipt in receipts:
            with self._lock:
                model = self._cap("model", receipt.model)
                self._totals.add(receipt, model, unix_s)

    def close(self) -> None:
        """Stops what ``start`` started."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _leave_to_parent(self) -> None:
        if self._server is not None:
            self._server.abandon()
            self._server = None
        self._engine = None
        self._begin()

    def start_http_server(self, port: int = 9464, addr: str = "127.0.0.1") -> MetricsServer:
        """Serves the metrics over HTTP until the server that it returns is closed.

        Args:
            port: 0 takes any free one; the server's ``port`` tells which.
            addr: the address to listen on.

        Raises:
            ConfigError: it cannot listen there.
        """
        return MetricsServer(self.registry, port, addr)

    def asgi_app(self) -> Callable[..., Any]:
        """An ASGI application that serves the metrics, to mount in a web application."""
        return make_asgi_app(self.registry)

    def describe(self) -> Iterator[Metric]:
        """Every family that it can have, without samples."""
        return (family.metric({}) for family in FAMILIES)

    def collect(self) -> Iterator[Metric]:
        """The families as they stand now; those of which nothing is known are left out."""
        values: dict[str, Any] = {"inferprint_build_info": {(__version__,): 1.0}}
        if self._tracker is not None:
            values |= self._read(self._tracker)
        values |= self._engine_totals.snapshot()
        with self._lock:
            values |= self._totals.snapshot()
        return render(values)

    def _read(self, tracker: Tracker) -> Values:
        values = dict(read_tracker(tracker, self._locked_cap))
        values[CHARGED] = self._never_less(values.get(CHARGED, {}))
        return values

    def _never_less(self, values: Mapping[tuple[str, ...], Any]) -> dict[tuple[str, ...], float]:
        # These are differences of running sums: where one falls by its last digit, Prometheus
        # would take that for a restart, and count all of it once more.
        with self._lock:
            for labels, joules in values.items():
                self._charged_j[labels] = max(joules, self._charged_j.get(labels, 0.0))
            return {labels: self._charged_j[labels] for labels in values}

    def _locked_cap(self, label: str, value: str) -> str:
        with self._lock:
            return self._cap(label, value)

    def _cap(self, label: str, value: str) -> str:
        known = self._label_values[label]
        if value not in known:
            if len(known) >= self._max_label_values:
                return OTHER
            # A lone surrogate, which JSON can carry, would make every scrape fail.
            known[value] = value.encode("utf-8", "replace").decode()
        return known[value]
