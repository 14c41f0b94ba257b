"""Stores to test with: of receipts made by hand, and of a day of load on the fake clock."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, redirect_stdout
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from inferprint import Config, Receipt, Tracker
from inferprint.cli import main
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters.store import StoreExporter
from rig import Kept

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
INSTALL_CHROMIUM = "apt-get install chromium"


def url_of(folder: Path, name: str = "receipts.db") -> str:
    """The URL of a store in a folder."""
    return f"sqlite:///{folder / name}"


def stored(folder: Path, receipts: Iterable[Receipt]) -> str:
    """The URL of a store of these receipts."""
    url, exporter = url_of(folder), StoreExporter(url_of(folder))
    exporter.export(list(receipts))
    exporter.close()
    return url


def at(receipt: Receipt, hour: float, day: int = 1) -> Receipt:
    """The same receipt, begun at an hour of a day of March 2026, UTC."""
    seconds = round(hour * 3600)
    hh, mm, ss = seconds // 3600, seconds // 60 % 60, seconds % 60
    return replace(receipt, started_at=datetime(2026, 3, day, hh, mm, ss, tzinfo=UTC))


def printed(url: str, *options: str) -> str:
    """What ``inferprint report`` prints of a store."""
    text = StringIO()
    with redirect_stdout(text):
        assert main(["report", "--store", url, *options]) == 0
    return text.getvalue()


def reported(url: str, *options: str) -> dict[str, Any]:
    """The report of a store as JSON."""
    found: dict[str, Any] = json.loads(printed(url, "--json", *options))
    return found


def day_of_load(url: str, requests_an_hour: int = 12) -> Sequence[Receipt]:
    """A day of two models on one GPU, most by day, some failing: its receipts, stored.

    A request that loads each model comes first, some requests run others inside them or beside
    them.
    """
    config = Config(
        exporters=("store",),
        store_url=url,
        carbon_intensity_g_per_kwh=56.0,
        pue=1.2,
        electricity_price=0.2,
        currency="EUR",
        wue_l_per_kwh=0.2,
        hardware=("gpu:H100=1", "server=0.125"),
        gpu_idle_w=60.0,
    )
    clock, kept, rng = FakeClock(wall=MIDNIGHT), Kept(), random.Random(7)
    source = FakeSource(clock, watts=60.0)
    with Tracker(config, sources=[source], exporters=[kept], clock=clock) as tracker:
        day = _Day(tracker, clock, source, rng)
        for model in ("llama-3-8b", "mistral-small"):
            day.load(model)
        for hour in range(24):
            day.hour(requests_an_hour * (3 if 8 <= hour < 20 else 1) // 2)
        tracker.sample()
    return kept.receipts


class _Day:
    def __init__(
        self, tracker: Tracker, clock: FakeClock, source: FakeSource, rng: random.Random
    ) -> None:
        self._tracker, self._clock, self._source, self._rng = tracker, clock, source, rng

    def _work(self, watts: float, seconds: float) -> None:
        self._source.set_power(watts)
        self._clock.advance(seconds)
        self._tracker.sample()
        self._source.set_power(60.0)

    def load(self, model: str) -> None:
        """Loads a model: two minutes at 150 W."""
        with self._tracker.request(model, labels={"phase": "load"}):
            self._work(150.0, 120.0)

    def hour(self, requests: int) -> None:
        """An hour less the time of its requests, quiet between them."""
        for _ in range(requests):
            self._request()
            self._clock.advance(3500.0 / requests - 6.0)
            self._tracker.sample()
        self._clock.advance(100.0)
        self._tracker.sample()

    def _request(self) -> None:
        """A request; with one in five, three others run from its start to its end."""
        with ExitStack() as beside:
            for _ in range(3 if self._rng.random() < 0.2 else 0):
                # In a context of its own it is nobody's child.
                context = copy_context()
                other = self._tracker.request("llama-3-8b", labels={"route": "/batch"})
                context.run(other.__enter__)
                other.add_tokens(input=500, output=300)
                beside.callback(context.run, other.__exit__, None, None, None)
            self._alone()

    def _alone(self) -> None:
        rng = self._rng
        model = rng.choice(("llama-3-8b", "llama-3-8b", "mistral-small"))
        labels = {"route": rng.choice(("/chat", "/rag")), "tenant": rng.choice("abc")}
        first = self._tracker.request(model, labels=labels)
        try:
            with first:
                first.add_tokens(input=rng.randrange(100, 2000))
                self._work(300.0, 2.0)
                if rng.random() < 0.2:
                    with self._tracker.request(model, labels=labels) as inside:
                        inside.add_tokens(input=50, output=20)
                        self._work(280.0, 1.0)
                if rng.random() < 0.05:
                    raise TimeoutError
                self._work(320.0, 3.0)
                first.add_tokens(output=rng.randrange(20, 400))
        except TimeoutError:
            return
