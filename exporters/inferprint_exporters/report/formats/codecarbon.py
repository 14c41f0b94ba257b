"""A report in the columns of codecarbon's ``emissions.csv``: a row for each day and model.

Units are codecarbon's: seconds, kg of CO2 equivalent, W, kWh, litres. As in codecarbon, energy
holds the site's overhead where the PUE is known. What is not known is empty, where codecarbon
would write 0. ``duration`` is the time that was reserved on the machine.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from inferprint.errors import InferprintError
from inferprint.units import GRAMS_PER_KG, JOULES_PER_KWH
from inferprint_exporters.report.formats.table import written
from inferprint_exporters.report.reading import Found
from inferprint_exporters.report.tally import Tally, grouped
from inferprint_exporters.store.rows import INTENSITY

__all__ = ["columns", "render"]

NAMES = uuid.UUID("8f1d7f2c-6a3b-5a55-9d54-2f6d1c0a9e11")


def columns() -> tuple[str, ...]:
    """The columns of the codecarbon that is installed.

    Its file is read by itself: to import the package would load pandas, for seconds.

    Raises:
        InferprintError: this codecarbon keeps them elsewhere.
    """
    package = find_spec("codecarbon")
    folders = package.submodule_search_locations if package else None
    path = Path(next(iter(folders or ["."]))) / "output_methods" / "emissions_data.py"
    spec = spec_from_file_location("codecarbon_columns", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InferprintError(f"codecarbon's columns are not in {path}: pip install 'codecarbon<4'")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(field.name for field in fields(module.EmissionsData))


def render(_report: Mapping[str, Any], found: Found) -> str:
    """The days of each model."""
    return written(columns(), _rows(found))


def _rows(found: Found) -> Iterator[dict[str, Any]]:
    groups = grouped(found.days, lambda row: (row.day or 0, row.model))
    regions = {f.region for fs in found.factors.values() for f in fs if f.name == INTENSITY}
    where = next(iter(regions)) if len(regions) == 1 else ""
    for (day, model), tally in groups.items():
        yield _row(day, model, tally) | _place(where) | _hardware(found)


def _row(day: int, model: str, tally: Tally) -> dict[str, Any]:
    pue = _pue(tally)
    seconds = tally.mid("reserved_s")
    carbon_g = tally.mid("carbon_g") if len(tally.by_basis) == 1 else None
    kwh = {
        name: _kwh(tally.mid(f"{part}_energy_j"), pue)
        for name, part in (("cpu", "cpu"), ("gpu", "gpu"), ("ram", "dram"))
    }
    emissions_kg = None if carbon_g is None else carbon_g / GRAMS_PER_KG
    ended = datetime.fromtimestamp(max(row.last_s for row in tally.rows), UTC)
    return {
        "timestamp": ended.strftime("%Y-%m-%dT%H:%M:%S"),
        "project_name": model,
        "run_id": str(uuid.uuid5(NAMES, f"{day} {model}")),
        "duration": seconds,
        "emissions": emissions_kg,
        "emissions_rate": _over(emissions_kg, seconds),
        **{f"{name}_power": _watts(used, seconds) for name, used in kwh.items()},
        **{f"{name}_energy": used for name, used in kwh.items()},
        "energy_consumed": _kwh(tally.mid("energy_j"), pue),
        "water_consumed": tally.mid("water_l"),
        "pue": pue,
    }


def _pue(tally: Tally) -> float | None:
    """Total over IT energy, where the overhead of all of it is known."""
    energy, overhead = tally.figure("energy_j"), tally.figure("overhead_j")
    if energy is None or overhead is None or overhead.known < energy.known or not energy.range.mid:
        return None
    return 1.0 + overhead.range.mid / energy.range.mid


def _kwh(joules: float | None, pue: float | None) -> float | None:
    return None if joules is None else joules * (pue or 1.0) / JOULES_PER_KWH


def _watts(kwh: float | None, seconds: float | None) -> float | None:
    return _over(None if kwh is None else kwh * JOULES_PER_KWH, seconds)


def _over(figure: float | None, seconds: float | None) -> float | None:
    return figure / seconds if figure is not None and seconds else None


def _place(region: str) -> dict[str, str]:
    """A country by its code, or a region of a cloud such as ``aws:eu-west-3``."""
    provider, colon, name = region.partition(":")
    if colon:
        return {"cloud_provider": provider, "cloud_region": name, "on_cloud": "Y"}
    return {"country_iso_code": region} if len(region) == 3 else {"region": region}


def _hardware(found: Found) -> dict[str, Any]:
    gpus = [device.name for device in found.devices if device.component == "gpu"]
    cpus = [device.name for device in found.devices if device.component == "cpu"]
    return {
        "gpu_count": len(gpus) if found.devices else None,
        "gpu_model": ", ".join(dict.fromkeys(gpus)),
        "cpu_model": ", ".join(dict.fromkeys(cpus)),
    }
