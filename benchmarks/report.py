"""How long a report takes over a store of a million receipts, and a receipt to be stored."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from benchmarks._report import Report, main
from inferprint.impacts import Carbon, Cost, Factor, Materials, PrimaryEnergy, Water
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import ComponentEnergy, Energy, Tokens
from inferprint_exporters.report.content import content
from inferprint_exporters.report.question import Question
from inferprint_exporters.report.reading import read
from inferprint_exporters.store import StoreExporter
from inferprint_exporters.store.opening import open_store
from inferprint_exporters.store.tables import receipts

MILLION = 1_000_000
QUICK = 20_000
DAYS = 30
# What arrives at once: as a busy server's second.
AT_ONCE = 1_000
BASIS = "average, location-based, life-cycle"


def measured(quick: bool) -> Report:
    """Seconds of the whole command, of the report alone and of one bare sum over the table."""
    count = QUICK if quick else MILLION
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'receipts.db'}"
        store_us = _fill(url, count)
        size_mb = (Path(folder) / "receipts.db").stat().st_size / 1e6
        engine = open_store(url, create=False)
        bare = select(func.sum(receipts.c.energy_j), func.count())
        with engine.connect() as connection:
            bare_s = _least(lambda: connection.execute(bare).all())
        question = Question()
        report_s = _least(lambda: content(read(engine, question), question))
        command_s = _least(lambda: _command(url))
    return {
        "receipts": count,
        "command_s": command_s,
        "report_s": report_s,
        "bare_sum_s": bare_s,
        "report_over_bare_sum": report_s / bare_s,
        "store_cpu_us_per_receipt": store_us,
        "store_bytes_per_receipt": size_mb * 1e6 / count,
    }


def _least(call: Callable[[], object], times: int = 3) -> float:
    """The least of several: noise only ever adds time."""
    took = []
    for _ in range(times):
        start_s = time.perf_counter()
        call()
        took.append(time.perf_counter() - start_s)
    return min(took)


def _command(url: str) -> None:
    command = [sys.executable, "-m", "inferprint", "report", "--store", url, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _fill(url: str, count: int) -> float:
    """Stores receipts; microseconds of CPU time for each."""
    exporter, took = StoreExporter(url), 0.0
    made = _receipts(count)
    while batch := [one for one, _ in zip(made, range(AT_ONCE), strict=False)]:
        start_s = time.process_time()
        exporter.export(batch)
        took += time.process_time() - start_s
    exporter.close()
    return took / count * 1e6


def _receipts(count: int) -> Iterator[Receipt]:
    """A month of traffic: 3 models, 4 routes, 50 tenants, a grid that differs by the hour."""
    rng = random.Random(1)
    began = datetime(2026, 3, 1, tzinfo=UTC)
    step_s = DAYS * 86_400 / count
    for i in range(count):
        yield _receipt(rng, i, began + timedelta(seconds=i * step_s))


def _receipt(rng: random.Random, i: int, at: datetime) -> Receipt:
    reserved_s = rng.uniform(0.1, 2.0)
    at_once = rng.choice((1, 2, 3, 6, 12, 30))
    grid = Factor("grid_carbon_intensity", 40 + 20 * rng.random(), "gCO2e/kWh", "made up", "FRA")
    gpu, cpu = (_component(rng.uniform(low, 9 * low)) for low in (30.0, 3.0))
    parts = zip(*((c.active_j, c.idle_j, c.standing_j, c.total_j) for c in (gpu, cpu)), strict=True)
    active, idle, standing, total = (a + b for a, b in parts if a is not None and b is not None)
    use, making = total * 1e-5, Range.within(1e-3 * reserved_s, 0.3)
    both, money = use + making, total * 5e-8
    return Receipt(
        request_id=f"made-{i:x}",
        model=rng.choice(("llama-3-8b", "llama-3-70b", "mistral-small")),
        labels={
            "route": rng.choice(("/chat", "/embed", "/rag", "/batch")),
            "tenant": f"t{rng.randrange(50)}",
        },
        outcome=rng.choices(("ok", "error", "cancelled"), (95, 2, 3))[0],
        started_at=at,
        duration_s=reserved_s * at_once,
        time_to_first_token_s=0.2,
        tokens=Tokens(rng.randrange(2000), 0, rng.randrange(1, 500)),
        energy=Energy(active, idle, standing, total * 0.2, total, {"gpu": gpu, "cpu": cpu}),
        idle_policy="amortised",
        attribution_method="learned_work",
        provenance="measured",
        carbon=Carbon(both.low, both.mid, both.high, use, making, BASIS),
        water=Water(use.low, use.mid, use.high, use, None),
        materials=Materials(use.low, use.mid, use.high, use, None),
        primary_energy=PrimaryEnergy(use.low, use.mid, use.high, use, None),
        cost=Cost(money.low, money.mid, money.high, "EUR", money, None),
        factors=(grid, *FACTORS),
        reserved_s=reserved_s,
    )


def _component(active_j: float) -> ComponentEnergy:
    active, rest = Range.within(active_j, 0.1), Range.within(active_j / 3, 0.05)
    return ComponentEnergy(active, rest, rest, active + rest + rest, "measured")


FACTORS = tuple(
    replace(Factor("pue", 1.2, "ratio", "made up"), name=name)
    for name in ("pue", "electricity_price", "embodied_carbon", "lifetime", "utilisation")
)


if __name__ == "__main__":
    main(__doc__, measured)
