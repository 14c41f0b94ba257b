"""Looks at a tracker of this process, which is where requests are known one by one."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from inferprint import Config, Request, Tracker
from inferprint.cli.demo import load
from inferprint_exporters.prometheus import PrometheusExporter
from inferprint_exporters.terminal.families import STALE_S, Families
from inferprint_exporters.terminal.view import DeviceRow, Mode, RequestRow, View

if TYPE_CHECKING:
    from inferprint.demo.engine import Engine

__all__ = ["Local", "demo", "devices"]

MOST_REQUESTS = 100
"""Requests that are shown one by one: each has an estimate made of it."""

STALE_INTERVALS = 3.0


class Local:
    """A tracker that is looked at.

    Args:
        tracker: running, with ``metrics`` among its exporters.
        metrics: has the totals of its receipts.
        mode: what it runs for.
    """

    def __init__(self, tracker: Tracker, metrics: PrometheusExporter, mode: Mode) -> None:
        self.ended: str | None = None
        self.mode: Mode = mode
        self.tracker, self._metrics = tracker, metrics
        interval_s = tracker.config.sample_interval_s
        self._stale_s = max(STALE_S, STALE_INTERVALS * interval_s)

    def take(self) -> View:
        """What it knows now."""
        families = Families(self._metrics.collect())
        requests = self.tracker.requests_in_flight()
        return View(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            mode=self.mode,
            devices=self._devices(families),
            models=families.models(),
            requests=tuple(self._row(request) for request in requests[:MOST_REQUESTS]),
            in_flight=len(requests),
            grid=families.grid,
            hosted_j=families.hosted_j,
            faults=families.faults,
            notes=tuple(self._notes()),
        )

    def _devices(self, families: Families) -> tuple[DeviceRow, ...]:
        books = self.tracker.balance().devices
        return tuple(
            replace(row, name=books[row.id].name) if row.id in books else row
            for row in families.devices(self._stale_s)
        )

    def _row(self, request: Request) -> RequestRow:
        so_far = request.estimate()
        return RequestRow(
            request_id=so_far.request_id,
            model=so_far.model,
            duration_s=so_far.duration_s,
            output_tokens=so_far.tokens.output,
            energy_j=so_far.energy.total_j,
            carbon_g=so_far.carbon,
            cost=so_far.cost,
            provenance=so_far.provenance,
        )

    def _notes(self) -> Iterator[str]:
        if self.ended is not None:
            yield self.ended
        if self.mode == "devices":
            yield (
                "This machine's devices. Requests are known to the process that serves them:"
                " inferprint top --metrics URL, or --demo."
            )
        findings = self.tracker.findings
        if findings and not any(found.status in ("measured", "modelled") for found in findings):
            yield "No device can be read here: inferprint doctor says why, and what mends it."
        for found in findings:
            if found.status == "unreadable":
                why = f"{found.component} {found.name}: {found.why}"
                yield f"{why}. What mends it: inferprint doctor"


def _tracker(mode: Mode) -> Local:
    # A server's port, its file of what was learned and its other exporters are not for this.
    config = replace(Config(), exporters=(), learned_path=None)
    metrics = PrometheusExporter(max_label_values=config.max_label_values)
    return Local(Tracker(config, exporters=[metrics]), metrics, mode)


@contextmanager
def devices() -> Iterator[Local]:
    """Looks at this machine's devices, read by a tracker that has no requests."""
    local = _tracker("devices")
    with local.tracker:
        yield local


@contextmanager
def demo(clients: int) -> Iterator[Local]:
    """Looks at a small model that is served under load here.

    Args:
        clients: how many ask at the same time.

    Raises:
        MissingExtra: numpy is not installed.
    """
    load("inferprint top --demo")
    from inferprint.demo.arrays import best_arrays
    from inferprint.demo.engine import Engine
    from inferprint.demo.show import MOST_SLOTS, warm

    model = warm(best_arrays(), min(clients, MOST_SLOTS))
    local = _tracker("demo")
    with (
        local.tracker as tracker,
        Engine(model) as engine,
        _Load(tracker, engine, clients) as under,
    ):
        under.told = local
        yield local


class _Load:
    """Clients in a thread of their own, from the entry to the exit of a ``with``."""

    def __init__(self, tracker: Tracker, engine: Engine, clients: int) -> None:
        self.told: Local | None = None
        self.tracker, self._engine, self._clients = tracker, engine, clients
        self._stop: Callable[[], object] = _nothing
        self._quiet = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inferprint-top-demo")

    def __enter__(self) -> _Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet.set()
        self._stop()
        self._thread.join()

    def _run(self) -> None:
        from inferprint.demo.show import QUIET_S

        if self._quiet.wait(QUIET_S):
            return
        try:
            asyncio.run(self._ask())
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - shown, as there is nobody to raise it to
            if self.told is not None:
                self.told.ended = f"The demo's clients have ended: {error!r}"

    async def _ask(self) -> None:
        from inferprint.demo.clients import serve

        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(serve(self.tracker, self._engine, self._clients, math.inf))
        self._stop = lambda: loop.call_soon_threadsafe(task.cancel)
        if self._quiet.is_set():
            task.cancel()
        await task


def _nothing() -> None:
    """There is nothing to stop yet."""


def wait_until(local: Local, ready: Callable[[View], bool], at_most_s: float) -> View:
    """The first view that is ready, or the last within a time."""
    until_s = time.monotonic() + at_most_s
    while not ready(view := local.take()) and time.monotonic() < until_s:
        time.sleep(0.1)
    return view
