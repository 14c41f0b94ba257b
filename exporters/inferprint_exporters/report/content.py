"""A report as plain values: what every format of it is made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from inferprint._version import __version__
from inferprint.ranges import Range
from inferprint_exporters.report.question import Question
from inferprint_exporters.report.reading import Found, Row
from inferprint_exporters.report.resident import keeping_loaded, resident
from inferprint_exporters.report.sci import sci
from inferprint_exporters.report.stages import stages
from inferprint_exporters.report.tally import Tally, grouped
from inferprint_exporters.report.used import used
from inferprint_exporters.store.rows import SECONDS_PER_DAY
from inferprint_exporters.store.tables import COMPONENTS, PARTS

__all__ = ["block", "content", "ends", "finite"]

ENERGY = ("energy_j", "active_j", "idle_j", "standing_j", "overhead_j")
IMPACTS = ("water_l", "materials_g", "primary_energy_megajoule")
PARTS_OF_IMPACTS = (
    *("water_site_l", "water_grid_l", "materials_grid_g", "materials_embodied_g"),
    *("primary_energy_grid_megajoule", "primary_energy_embodied_megajoule"),
    *("training_energy_j", "training_carbon_g"),
)
TOKENS = {"input": "input_tokens", "cached_input": "cached_input_tokens", "output": "output_tokens"}
WASTES = ("error", "cancelled", "useless")


def content(found: Found, question: Question) -> dict[str, Any]:
    """Everything that a report says, but for what is asked for beside it."""
    by = _by_dimension(found.rows)
    total = Tally(by["fate"])
    models = grouped(by["fate"], lambda row: row.model)
    return {
        **block(total),
        "models": {name: block(tally) for name, tally in models.items()},
        "routes": _blocks(by["route"]),
        "tenants": _blocks(by["tenant"]),
        "outcomes": _blocks(by["fate"], lambda row: _outcome(row.value)),
        "hours": _blocks(by["hour"], order=int),
        "days": _days(found.days),
        "concurrency": _concurrency(by["concurrency"]),
        "resident": {
            **resident(total),
            "models": {
                name: keeping_loaded(tally, found.loads.get(name), question)
                for name, tally in models.items()
            },
        },
        "wasted": _wasted(by["fate"], total),
        "sci": {**sci(total), "models": {name: sci(tally) for name, tally in models.items()}},
        "stages": stages(total),
        "quality": _quality(by["quality"]),
        "factors": _factors(by["factors"], found),
        "devices": [device._asdict() for device in found.devices],
        "period": _period(total, question),
        "hosted": {"requests": found.hosted, "included": question.include_hosted},
        "made": {"at": _iso(datetime.now(UTC).timestamp()), "by": f"inferprint {__version__}"},
    }


def _by_dimension(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    by: dict[str, list[Row]] = {
        name: []
        for name in ("fate", "hour", "route", "tenant", "concurrency", "factors", "quality")
    }
    for row in rows:
        by[row.dimension].append(row)
    return by


def block(tally: Tally) -> dict[str, Any]:
    """The figures of a group of requests.

    A figure is the sum over the requests of which it is known; ``unknown`` counts the others,
    and ``ranges`` has its ends. Carbon of several bases and money in several currencies are
    not added: then ``carbon_g`` and ``cost`` are None, and the lists have each.
    """
    carbon = [_carbon(basis, part) for basis, part in tally.by_basis.items()]
    costs = [_cost(currency, part) for currency, part in tally.by_currency.items()]
    figures = {name: tally.figure(name) for name in (*ENERGY, *IMPACTS)}
    single = {"carbon_g": carbon, "cost": costs}
    return {
        "requests": tally.requests,
        "workflows": int(tally.sum("workflows")),
        **{name: figure and figure.range.mid for name, figure in figures.items()},
        **{name: found[0][name] if len(found) == 1 else None for name, found in single.items()},
        "currency": costs[0]["currency"] if len(costs) == 1 else None,
        "tokens": {name: _whole(tally.mid(column)) for name, column in TOKENS.items()},
        "duration_s": tally.mid("duration_s"),
        "reserved_s": tally.mid("reserved_s"),
        "carbon": carbon,
        "costs": costs,
        "by_component": _components(tally),
        **{name: tally.mid(name) for name in PARTS_OF_IMPACTS},
        "ranges": {name: ends(figure.range) for name, figure in figures.items() if figure}
        | {name: found[0]["range"] for name, found in single.items() if len(found) == 1},
        "unknown": _unknown(tally),
    }


def ends(figure: Range) -> dict[str, float]:
    """A range as plain values."""
    return {"low": figure.low, "mid": figure.mid, "high": figure.high}


def finite(value: Any) -> Any:
    """The same plain values, without numbers that are none: what is divided by next to nothing
    is not known.
    """
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _carbon(basis: str, tally: Tally) -> dict[str, Any]:
    figure = tally.figure("carbon_g")
    assert figure is not None  # it has a basis
    return {
        "basis": basis,
        "requests": figure.known,
        "carbon_g": figure.range.mid,
        "operational_g": tally.mid("carbon_operational_g"),
        "embodied_g": tally.mid("carbon_embodied_g"),
        "range": ends(figure.range),
        "unknown": _counts(tally, "carbon_operational_g", "carbon_embodied_g"),
    }


def _cost(currency: str, tally: Tally) -> dict[str, Any]:
    figure = tally.figure("cost")
    assert figure is not None  # it has a currency
    return {
        "currency": currency,
        "requests": figure.known,
        "cost": figure.range.mid,
        "electricity": tally.mid("cost_electricity"),
        "hardware": tally.mid("cost_hardware"),
        "range": ends(figure.range),
    }


def _components(tally: Tally) -> dict[str, dict[str, float | None]]:
    return {
        name: {part: tally.mid(f"{name}_{part}") for part in PARTS}
        for name in COMPONENTS
        if any(tally.mid(f"{name}_{part}") is not None for part in PARTS)
    }


def _unknown(tally: Tally) -> dict[str, int]:
    """Of how many requests a figure is not known, where that is not none."""
    names = (*ENERGY, "carbon_g", "cost", *IMPACTS, *TOKENS.values(), "reserved_s")
    return _counts(tally, *names)


def _counts(tally: Tally, *names: str) -> dict[str, int]:
    figures = {name: tally.figure(name) for name in names}
    counts = {name: f.unknown if f else tally.requests for name, f in figures.items()}
    return {name: count for name, count in counts.items() if count}


def _blocks(
    rows: Sequence[Row],
    key: Callable[[Row], str] = lambda row: row.value,
    order: Callable[[str], Any] = str,
) -> dict[str, Any]:
    groups = grouped(rows, key)
    return {name: block(groups[name]) for name in sorted(groups, key=order)}


def _outcome(fate: str) -> str:
    return "ok" if fate == "useless" else fate


def _days(rows: Sequence[Row]) -> dict[str, Any]:
    groups = grouped(rows, lambda row: row.day or 0)
    return {_iso(day * SECONDS_PER_DAY)[:10]: block(groups[day]) for day in sorted(groups)}


def _concurrency(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Joules for an output token, by how many ran at a time."""
    known = [row for row in rows if row.value]
    groups = grouped(known, lambda row: int(row.value))
    found = []
    for most in sorted(groups):
        tally = groups[most]
        outputs = tally.sum("outputs_with_energy")
        found.append(
            {
                "at_most": most,
                "requests": tally.requests,
                "output_tokens": int(outputs),
                "j_per_output_token": _per(tally.sum("energy_of_output_j"), outputs),
                "active_j_per_output_token": _per(tally.sum("active_of_output_j"), outputs),
            }
        )
    return found


def _per(figure: float, by: float) -> float | None:
    return figure / by if by else None


def _wasted(rows: Sequence[Row], total: Tally) -> dict[str, Any]:
    fates = grouped(rows, lambda row: row.value)
    lost = {name: fates[name] for name in WASTES if name in fates}
    together = Tally([row for tally in lost.values() for row in tally.rows])
    all_j, lost_j = total.mid("energy_j"), together.mid("energy_j")
    return {
        **block(together),
        "share": lost_j / all_j if all_j and lost_j is not None else (0.0 if all_j else None),
        "by": {name: block(tally) for name, tally in lost.items()},
    }


def _quality(rows: Sequence[Row]) -> dict[str, Any]:
    """How many requests have each provenance and each flag."""
    provenance, flags = Counter[str](), Counter[str]()
    for value, tally in grouped(rows, lambda row: row.value).items():
        how, _, said = value.partition(":")
        provenance[how] += tally.requests
        for flag in filter(None, said.split(",")):
            flags[flag] += tally.requests
    return {"provenance": dict(provenance), "flags": dict(sorted(flags.items()))}


def _factors(rows: Sequence[Row], found: Found) -> list[dict[str, Any]]:
    """Every factor that was used, with the number of requests."""
    listed: dict[tuple[Any, ...], dict[str, Any]] = {}
    for tally, factors in used(found, rows):
        for factor in factors:
            identity = (factor.name, factor.region, factor.value, factor.unit, factor.source)
            entry = listed.setdefault(identity, _factor(factor) | {"requests": 0})
            entry["requests"] += tally.requests
    return [listed[identity] for identity in sorted(listed, key=lambda i: i[:3])]


def _factor(factor: Any) -> dict[str, Any]:
    names = ("name", "region", "value", "low", "high", "unit", "source", "year", "licence", "basis")
    return {name: getattr(factor, name) for name in names}


def _period(total: Tally, question: Question) -> dict[str, Any]:
    first = min((row.first_s for row in total.rows), default=None)
    last = max((row.last_s for row in total.rows), default=None)
    times = {
        "since": question.since_s,
        "until": question.until_s,
        "first_started": first,
        "last_ended": last,
    }
    return {name: None if at is None else _iso(at) for name, at in times.items()}


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
