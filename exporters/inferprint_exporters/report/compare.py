"""Two groups of requests side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inferprint.errors import ConfigError
from inferprint.ranges import Range
from inferprint_exporters.report.content import block, ends
from inferprint_exporters.report.reading import Found, Row
from inferprint_exporters.report.tally import Tally, ratio

__all__ = ["compare"]

BY = ("route", "tenant", "hour", "concurrency")
"""What beside a model may be named, as in ``tenant=a``."""


def compare(found: Found, names: Sequence[str]) -> dict[str, Any]:
    """Two groups, their figures for each request and token, and how many times the first the
    second is.

    Args:
        found: what a store has.
        names: two models, or two of ``route=``, ``tenant=``, ``hour=``, ``concurrency=`` a value.

    Raises:
        ConfigError: there is no request of one of them.
    """
    sides = [Tally(_rows(found, name)) for name in names]
    each = [_each(side) for side in sides]
    unlike = _unlike(*sides)
    return {
        "names": list(names),
        "sides": [
            block(side) | {"each": {name: r and ends(r) for name, r in one.items()}}
            for side, one in zip(sides, each, strict=True)
        ],
        "second_over_first": {
            name: None if name in unlike else _over(each[1][name], each[0][name])
            for name in each[0]
        },
    }


def _unlike(first: Tally, second: Tally) -> set[str]:
    """What can't be compared: carbon of two bases, money in two currencies."""
    unlike = set()
    if first.by_basis.keys() != second.by_basis.keys():
        unlike.add("carbon_g_per_request")
    if first.by_currency.keys() != second.by_currency.keys():
        unlike.add("cost_per_request")
    return unlike


def _rows(found: Found, name: str) -> list[Row]:
    dimension, is_value, value = name.partition("=")
    if is_value and dimension in BY:
        rows = [row for row in found.rows if row.dimension == dimension]
        known, chosen = {row.value for row in rows}, [row for row in rows if row.value == value]
    else:
        rows = [row for row in found.rows if row.dimension == "fate"]
        known, chosen = {row.model for row in rows}, [row for row in rows if row.model == name]
    if not chosen:
        listed = ", ".join(sorted(known)[:20]) or "no request"
        others = " or ".join(f"{by}=VALUE" for by in BY)
        raise ConfigError("--compare", name, f"a model or {others} of the report: {listed}")
    return chosen


def _each(tally: Tally) -> dict[str, Range | None]:
    """Figures for one request or token; carbon and cost where they can be added."""
    figures = {
        "energy_j_per_request": tally.figure("energy_j"),
        "active_j_per_request": tally.figure("active_j"),
        "duration_s_per_request": tally.figure("duration_s"),
        "water_l_per_request": tally.figure("water_l"),
    }
    if len(tally.by_basis) == 1:
        figures["carbon_g_per_request"] = tally.figure("carbon_g")
    if len(tally.by_currency) == 1:
        figures["cost_per_request"] = tally.figure("cost")
    found = {name: f and ratio(f.range, f.known) for name, f in figures.items()}
    outputs = tally.sum("outputs_with_energy")
    energy = Range.exactly(tally.sum("energy_of_output_j"))
    return {
        **{"carbon_g_per_request": None, "cost_per_request": None},
        **found,
        "energy_j_per_output_token": ratio(energy, outputs),
    }


def _over(second: Range | None, first: Range | None) -> dict[str, float] | None:
    if second is None or first is None or first.low <= 0:
        return None
    return ends(second.over(first))
