"""A report as sections of text and tables, for people; Markdown and HTML show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from inferprint_exporters.report.analyses import (
    compare,
    concurrency,
    factors,
    quality,
    resident,
    sci,
    sensitivity,
    stages,
)
from inferprint_exporters.report.figures import (
    UNKNOWN,
    carbon,
    litres,
    materials,
    money,
    number,
    percent,
    wh,
)
from inferprint_exporters.report.section import NO_BASIS, Section

__all__ = ["sections"]

Report = Mapping[str, Any]
NO_NAME = "(none)"
GROUPS = {
    "models": "By model",
    "routes": "By route",
    "tenants": "By tenant",
    "outcomes": "By outcome",
    "hours": "By hour of the day, UTC",
    "days": "By day, UTC",
}
GROUP_COLUMNS = (
    *("", "requests", "energy", "active", "idle", "standing", "carbon", "cost"),
    *("output tokens", "not known"),
)


def sections(report: Report) -> Iterator[Section]:
    """All that a report says, in the order in which it is read."""
    yield _totals(report)
    yield _impacts(report)
    for name, title in GROUPS.items():
        if set(report[name]) - {""}:
            rows = [_group_row(key, block) for key, block in report[name].items()]
            yield Section(title, [], GROUP_COLUMNS, rows)
    yield _wasted(report["wasted"])
    yield resident(report["resident"])
    yield concurrency(report["concurrency"])
    yield sci(report["sci"])
    yield stages(report["stages"])
    if "compare" in report:
        yield compare(report["compare"])
    for ranked in report.get("sensitivity", ()):
        yield sensitivity(ranked)
    yield quality(report["quality"])
    yield factors(report["factors"])


def _totals(report: Report) -> Section:
    period, hosted = report["period"], report["hosted"]
    notes = [f"{number(report['requests'])} requests"]
    if period["first_started"]:
        notes[0] += f", from {period['first_started']} to {period['last_ended']}"
    notes[0] += "."
    if hosted["requests"]:
        verb = "are among them" if hosted["included"] else "are left out (--include-hosted)"
        notes.append(
            f"{number(hosted['requests'])} estimates for models that run elsewhere {verb}."
        )
    between, unknown = report["ranges"], report["unknown"]
    rows = [
        [title, wh(report[name], between.get(name)), _unknown(unknown, name)]
        for title, name in (
            ("energy", "energy_j"),
            ("active: the work", "active_j"),
            ("idle: while requests ran", "idle_j"),
            ("standing: while none ran", "standing_j"),
            ("overhead of the site", "overhead_j"),
        )
    ]
    rows += [[f"of it {c}", wh(p["energy_j"]), ""] for c, p in _parts(report)]
    for name, count in report["tokens"].items():
        rows.append(
            [f"{name.replace('_', ' ')} tokens", number(count), _unknown(unknown, f"{name}_tokens")]
        )
    return Section("Totals", notes, ("", "sum", "not known of"), rows)


def _parts(report: Report) -> list[tuple[str, Report]]:
    return list(report["by_component"].items())


def _unknown(unknown: Mapping[str, int], name: str) -> str:
    count = unknown.get(name, 0)
    return f"{number(count)} requests" if count else ""


def _impacts(report: Report) -> Section:
    between, unknown = report["ranges"], report["unknown"]
    rows = []
    for one in report["carbon"] or [{}]:
        total = carbon(one.get("carbon_g"), one.get("range"))
        rows.append(
            [
                "carbon",
                total,
                (one.get("basis") or NO_BASIS) if one else "",
                _unknown(unknown, "carbon_g"),
            ]
        )
        for name, title in (("operational_g", "of use"), ("embodied_g", "of making the hardware")):
            if one:
                rows.append([f"carbon, {title}", carbon(one[name]), "", ""])
    water = litres(report["water_l"], between.get("water_l"))
    drunk = _parts_of(litres, site=report["water_site_l"], grid=report["water_grid_l"])
    metals = materials(report["materials_g"], between.get("materials_g"))
    mined = _parts_of(
        materials, electricity=report["materials_grid_g"], hardware=report["materials_embodied_g"]
    )
    primary = UNKNOWN
    if report["primary_energy_megajoule"] is not None:
        primary = f"{number(report['primary_energy_megajoule'])} MJ"
    rows += [
        ["water", water, drunk, _unknown(unknown, "water_l")],
        ["materials", metals, f"ADPe; {mined}", _unknown(unknown, "materials_g")],
        ["primary energy", primary, "", _unknown(unknown, "primary_energy_megajoule")],
    ]
    for cost in report["costs"] or [{}]:
        total = money(cost.get("cost"), cost.get("currency"))
        rows.append(["cost", total, _cost_parts(cost), _unknown(unknown, "cost")])
    return Section("What it means", [], ("", "sum", "", "not known of"), rows)


def _parts_of(shown: Callable[[float | None], str], **parts: float | None) -> str:
    """What a sum is made of, and what of it is not known."""
    if all(value is None for value in parts.values()):
        return ""
    return ", ".join(f"{name} {shown(value)}" for name, value in parts.items())


def _words(name: str) -> str:
    """A figure's name without its unit."""
    return name.removesuffix("_j").removesuffix("_g").replace("_", " ")


def _cost_parts(cost: Report) -> str:
    parts = ((name, cost.get(name)) for name in ("electricity", "hardware"))
    return ", ".join(f"{name} {number(value)}" for name, value in parts if cost)


def _group_row(name: str, block: Report) -> list[str]:
    energy = [wh(block[n]) for n in ("energy_j", "active_j", "idle_j", "standing_j")]
    emitted = [carbon(c["carbon_g"]) for c in block["carbon"]] or [UNKNOWN]
    costs = [money(c["cost"], c["currency"]) for c in block["costs"]] or [UNKNOWN]
    unknown = [f"{_words(n)} of {number(c)}" for n, c in _partly(block)]
    return [
        *(name or NO_NAME, number(block["requests"]), *energy),
        *(" + ".join(emitted), " + ".join(costs)),
        *(number(block["tokens"]["output"]), ", ".join(unknown)),
    ]


def _partly(block: Report) -> list[tuple[str, int]]:
    """What is in the row and known of a part of its requests alone."""
    shown = ("energy_j", "active_j", "idle_j", "standing_j", "carbon_g", "cost", "output_tokens")
    return [(n, c) for n, c in block["unknown"].items() if n in shown and c < block["requests"]]


def _wasted(wasted: Report) -> Section:
    share = percent(wasted["share"])
    notes = [f"{share} of the energy went to requests that failed, were cancelled or of no use."]
    rows = [_group_row(name, block) for name, block in wasted["by"].items()]
    return Section("Wasted", notes, GROUP_COLUMNS if rows else (), rows)
