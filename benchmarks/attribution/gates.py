"""How good attribution has to be, cell by cell. Errors are those with the gain divided out:
no rule can know a board's gain.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.attribution.grid import DUTY, Cell
from benchmarks.attribution.runs import OURS
from benchmarks.attribution.score import CellScore

# By server, behind the 25-of-100 ms sensor: most in flight, median and 95th percentile.
LIMITS = {"affine": (256, 0.015, 0.05), "saturating": (128, 0.02, 0.08), "hard": (256, 0.04, 0.13)}
# Ties with overlap time are broken by noise.
TIE = 0.001
MOST_BETWEEN_TWINS = 0.005
MOST_CLOSURE_ERROR = 1e-9
COVERAGE = (0.88, 0.92)


class Verdict(NamedTuple):
    """Whether a limit is kept.

    Args:
        gate: what is limited.
        cell: where; ``grid``: in all cells together.
        figures: what was found, by name.
        limits: what is allowed, by the same names.
        passed: whether it is within.
    """

    gate: str
    cell: str
    figures: dict[str, float]
    limits: dict[str, float]
    passed: bool


def verdicts(scores: Sequence[CellScore]) -> list[Verdict]:
    """Every limit that applies to these cells."""
    found = [verdict for score in scores for verdict in _of_cell(score)]
    covered = [score.coverage["all"] for score in scores]
    known = [coverage for coverage in covered if coverage is not None]
    return [*found, _coverage(statistics.fmean(known))] if known else found


def _of_cell(score: CellScore) -> Iterator[Verdict]:
    cell, after = score.cell, score.errors["after"].get(OURS)
    limit = _limit(cell)
    if limit and after:
        yield _at_most("error after 60 s", cell, {"median": after.median, "p95": after.p95}, limit)
    ours, theirs = score.errors["all"].get(OURS), score.errors["all"].get("overlap")
    if ours and theirs:
        figures = {"median": ours.median, "p95": ours.p95}
        limit = {"median": theirs.median + TIE, "p95": theirs.p95 + TIE}
        yield _at_most("no worse than overlap time", cell, figures, limit)
    if score.twins:
        figures = {"worst": score.twins.worst}
        yield _at_most("identical requests", cell, figures, {"worst": MOST_BETWEEN_TWINS})
    figures = {"closure_error": score.closure_error}
    yield _at_most("closure", cell, figures, {"closure_error": MOST_CLOSURE_ERROR})


def _limit(cell: Cell) -> dict[str, float] | None:
    most, median, p95 = LIMITS.get(cell.server, (0, 0.0, 0.0))
    judged = cell.sensor == DUTY and cell.concurrency <= most
    return {"median": median, "p95": p95} if judged else None


def _at_most(gate: str, cell: Cell, figures: dict[str, float], limits: dict[str, float]) -> Verdict:
    passed = all(figures[name] <= limits[name] for name in limits)
    return Verdict(gate, str(cell), figures, limits, passed)


def _coverage(coverage: float) -> Verdict:
    least, most = COVERAGE
    limits = {"least": least, "most": most}
    return Verdict("coverage", "grid", {"coverage": coverage}, limits, least <= coverage <= most)
