"""How far each rule is from the truth, and how often the truth lies in the receipts' intervals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from benchmarks.attribution.grid import Cell
from benchmarks.attribution.runs import OURS, Result, Run, Served

WARM_S = 60.0

# By when: those that ended in the first minute, those that started after it, and all.
WHEN: Mapping[str, Callable[[Served], bool]] = {
    "first": lambda served: served.ended_s < WARM_S,
    "after": lambda served: served.started_s >= WARM_S,
    "all": lambda _served: True,
}


class Score(NamedTuple):
    """The errors of one rule, relative to the true active energy of each request.

    Args:
        requests: how many there were.
        median, p95: of their absolute values.
        bias: the median with its sign.
        total: what was charged to all together over what is true, less 1.
    """

    requests: int
    median: float
    p95: float
    bias: float
    total: float


class Twins(NamedTuple):
    """By how much the receipts of two identical requests differ.

    Args:
        pairs: how many started and ended together.
        p95, worst: of their differences, relative.
    """

    pairs: int
    p95: float
    worst: float


@dataclass(frozen=True, slots=True)
class CellScore:
    """What came of all runs of a cell. Scores are by ``WHEN`` and rule, None without requests.

    Args:
        cell: the cell.
        runs: its runs.
        errors: with the known gain of the boards divided out.
        errors_as_they_stand: the same with it.
        coverage: by ``WHEN``, share of the requests whose true energy, idle included, lies in
            the interval on the receipt; the gain is not divided out.
        unknown: requests whose active energy no receipt tells.
        closure_error: of the tracker's books, the worst run.
        twins: where requests came in pairs.
    """

    cell: Cell
    runs: Sequence[Run]
    errors: Mapping[str, Mapping[str, Score | None]]
    errors_as_they_stand: Mapping[str, Mapping[str, Score | None]]
    coverage: Mapping[str, float | None]
    unknown: int
    closure_error: float
    twins: Twins | None


def score_cell(cell: Cell, results: Sequence[Result]) -> CellScore:
    """The scores of a cell from the results of its runs."""
    served = [(result.run, one) for result in results for one in result.served]
    return CellScore(
        cell=cell,
        runs=[result.run for result in results],
        errors=_errors(served, gain_of=lambda run: statistics.fmean(run.gains)),
        errors_as_they_stand=_errors(served, gain_of=lambda _run: 1.0),
        coverage={
            when: _coverage(one for _, one in served if had(one)) for when, had in WHEN.items()
        },
        unknown=sum(OURS not in one.charged_j for _, one in served),
        closure_error=max(result.closure_error for result in results),
        twins=_twins(results) if cell.scene.load.twins else None,
    )


def _errors(
    served: Sequence[tuple[Run, Served]], gain_of: Callable[[Run], float]
) -> Mapping[str, Mapping[str, Score | None]]:
    rules = dict.fromkeys(rule for _, one in served for rule in one.charged_j)
    return {
        when: {
            rule: score(
                [
                    (one.charged_j[rule] / gain_of(run), one.active_j)
                    for run, one in served
                    if had(one) and rule in one.charged_j
                ]
            )
            for rule in rules
        }
        for when, had in WHEN.items()
    }


def score(pairs: Sequence[tuple[float, float]]) -> Score | None:
    """The errors of (charged, true) joules; None for none."""
    if not pairs:
        return None
    errors = [charged / true - 1 for charged, true in pairs]
    sizes = sorted(map(abs, errors))
    return Score(
        requests=len(pairs),
        median=statistics.median(sizes),
        p95=_p95(sizes),
        bias=statistics.median(errors),
        total=sum(charged for charged, _ in pairs) / sum(true for _, true in pairs) - 1,
    )


def _p95(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def _coverage(served: Iterable[Served]) -> float | None:
    covered = [
        one.low_j is not None and one.high_j is not None and one.low_j <= one.total_j <= one.high_j
        for one in served
    ]
    return statistics.fmean(covered) if covered else None


def _twins(results: Iterable[Result]) -> Twins | None:
    """Of twins of which one had to wait for the other's prompt, the truths differ too."""
    differences = sorted(
        abs(one.charged_j[OURS] / other.charged_j[OURS] - 1)
        for result in results
        for one, other in pairwise(result.served)
        if one.id // 2 == other.id // 2 and one.ended_s == other.ended_s
        if OURS in one.charged_j and OURS in other.charged_j
    )
    return Twins(len(differences), _p95(differences), differences[-1]) if differences else None
