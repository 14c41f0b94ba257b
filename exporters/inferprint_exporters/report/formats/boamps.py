"""A report in BoAmps, Boavizta's data model for reports of the energy of AI tasks
(https://github.com/Boavizta/BoAmps, the schemas of its folder ``model``).

What a store does not know, such as where the machine stands or what family a task is of, a file of
the same form gives; it wins over what is found.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from inferprint._version import __version__
from inferprint.errors import ConfigError
from inferprint.units import JOULES_PER_KWH
from inferprint_exporters.report.reading import Found
from inferprint_exporters.report.used import used
from inferprint_exporters.store.rows import INTENSITY

__all__ = ["context", "missing", "render"]

FORMAT_VERSION = "0.1"
FORMAT_URI = "https://github.com/Boavizta/BoAmps/tree/main/model"
COMPONENTS = {"gpu": "gpu", "cpu": "cpu", "dram": "ram"}
# Half-widths that the schema's field ``quality`` stands for.
QUALITY = ((0.10, "high"), (0.25, "medium"), (0.50, "low"))

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "": ("task", "measures", "infrastructure"),
    "task": ("taskStage", "taskFamily", "algorithms", "dataset"),
    "infrastructure": ("infraType", "components"),
    "header": ("reportDatetime",),
    "system": ("os",),
    "software": ("language",),
    "environment": ("country",),
}
REQUIRED_OF_EACH: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("measures",): ("measurementMethod", "powerConsumption"),
    ("task", "dataset"): ("dataUsage", "dataType"),
    ("infrastructure", "components"): ("componentType", "nbComponent"),
}


def context(path: str | None) -> Mapping[str, Any]:
    """What a user's file says of the task and the machine.

    Raises:
        ConfigError: it can't be read or is no JSON object.
    """
    if path is None:
        return {}
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("--context", path, f"a JSON file that can be read ({error})") from error
    if not isinstance(found, dict):
        raise ConfigError("--context", path, "a file with one JSON object in the form of BoAmps")
    return found


def render(report: Mapping[str, Any], found: Found, given: Mapping[str, Any]) -> dict[str, Any]:
    """The report as a JSON object.

    Args:
        report: the figures.
        found: the devices and factors.
        given: what the user's file says.
    """
    made: dict[str, Any] = {
        "header": _header(report),
        "task": {
            "taskStage": "inference",
            "nbRequest": report["requests"],
            "algorithms": [{"foundationModelName": name} for name in report["models"]],
            "dataset": _dataset(report),
        },
        "measures": _measures(report),
        "infrastructure": {"components": list(_components(found))},
        "environment": _environment(found),
        "quality": _quality(report),
    }
    merged: dict[str, Any] = _merged(_filled(made), given)
    return merged


def missing(made: Mapping[str, Any]) -> list[str]:
    """The fields that the schema requires and that are not there."""
    gone = []
    for place, names in REQUIRED.items():
        part = made.get(place, {}) if place else made
        if place in made or place in ("", *REQUIRED[""]):
            gone += [f"{place}.{name}".strip(".") for name in names if not part.get(name)]
    for path, names in REQUIRED_OF_EACH.items():
        items: Any = made
        for name in path:
            items = items.get(name) or {}
        gone += [
            f"{'.'.join(path)}[{i}].{n}"
            for i, one in enumerate(items)
            for n in names
            if n not in one
        ]
    return gone


def _header(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "formatVersion": FORMAT_VERSION,
        "formatVersionSpecificationUri": FORMAT_URI,
        "reportId": str(uuid.uuid4()),
        "reportDatetime": _at(report["made"]["at"]),
    }


def _dataset(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tokens in and out, for the requests that told of them."""
    return [
        {"dataUsage": name, "dataType": "token", "dataQuantity": report["tokens"][name]}
        for name in ("input", "output")
        if report["tokens"][name] is not None
    ]


def _measures(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    period = report["period"]
    if report["energy_j"] is None:
        return []
    first, last = period["first_started"], period["last_ended"]
    span = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    return [
        {
            "measurementMethod": "inferprint",
            "version": __version__,
            "powerConsumption": report["energy_j"] / JOULES_PER_KWH,
            "measurementDuration": span.total_seconds(),
            "measurementDateTime": _at(first),
        }
    ]


def _components(found: Found) -> Iterator[dict[str, Any]]:
    names = dict.fromkeys((device.component, device.name) for device in found.devices)
    for component, name in names:
        alike = [d for d in found.devices if (d.component, d.name) == (component, name)]
        yield {
            "componentName": name,
            "componentType": COMPONENTS.get(component, component),
            "nbComponent": len(alike),
        }


def _environment(found: Found) -> dict[str, Any]:
    rows = [row for row in found.rows if row.dimension == "factors"]
    grids = [f for _, factors in used(found, rows) for f in factors if f.name == INTENSITY]
    countries = {factor.region for factor in grids}
    if len(countries) != 1 or len(country := countries.pop()) != 3:
        return {}
    environment: dict[str, Any] = {"country": country}
    if len(grids) == 1:
        environment["powerSourceCarbonIntensity"] = grids[0].value
    return environment


def _quality(report: Mapping[str, Any]) -> str | None:
    ends = report["ranges"].get("energy_j")
    if not ends or not ends["mid"] or report["unknown"].get("energy_j"):
        return None
    off = max(ends["high"] - ends["mid"], ends["mid"] - ends["low"]) / ends["mid"]
    return next((name for most, name in QUALITY if off <= most), None)


def _at(iso: str) -> str:
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S")


def _filled(made: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if value not in (None, {}, [])}


def _merged(made: Any, given: Any) -> Any:
    if isinstance(made, dict) and isinstance(given, Mapping):
        both = dict.fromkeys([*made, *given])
        return {
            name: _merged(made.get(name), given[name]) if name in given else made[name]
            for name in both
        }
    return given
