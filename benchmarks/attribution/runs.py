"""Runs of cells: each with a seed, and with gains of the boards such that all runs together
have gains of all sizes.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.attribution.grid import Cell
from benchmarks.attribution.load import Job
from benchmarks.attribution.replay import Replay
from benchmarks.attribution.rules import Ledger
from benchmarks.attribution.sensors import GAIN_SPREAD, PERIOD_S
from benchmarks.attribution.tracked import Tracked
from inferprint import Receipt

OURS = "ours"


class Run(NamedTuple):
    """One run to be made.

    Args:
        cell: of the grid.
        seed: of its load and sensors.
        seconds: how long it is.
        gains: of its boards.
    """

    cell: Cell
    seed: int
    seconds: float
    gains: tuple[float, ...]


class Served(NamedTuple):
    """A request that has been served, what is true of it, and what was charged.

    Args:
        id: in its run.
        started_s, ended_s: seconds of the simulation.
        active_j, total_j: the truth.
        charged_j: active energy by rule, as the boards' meters have it.
        low_j, high_j: the interval on its receipt for all energy; None: unknown.
    """

    id: int
    started_s: float
    ended_s: float
    active_j: float
    total_j: float
    charged_j: Mapping[str, float]
    low_j: float | None
    high_j: float | None


class Result(NamedTuple):
    """What came of a run: its requests, and how far the books were from closing."""

    run: Run
    served: Sequence[Served]
    closure_error: float


def plan(cells: Sequence[Cell], seeds: Sequence[int], at_most_s: float) -> list[Run]:
    """The runs of these cells.

    The gains of all boards of all runs are the midpoints of as many equal parts of ± 5 %, in
    a random order: drawn alone, those of a few runs would decide what is covered.

    Args:
        cells: the cells.
        seeds: one run of each cell for each.
        at_most_s: seconds that a run takes at most.
    """
    pairs = [(cell, seed) for cell in cells for seed in seeds]
    boards = [cell.scene.device.boards for cell, _ in pairs]
    gains = stratified_gains(sum(boards), random.Random(f"gains {list(seeds)}"))
    return [
        Run(cell, seed, min(at_most_s, cell.seconds), tuple(next(gains) for _ in range(count)))
        for (cell, seed), count in zip(pairs, boards, strict=True)
    ]


def stratified_gains(count: int, rng: random.Random) -> Iterator[float]:
    """So many gains, evenly spread over ± 5 % and shuffled."""
    gains = [1 + GAIN_SPREAD * (2 * (i + 0.5) / count - 1) for i in range(count)]
    rng.shuffle(gains)
    return iter(gains)


def results_of(runs: Sequence[Run], processes: int) -> Iterator[Result]:
    """Makes the runs, the longest first, in so many processes."""
    longest_first = sorted(runs, key=lambda run: -run.seconds * run.cell.concurrency)
    if processes == 1:
        yield from map(result_of, longest_first)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(result_of, longest_first)


def result_of(run: Run) -> Result:
    """Makes one run."""
    scene = run.cell.scene
    idle_w = scene.device.idle_w * statistics.fmean(run.gains)
    mean_s = scene.sensor.mean_s
    average_s = mean_s if mean_s > PERIOD_S else 0.0
    tracked = Tracked(scene.device.boards, idle_w if scene.idle_told else None, average_s)
    ledger = Ledger(tracked.idle_w)
    replay = Replay(scene, run.gains, [tracked, ledger], run.seed, ledger.watch)
    jobs = replay.run(run.seconds)
    receipts, closure_error = tracked.finish()
    # What ended after the last reading is not settled.
    read_s = run.seconds - PERIOD_S
    served = [
        _served(job, receipts[job], {rule: all_j[job] for rule, all_j in ledger.charged_j.items()})
        for job in jobs
        if job.ends_s <= read_s
    ]
    return Result(run, served, closure_error)


def _served(job: Job, receipt: Receipt, charged_j: Mapping[str, float]) -> Served:
    energy = receipt.energy
    ours = {OURS: float(energy.active_j)} if energy.active_j is not None else {}
    total = energy.total_j
    return Served(
        id=job.id,
        started_s=job.arrives_s,
        ended_s=job.ends_s,
        active_j=job.active_j,
        total_j=job.active_j + job.idle_j,
        charged_j={**charged_j, **ours},
        low_j=None if total is None else total.low,
        high_j=None if total is None else total.high,
    )
