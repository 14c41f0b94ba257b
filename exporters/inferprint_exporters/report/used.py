"""The factors that a report's figures were computed with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from inferprint.impacts import Factor
from inferprint_exporters.report.reading import Found, Row
from inferprint_exporters.report.tally import Tally, grouped
from inferprint_exporters.store.rows import INTENSITY

__all__ = ["used"]


def used(found: Found, rows: Sequence[Row]) -> Iterator[tuple[Tally, tuple[Factor, ...]]]:
    """Each set of factors, and the requests that it was used for.

    Args:
        found: what a store has.
        rows: those by factors, or some of them.
    """
    for key, tally in grouped(rows, lambda row: row.value).items():
        factors = found.factors.get(key, ())
        yield tally, tuple(filter(None, (_of_time(factor, tally) for factor in factors)))


def _of_time(factor: Factor, tally: Tally) -> Factor | None:
    """The grid's intensity was each receipt's own: here, their mean by energy."""
    if factor.name != INTENSITY:
        return factor
    kwh = tally.sum("grid_kwh")
    if not kwh:
        return None
    low, mid, high = (tally.sum(name) / kwh for name in ("grid_g_low", "grid_g", "grid_g_high"))
    exact = math.isclose(low, high, rel_tol=1e-9)
    return replace(factor, value=mid, low=None if exact else low, high=None if exact else high)
