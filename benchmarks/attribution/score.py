"""How far each rule is from the truth."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.attribution.grid import Cell
from benchmarks.attribution.load import Job
from benchmarks.attribution.replay import Ledger, replay
from benchmarks.attribution.rules import Learned, Oracle, Overlap, Rule, Snapshot, TokenCount
from benchmarks.attribution.tracked import NAME, Tracked

WARM_S = 60.0


@dataclass(frozen=True, slots=True)
class Score:
    """The errors of one rule, relative to the truth of each request.

    Args:
        requests: how many there were.
        median, p95: of their absolute values.
        bias: the median with its sign.
        total: what was charged over what is true, all together.
    """

    requests: int
    median: float
    p95: float
    bias: float
    total: float


def rules(cell: Cell) -> list[Rule]:
    """What is compared."""
    return [Snapshot(), TokenCount(), Overlap(), Oracle(cell.device), Learned(False), Learned()]


def score_cell(
    cell: Cell, seconds: float, seeds: Sequence[int]
) -> dict[str, dict[str, Score | None]]:
    """Serves the cell once for each seed.

    Returns:
        By ``first 60 s`` and ``after 60 s`` and by rule; None where no request ended then.
    """
    pairs: dict[str, dict[str, list[tuple[float, float]]]] = {"first": {}, "after": {}}
    for seed in seeds:
        ledger, tracked = Ledger(rules(cell), cell.device.idle_w), Tracked(cell.device.idle_w)
        jobs = replay(cell.load, cell.device, cell.sensor, [ledger, tracked], seconds, seed)
        charged = {**ledger.charged_j, NAME: tracked.finish()}
        for when, chosen in _chosen(jobs, seconds).items():
            for rule, charged_j in charged.items():
                found = pairs[when].setdefault(rule, [])
                found += [(charged_j.get(job, 0.0), job.energy_j) for job in chosen]
    return {
        when: {rule: score(found) for rule, found in by_rule.items()}
        for when, by_rule in pairs.items()
    }


def _chosen(jobs: Sequence[Job], seconds: float) -> Mapping[str, list[Job]]:
    """Those that started and ended in the first minute, and that started after it."""
    return {
        "first": [job for job in jobs if job.ends_s < min(WARM_S, seconds)],
        "after": [job for job in jobs if job.arrives_s >= WARM_S and job.ends_s < seconds - 0.2],
    }


def score(pairs: Sequence[tuple[float, float]]) -> Score | None:
    """The errors of (charged, true) joules; None for none."""
    if not pairs:
        return None
    errors = [charged / true - 1 for charged, true in pairs]
    ordered = sorted(map(abs, errors))
    return Score(
        requests=len(pairs),
        median=statistics.median(ordered),
        p95=ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        bias=statistics.median(errors),
        total=sum(charged for charged, _ in pairs) / sum(true for _, true in pairs),
    )
