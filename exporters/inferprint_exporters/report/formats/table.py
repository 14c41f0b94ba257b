"""A report as CSV: a row for each group of requests, unknown figures empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["COLUMNS", "cell", "render", "written"]

GROUPS = {
    "model": "models",
    "route": "routes",
    "tenant": "tenants",
    "outcome": "outcomes",
    "hour": "hours",
    "day": "days",
}
WITH_ENDS = ("energy_j", "active_j", "idle_j", "standing_j", "overhead_j", "carbon_g", "water_l")
PLAIN = ("materials_g", "primary_energy_megajoule", "duration_s", "reserved_s")
COLUMNS = (
    *("group", "name", "requests", "workflows"),
    *(f"{name}{end}" for name in WITH_ENDS for end in ("", "_low", "_high")),
    *PLAIN,
    *("carbon_basis", "cost", "currency"),
    *("input_tokens", "cached_input_tokens", "output_tokens", "unknown"),
)


def render(report: Mapping[str, Any]) -> str:
    """The total, and the groups by model, route, tenant, outcome, hour and day.

    A group of several bases of carbon, or currencies, has neither: the other forms have each.
    """
    return written(COLUMNS, _rows(report))


def written(columns: tuple[str, ...], rows: Iterator[Mapping[str, Any]]) -> str:
    """CSV of rows by column; what a row does not have is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def cell(value: object) -> object:
    """A cell's value: nothing for unknown, and no text that a spreadsheet would compute."""
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _rows(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"group": "total", "name": ""} | _figures(report)
    for group, key in GROUPS.items():
        for name, block in report[key].items():
            yield {"group": group, "name": name} | _figures(block)


def _figures(block: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: block[name] for name in ("requests", "workflows", *WITH_ENDS, *PLAIN)}
    for name in WITH_ENDS:
        ends = block["ranges"].get(name, {})
        row |= {f"{name}_{end}": ends.get(end) for end in ("low", "high")}
    bases = [carbon["basis"] for carbon in block["carbon"]]
    unknown = " ".join(f"{name}={count}" for name, count in block["unknown"].items())
    tokens = {f"{name}_tokens": count for name, count in block["tokens"].items()}
    single = bases[0] if len(bases) == 1 else None
    return {
        **row,
        **tokens,
        "carbon_basis": single,
        "cost": block["cost"],
        "currency": block["currency"],
        "unknown": unknown,
    }
