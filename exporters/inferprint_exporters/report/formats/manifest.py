"""A report as a manifest of the Impact Framework of the Green Software Foundation, to be computed
by ``if-run`` (1.0): a component for each model, an observation for each day.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from inferprint.units import JOULES_PER_KWH
from inferprint_exporters.report.reading import Found
from inferprint_exporters.report.tally import Tally, grouped
from inferprint_exporters.store.rows import SECONDS_PER_DAY
from inferprint_exporters.store.tables import NO_CARBON

__all__ = ["render"]

PLUGINS = {"sci": {"method": "Sci", "path": "builtin", "config": {"functional-unit": "requests"}}}


def render(report: Mapping[str, Any], found: Found) -> str:
    """The manifest, in YAML."""
    import yaml

    manifest = {
        "name": "inferprint",
        "description": (
            "Energy, carbon and requests of models, by day. energy holds the site's overhead "
            "where its PUE is known; what is not known is left out. Made at "
            f"{report['made']['at']} by {report['made']['by']}."
        ),
        "tags": None,
        "initialize": {"plugins": PLUGINS},
        "tree": {"children": _children(found)},
    }
    text: str = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)
    return text


def _children(found: Found) -> dict[str, Any]:
    """By model, and apart by the basis of its carbon where there are several."""
    models = grouped(found.days, lambda row: row.model)
    children: dict[str, Any] = {}
    for model, tally in models.items():
        bases = grouped(tally.rows, lambda row: row.basis)
        for basis, part in bases.items():
            name = model if len(bases) == 1 else f"{model} ({_said(basis)})"
            children[name] = _child(part, basis)
    return children


def _said(basis: str) -> str:
    return "carbon unknown" if basis == NO_CARBON else basis


def _child(tally: Tally, basis: str) -> dict[str, Any]:
    days = grouped(tally.rows, lambda row: row.day or 0)
    inputs = [_input(day, days[day]) for day in sorted(days)]
    known = basis != NO_CARBON
    pipeline = {"pipeline": {"compute": ["sci"]}} if known else {}
    return {**pipeline, "defaults": None, "inputs": inputs}


def _input(day: int, tally: Tally) -> dict[str, Any]:
    start = datetime.fromtimestamp(day * SECONDS_PER_DAY, UTC)
    energy_j, operational_g = tally.mid("energy_j"), tally.mid("carbon_operational_g")
    kwh = None
    if energy_j is not None:
        kwh = (energy_j + (tally.mid("overhead_j") or 0.0)) / JOULES_PER_KWH
    intensity = operational_g / kwh if operational_g is not None and kwh else None
    found = {
        "timestamp": start.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "duration": SECONDS_PER_DAY,
        "energy": kwh,
        "grid/carbon-intensity": intensity,
        "carbon-operational": operational_g,
        "carbon-embodied": tally.mid("carbon_embodied_g"),
        "carbon": tally.mid("carbon_g"),
        "requests": tally.requests,
    }
    return {name: value for name, value in found.items() if value is not None}
